//! Which bytes a resolved instruction reads and writes: used to check bounds, initialisation and races.

use crate::inst::{
    AttFin, AttInit, AttRound, AttStep, DmaGather, DmaScatter, Inst, MxuDrain, MxuMm, MxuMmq,
};
use crate::operand::{DType, Ext, Scope, VOp};

/// Columns of a panel of the matrix unit's B operand.
pub const PANEL: u32 = 16;

/// Which memory an access touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// SRAM of the core that executes the instruction.
    Sram,
    /// DRAM of the chip.
    Dram,
    /// SRAM of the cores a push reaches (`Scope::Local`: the executing core itself).
    Remote {
        /// Which cores.
        scope: Scope,
        /// The core if the scope is `Core`.
        core: i32,
    },
}

/// A strided set of byte ranges: `bytes` bytes at `base + i0*strides[0] + i1*strides[1] + i2*strides[2]` for each `i` below
/// `counts`. No count is 0, nor is `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Name of the instruction field, for messages.
    pub operand: &'static str,
    /// Memory.
    pub space: Space,
    /// True if the bytes are written.
    pub write: bool,
    /// First byte.
    pub base: u64,
    /// Bytes between ranges, outermost dimension first.
    pub strides: [u64; 3],
    /// Number of ranges along each dimension.
    pub counts: [u64; 3],
    /// Bytes of a range.
    pub bytes: u64,
}

impl Access {
    /// One past the last byte; saturates.
    pub fn end(&self) -> u64 {
        let reach = self
            .strides
            .iter()
            .zip(self.counts)
            .map(|(s, n)| s.saturating_mul(n.saturating_sub(1)));
        reach.fold(self.base.saturating_add(self.bytes), u64::saturating_add)
    }

    /// Number of bytes named, counting a byte that is named twice twice.
    pub fn total(&self) -> u64 {
        self.counts
            .iter()
            .fold(self.bytes, |all, n| all.saturating_mul(*n))
    }

    /// The ranges as (first byte, bytes), after [`Access::packed`] has made them as long as possible.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let Access {
            base,
            strides: [s0, s1, s2],
            counts: [n0, n1, n2],
            bytes,
            ..
        } = self.packed();
        (0..n0).flat_map(move |i0| {
            (0..n1).flat_map(move |i1| {
                (0..n2).map(move |i2| (base + i0 * s0 + i1 * s1 + i2 * s2, bytes))
            })
        })
    }

    /// The same bytes with contiguous inner dimensions merged into longer ranges, and repeated ranges named once.
    pub fn packed(&self) -> Access {
        let mut out = *self;
        for dim in [2, 1, 0] {
            if out.counts[dim] == 1 || out.strides[dim] == 0 {
                out.counts[dim] = 1;
            } else if out.strides[dim] == out.bytes && out.counts[dim + 1..].iter().all(|n| *n == 1)
            {
                out.bytes = out.bytes.saturating_mul(out.counts[dim]);
                out.counts[dim] = 1;
            }
        }
        out
    }
}

