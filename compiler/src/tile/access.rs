//! Which bytes an [`Op`] touches: the one place that says so, for synchronisation, placement and their checkers.

use llmc_isa::access::ROUND_BY_BYTES;

use super::expr::Expr;
use super::program::{Copy, Extent, Op, OpKind, Operand, View};

/// Columns of a packed weight panel.
pub const PANEL: u32 = 16;

/// What an op reads and writes. If any of `guards` is effectively 0, the op touches nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accesses {
    /// Every extent of the op.
    pub guards: Vec<Extent>,
    /// The regions, reads first.
    pub regions: Vec<Region>,
}

/// A strided set of bytes: `dims[0].n x dims[1].n x dims[2].n` runs of `bytes` contiguous bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte of the first run.
    pub view: View,
    /// Outer dims: byte stride and extent. Unused dims have stride 0 and extent 1.
    pub dims: [(u32, Extent); 3],
    /// Bytes of a run.
    pub bytes: Extent,
    /// Read or write.
    pub mode: Mode,
    /// Whose memory it is.
    pub reach: Reach,
}

/// Read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// The bytes are read.
    Read,
    /// The bytes are written.
    Write,
}

/// On which cores an SRAM region lies. (DRAM is shared by all, whatever this says.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// In the SRAM of the core that runs the op.
    Local,
    /// At the same place, as the core that runs the op computes it, in the SRAM of every core.
    AllCores,
}

impl Extent {
    /// The extent times `factor`.
    pub fn times(&self, factor: u32) -> Extent {
        let clamp = self.clamp.clone().map(|e| e * i64::from(factor));
        Extent {
            n: self.n.saturating_mul(factor),
            clamp,
        }
    }

    /// `ceil(self / divisor)`.
    pub fn ceil_div(&self, divisor: u32) -> Extent {
        let clamp = self.clamp.clone().map(|e| e.ceil_div(i64::from(divisor)));
        Extent {
            n: self.n.div_ceil(divisor),
            clamp,
        }
    }

    /// The value when `clamp` evaluates to `value(clamp)`.
    pub fn effective(&self, value: impl FnOnce(&Expr) -> i64) -> u32 {
        match &self.clamp {
            None => self.n,
            Some(e) => u32::try_from(value(e).clamp(0, i64::from(self.n))).unwrap_or(self.n),
        }
    }
}

impl Region {
    /// Static upper bound of the distance from the first byte to the end of the last run, in bytes.
    pub fn span(&self) -> u64 {
        let outer = self
            .dims
            .iter()
            .map(|(s, n)| u64::from(*s) * u64::from(n.n.saturating_sub(1)));
        outer.sum::<u64>() + u64::from(self.bytes.n)
    }

    fn new(mode: Mode, view: &View, dims: &[(u32, &Extent)], bytes: Extent) -> Region {
        let dim = |i: usize| {
            dims.get(i)
                .map_or((0, Extent::from(1)), |(s, n)| (*s, (*n).clone()))
        };
        Region {
            view: view.clone(),
            dims: [dim(0), dim(1), dim(2)],
            bytes,
            mode,
            reach: Reach::Local,
        }
    }
}

/// `[n0][n1][n2]` elements behind a vector operand; `collapsed` if the inner dim is one element (a reduction's result).
fn vector(mode: Mode, operand: &Operand, n: &[Extent; 3], collapsed: bool) -> Region {
    let size = operand.dtype.bytes();
    let dims = [(operand.s0, &n[0]), (operand.s1, &n[1])];
    let bytes = if operand.bcast || collapsed {
        Extent::from(size)
    } else {
        n[2].times(size)
    };
    Region::new(mode, &operand.view, &dims, bytes)
}

fn copy_side(mode: Mode, copy: &Copy) -> Region {
    let (view, s) = match mode {
        Mode::Read => (&copy.src, copy.src_s),
        Mode::Write => (&copy.dst, copy.dst_s),
    };
    let n = &copy.n;
    Region::new(
        mode,
        view,
        &[(s[0], &n[0]), (s[1], &n[1]), (s[2], &n[2])],
        copy.bytes.clone(),
    )
}

