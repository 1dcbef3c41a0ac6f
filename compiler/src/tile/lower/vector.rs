//! Elementwise ops and the rotary embedding, on the vector unit.

use std::sync::Arc;

use llmc_ir::{BinaryOp, Const, Node, UnaryOp, ValueId};
use llmc_isa::{DType, Queue};

use super::build::{at, page};
use super::layout::Columns;
use super::memory::copy;
use super::{Lower, Reason, Sram, Value};
use crate::tile::functions::{float_binary, float_unary};
use crate::tile::{BinaryFn, Expr, Extent, OpKind, Operand, Packing, UnaryFn, WeightItem};

impl Lower<'_> {
    pub(super) fn unary(&mut self, id: ValueId, node: &Node, f: UnaryOp) -> Result<Value, Reason> {
        let x = self.sram(node, 0)?;
        let out = self.result(id, node)?;
        let a = part(x, out.columns)?;
        if x.dtype == DType::I32 && f != UnaryOp::Not {
            return Err(format!("`{}` of integers is not supported yet", f.name()));
        }
        let Some(op) = float_unary(f) else {
            self.gelu_tanh(a, out);
            return Ok(Value::Sram(out));
        };
        let kind = OpKind::Unary {
            op,
            dst: out.operand(),
            a,
            n: self.extents(out.columns),
            scale: 1.0,
            bias: 0.0,
        };
        self.build.op(Queue::Vpu, kind);
        Ok(Value::Sram(out))
    }

    pub(super) fn binary(
        &mut self,
        id: ValueId,
        node: &Node,
        f: BinaryOp,
    ) -> Result<Value, Reason> {
        let (left, right) = (self.value(node, 0)?, self.value(node, 1)?);
        for operand in &node.operands {
            let ty = self.graph.ty(*operand);
            let rows = |ty| self.row_axis(ty).is_some();
            if self.graph.as_const(*operand).is_none() && rows(ty) != rows(&node.ty) {
                return Err(format!("operand {operand} has not the rows of the result"));
            }
        }
        if !node.ty.dtype.is_float() {
            return self.binary_of_integers(id, node, f);
        }
        let op = float_binary(f).ok_or_else(|| format!("bug: `{}` of floats", f.name()))?;
        if !(self.is_flat(node, 0)? && self.is_flat(node, 1)?) {
            return self.broadcast_binary(id, node, op);
        }
        let out = self.result(id, node)?;
        let n = self.extents(out.columns);
        let dst = out.operand();
        match (left, right) {
            (Value::Sram(a), Value::Sram(b)) => {
                let (a, b) = (part(a, out.columns)?, part(b, out.columns)?);
                self.build
                    .op(Queue::Vpu, OpKind::Binary { op, dst, a, b, n });
            }
            (Value::Sram(a), Value::Const(c)) => {
                let a = part(a, out.columns)?;
                self.with_vector(&c, out.columns, |b| OpKind::Binary { op, dst, a, b, n })?;
            }
            (Value::Const(c), Value::Sram(b)) => {
                let b = part(b, out.columns)?;
                self.with_vector(&c, out.columns, |a| OpKind::Binary { op, dst, a, b, n })?;
            }
            (a, b) => {
                return Err(format!(
                    "operands are {} and {}, expected rows",
                    a.kind(),
                    b.kind()
                ));
            }
        }
        Ok(Value::Sram(out))
    }

    pub(super) fn silu_mul(&mut self, id: ValueId, node: &Node) -> Result<Value, Reason> {
        let (gate, up) = (self.sram(node, 0)?, self.sram(node, 1)?);
        let out = self.result(id, node)?;
        let (gate, up) = (part(gate, out.columns)?, part(up, out.columns)?);
        let n = || self.extents(out.columns);
        let silu = OpKind::Unary {
            op: UnaryFn::Silu,
            dst: out.operand(),
            a: gate,
            n: n(),
            scale: 1.0,
            bias: 0.0,
        };
        let mul = OpKind::Binary {
            op: BinaryFn::Mul,
            dst: out.operand(),
            a: out.operand(),
            b: up,
            n: n(),
        };
        self.build.op(Queue::Vpu, silu);
        self.build.op(Queue::Vpu, mul);
        Ok(Value::Sram(out))
    }

    /// x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
    fn gelu_tanh(&mut self, x: Operand, out: Sram) {
        let n = || self.extents(out.columns);
        let y = || out.operand();
        let times = |a: Operand, b: Operand| OpKind::Binary {
            op: BinaryFn::Mul,
            dst: y(),
            a,
            b,
            n: n(),
        };
        let apply = |op: UnaryFn, scale: f32, bias: f32| OpKind::Unary {
            op,
            dst: y(),
            a: y(),
            n: n(),
            scale,
            bias,
        };
        let steps = [
            times(x.clone(), x.clone()),
            apply(UnaryFn::Copy, 0.044715, 1.0),
            times(y(), x.clone()),
            apply(UnaryFn::Tanh, (2.0 / std::f32::consts::PI).sqrt(), 0.0),
            apply(UnaryFn::Copy, 0.5, 0.5),
            times(y(), x),
        ];
        for kind in steps {
            self.build.op(Queue::Vpu, kind);
        }
    }

    /// `[1][rows][columns]`.
    pub(super) fn extents(&self, columns: Columns) -> [Extent; 3] {
        [Extent::from(1), self.rows.extent(), columns.extent()]
    }

    /// One op with a constant vector (or scalar) as an operand, which comes in through a ring.
    fn with_vector(
        &mut self,
        constant: &Arc<Const>,
        columns: Columns,
        op: impl FnOnce(Operand) -> OpKind,
    ) -> Result<(), Reason> {
        let shape = constant.shape();
        let elements: usize = shape.iter().product();
        let scalar = elements == 1;
        if !scalar && (elements != columns.total as usize || shape.last() != Some(&elements)) {
            return Err(format!(
                "constant `{}` has shape {shape:?}, expected {}",
                constant.name(),
                columns.total
            ));
        }
        let (from, item) = self.weight(constant, Packing::Rows)?;
        let size = item.dtype.bytes();
        let (bytes, start) = match scalar {
            true => (Extent::from(size), Expr::ZERO),
            false => (
                columns.extent().times(size),
                columns.start() * i64::from(size),
            ),
        };
        let ring = self.build.ring("vectors", Queue::Vpu, u64::from(bytes.n));
        let load = copy(
            (page(ring, 0), 0),
            (at(from, start), 0),
            Extent::from(1),
            bytes,
        );
        let vector = Operand {
            view: page(ring, 0),
            s0: 0,
            s1: 0,
            dtype: item.dtype,
            bcast: scalar && columns.per_core > 1,
        };
        self.build
            .stream(ring, vec![OpKind::Load(load)], vec![op(vector)]);
        Ok(())
    }

    /// One op with all of a constant as an operand, which comes in through a ring.
    pub(super) fn with_constant(
        &mut self,
        constant: &Arc<Const>,
        op: impl FnOnce(Operand) -> OpKind,
    ) -> Result<(), Reason> {
        let (from, item) = self.weight(constant, Packing::Rows)?;
        let bytes = one_of_stack(constant, &item)?;
        let ring = self.build.ring("vectors", Queue::Vpu, u64::from(bytes));
        let load = copy(
            (page(ring, 0), 0),
            (at(from, 0), 0),
            Extent::from(1),
            Extent::from(bytes),
        );
        let all = Operand {
            view: page(ring, 0),
            s0: 0,
            s1: 0,
            dtype: item.dtype,
            bcast: false,
        };
        self.build
            .stream(ring, vec![OpKind::Load(load)], vec![op(all)]);
        Ok(())
    }

    /// Rotates pairs of elements of each head by the angles of the row; the elements past `rotary` are copied.
    pub(super) fn rope(
        &mut self,
        id: ValueId,
        node: &Node,
        [heads, head_dim, rotary]: [usize; 3],
        interleaved: bool,
    ) -> Result<Value, Reason> {
        let (x, cos, sin) = (
            self.sram(node, 0)?,
            self.whole(node, 1)?,
            self.whole(node, 2)?,
        );
        let out = self.result(id, node)?;
        let (d, rotary) = (head_dim as u32, rotary as u32);
        let heads_here = x
            .columns
            .groups(d)
            .filter(|g| g.total as usize == heads && out.columns == x.columns);
        let heads_here = heads_here.ok_or("the heads are not whole on the cores")?;
        let half = rotary / 2;
        let second = match cos.columns.total {
            c if c == half => 0,
            c if c == rotary => 1,
            c => return Err(format!("cos has {c} columns, expected {half} or {rotary}")),
        };
        if sin.columns != cos.columns || rotary > d {
            return Err("sin and cos differ in width, or more than a head is rotated".into());
        }
        let turn = Turn { x, out, cos, sin };
        if interleaved {
            let head = self.build.begin(
                &format!("head{}", id.0),
                heads_here.count(),
                u64::from(heads_here.per_core),
            );
            let rest = self.scratch(&format!("v{}_part", id.0), Columns::all(half));
            let n = [self.rows.extent(), Extent::from(half), Extent::from(1)];
            let first = head * i64::from(d);
            let stride = 8;
            let angle = if second == 1 { 8 } else { 4 };
            let rest = Operand {
                s0: rest.row(),
                s1: 4,
                ..rest.operand()
            };
            self.turn(
                &turn,
                first.clone(),
                first + Expr::Const(1),
                stride,
                angle,
                second,
                rest,
                n,
            );
            self.build.end();
        } else {
            let rest = self.scratch(
                &format!("v{}_part", id.0),
                Columns::all(heads_here.per_core * half),
            );
            let n = [self.rows.extent(), heads_here.extent(), Extent::from(half)];
            let rest = Operand {
                s0: rest.row(),
                s1: half * 4,
                ..rest.operand()
            };
            let second = second * half;
            self.turn(
                &turn,
                Expr::ZERO,
                Expr::from(i64::from(half)),
                d * 4,
                0,
                second,
                rest,
                n,
            );
        }
        if rotary < d {
            let n = [
                self.rows.extent(),
                heads_here.extent(),
                Extent::from(d - rotary),
            ];
            let (dst, a) = (
                strided(out, i64::from(rotary), d * 4),
                strided(x, i64::from(rotary), d * 4),
            );
            self.build.op(
                Queue::Vpu,
                OpKind::Unary {
                    op: UnaryFn::Copy,
                    dst,
                    a,
                    n,
                    scale: 1.0,
                    bias: 0.0,
                },
            );
        }
        Ok(Value::Sram(out))
    }

    /// y1 = x1 cos1 - x2 sin1; y2 = x2 cos2 + x1 sin2. Elements 1 and 2 of the pairs start at `first` and `other`;
    /// `stride` and `angle` are the middle strides of x and of the angles; angles 2 start at column `second`.
    #[allow(clippy::too_many_arguments)]
    fn turn(
        &mut self,
        t: &Turn,
        first: Expr,
        other: Expr,
        stride: u32,
        angle: u32,
        second: u32,
        rest: Operand,
        n: [Extent; 3],
    ) {
        let x = |start: &Expr| strided(t.x, start.clone(), stride);
        let y = |start: &Expr| strided(t.out, start.clone(), stride);
        let angles = |table: Sram, column: u32| strided(table, i64::from(column), angle);
        let mut op = |op: BinaryFn, dst: Operand, a: Operand, b: Operand| {
            self.build.op(
                Queue::Vpu,
                OpKind::Binary {
                    op,
                    dst,
                    a,
                    b,
                    n: n.clone(),
                },
            );
        };
        op(BinaryFn::Mul, y(&first), x(&first), angles(t.cos, 0));
        op(BinaryFn::Mul, rest.clone(), x(&other), angles(t.sin, 0));
        op(BinaryFn::Sub, y(&first), y(&first), rest.clone());
        op(BinaryFn::Mul, y(&other), x(&other), angles(t.cos, second));
        op(
            BinaryFn::Mul,
            rest.clone(),
            x(&first),
            angles(t.sin, second),
        );
        op(BinaryFn::Add, y(&other), y(&other), rest);
    }
}