/// All accesses of a resolved instruction, reads before writes. Empty if an extent is 0, and for `ctl` and `sem`.
/// `dma.gather` lists its indices and its destination, `dma.scatter` its indices and its source; which table rows they touch
/// depends on the indices and is up to the executor. `att.step` lists a whole block of keys and values even where the mask hides rows.
pub fn accesses(inst: &Inst) -> Vec<Access> {
    let list = match inst {
        Inst::CtlLi(_)
        | Inst::CtlAddi(_)
        | Inst::CtlMadd(_)
        | Inst::CtlAdd(_)
        | Inst::CtlSub(_)
        | Inst::CtlMul(_)
        | Inst::CtlMin(_)
        | Inst::CtlMax(_)
        | Inst::CtlDiv(_)
        | Inst::CtlMod(_)
        | Inst::CtlLaunch(_)
        | Inst::CtlCore(_)
        | Inst::CtlLoop(_)
        | Inst::CtlHalt(_)
        | Inst::SemWait(_)
        | Inst::SemPost(_) => Vec::new(),
        Inst::DmaLoad(i) => {
            let shape = (extents([i.n0, i.n1, i.n2]), i.bytes.n);
            vec![
                strided(
                    "src",
                    Space::Dram,
                    i.src.off,
                    [i.src_s0, i.src_s1, i.src_s2],
                    shape,
                ),
                strided(
                    "dst",
                    Space::Sram,
                    i.dst.off.into(),
                    [i.dst_s0, i.dst_s1, i.dst_s2],
                    shape,
                )
                .written(),
            ]
        }
        Inst::DmaStore(i) => {
            let shape = (extents([i.n0, i.n1, i.n2]), i.bytes.n);
            vec![
                strided(
                    "src",
                    Space::Sram,
                    i.src.off.into(),
                    [i.src_s0, i.src_s1, i.src_s2],
                    shape,
                ),
                strided(
                    "dst",
                    Space::Dram,
                    i.dst.off,
                    [i.dst_s0, i.dst_s1, i.dst_s2],
                    shape,
                )
                .written(),
            ]
        }
        Inst::DmaPush(i) => {
            let shape = (extents([i.n0, i.n1, i.n2]), i.bytes.n);
            let target = Space::Remote {
                scope: i.scope,
                core: i.core.off,
            };
            vec![
                strided(
                    "src",
                    Space::Sram,
                    i.src.off.into(),
                    [i.src_s0, i.src_s1, i.src_s2],
                    shape,
                ),
                strided(
                    "dst",
                    target,
                    i.dst.off.into(),
                    [i.dst_s0, i.dst_s1, i.dst_s2],
                    shape,
                )
                .written(),
            ]
        }
        Inst::DmaGather(i) => gather(i),
        Inst::DmaScatter(i) => scatter(i),
        Inst::MxuMm(i) => matmul(i),
        Inst::MxuMmq(i) => quantised(i),
        Inst::MxuDrain(i) => drain(i),
        Inst::VpuUnary(i) => {
            let n = [i.n0.n, i.n1.n, i.n2.n];
            vec![vector("a", &i.a, n), vector("dst", &i.dst, n).written()]
        }
        Inst::VpuBinary(i) => {
            let n = [i.n0.n, i.n1.n, i.n2.n];
            vec![
                vector("a", &i.a, n),
                vector("b", &i.b, n),
                vector("dst", &i.dst, n).written(),
            ]
        }
        Inst::VpuFill(i) => vec![vector("dst", &i.dst, [i.n0.n, i.n1.n, i.n2.n]).written()],
        Inst::VpuReduce(i) => {
            let one = i.n2.n.min(1);
            vec![
                vector("a", &i.a, [i.n0.n, i.n1.n, i.n2.n]),
                vector("dst", &i.dst, [i.n0.n, i.n1.n, one]).written(),
            ]
        }
        Inst::VpuInt(i) => {
            let n = [i.n0.n, i.n1.n, i.n2.n];
            vec![
                vector("a", &i.a, n),
                vector("b", &i.b, n),
                vector("dst", &i.dst, n).written(),
            ]
        }
        Inst::VpuSelect(i) => {
            let n = [i.n0.n, i.n1.n, i.n2.n];
            vec![
                vector("a", &i.a, n),
                vector("b", &i.b, n),
                vector("mask", &i.mask, n),
                vector("dst", &i.dst, n).written(),
            ]
        }
        Inst::VpuQuant(i) => {
            let n = [i.n0.n, i.n1.n, i.n2.n];
            let mut list = vec![vector("a", &i.a, n), vector("scale", &i.scale, n)];
            if i.op.has_zero() {
                list.push(vector("zero", &i.zero, n));
            }
            list.push(vector("dst", &i.dst, n).written());
            list
        }
        Inst::AttInit(i) => att_init(i),
        Inst::AttStep(i) => att_step(i),
        Inst::AttRound(i) => att_round(i),
        Inst::AttFin(i) => att_fin(i),
    };
    // One empty extent makes the whole instruction a no-op.
    if list.iter().any(|a| a.total() == 0) {
        Vec::new()
    } else {
        list
    }
}

