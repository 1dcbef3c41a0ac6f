//! Proofs and near misses as text.

use std::fmt;

use super::names::shortened;
use super::{Explained, NearMiss, Proof};

/// What a reader sees of proofs: those of the layers of a repeat are said to be of all of them, and one that goes as an
/// earlier one is not shown again.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fused, missed) = (self.proofs.len(), self.near_misses.len());
        writeln!(
            f,
            "entry {}: {fused} fused, {missed} near misses",
            self.entry
        )?;
        let mut shown: Vec<(&Proof, usize)> = Vec::new();
        let mut turns = None;
        for (proof, number) in self.proofs.iter().zip(1..) {
            match (proof.turns, turns) {
                (now, before) if now == before => {}
                (Some(n), _) => {
                    writeln!(
                        f,
                        "\nIn each of layers 0..{}, with the names of the first:",
                        n - 1
                    )?;
                }
                (None, _) => writeln!(f, "\nOnce:")?,
            }
            turns = proof.turns;
            let same = |(other, _): &&(&Proof, usize)| {
                other.op == proof.op && other.chain() == proof.chain()
            };
            let names = shortened(&proof.origin);
            match shown.iter().find(same) {
                Some((_, like)) => writeln!(f, "\n{number}. {}, as {like}, for {names}", proof.op)?,
                None => {
                    write!(f, "\n{number}. {proof}")?;
                    shown.push((proof, number));
                }
            }
        }
        self.near_misses
            .iter()
            .try_for_each(|miss| write!(f, "\n{miss}"))
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.op)?;
        if self.given.is_empty() {
            return writeln!(
                f,
                "   stands for too many nodes to show why, before {}",
                self.value
            );
        }
        writeln!(f, "   reads")?;
        for line in &self.reads {
            writeln!(f, "     {line}")?;
        }
        writeln!(f, "   given")?;
        for line in &self.given {
            writeln!(f, "     {line}")?;
        }
        writeln!(f, "   by")?;
        for (step, number) in self.steps.iter().zip(1..) {
            let way = if step.backwards {
                ", read backwards"
            } else {
                ""
            };
            writeln!(f, "     {number:2}  {}{way}: {}", step.rule, step.meaning)?;
            let column = match &step.value {
                Some(value) => {
                    writeln!(f, "           {value} = {}", step.before)?;
                    12 + value.chars().count()
                }
                None => {
                    writeln!(f, "           {}", step.before)?;
                    9
                }
            };
            writeln!(f, "{:column$}= {}", "", step.after)?;
        }
        writeln!(f, "   so\n     {} = {}", self.value, self.goal)
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "not fused, but looks like {}:", self.looks_like)?;
        writeln!(f, "   {}", self.at)?;
        if !self.reached.is_empty() {
            writeln!(f, "   recognised: {}", self.reached.join(", "))?;
        }
        writeln!(f, "   not recognised: {}", self.missing)?;
        for failed in &self.failed {
            let (rule, meaning) = (failed.rule, failed.meaning);
            writeln!(f, "   {rule} ({meaning}) fails: {}", failed.reason)?;
            for (var, value) in &failed.saw {
                writeln!(f, "     {var} is {value}")?;
            }
        }
        for closest in &self.closest {
            let (rule, meaning) = (closest.rule, closest.meaning);
            writeln!(f, "   {rule} ({meaning}) comes closest:")?;
            writeln!(f, "     it looks for {}", closest.form)?;
            writeln!(f, "     instead of {} there is", closest.wants)?;
            writeln!(f, "       {}", closest.found)?;
        }
        if !self.form.is_empty() {
            writeln!(f, "   no rule knows what is made of it:")?;
            self.form
                .iter()
                .try_for_each(|line| writeln!(f, "     {line}"))?;
        }
        Ok(())
    }
}
