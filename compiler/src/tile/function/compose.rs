//! Ops made of other kernels: softmax, norms, rotary embedding, attention. Sums are in f32.

use llmc_ir::{MaskKind, Op, ReduceOp};
use llmc_isa::DType;
use llmc_tensor::DType as TensorType;

use super::slab::Slab;
use super::{Function, Reason};
use crate::tile::{BinaryFn, IntFn, UnaryFn};

impl Function<'_> {
    /// A reduction in f32 with the dim kept as 1.
    fn along(&mut self, op: ReduceOp, x: &Slab, axis: usize) -> Result<Slab, Reason> {
        let mut shape = x.shape();
        shape[axis] = 1;
        let out = self.reduce(op, x, &[axis], TensorType::F32)?;
        out.reshape(&shape)
            .ok_or_else(|| "bug: a reduction is dense".into())
    }

    pub(super) fn softmax(&mut self, x: &Slab, axis: usize) -> Result<Slab, Reason> {
        let most = self.along(ReduceOp::Max, x, axis)?;
        self.softmax_from(x, axis, &most)
    }

    /// As softmax, but rows of -inf alone give 0.
    fn softmax_of_seen(&mut self, x: &Slab, axis: usize) -> Result<Slab, Reason> {
        let most = self.along(ReduceOp::Max, x, axis)?;
        let finite = self.elementwise(&[&most], &most.shape(), DType::F32, &|t| {
            let (a, dst, least) = (
                t.args[0].clone(),
                t.dst.clone(),
                t.number(f32::MIN, DType::F32),
            );
            t.binary(BinaryFn::Max, &dst, &a, &least);
        })?;
        let weights = self.softmax_from(x, axis, &finite)?;
        self.elementwise(&[&weights, &most], &x.shape(), DType::F32, &|t| {
            let (a, most, dst) = (t.args[0].clone(), t.args[1].clone(), t.dst.clone());
            let (hidden, zero) = (
                t.number(f32::NEG_INFINITY, DType::F32),
                t.number(0.0, DType::F32),
            );
            let seen = t.temp(DType::F32);
            t.binary(BinaryFn::Ne, &seen, &most, &hidden);
            t.select(&dst, &seen, &a, &zero);
        })
    }

    /// e^(x - most) / sum of the same.
    fn softmax_from(&mut self, x: &Slab, axis: usize, most: &Slab) -> Result<Slab, Reason> {
        let (shape, f32) = (x.shape(), DType::F32);
        let powers = self.elementwise(&[x, most], &shape, f32, &|t| {
            let (a, b, dst) = (t.args[0].clone(), t.args[1].clone(), t.dst.clone());
            t.binary(BinaryFn::Sub, &dst, &a, &b);
            t.unary(UnaryFn::Exp, &dst, &dst);
        })?;
        let sum = self.along(ReduceOp::Sum, &powers, axis)?;
        self.float(BinaryFn::Div, &powers, &sum, &shape, x.dtype)
    }

    pub(super) fn rms_norm(&mut self, x: &Slab, w: &Slab, eps: f32) -> Result<Slab, Reason> {
        let (shape, last) = (x.shape(), x.dims.len() - 1);
        let sum = self.along(ReduceOp::SumSquare, x, last)?;
        let factor = self.scaled(UnaryFn::Rsqrt, &sum, 1.0 / shape[last] as f32, eps)?;
        self.elementwise(&[x, &factor, w], &shape, x.dtype, &|t| {
            let [x, factor, w] = [0, 1, 2].map(|i| t.args[i].clone());
            let (y, dst) = (t.temp(DType::F32), t.dst.clone());
            t.binary(BinaryFn::Mul, &y, &x, &factor);
            t.binary(BinaryFn::Mul, &dst, &y, &w);
        })
    }

    pub(super) fn layer_norm(
        &mut self,
        x: &Slab,
        w: &Slab,
        b: &Slab,
        eps: f32,
    ) -> Result<Slab, Reason> {
        let (shape, last) = (x.shape(), x.dims.len() - 1);
        let mean = self.along(ReduceOp::Mean, x, last)?;
        let centred = self.float(BinaryFn::Sub, x, &mean, &shape, DType::F32)?;
        let sum = self.along(ReduceOp::SumSquare, &centred, last)?;
        let factor = self.scaled(UnaryFn::Rsqrt, &sum, 1.0 / shape[last] as f32, eps)?;
        self.elementwise(&[&centred, &factor, w, b], &shape, x.dtype, &|t| {
            let [x, factor, w, b] = [0, 1, 2, 3].map(|i| t.args[i].clone());
            let (y, dst) = (t.temp(DType::F32), t.dst.clone());
            t.binary(BinaryFn::Mul, &y, &x, &factor);
            t.binary(BinaryFn::Mul, &y, &y, &w);
            t.binary(BinaryFn::Add, &dst, &y, &b);
        })
    }

    pub(super) fn silu_mul(&mut self, g: &Slab, u: &Slab) -> Result<Slab, Reason> {
        self.elementwise(&[g, u], &g.shape(), g.dtype, &|t| {
            let (g, u, dst) = (t.args[0].clone(), t.args[1].clone(), t.dst.clone());
            let y = t.temp(DType::F32);
            t.unary(UnaryFn::Silu, &y, &g);
            t.binary(BinaryFn::Mul, &dst, &y, &u);
        })
    }

    /// Rotates pairs of the first `rotary` elements of each head.
    pub(super) fn rope(
        &mut self,
        x: &Slab,
        cos: &Slab,
        sin: &Slab,
        [heads, head_dim, rotary]: [usize; 3],
        interleaved: bool,
    ) -> Result<Slab, Reason> {
        let shape = x.shape();
        let (b, s) = (shape[0], shape[1]);
        let x = self.reshaped(x, &[b, s, heads as u64, head_dim as u64])?;
        let out = self.scratch(x.dtype, &x.shape());
        let half = rotary as u64 / 2;
        let pick = |v: &Slab, second: bool| match (interleaved, second) {
            (true, second) => v.slice(3, i64::from(second), 2, half),
            (false, false) => v.slice(3, 0, 1, half),
            (false, true) => v.slice(3, half as i64, 1, half),
        };
        let angles = |table: &Slab, second: bool| {
            let columns = table.dim(1).n;
            let table = table.reshape(&[s, 1, columns]);
            let own = |t: Slab| match (columns > half, interleaved, second) {
                (true, true, second) => t.slice(2, i64::from(second), 2, half),
                (true, false, true) => t.slice(2, half as i64, 1, half),
                _ => t.slice(2, 0, 1, half),
            };
            table.map(own).ok_or("bug: a table of positions is dense")
        };
        for second in [false, true] {
            let place = pick(&out, second);
            let shape = place.shape();
            let ins = [
                pick(&x, second),
                pick(&x, !second),
                angles(cos, second)?,
                angles(sin, second)?,
            ];
            let ins = ins.map(|v| v.expand(&shape));
            let op = if second { BinaryFn::Add } else { BinaryFn::Sub };
            self.map(
                &place,
                &ins,
                Some(&move |t| {
                    let [a, b, cos, sin] = [0, 1, 2, 3].map(|i| t.args[i].clone());
                    let (y, z, dst) = (t.temp(DType::F32), t.temp(DType::F32), t.dst.clone());
                    t.binary(BinaryFn::Mul, &y, &a, &cos);
                    t.binary(BinaryFn::Mul, &z, &b, &sin);
                    t.binary(op, &dst, &y, &z);
                }),
            )?;
        }
        let left = (head_dim - rotary) as u64;
        let tail = |v: &Slab| v.slice(3, rotary as i64, 1, left);
        self.map(&tail(&out), &[tail(&x)], None)?;
        out.reshape(&shape)
            .ok_or_else(|| "bug: a new value is dense".into())
    }

    /// Attention of heads that share keys and values in groups.
    pub(super) fn attention(
        &mut self,
        op: &Op,
        q: &Slab,
        k: &Slab,
        v: &Slab,
        sinks: Option<&Slab>,
    ) -> Result<Slab, Reason> {
        let &Op::Attention {
            heads,
            kv_heads,
            head_dim,
            scale,
            mask,
            softcap,
            scores: None,
            weights: None,
        } = op
        else {
            return Err("bug: this is not attention, or its weights are rounded".into());
        };
        let (b, s, t) = (q.dim(0).n, q.dim(1).n, k.dim(2).n);
        let (kv, d) = (kv_heads as u64, head_dim as u64);
        let group = (heads / kv_heads.max(1)) as u64;
        let q = self.reshaped(q, &[b, s, kv, group, d])?;
        let q = q.transpose(&[0, 2, 3, 1, 4]);
        let k = self.reshaped(k, &[b, kv, 1, t, d])?;
        let v = self.reshaped(v, &[b, kv, 1, t, d])?;
        let scores = self.matmul(
            &q,
            &k.transpose(&[0, 1, 2, 4, 3]),
            &[b, kv, group, s, t],
            TensorType::F32,
        )?;
        let mut scores = self.scaled(UnaryFn::Copy, &scores, scale.get(), 0.0)?;
        if let Some(cap) = softcap.map(|c| c.get()) {
            let bent = self.scaled(UnaryFn::Tanh, &scores, 1.0 / cap, 0.0)?;
            scores = self.scaled(UnaryFn::Copy, &bent, cap, 0.0)?;
        }
        let scores = self.masked(&scores, mask)?;
        let weights = match sinks {
            None => self.softmax_of_seen(&scores, 4)?,
            Some(sinks) => {
                let sinks = self.reshaped(sinks, &[1, kv, group, 1, 1])?;
                let sinks = self.packed(&sinks.expand(&[b, kv, group, s, 1]))?;
                let all = self.concat(&[scores, sinks], 4, &[b, kv, group, s, t + 1])?;
                self.softmax_of_seen(&all, 4)?.slice(4, 0, 1, t)
            }
        };
        let out = self.matmul(&weights, &v, &[b, kv, group, s, d], TensorType::F32)?;
        let out = self.reshaped(&out.transpose(&[0, 3, 1, 2, 4]), &[b, s, kv * group * d])?;
        self.converted(&out, q.dtype)
    }

    /// Scores that are not seen become -inf.
    fn masked(&mut self, scores: &Slab, mask: MaskKind) -> Result<Slab, Reason> {
        if mask == MaskKind::FULL {
            return Ok(scores.clone());
        }
        let shape = scores.shape();
        let [.., s, t] = shape[..] else {
            return Err("bug: scores are matrices".into());
        };
        let [rows, columns] = self.diagonals(s, t)?;
        // Column minus position of the row.
        let behind = t as i64 - s as i64;
        self.elementwise(
            &[scores, &rows, &columns],
            &shape,
            scores.dtype,
            &move |x| {
                let [score, row, column] = [0, 1, 2].map(|i| x.args[i].clone());
                let dst = x.dst.clone();
                let (hidden, away) = (x.number(f32::NEG_INFINITY, DType::F32), x.temp(DType::I32));
                let unseen = x.temp(DType::I32);
                x.int(IntFn::Isub, &away, &column, &row);
                x.int(IntFn::Isub, &unseen, &away, &away);
                if mask.causal {
                    let last = x.integer(behind as i32);
                    x.int(IntFn::Ilt, &unseen, &last, &away);
                }
                if let Some(window) = mask.window {
                    let first = x.integer((behind - i64::from(window) + 1) as i32);
                    x.int(IntFn::Ilt, &away, &away, &first);
                    x.int(IntFn::Ior, &unseen, &unseen, &away);
                }
                x.select(&dst, &unseen, &hidden, &score);
            },
        )
    }
}
