//! Ops that move elements and do not compute.

use super::slab::Slab;
use super::{Function, Reason};

impl Function<'_> {
    /// The value as one dense block: itself, or a copy.
    pub(super) fn packed(&mut self, x: &Slab) -> Result<Slab, Reason> {
        if x.is_dense() {
            return Ok(x.clone());
        }
        let out = self.scratch(x.dtype, &x.shape());
        self.map(&out, std::slice::from_ref(x), None)?;
        Ok(out)
    }

    /// The value under another shape; copied if its elements are not in order.
    pub(super) fn reshaped(&mut self, x: &Slab, shape: &[u64]) -> Result<Slab, Reason> {
        if let Some(same) = x.reshape(shape) {
            return Ok(same);
        }
        let dense = self.packed(x)?;
        dense
            .reshape(shape)
            .ok_or_else(|| "bug: a dense value has any shape".into())
    }

    /// Copies of a value around `x`.
    pub(super) fn pad(
        &mut self,
        x: &Slab,
        value: &Slab,
        before: &[usize],
        shape: &[u64],
    ) -> Result<Slab, Reason> {
        let out = self.scratch(x.dtype, shape);
        let value = value.reshape(&[]).ok_or("its value is not one number")?;
        self.map(&out, &[value.expand(shape)], None)?;
        let mut inside = out.clone();
        for (axis, skip) in before.iter().enumerate() {
            inside = inside.slice(axis, *skip as i64, 1, x.dim(axis).n);
        }
        self.map(&inside, std::slice::from_ref(x), None)?;
        Ok(out)
    }

    pub(super) fn concat(
        &mut self,
        parts: &[Slab],
        axis: usize,
        shape: &[u64],
    ) -> Result<Slab, Reason> {
        let dtype = parts.first().map_or(llmc_isa::DType::F32, |p| p.dtype);
        let out = self.scratch(dtype, shape);
        let mut at = 0;
        for part in parts {
            let n = part.dim(axis).n;
            let place = out.slice(axis, at as i64, 1, n);
            self.map(&place, std::slice::from_ref(part), None)?;
            at += n;
        }
        Ok(out)
    }
}