impl Access {
    fn written(self) -> Access {
        Access {
            write: true,
            ..self
        }
    }
}

fn extents(n: [Ext; 3]) -> [u32; 3] {
    n.map(|e| e.n)
}

/// A read.
fn strided(
    operand: &'static str,
    space: Space,
    base: u64,
    s: [u32; 3],
    (n, bytes): ([u32; 3], u32),
) -> Access {
    let (strides, counts) = (s.map(u64::from), n.map(u64::from));
    Access {
        operand,
        space,
        write: false,
        base,
        strides,
        counts,
        bytes: u64::from(bytes),
    }
}

/// Up to two strided dimensions in SRAM around contiguous bytes.
fn rows(operand: &'static str, base: u32, s: [u32; 2], n: [u32; 2], bytes: u32) -> Access {
    strided(
        operand,
        Space::Sram,
        base.into(),
        [s[0], s[1], 0],
        ([n[0], n[1], 1], bytes),
    )
}

fn vector(operand: &'static str, v: &VOp, [n0, n1, n2]: [u32; 3]) -> Access {
    let elements = if v.bcast { n2.min(1) } else { n2 };
    let mut access = rows(operand, v.addr.off, [v.s0, v.s1], [n0, n1], 1);
    access.bytes = v.dtype.size_of(elements.into());
    access
}

fn gather(i: &DmaGather) -> Vec<Access> {
    let count = i.count.n;
    let dst = rows("dst", i.dst.off, [i.dst_s0, 0], [count, 1], i.bytes);
    let mut index = rows("index", i.index.off, [0, 0], [1, 1], 1);
    index.bytes = u64::from(count) * u64::from(i.index_type.bytes());
    vec![index, dst.written()]
}

fn scatter(i: &DmaScatter) -> Vec<Access> {
    let count = i.count.n;
    let src = rows("src", i.src.off, [i.src_s0, 0], [count, 1], i.bytes);
    let index_bytes = u64::from(count) * u64::from(i.index_type.bytes());
    vec![run("index", i.index.off, index_bytes), src]
}

/// Contiguous bytes in SRAM.
fn run(operand: &'static str, base: u32, bytes: u64) -> Access {
    Access {
        bytes,
        ..rows(operand, base, [0, 0], [1, 1], 1)
    }
}

fn matmul(i: &MxuMm) -> Vec<Access> {
    let (m, n, k) = (i.m.n, i.n.n, i.k.n);
    let wide = |elements: u32, size: u32| u64::from(elements) * u64::from(size);
    let mut a = rows("a", i.a.off, [i.a_s0, 0], [m, 1], 1);
    a.bytes = wide(k, i.a_type.bytes());
    let mut b = rows(
        "b",
        i.b.off,
        [i.b_panel_stride, 0],
        [n.div_ceil(PANEL), 1],
        1,
    );
    b.bytes = wide(k, PANEL * i.b_type.bytes());
    let mut c = rows("dst", i.dst.off, [i.dst_s0, 0], [m, 1], 1);
    c.bytes = wide(n, 4);
    let mut list = vec![a, b];
    if i.acc {
        list.push(c);
    }
    list.push(c.written());
    list
}

