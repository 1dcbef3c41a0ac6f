//! What was left out of a file, for the graph that was made of the rest.

use std::path::Path;
use std::sync::Arc;

use llmc_ir::{Const, Graph, ValueId};
use llmc_passes::Omitted;
use llmc_passes::roll::Sequence;
use llmc_tensor::Tensor;
use rayon::prelude::*;

use super::Cache;
use super::error::{Category, ImportError, Problem};
use super::lower::Lower;
use super::model::ValueIx;
use super::proto::TensorProto;
use super::shorten::{InTurns, KEPT, Shortened};
use super::source::Weights;
use super::value::{Content, Val};

impl Lower<'_> {
    /// What keeps the turns that were left out from being like the last one: a value that goes to the next turn and is of
    /// another kind after the last turn than before it.
    pub(super) fn unlike(&self, carried: &[[String; KEPT]]) -> Option<Problem> {
        let val = |name: &String| {
            let known = self.model.names.iter().position(|n| n == name)?;
            self.values.get(known)?.as_ref()
        };
        let unlike = carried.iter().find(|[before, after]| {
            !matches!((val(before), val(after)), (Some(a), Some(b)) if same_kind(a, b))
        });
        unlike.map(|[_, after]| Problem {
            category: Category::Unsupported,
            operator: String::new(),
            node: after.clone(),
            reason: String::from("the layers after it may be others than those before it"),
            remedy: String::from("import the whole model"),
        })
    }

    /// The constants of the graph that initializers that differ between turns became; `None` for those that are not used.
    pub(super) fn shown(&self, shortened: &Shortened) -> Vec<Option<[String; KEPT]>> {
        let name = |of: &String| {
            let ix = self.model.names.iter().position(|n| n == of)?;
            let id: ValueId = *self.materialised.get(&ValueIx(u32::try_from(ix).ok()?))?;
            Some(self.graph.as_const(id)?.name().to_string())
        };
        let lists = shortened.constants.iter();
        let shown = lists.map(|l| match l.kept.each_ref().map(name) {
            [Some(before), Some(last)] => Some([before, last]),
            _ => None,
        });
        shown.collect()
    }
}

/// Whether what is made of one value would be made of the other.
fn same_kind(a: &Val, b: &Val) -> bool {
    a.ty == b.ty
        && match (&a.content, &b.content) {
            (Content::Data(_), Content::Data(_)) => true,
            (Content::Const(a), Content::Const(b)) => a == b,
            (Content::Ints(a), Content::Ints(b)) => a == b,
            _ => false,
        }
}

impl Shortened {
    /// What was left out, in terms of the graph; `shown` names its constants.
    ///
    /// # Errors
    /// If constants cannot be read.
    pub(super) fn omitted(
        &self,
        graph: &Graph,
        shown: &[Option<[String; KEPT]>],
        path: &Path,
    ) -> Result<Omitted, ImportError> {
        let mut weights = Weights::new(path);
        let mut omitted = Omitted {
            turns: self.turns,
            ..Omitted::default()
        };
        let find = |name: &String| graph.consts().iter().find(|c| c.name() == name);
        for (list, shown) in self.constants.iter().zip(shown) {
            let Some([Some(before), Some(last)]) = shown.as_ref().map(|s| s.each_ref().map(find))
            else {
                continue;
            };
            let read = |proto| weights.tensor(proto);
            let tensors: Vec<Tensor> = list.rest.iter().map(read).collect::<Result<_, _>>()?;
            // In parallel, because a constant is digested.
            let rest = list.rest.par_iter().zip(tensors);
            let rest = rest.map(|(proto, tensor)| constant(proto, tensor, last));
            omitted.constants.push(Sequence {
                shown: [before.clone(), last.clone()],
                rest: rest.collect::<Result<_, ImportError>>()?,
            });
        }
        let inputs = self.inputs.iter().map(|InTurns { kept, rest }| Sequence {
            shown: kept.clone(),
            rest: rest.clone(),
        });
        omitted.states = inputs.collect();
        Ok(omitted)
    }

    /// The caches that were left out; `shown` are those that stayed.
    pub(super) fn caches(&self, shown: &[Cache]) -> Vec<Cache> {
        let like = |cache: &Cache| {
            let last = |l: &&InTurns<String>, name: &String| l.kept.last() == Some(name);
            let past = self.inputs.iter().find(|l| last(l, &cache.past))?;
            let present = self.outputs.iter().find(|l| last(l, &cache.present))?;
            Some(past.rest.iter().zip(&present.rest))
        };
        let pairs = shown.iter().filter_map(like).flatten();
        let caches = pairs.map(|(past, present)| Cache {
            past: past.clone(),
            present: present.clone(),
        });
        caches.collect()
    }
}

/// The constant of an initializer, with the element type that the one before it has by now.
fn constant(
    proto: &TensorProto,
    tensor: Tensor,
    before: &Const,
) -> Result<Arc<Const>, ImportError> {
    let tensor = match tensor.dtype() == before.dtype() {
        true => tensor,
        false => {
            let cast = tensor.cast(before.dtype());
            cast.map_err(|e| ImportError::Tensor {
                category: Category::Bug,
                tensor: proto.name.clone(),
                detail: e.to_string(),
            })?
        }
    };
    Ok(Arc::new(Const::new(proto.name.clone(), tensor)))
}