fn copy(copy: &Copy, reach: Reach) -> Accesses {
    let write = Region {
        reach,
        ..copy_side(Mode::Write, copy)
    };
    let [n0, n1, n2] = copy.n.clone();
    Accesses {
        guards: vec![n0, n1, n2, copy.bytes.clone()],
        regions: vec![copy_side(Mode::Read, copy), write],
    }
}

impl Op {
    /// The bytes this op reads and writes.
    ///
    /// [`OpKind::AllGather`] is described from the core that runs it: it writes its slice on all cores
    /// ([`Reach::AllCores`]); so once it is complete, the slices of all cores have been written here.
    pub fn accesses(&self) -> Accesses {
        use Mode::{Read, Write};
        match &self.kind {
            OpKind::Load(c) | OpKind::Store(c) => copy(c, Reach::Local),
            OpKind::PushAll(c) | OpKind::AllGather(c) => copy(c, Reach::AllCores),
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
            } => {
                let index_bytes = count.times(if *index_i64 { 8 } else { 4 });
                let (rows, bytes) = (Extent::from(*rows), Extent::from(*bytes));
                let regions = vec![
                    Region::new(Read, index, &[], index_bytes),
                    Region::new(Read, table, &[(*row_stride, &rows)], bytes.clone()),
                    Region::new(Write, dst, &[(*dst_s0, count)], bytes.clone()),
                ];
                Accesses {
                    guards: vec![count.clone(), bytes],
                    regions,
                }
            }
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
            } => {
                let index_bytes = count.times(if *index_i64 { 8 } else { 4 });
                let (rows, bytes) = (Extent::from(*rows), Extent::from(*bytes));
                let regions = vec![
                    Region::new(Read, index, &[], index_bytes),
                    Region::new(Read, src, &[(*src_s0, count)], bytes.clone()),
                    Region::new(Write, table, &[(*row_stride, &rows)], bytes.clone()),
                ];
                Accesses {
                    guards: vec![count.clone(), bytes],
                    regions,
                }
            }
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
            } => {
                let out = n.times(4);
                let mut regions = vec![
                    Region::new(Read, a, &[(*a_s0, m)], k.times(a_type.bytes())),
                    Region::new(
                        Read,
                        b,
                        &[(*b_panel, &n.ceil_div(PANEL))],
                        k.times(PANEL * b_type.bytes()),
                    ),
                ];
                if *acc {
                    regions.push(Region::new(Read, dst, &[(*dst_s0, m)], out.clone()));
                }
                regions.push(Region::new(Write, dst, &[(*dst_s0, m)], out));
                Accesses {
                    guards: vec![m.clone(), n.clone(), k.clone()],
                    regions,
                }
            }
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
                let (out, panels) = (n.times(4), n.ceil_div(PANEL));
                let groups = k / (*group).max(1) * PANEL;
                let codes = Extent::from(k * PANEL * b_type.bits() / 8);
                let scales = Extent::from(groups * scale_type.bytes());
                let mut regions = vec![
                    Region::new(Read, a, &[(*a_s0, m)], Extent::from(k * 4)),
                    Region::new(Read, b, &[(*b_panel, &panels)], codes),
                    Region::new(Read, scale, &[(*scale_panel, &panels)], scales),
                ];
                if *zeros {
                    let points = Extent::from(groups);
                    regions.push(Region::new(Read, zero, &[(*zero_panel, &panels)], points));
                }
                if *acc {
                    regions.push(Region::new(Read, dst, &[(*dst_s0, m)], out.clone()));
                }
                regions.push(Region::new(Write, dst, &[(*dst_s0, m)], out));
                Accesses {
                    guards: vec![m.clone(), n.clone()],
                    regions,
                }
            }
            OpKind::Quant {
                op: _,
                dst,
                a,
                scale,
                zero,
                n,
            } => {
                let reads = [a, scale, zero].map(|x| vector(Read, x, n, false));
                elementwise(reads.into(), vector(Write, dst, n, false), n)
            }
            OpKind::Binary {
                op: _,
                dst,
                a,
                b,
                n,
            }
            | OpKind::Int {
                op: _,
                dst,
                a,
                b,
                n,
            } => {
                let reads = [vector(Read, a, n, false), vector(Read, b, n, false)];
                elementwise(reads.into(), vector(Write, dst, n, false), n)
            }
            OpKind::Select { dst, a, b, mask, n } => {
                let reads = [a, b, mask].map(|o| vector(Read, o, n, false));
                elementwise(reads.into(), vector(Write, dst, n, false), n)
            }
            OpKind::Unary {
                op: _,
                dst,
                a,
                n,
                scale: _,
                bias: _,
            } => elementwise(
                vec![vector(Read, a, n, false)],
                vector(Write, dst, n, false),
                n,
            ),
            OpKind::Reduce { op: _, dst, a, n } => elementwise(
                vec![vector(Read, a, n, false)],
                vector(Write, dst, n, true),
                n,
            ),
            OpKind::Fill { dst, n, value: _ } => {
                elementwise(vec![], vector(Write, dst, n, false), n)
            }
            OpKind::AttInit {
                state,
                rows,
                heads,
                d,
                sink,
                sinks,
            } => {
                let sink = sinks.then(|| Region::new(Read, sink, &[], Extent::from(*heads * 4)));
                let state = att_state(Write, state, rows, *heads, *d);
                Accesses {
                    guards: vec![rows.clone(), (*heads).into()],
                    regions: sink.into_iter().chain([state]).collect(),
                }
            }
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
                q_pos: _,
                kv_pos: _,
                scale: _,
                causal: _,
                window: _,
                softcap: _,
                kv_type,
            } => {
                let row = Extent::from(*d * kv_type.bytes());
                let heads_ext = Extent::from(*heads);
                let regions = vec![
                    Region::new(
                        Read,
                        q,
                        &[(*q_s0, rows), (*q_s1, &heads_ext)],
                        Extent::from(*d * 4),
                    ),
                    Region::new(Read, k, &[(*k_s0, kv)], row.clone()),
                    Region::new(Read, v, &[(*v_s0, kv)], row),
                    att_state(Read, state, rows, *heads, *d),
                    att_state(Write, state, rows, *heads, *d),
                ];
                Accesses {
                    guards: vec![rows.clone(), heads_ext, kv.clone()],
                    regions,
                }
            }
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
                q_pos: _,
                kv_pos: _,
                by,
                causal: _,
                window: _,
                weigh,
                kv_type,
            } => {
                let row = Extent::from(*d * kv_type.bytes());
                let heads_ext = Extent::from(*heads);
                let mut regions = vec![
                    Region::new(Read, by, &[], Extent::from(ROUND_BY_BYTES as u32)),
                    Region::new(
                        Read,
                        q,
                        &[(*q_s0, rows), (*q_s1, &heads_ext)],
                        Extent::from(*d * 4),
                    ),
                    Region::new(Read, k, &[(*k_s0, kv)], row.clone()),
                    att_state(Read, state, rows, *heads, *d),
                ];
                if *weigh {
                    regions.push(Region::new(Read, v, &[(*v_s0, kv)], row));
                }
                regions.push(att_state(Write, state, rows, *heads, *d));
                Accesses {
                    guards: vec![rows.clone(), heads_ext, kv.clone()],
                    regions,
                }
            }
            OpKind::AttFin {
                dst,
                dst_s0,
                dst_s1,
                state,
                rows,
                heads,
                d,
                weighed: _,
            } => {
                let heads_ext = Extent::from(*heads);
                let out = Region::new(
                    Write,
                    dst,
                    &[(*dst_s0, rows), (*dst_s1, &heads_ext)],
                    Extent::from(*d * 4),
                );
                let regions = vec![att_state(Read, state, rows, *heads, *d), out];
                Accesses {
                    guards: vec![rows.clone(), heads_ext],
                    regions,
                }
            }
        }
    }
}

fn elementwise(mut regions: Vec<Region>, write: Region, n: &[Extent; 3]) -> Accesses {
    regions.push(write);
    Accesses {
        guards: n.to_vec(),
        regions,
    }
}

/// The running maximum, sum and accumulator of each (row, head): `rows x heads x (d + 2)` f32.
fn att_state(mode: Mode, state: &View, rows: &Extent, heads: u32, d: u32) -> Region {
    Region::new(mode, state, &[], rows.times(heads * att_state_bytes(d)))
}

/// Bytes of the attention state of one (row, head) with head dimension `d`.
pub const fn att_state_bytes(d: u32) -> u32 {
    (d + 2) * 4
}
