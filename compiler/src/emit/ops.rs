//! The instruction of each op.

use super::linear::{Atom, Linear};
use super::{Done, Emitter, short};
use crate::tile::{Copy, Expr, Extent, Op, OpKind, Operand, Place, Space, View};
use llmc_isa::inst::{
    AttFin, AttInit, AttRound, AttStep, DmaGather, DmaLoad, DmaPush, DmaScatter, DmaStore, MxuMm,
    MxuMmq, VpuBinary, VpuFill, VpuInt, VpuQuant, VpuReduce, VpuSelect, VpuUnary,
};
use llmc_isa::{DAddr, DType, Ext, IndexType, Inst, Reg, SAddr, Scope, VOp, Val};

/// Constants that fit the fields of addresses and scalars.
const SRAM_OFFSETS: std::ops::Range<i64> = 0..1 << 26;
const DRAM_OFFSETS: std::ops::Range<i64> = 0..1 << 48;
const SCALAR_OFFSETS: std::ops::Range<i64> = -(1 << 25)..1 << 25;

/// A register and a constant that add up to a value; the constant in the range, all of the value in the register otherwise.
fn based(e: &mut Emitter, value: &Linear, range: std::ops::Range<i64>) -> Done<(Reg, i64)> {
    if range.contains(&value.constant) {
        Ok((e.reg(&value.varying())?, value.constant))
    } else {
        Ok((e.reg(value)?, 0))
    }
}

/// The address of a view and whether it is in SRAM.
fn address(e: &Emitter, view: &View) -> Done<(Linear, bool)> {
    let offset = e.linear(&view.offset)?;
    let (base, sram) = match view.place {
        Place::Buffer(id) => {
            let buffer = e
                .program
                .buffers
                .get(id.index())
                .ok_or_else(|| format!("there is no buffer {}", id.0))?;
            let addr = buffer
                .addr
                .ok_or_else(|| format!("buffer `{}` has no address", buffer.name))?;
            (
                Linear::constant(super::to_i64(addr)?),
                buffer.space == Space::Sram,
            )
        }
        Place::Page(id) => {
            let ring = e
                .program
                .rings
                .get(id.index())
                .ok_or_else(|| format!("there is no ring {}", id.0))?;
            let addr = ring
                .addr
                .ok_or_else(|| format!("ring `{}` has no address", ring.name))?;
            let page = if ring.slots > 1 {
                Atom::Page(id).into()
            } else {
                Linear::default()
            };
            (page.plus(&Linear::constant(super::to_i64(addr)?), 1), true)
        }
    };
    Ok((offset.plus(&base, 1), sram))
}

fn saddr(e: &mut Emitter, view: &View) -> Done<SAddr> {
    let (value, sram) = address(e, view)?;
    if !sram {
        return Err("an operand in SRAM is expected, this one is in DRAM".to_string());
    }
    let (base, off) = based(e, &value, SRAM_OFFSETS)?;
    Ok(SAddr {
        base,
        off: u32::try_from(off).map_err(|_| format!("offset {off}"))?,
    })
}

fn daddr(e: &mut Emitter, view: &View) -> Done<DAddr> {
    let (value, sram) = address(e, view)?;
    if sram {
        return Err("an operand in DRAM is expected, this one is in SRAM".to_string());
    }
    let (base, off) = based(e, &value, DRAM_OFFSETS)?;
    Ok(DAddr {
        base,
        off: u64::try_from(off).map_err(|_| format!("offset {off}"))?,
    })
}

fn scalar(e: &mut Emitter, expr: &Expr) -> Done<Val> {
    let value = e.linear(expr)?;
    let (base, off) = based(e, &value, SCALAR_OFFSETS)?;
    Ok(Val {
        base,
        off: i32::try_from(off).map_err(|_| format!("offset {off}"))?,
    })
}

