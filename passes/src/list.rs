//! The passes by name, to run one of them alone.

use llmc_ir::{Graph, Module, Stage, verify_module};

use crate::error::{Cause, PassError};
use crate::{
    Options, Sizes, egraph, fold, last_row, promote_state, quantise, roll, shard, specialise,
};

/// A pass. The pipeline, [`crate::run`], runs them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// `promote_state`
    PromoteState,
    /// `roll`
    Roll,
    /// `fold`
    Fold,
    /// `specialise`
    Specialise,
    /// `fuse`
    Fuse,
    /// `last_row`
    LastRow,
    /// `quantise`
    Quantise,
    /// `shard`
    Shard,
}

impl Pass {
    /// All of them, in order.
    pub const ALL: [Pass; 8] = [
        Pass::PromoteState,
        Pass::Roll,
        Pass::Fold,
        Pass::Specialise,
        Pass::Fuse,
        Pass::LastRow,
        Pass::Quantise,
        Pass::Shard,
    ];

    /// Its name on the command line and in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Pass::Fold => "fold",
            Pass::PromoteState => "promote_state",
            Pass::Roll => "roll",
            Pass::Specialise => "specialise",
            Pass::Fuse => "fuse",
            Pass::LastRow => "last_row",
            Pass::Quantise => "quantise",
            Pass::Shard => "shard",
        }
    }

    /// What it does.
    pub const fn doc(self) -> &'static str {
        match self {
            Pass::Fold => "evaluates what depends on constants alone, drops what does nothing",
            Pass::PromoteState => "KV caches as inputs and outputs -> states",
            Pass::Roll => "repeated layers -> one repeat with stacked weights and states",
            Pass::Specialise => "one graph with past -> the entries prefill, score and decode",
            Pass::Fuse => "equality saturation: the cheapest equal graph",
            Pass::LastRow => "computes only the last row where only that is used",
            Pass::Quantise => "weights in narrower types",
            Pass::Shard => "splits weights and heads over the cores",
        }
    }

    /// The pass of a name.
    pub fn of(name: &str) -> Option<Pass> {
        Pass::ALL.into_iter().find(|pass| pass.name() == name)
    }

    /// What the result must satisfy. A part of a model need not be fused completely.
    fn legal(self) -> Stage {
        match self {
            Pass::Shard => Stage::Sharded,
            _ => Stage::Specialised,
        }
    }

    /// Runs it alone and verifies the result.
    ///
    /// # Errors
    /// What the pass says, or that it left a broken graph.
    pub fn apply(self, module: &mut Module, options: &Options) -> Result<(), PassError> {
        let failed = |(entry, cause)| PassError {
            pass: self.name(),
            entry,
            cause,
        };
        self.change(module, options).map_err(failed)?;
        verify_module(module, self.legal()).map_err(|errors| failed((None, Cause::Broken(errors))))
    }

    fn change(self, module: &mut Module, options: &Options) -> Result<(), (Option<String>, Cause)> {
        let sizes = Sizes {
            prefill: options.prefill,
            max_context: options.max_context,
        };
        let each = |module: &mut Module, pass: &mut dyn FnMut(&mut Graph) -> Result<(), Cause>| {
            let mut entries = module.entries.iter_mut();
            entries.try_for_each(|graph| {
                pass(graph).map_err(|cause| (Some(graph.name.clone()), cause))
            })
        };
        let named = |(entry, cause)| (Some(entry), cause);
        match self {
            Pass::Specialise => {
                let Some(graph) = module.entries.first() else {
                    return Ok(());
                };
                *module = specialise::specialise(graph, sizes).map_err(|cause| (None, cause))?;
            }
            Pass::Fold => drop(fold::fold(module).map_err(named)?),
            Pass::PromoteState => each(module, &mut |graph| {
                promote_state::promote_state(graph, options.max_context).map(drop)
            })?,
            Pass::Roll => each(module, &mut |graph| {
                *graph = roll::roll(graph)?.0;
                Ok(())
            })?,
            Pass::Fuse => {
                let rules = egraph::rules::all();
                each(module, &mut |graph| {
                    *graph = egraph::saturate(graph, &rules, options.costs)?.0;
                    graph.remove_unused_tables();
                    Ok(())
                })?;
            }
            Pass::LastRow => each(module, &mut |graph| {
                last_row::sink_last_row(graph).map(drop)
            })?,
            Pass::Quantise => {
                quantise::quantise(module, options.quant).map_err(|cause| (None, cause))?;
            }
            Pass::Shard => drop(shard::shard(module, options.cores).map_err(named)?),
        }
        Ok(())
    }
}
