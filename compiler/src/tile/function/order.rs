//! Order: indices of the largest and smallest elements.

use llmc_isa::{DType, Queue};

use super::slab::Slab;
use super::tiles::{Cut, Space, offset, transfer};
use super::{Function, Reason};
use crate::tile::lower::build::at;
use crate::tile::{Expr, Extent, IntFn, OpKind, Operand, UnaryFn};

impl Function<'_> {
    /// Indices of the `k` largest or smallest elements along an axis, best first, of equal ones the first first.
    pub(super) fn top_k(
        &mut self,
        x: &Slab,
        axis: usize,
        k: u64,
        largest: bool,
    ) -> Result<Slab, Reason> {
        let rank = x.dims.len();
        let mut last: Vec<usize> = (0..rank).filter(|i| *i != axis).collect();
        last.push(axis);
        let rows = x.transpose(&last);
        let (shape, length) = (rows.shape(), x.dim(axis).n);
        let mut back = last.clone();
        for (to, from) in last.iter().enumerate() {
            back[*from] = to;
        }
        let keys = self.keys(&rows, largest)?;
        let ranks = self.ranks(&keys)?;
        // Element `rank` of its row is the index of the element.
        let first = self.iota(keys.elements() / length.max(1), length as i64)?;
        let first = first.reshape(&[shape[..rank - 1].to_vec(), vec![1]].concat());
        let first = first.ok_or("bug: an iota is dense")?;
        let list = self.elementwise(&[&ranks, &first], &shape, DType::I32, &|t| {
            let (a, b, dst) = (t.args[0].clone(), t.args[1].clone(), t.dst.clone());
            t.int(IntFn::Iadd, &dst, &a, &b);
        })?;
        let own = self.iota(length, 1)?.expand(&shape);
        let own = self.packed(&own)?;
        let out = self.scratch(DType::I32, &shape);
        let all = out.elements();
        let flat = |s: &Slab| s.reshape(&[all]).ok_or("bug: a new value is dense");
        self.scatter_rows(&flat(&out)?, 1, &flat(&list)?, &flat(&own)?)?;
        Ok(out.slice(rank - 1, 0, 1, k).transpose(&back))
    }

    /// 32-bit integers in the order of the elements (in the opposite order for the smallest). NaN is larger than all.
    fn keys(&mut self, x: &Slab, largest: bool) -> Result<Slab, Reason> {
        let (shape, float) = (x.shape(), !x.dtype.is_int());
        self.elementwise(&[x], &shape, DType::I32, &move |t| {
            let (a, dst) = (t.args[0].clone(), t.dst.clone());
            let flip = t.integer(if largest { 0 } else { -1 });
            if !float {
                return t.int(IntFn::Ixor, &dst, &a, &flip);
            }
            // The bits of a float, those of magnitudes below 0 turned round. Adding 0 makes -0 equal to 0.
            let y = t.temp(DType::F32);
            let (nan, sign) = (t.number(f32::NAN, DType::F32), t.temp(DType::I32));
            t.unary(UnaryFn::IsNan, &sign, &a);
            t.unary(UnaryFn::Copy, &y, &a);
            t.select(&y, &sign, &nan, &y);
            let bits = Operand {
                dtype: DType::I32,
                ..y
            };
            let (shift, mask) = (t.integer(31), t.integer(i32::MAX));
            t.int(IntFn::Ishr, &sign, &bits, &shift);
            t.int(IntFn::Iand, &sign, &sign, &mask);
            t.int(IntFn::Ixor, &sign, &sign, &bits);
            t.int(IntFn::Ixor, &dst, &sign, &flip);
        })
    }

    /// For each key the number of keys of its row (the last dim) that come before it in descending order.
    fn ranks(&mut self, keys: &Slab) -> Result<Slab, Reason> {
        let out = self.scratch(DType::I32, &keys.shape());
        if out.elements() == 0 {
            return Ok(out);
        }
        self.barrier();
        let last = keys.dims.len() - 1;
        let length = keys.dim(last).n;
        let rows = |s: &Slab| Slab {
            dims: s.dims[..last].to_vec(),
            ..s.clone()
        };
        let mut space = Space::of(&[&rows(&out), &rows(keys)]);
        let most = self.tile_elements(3 * 4 * length, 4 * 64, keys.elements() / length)?;
        let mut size = vec![1; space.n.len()];
        if let (Some(size), Some(n)) = (size.last_mut(), space.n.last()) {
            *size = (*n).min(most);
        } else {
            space.n.push(1);
            size.push(1);
            space.strides.iter_mut().for_each(|s| s.push(0));
        }
        space.n.push(length);
        size.push(length);
        space.strides.iter_mut().for_each(|s| s.push(4));
        let cut = Cut::sized(space.n.clone(), size, 2);

        let index = cut.begin(self);
        let n = cut.extents(&index);
        let [key, rank, more] =
            ["key", "rank", "more"].map(|name| self.held(name, cut.shape(), [true; 3], DType::I32));
        let first = offset(keys.base, &index, &space.strides[1]);
        let load = transfer(
            &key,
            keys.buffer,
            first,
            cut.strides(&space.strides[1]),
            &n,
            false,
        )?;
        self.build.op(Queue::Dma0, load);
        self.build.op(
            Queue::Vpu,
            OpKind::Fill {
                dst: rank.operand(),
                n: n.clone(),
                value: 0.0,
            },
        );
        let j = self.begin("j", Expr::Const(length as i64), length);
        let from = |held: &super::tiles::Held, skip: Expr| Operand {
            view: at(held.buffer, skip * 4),
            ..held.operand()
        };
        let one = Operand {
            bcast: true,
            ..from(&key, j.clone())
        };
        let part = |count: Expr| {
            let inner = Extent {
                n: length as u32,
                clamp: Some(count),
            };
            [n[0].clone(), n[1].clone(), inner]
        };
        // Before it, the key comes ahead if it is larger; after it, also if it is equal.
        let (zero, next) = (Expr::ZERO, j.clone() + Expr::Const(1));
        let ahead = (zero, part(j.clone()), false);
        let behind = (next.clone(), part(Expr::Const(length as i64) - next), true);
        for (skip, n, or_equal) in [ahead, behind] {
            let (own, count, test) = (
                from(&key, skip.clone()),
                from(&rank, skip.clone()),
                from(&more, skip),
            );
            let mut int = |op, dst: &Operand, a: &Operand, b: &Operand| {
                let (dst, a, b, n) = (dst.clone(), a.clone(), b.clone(), n.clone());
                self.build.op(Queue::Vpu, OpKind::Int { op, dst, a, b, n });
            };
            int(IntFn::Ilt, &test, &own, &one);
            int(IntFn::Iadd, &count, &count, &test);
            if or_equal {
                int(IntFn::Ieq, &test, &own, &one);
                int(IntFn::Iadd, &count, &count, &test);
            }
        }
        self.build.end();
        let first = offset(out.base, &index, &space.strides[0]);
        let store = transfer(
            &rank,
            out.buffer,
            first,
            cut.strides(&space.strides[0]),
            &n,
            true,
        )?;
        self.build.op(Queue::Dma1, store);
        self.build.end();
        Ok(out)
    }
}