fn extent(e: &mut Emitter, extent: &Extent) -> Done<Ext> {
    let Some(clamp) = &extent.clamp else {
        return Ok(Ext::of(extent.n));
    };
    let value = e.linear(clamp)?;
    Ok(match value.as_const() {
        Some(c) => Ext::of(u32::try_from(c.clamp(0, i64::from(extent.n))).unwrap_or(extent.n)),
        None => Ext {
            n: extent.n,
            clamp: e.reg(&value)?,
        },
    })
}

fn extents(e: &mut Emitter, n: &[Extent; 3]) -> Done<[Ext; 3]> {
    Ok([extent(e, &n[0])?, extent(e, &n[1])?, extent(e, &n[2])?])
}

fn operand(e: &mut Emitter, o: &Operand) -> Done<VOp> {
    Ok(VOp {
        addr: saddr(e, &o.view)?,
        s0: o.s0,
        s1: o.s1,
        dtype: o.dtype,
        bcast: o.bcast,
    })
}

/// The instruction of an op; what it needs in registers is computed before.
pub fn inst(e: &mut Emitter, op: &Op) -> Done<Inst> {
    let queue = op.queue;
    Ok(match &op.kind {
        OpKind::Load(Copy {
            dst,
            dst_s,
            src,
            src_s,
            n,
            bytes,
        }) => {
            let ([dst_s0, dst_s1, dst_s2], [src_s0, src_s1, src_s2]) = (*dst_s, *src_s);
            let (dst, src, [n0, n1, n2], bytes) = (
                saddr(e, dst)?,
                daddr(e, src)?,
                extents(e, n)?,
                extent(e, bytes)?,
            );
            DmaLoad {
                queue,
                dst,
                dst_s0,
                dst_s1,
                dst_s2,
                src,
                src_s0,
                src_s1,
                src_s2,
                n0,
                n1,
                n2,
                bytes,
            }
            .into()
        }
        OpKind::Store(Copy {
            dst,
            dst_s,
            src,
            src_s,
            n,
            bytes,
        }) => {
            let ([dst_s0, dst_s1, dst_s2], [src_s0, src_s1, src_s2]) = (*dst_s, *src_s);
            let (dst, src, [n0, n1, n2], bytes) = (
                daddr(e, dst)?,
                saddr(e, src)?,
                extents(e, n)?,
                extent(e, bytes)?,
            );
            DmaStore {
                queue,
                dst,
                dst_s0,
                dst_s1,
                dst_s2,
                src,
                src_s0,
                src_s1,
                src_s2,
                n0,
                n1,
                n2,
                bytes,
            }
            .into()
        }
        OpKind::PushAll(Copy {
            dst,
            dst_s,
            src,
            src_s,
            n,
            bytes,
        }) => {
            let ([dst_s0, dst_s1, dst_s2], [src_s0, src_s1, src_s2]) = (*dst_s, *src_s);
            let (dst, src, [n0, n1, n2], bytes) = (
                saddr(e, dst)?,
                saddr(e, src)?,
                extents(e, n)?,
                extent(e, bytes)?,
            );
            let (scope, core) = (Scope::All, Val::default());
            DmaPush {
                queue,
                dst,
                dst_s0,
                dst_s1,
                dst_s2,
                src,
                src_s0,
                src_s1,
                src_s2,
                n0,
                n1,
                n2,
                bytes,
                scope,
                core,
            }
            .into()
        }
        OpKind::AllGather(_) => return Err("an all-gather has not been expanded".to_string()),
        OpKind::Gather {
            dst,
            dst_s0,
            index,
            index_i64,
            count,
            table,
            row_stride,
            bytes,
            rows,
        } => DmaGather {
            queue,
            dst: saddr(e, dst)?,
            dst_s0: *dst_s0,
            index: saddr(e, index)?,
            index_type: index_type(*index_i64),
            count: extent(e, count)?,
            table: daddr(e, table)?,
            row_stride: *row_stride,
            bytes: *bytes,
            rows: *rows,
        }
        .into(),
        OpKind::Scatter {
            src,
            src_s0,
            index,
            index_i64,
            count,
            table,
            row_stride,
            bytes,
            rows,
        } => DmaScatter {
            queue,
            src: saddr(e, src)?,
            src_s0: *src_s0,
            index: saddr(e, index)?,
            index_type: index_type(*index_i64),
            count: extent(e, count)?,
            table: daddr(e, table)?,
            row_stride: *row_stride,
            bytes: *bytes,
            rows: *rows,
        }
        .into(),
        OpKind::MatMul {
            dst,
            dst_s0,
            a,
            a_s0,
            b,
            b_panel,
            m,
            n,
            k,
            a_type,
            b_type,
            acc,
        } => MxuMm {
            dst: saddr(e, dst)?,
            dst_s0: *dst_s0,
            a: saddr(e, a)?,
            a_s0: *a_s0,
            b: saddr(e, b)?,
            b_panel_stride: *b_panel,
            m: extent(e, m)?,
            n: extent(e, n)?,
            k: extent(e, k)?,
            a_type: *a_type,
            b_type: *b_type,
            acc: *acc,
        }
        .into(),
        OpKind::MatMulCodes {
            dst,
            dst_s0,
            a,
            a_s0,
            b,
            b_panel,
            scale,
            scale_panel,
            zero,
            zero_panel,
            m,
            n,
            k,
            group,
            b_type,
            scale_type,
            acc,
            zeros,
        } => {
            // A field that is not read must be 0.
            let (zero, zero_panel) = match zeros {
                true => (saddr(e, zero)?, *zero_panel),
                false => Default::default(),
            };
            MxuMmq {
                dst: saddr(e, dst)?,
                dst_s0: *dst_s0,
                a: saddr(e, a)?,
                a_s0: *a_s0,
                b: saddr(e, b)?,
                b_panel_stride: *b_panel,
                scale: saddr(e, scale)?,
                scale_panel_stride: *scale_panel,
                zero,
                zero_panel_stride: zero_panel,
                m: extent(e, m)?,
                n: extent(e, n)?,
                k: *k,
                group: short(*group)?,
                a_type: DType::F32,
                b_type: *b_type,
                scale_type: *scale_type,
                acc: *acc,
                zeros: *zeros,
                ..MxuMmq::default()
            }
            .into()
        }
        OpKind::Quant {
            op,
            dst,
            a,
            scale,
            zero,
            n,
        } => {
            let (dst, a, [n0, n1, n2]) = (operand(e, dst)?, operand(e, a)?, extents(e, n)?);
            VpuQuant {
                op: *op,
                dst,
                a,
                scale: operand(e, scale)?,
                zero: operand(e, zero)?,
                n0,
                n1,
                n2,
            }
            .into()
        }
        OpKind::Binary { op, dst, a, b, n } => {
            let (dst, a, b, [n0, n1, n2]) = (
                operand(e, dst)?,
                operand(e, a)?,
                operand(e, b)?,
                extents(e, n)?,
            );
            VpuBinary {
                op: *op,
                dst,
                a,
                b,
                n0,
                n1,
                n2,
            }
            .into()
        }
        OpKind::Int { op, dst, a, b, n } => {
            let (dst, a, b, [n0, n1, n2]) = (
                operand(e, dst)?,
                operand(e, a)?,
                operand(e, b)?,
                extents(e, n)?,
            );
            VpuInt {
                op: *op,
                dst,
                a,
                b,
                n0,
                n1,
                n2,
            }
            .into()
        }
        OpKind::Select { dst, a, b, mask, n } => {
            let (dst, a, b, mask, [n0, n1, n2]) = (
                operand(e, dst)?,
                operand(e, a)?,
                operand(e, b)?,
                operand(e, mask)?,
                extents(e, n)?,
            );
            VpuSelect {
                dst,
                a,
                b,
                mask,
                n0,
                n1,
                n2,
            }
            .into()
        }
        OpKind::Unary {
            op,
            dst,
            a,
            n,
            scale,
            bias,
        } => {
            let (dst, a, [n0, n1, n2]) = (operand(e, dst)?, operand(e, a)?, extents(e, n)?);
            VpuUnary {
                op: *op,
                dst,
                a,
                scale: *scale,
                bias: *bias,
                n0,
                n1,
                n2,
            }
            .into()
        }
        OpKind::Reduce { op, dst, a, n } => {
            let (dst, a, [n0, n1, n2]) = (operand(e, dst)?, operand(e, a)?, extents(e, n)?);
            VpuReduce {
                op: *op,
                dst,
                a,
                n0,
                n1,
                n2,
            }
            .into()
        }
        OpKind::Fill { dst, n, value } => {
            let (dst, [n0, n1, n2]) = (operand(e, dst)?, extents(e, n)?);
            VpuFill {
                dst,
                value: *value,
                n0,
                n1,
                n2,
            }
            .into()
        }
        OpKind::AttInit {
            state,
            rows,
            heads,
            d,
            sink,
            sinks,
        } => AttInit {
            state: saddr(e, state)?,
            rows: extent(e, rows)?,
            heads: short(*heads)?,
            d: short(*d)?,
            sink: match sinks {
                true => saddr(e, sink)?,
                false => Default::default(),
            },
            sinks: *sinks,
        }
        .into(),
        OpKind::AttStep {
            state,
            q,
            q_s0,
            q_s1,
            k,
            k_s0,
            v,
            v_s0,
            rows,
            heads,
            d,
            kv,
            q_pos,
            kv_pos,
            scale,
            causal,
            window,
            softcap,
            kv_type,
        } => AttStep {
            state: saddr(e, state)?,
            q: saddr(e, q)?,
            q_s0: *q_s0,
            q_s1: *q_s1,
            k: saddr(e, k)?,
            k_s0: *k_s0,
            v: saddr(e, v)?,
            v_s0: *v_s0,
            rows: extent(e, rows)?,
            heads: short(*heads)?,
            d: short(*d)?,
            kv: extent(e, kv)?,
            q_pos: scalar(e, q_pos)?,
            kv_pos: scalar(e, kv_pos)?,
            scale: *scale,
            causal: *causal,
            window: *window,
            softcap: *softcap,
            kv_type: *kv_type,
            ..AttStep::default()
        }
        .into(),
        OpKind::AttRound {
            state,
            q,
            q_s0,
            q_s1,
            k,
            k_s0,
            v,
            v_s0,
            rows,
            heads,
            d,
            kv,
            q_pos,
            kv_pos,
            by,
            causal,
            window,
            weigh,
            kv_type,
        } => AttRound {
            state: saddr(e, state)?,
            q: saddr(e, q)?,
            q_s0: *q_s0,
            q_s1: *q_s1,
            k: saddr(e, k)?,
            k_s0: *k_s0,
            v: saddr(e, v)?,
            v_s0: *v_s0,
            rows: extent(e, rows)?,
            heads: short(*heads)?,
            d: short(*d)?,
            kv: extent(e, kv)?,
            q_pos: scalar(e, q_pos)?,
            kv_pos: scalar(e, kv_pos)?,
            by: saddr(e, by)?,
            causal: *causal,
            window: *window,
            weigh: *weigh,
            kv_type: *kv_type,
            ..AttRound::default()
        }
        .into(),
        OpKind::AttFin {
            dst,
            dst_s0,
            dst_s1,
            state,
            rows,
            heads,
            d,
            weighed,
        } => AttFin {
            dst: saddr(e, dst)?,
            dst_s0: *dst_s0,
            dst_s1: *dst_s1,
            state: saddr(e, state)?,
            rows: extent(e, rows)?,
            heads: short(*heads)?,
            d: short(*d)?,
            weighed: *weighed,
        }
        .into(),
    })
}

fn index_type(wide: bool) -> IndexType {
    if wide { IndexType::I64 } else { IndexType::I32 }
}