fn quantised(i: &MxuMmq) -> Vec<Access> {
    let (m, n, k) = (i.m.n, i.n.n, u64::from(i.k));
    if k == 0 {
        return Vec::new();
    }
    let panels = n.div_ceil(PANEL);
    let groups = if i.group == 0 {
        1
    } else {
        k / u64::from(i.group)
    };
    let wide = |operand, base: u32, stride: u32, count: u32, bytes: u64| Access {
        bytes,
        ..rows(operand, base, [stride, 0], [count, 1], 1)
    };
    let per_panel = u64::from(PANEL);
    let codes = i.b_type.size_of(k * per_panel);
    let scales = i.scale_type.size_of(groups * per_panel);
    let mut list = vec![wide("a", i.a.off, i.a_s0, m, i.a_type.size_of(k))];
    if i.a_type == DType::I8 {
        list.push(run("a_scale", i.a_scale.off, u64::from(m) * 4));
    }
    list.push(wide("b", i.b.off, i.b_panel_stride, panels, codes));
    let stride = i.scale_panel_stride;
    list.push(wide("scale", i.scale.off, stride, panels, scales));
    if i.zeros {
        let stride = i.zero_panel_stride;
        list.push(wide("zero", i.zero.off, stride, panels, groups * per_panel));
    }
    let c = wide("dst", i.dst.off, i.dst_s0, m, u64::from(n) * 4);
    if i.acc {
        list.push(c);
    }
    list.push(c.written());
    list
}

fn drain(i: &MxuDrain) -> Vec<Access> {
    let (m, n) = (i.m.n, u64::from(i.n.n));
    let wide = |operand, base: u32, stride: u32, bytes: u64| Access {
        bytes,
        ..rows(operand, base, [stride, 0], [m, 1], 1)
    };
    let mut list = vec![wide("src", i.src.off, i.src_s0, n * 4)];
    if i.biased {
        list.push(run("bias", i.bias.off, n * 4));
    }
    if i.scaled {
        list.push(run("scale", i.scale.off, u64::from(m) * 4));
    }
    list.push(wide("dst", i.dst.off, i.dst_s0, i.dst_type.size_of(n)).written());
    list
}

/// Bytes of a row of keys or values of `d` elements in `att.step`: integer codes are filled up to a multiple of 4 and
/// followed by the f32 scale of the row.
pub const fn kv_row_bytes(kv_type: DType, d: u16) -> u32 {
    let elements = kv_type.size_of(d as u64) as u32;
    if kv_type.is_int() {
        elements.next_multiple_of(4) + 4
    } else {
        elements
    }
}

/// Bytes of what `att.round` rounds by.
pub const ROUND_BY_BYTES: u64 = 10 * 4;

/// Bytes of the attention state.
fn att_state(state: u32, rows_n: u32, heads: u16, d: u16) -> Access {
    let per_row = u32::from(heads) * (u32::from(d) + 2);
    let mut access = rows("state", state, [0, 0], [1, 1], 1);
    access.bytes = if d == 0 {
        0
    } else {
        u64::from(rows_n) * u64::from(per_row) * 4
    };
    access
}

fn att_init(i: &AttInit) -> Vec<Access> {
    let state = att_state(i.state.off, i.rows.n, i.heads, i.d).written();
    match i.sinks {
        false => vec![state],
        true => vec![run("sink", i.sink.off, u64::from(i.heads) * 4), state],
    }
}

fn att_step(i: &AttStep) -> Vec<Access> {
    let d = u32::from(i.d);
    let state = att_state(i.state.off, i.rows.n, i.heads, i.d);
    let row = if d == 0 {
        0
    } else {
        kv_row_bytes(i.kv_type, i.d)
    };
    vec![
        rows(
            "q",
            i.q.off,
            [i.q_s0, i.q_s1],
            [i.rows.n, i.heads.into()],
            d * 4,
        ),
        rows("k", i.k.off, [i.k_s0, 0], [i.kv.n, 1], row),
        rows("v", i.v.off, [i.v_s0, 0], [i.kv.n, 1], row),
        state,
        state.written(),
    ]
}

