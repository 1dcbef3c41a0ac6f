//! Matrix products of two values in DRAM: tiles of the result, the inner dim in chunks.

use llmc_isa::{DType, Queue};
use llmc_tensor::DType as TensorType;

use super::slab::{Axis, Slab};
use super::tiles::{Cut, Held, Space, offset, rest, transfer};
use super::{Function, Reason};
use crate::tile::lower::build::at;
use crate::tile::{Copy, Expr, Extent, IntFn, OpKind, Operand, PANEL};

/// Sizes of a tile: rows and columns of the result, and of the inner dim.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    m: u64,
    n: u64,
    k: u64,
}

impl Sizes {
    fn bytes(self) -> u64 {
        let n = self.n.next_multiple_of(u64::from(PANEL));
        4 * (self.m * self.k + self.k * n + 2 * self.m * n) + 5 * 64
    }
}

impl Function<'_> {
    /// NumPy's product of stacks of matrices.
    pub(super) fn matmul(
        &mut self,
        a: &Slab,
        b: &Slab,
        shape: &[u64],
        dtype: TensorType,
    ) -> Result<Slab, Reason> {
        let int = !dtype.is_float();
        let work = if int { DType::I32 } else { DType::F32 };
        let (mut a, mut b) = (self.converted(a, work)?, self.converted(b, work)?);
        for x in [&mut a, &mut b] {
            // The engines' copies do not run backwards.
            if x.dims.iter().rev().take(2).any(|d| d.stride < 0) {
                *x = self.packed(x)?;
            }
        }
        let one = Axis { n: 1, stride: 0 };
        if a.dims.len() == 1 {
            a.dims.insert(0, one);
        }
        if b.dims.len() == 1 {
            b.dims.push(one);
        }
        let (ra, rb) = (a.dims.len(), b.dims.len());
        let (m, k, n) = (a.dim(ra - 2).n, a.dim(ra - 1).n, b.dim(rb - 1).n);
        let batch = ra.max(rb) - 2;
        let extent = |s: &Slab, i: usize| {
            let missing = batch + 2 - s.dims.len();
            i.checked_sub(missing).map_or(1, |i| s.dim(i).n)
        };
        let stack: Vec<u64> = (0..batch)
            .map(|i| {
                if extent(&a, i) == 1 {
                    extent(&b, i)
                } else {
                    extent(&a, i)
                }
            })
            .collect();
        let a = a.expand(&[stack.as_slice(), &[m, k]].concat());
        let b = b.expand(&[stack.as_slice(), &[k, n]].concat());
        let out = self.scratch(work, &[stack.as_slice(), &[m, n]].concat());
        if out.elements() > 0 {
            if k == 0 {
                self.map(
                    &out,
                    &[],
                    Some(&|t| {
                        let dst = t.dst.clone();
                        t.fill(&dst, 0.0);
                    }),
                )?;
            } else {
                self.product(&out, &a, &b, int)?;
            }
        }
        let to = super::chip_type(dtype);
        let to = if int || to == DType::F32 { work } else { to };
        let out = self.converted(&out, to)?;
        out.reshape(shape)
            .ok_or_else(|| "bug: a product is dense".into())
    }

    fn sizes(&self, stack: u64, m: u64, n: u64, k: u64) -> Result<Sizes, Reason> {
        let panel = u64::from(PANEL);
        let wide = n.next_multiple_of(panel);
        let mut s = Sizes {
            m: m.min(64),
            n: wide.min(16 * panel),
            k: k.min(512),
        };
        while s.bytes() > self.sram {
            if s.k > 64 || s.k > 1 && s.m == 1 && s.n == panel {
                s.k = s.k.div_ceil(2);
            } else if s.m >= s.n && s.m > 1 {
                s.m = s.m.div_ceil(2);
            } else if s.n > panel {
                s.n = (s.n / 2).next_multiple_of(panel);
            } else if s.m > 1 {
                s.m = s.m.div_ceil(2);
            } else {
                let (needs, has) = (s.bytes(), self.sram);
                return Err(format!(
                    "a matrix product takes {needs} bytes of SRAM at least, a core has {has}: {} bytes are missing",
                    needs - has
                ));
            }
        }
        let tiles = |s: Sizes| stack * m.div_ceil(s.m) * n.div_ceil(s.n);
        while tiles(s) < u64::from(self.cores) && (s.n > panel || s.m > 8) {
            if s.n > panel {
                s.n = (s.n / 2).next_multiple_of(panel);
            } else {
                s.m = s.m.div_ceil(2);
            }
        }
        Ok(s)
    }

    fn product(&mut self, out: &Slab, a: &Slab, b: &Slab, int: bool) -> Result<(), Reason> {
        self.barrier();
        let rank = out.dims.len();
        let (m, n, k) = (out.dim(rank - 2), out.dim(rank - 1), a.dim(rank - 1));
        let (am, bk, bn) = (a.dim(rank - 2), b.dim(rank - 2), b.dim(rank - 1));
        let stack = |s: &Slab| Slab {
            dims: s.dims[..rank - 2].to_vec(),
            ..s.clone()
        };
        let mut space = Space::of(&[&stack(out), &stack(a), &stack(b)]);
        let sizes = self.sizes(space.n.iter().product(), m.n, n.n, k.n)?;
        let mut size = vec![1; space.n.len()];
        for (dim, of_tile, strides) in [
            (m.n, sizes.m, [m.stride, am.stride, 0]),
            (n.n, sizes.n.min(n.n), [n.stride, 0, bn.stride]),
        ] {
            space.n.push(dim);
            size.push(of_tile.min(dim));
            for (all, own) in space.strides.iter_mut().zip(strides) {
                all.push(own);
            }
        }
        let cut = Cut::sized(space.n.clone(), size, 2);
        let (mt, nt, kt) = (sizes.m as u32, sizes.n as u32, sizes.k as u32);

        let index = cut.begin(self);
        let [_, em, en] = cut.extents(&index);
        let c = self.held("c", [1, mt, nt], [true; 3], out.dtype);
        let x = self.held("a", [1, mt, kt], [true; 3], out.dtype);
        let y = self.held("b", [1, kt, nt], [true; 3], out.dtype);
        let all = [1.into(), em.clone(), en.clone()];
        self.fill(c.operand(), all.clone());
        let ragged = n.n % u64::from(PANEL) != 0;
        if !int && ragged {
            self.fill(y.operand(), [1, kt, nt].map(Extent::from));
        }
        let chunks = k.n.div_ceil(sizes.k);
        let at_k = self.begin("k", Expr::Const(chunks as i64), chunks) * i64::from(kt);
        let ek = rest(k.n, sizes.k, &at_k);
        let first = offset(a.base, &index, &space.strides[1]) + at_k.clone() * k.stride;
        let n_a = [1.into(), em.clone(), ek.clone()];
        let load = transfer(&x, a.buffer, first, [0, am.stride, k.stride], &n_a, false)?;
        self.build.op(Queue::Dma0, load);
        let first = offset(b.base, &index, &space.strides[2]) + at_k * bk.stride;
        if int {
            let n_b = [1.into(), ek.clone(), en.clone()];
            let load = transfer(&y, b.buffer, first, [0, bk.stride, bn.stride], &n_b, false)?;
            self.build.op(Queue::Dma0, load);
            self.outer_products(&c, &x, &y, kt, &ek, &all);
        } else {
            self.panels(&y, b, first, kt, &ek, &en, ragged)?;
            self.build.op(
                Queue::Mxu,
                OpKind::MatMul {
                    dst: at(c.buffer, 0),
                    dst_s0: nt * 4,
                    a: at(x.buffer, 0),
                    a_s0: kt * 4,
                    b: at(y.buffer, 0),
                    b_panel: kt * PANEL * 4,
                    m: em,
                    n: en,
                    k: ek,
                    a_type: DType::F32,
                    b_type: DType::F32,
                    acc: true,
                },
            );
        }
        self.build.end();
        let first = offset(out.base, &index, &space.strides[0]);
        let store = transfer(&c, out.buffer, first, [0, m.stride, n.stride], &all, true)?;
        self.build.op(Queue::Dma1, store);
        self.build.end();
        Ok(())
    }

    fn fill(&mut self, dst: Operand, n: [Extent; 3]) {
        let value = 0.0;
        self.build.op(Queue::Vpu, OpKind::Fill { dst, n, value });
    }

    /// Loads a tile of B as panels of 16 columns, `[k][16]` each: the whole ones, then what is left of the columns.
    #[allow(clippy::too_many_arguments)] // all of them describe one copy
    fn panels(
        &mut self,
        y: &Held,
        b: &Slab,
        first: Expr,
        kt: u32,
        ek: &Extent,
        en: &Extent,
        ragged: bool,
    ) -> Result<(), Reason> {
        let rank = b.dims.len();
        let stride = |axis: Axis| {
            u32::try_from(axis.stride)
                .map_err(|_| format!("a matrix has elements {} bytes apart", axis.stride))
        };
        let (sk, sn) = (stride(b.dim(rank - 2))?, stride(b.dim(rank - 1))?);
        let panel = kt * PANEL * 4;
        let columns = en
            .clamp
            .clone()
            .map_or(Expr::Const(i64::from(en.n)), |left| {
                left.min(Expr::Const(i64::from(en.n)))
            });
        let whole = columns.clone().div(i64::from(PANEL));
        let mut copy = |skip: Expr, panels: Extent, width: Extent| {
            let dst = at(y.buffer, skip.clone() * i64::from(panel));
            let src = at(
                b.buffer,
                first.clone() + skip * (i64::from(PANEL) * i64::from(sn)),
            );
            // Columns that lie apart are copied one by one.
            let (n, bytes, last) = if sn == 4 {
                ([1.into(), panels, ek.clone()], width.times(4), [0, 0])
            } else {
                ([panels, ek.clone(), width], 4.into(), [4, sn])
            };
            let (dst_s, src_s) = if sn == 4 {
                ([0, panel, PANEL * 4], [0, PANEL * sn, sk])
            } else {
                ([panel, PANEL * 4, last[0]], [PANEL * sn, sk, last[1]])
            };
            let copy = Copy {
                dst,
                dst_s,
                src,
                src_s,
                n,
                bytes,
            };
            self.build.op(Queue::Dma0, OpKind::Load(copy));
        };
        let panels = Extent {
            n: en.n / PANEL,
            clamp: en.clamp.as_ref().map(|_| whole.clone()),
        };
        if panels.n > 0 {
            copy(Expr::ZERO, panels, PANEL.into());
        }
        if ragged {
            let left = columns.rem(i64::from(PANEL));
            let width = match left.as_const() {
                Some(left) => Extent::from(left as u32),
                None => Extent {
                    n: PANEL - 1,
                    clamp: Some(left),
                },
            };
            copy(whole, 1.into(), width);
        }
        Ok(())
    }

    /// `c += a x b` of integers: for each k the column of a times the row of b.
    fn outer_products(
        &mut self,
        c: &Held,
        a: &Held,
        b: &Held,
        kt: u32,
        ek: &Extent,
        n: &[Extent; 3],
    ) {
        let product = Held {
            buffer: self
                .build
                .sram(&self.label("p"), u64::from(c.strides[0]).max(4)),
            ..c.clone()
        };
        let trip = ek
            .clamp
            .clone()
            .map_or(Expr::Const(i64::from(kt.min(ek.n))), |left| {
                left.min(Expr::Const(i64::from(kt)))
            });
        let k = self.begin("j", trip, u64::from(kt));
        let x = Operand {
            view: at(a.buffer, k.clone() * 4),
            bcast: true,
            ..a.operand()
        };
        let y = Operand {
            view: at(b.buffer, k * i64::from(b.strides[1])),
            s1: 0,
            ..b.operand()
        };
        let mut int = |op, dst: &Held, a: Operand, b: Operand| {
            let (dst, n) = (dst.operand(), n.clone());
            self.build.op(Queue::Vpu, OpKind::Int { op, dst, a, b, n });
        };
        int(IntFn::Imul, &product, x, y);
        int(IntFn::Iadd, c, c.operand(), product.operand());
        self.build.end();
    }
}
