//! Energy per token, split by class, for people and for JSON.

use llmc_isa::energy::Energy;
use serde::Serialize;
use std::collections::BTreeMap;

/// Joules per token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerToken {
    /// All classes together.
    pub joules_per_token: f64,
    /// The classes: multiply-accumulates by type, vector operations, SRAM, DRAM, network, static power.
    pub joules_per_token_by_class: BTreeMap<String, f64>,
}

impl PerToken {
    /// `energy` over `tokens`, which are not 0.
    pub fn of(energy: &Energy, tokens: f64) -> PerToken {
        let classes = energy.classes().into_iter();
        PerToken {
            joules_per_token: energy.total() / tokens,
            joules_per_token_by_class: classes
                .map(|(name, joules)| (name, joules / tokens))
                .collect(),
        }
    }
}

impl std::fmt::Display for PerToken {
    /// `0.428 mJ/token (dram 81.2 %, static 14.2 %, sram 4.6 %)`, the largest first; what is 0 is left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} mJ/token", self.joules_per_token * 1e3)?;
        let mut parts: Vec<(&String, f64)> = self
            .joules_per_token_by_class
            .iter()
            .filter(|(_, joules)| **joules > 0.0)
            .map(|(name, joules)| (name, 100.0 * joules / self.joules_per_token))
            .collect();
        parts.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let parts: Vec<String> = parts
            .iter()
            .map(|(name, share)| format!("{name} {share:.1} %"))
            .collect();
        match parts.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_class_comes_first() {
        let energy = Energy {
            dram: 3.0,
            idle: 0.9,
            vpu: 0.1,
            ..Energy::default()
        };
        let found = PerToken::of(&energy, 1000.0);
        assert_eq!(
            found.to_string(),
            "4.000 mJ/token (dram 75.0 %, static 22.5 %, vpu 2.5 %)"
        );
        assert_eq!(
            PerToken::of(&Energy::default(), 1.0).to_string(),
            "0.000 mJ/token"
        );
    }
}