fn att_round(i: &AttRound) -> Vec<Access> {
    let d = u32::from(i.d);
    let state = att_state(i.state.off, i.rows.n, i.heads, i.d);
    let row = if d == 0 {
        0
    } else {
        kv_row_bytes(i.kv_type, i.d)
    };
    let mut list = vec![
        run("by", i.by.off, ROUND_BY_BYTES),
        rows(
            "q",
            i.q.off,
            [i.q_s0, i.q_s1],
            [i.rows.n, i.heads.into()],
            d * 4,
        ),
        rows("k", i.k.off, [i.k_s0, 0], [i.kv.n, 1], row),
        state,
    ];
    if i.weigh {
        list.push(rows("v", i.v.off, [i.v_s0, 0], [i.kv.n, 1], row));
    }
    list.push(state.written());
    list
}

fn att_fin(i: &AttFin) -> Vec<Access> {
    let d = u32::from(i.d);
    vec![
        att_state(i.state.off, i.rows.n, i.heads, i.d),
        rows(
            "dst",
            i.dst.off,
            [i.dst_s0, i.dst_s1],
            [i.rows.n, i.heads.into()],
            d * 4,
        )
        .written(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inst::{DmaLoad, VpuUnary};
    use crate::operand::{DAddr, DType, SAddr};

    #[test]
    fn contiguous_dimensions_merge() {
        let load = DmaLoad {
            src: DAddr::at(1000),
            src_s0: 64,
            src_s1: 16,
            dst_s0: 32,
            dst_s1: 16,
            dst: SAddr::at(8),
            n0: Ext::of(3),
            n1: Ext::of(2),
            n2: Ext::of(1),
            bytes: Ext::of(16),
            ..DmaLoad::default()
        };
        let list = accesses(&load.into());
        assert_eq!(
            list[0].ranges().collect::<Vec<_>>(),
            [(1000, 32), (1064, 32), (1128, 32)]
        );
        assert_eq!(list[1].ranges().collect::<Vec<_>>(), [(8, 96)]);
        assert_eq!(
            (list[1].end(), list[1].total(), list[1].write),
            (104, 96, true)
        );
    }

    #[test]
    fn a_zero_extent_touches_nothing() {
        let load = DmaLoad {
            n0: Ext::of(1),
            n1: Ext::of(1),
            bytes: Ext::of(4),
            ..DmaLoad::default()
        };
        assert_eq!(accesses(&load.into()), []);
    }

    #[test]
    fn matmul_reads_whole_panels_and_writes_n_columns() {
        let mm = MxuMm {
            b: SAddr::at(0x1000),
            b_panel_stride: 0x200,
            b_type: DType::Bf16,
            dst: SAddr::at(0x8000),
            dst_s0: 128,
            a_s0: 64,
            m: Ext::of(2),
            n: Ext::of(20),
            k: Ext::of(8),
            ..MxuMm::default()
        };
        let list = accesses(&mm.into());
        let names: Vec<_> = list
            .iter()
            .map(|a| (a.operand, a.ranges().collect::<Vec<_>>()))
            .collect();
        let b = vec![(0x1000, 256), (0x1200, 256)];
        assert_eq!(
            names,
            [
                ("a", vec![(0, 32), (64, 32)]),
                ("b", b),
                ("dst", vec![(0x8000, 80), (0x8080, 80)])
            ]
        );
    }

    #[test]
    fn a_broadcast_operand_is_one_element_per_row() {
        let a = VOp {
            addr: SAddr::at(4),
            s1: 4,
            bcast: true,
            ..VOp::default()
        };
        let dst = VOp {
            s1: 40,
            dtype: DType::Bf16,
            ..VOp::default()
        };
        let copy = VpuUnary {
            a,
            dst,
            n0: Ext::of(1),
            n1: Ext::of(3),
            n2: Ext::of(10),
            ..VpuUnary::default()
        };
        let list = accesses(&copy.into());
        assert_eq!(list[0].ranges().collect::<Vec<_>>(), [(4, 12)]);
        assert_eq!(
            list[1].ranges().collect::<Vec<_>>(),
            [(0, 20), (40, 20), (80, 20)]
        );
    }
}