/// Bytes of a constant, or of one of a stack: the item has all of them.
pub(super) fn one_of_stack(constant: &Const, item: &WeightItem) -> Result<u32, Reason> {
    let elements: usize = constant.shape().iter().product();
    let bytes = u32::try_from(elements).ok();
    let bytes = bytes.and_then(|n| n.checked_mul(item.dtype.bytes()));
    bytes.ok_or_else(|| format!("constant `{}` is too large", constant.name()))
}

/// The operands of a rotation.
struct Turn {
    x: Sram,
    out: Sram,
    cos: Sram,
    sin: Sram,
}

/// `[rows][..][..]` from column `start` on, with a middle stride.
fn strided(s: Sram, start: impl Into<Expr>, s1: u32) -> Operand {
    Operand {
        view: s.at(start),
        s0: s.row(),
        s1,
        dtype: s.dtype,
        bcast: false,
    }
}

/// The part of `from` that belongs to the core's columns of a result: `[1][rows][columns]`.
pub(super) fn part(from: Sram, columns: Columns) -> Result<Operand, Reason> {
    let whole = from.operand();
    if from.columns == columns {
        return Ok(whole);
    }
    if from.columns.split {
        return Err("an operand lies on the cores in another way than the result".into());
    }
    if from.columns.total == columns.total {
        return Ok(Operand {
            view: from.at(columns.start()),
            ..whole
        });
    }
    if from.columns.total == 1 {
        return Ok(Operand {
            bcast: true,
            ..whole
        });
    }
    Err(format!(
        "an operand is {} elements wide, expected {} or 1",
        from.columns.total, columns.total
    ))
}
