//! State appends and attention. A core owns the same KV heads in both, so that it reads only what it wrote itself.

use llmc_ir::{Codes, Layout, MaskKind, Node, Op, State, StateId, ValueId};
use llmc_isa::access::ROUND_BY_BYTES;
use llmc_isa::{DType, Queue};

use super::build::{at, page};
use super::layout::{Columns, extent};
use super::{Lower, Reason, Seen, Sram, Value, chip_type};
use crate::alloc::{ALIGN, align_up};
use crate::tile::{
    BufferId, Copy, Expr, Extent, OpKind, Operand, Packing, Space, UnaryFn, View, att_state_bytes,
};

/// A state in DRAM: `[kv_heads][capacity][head_dim]`, KV heads shared out over the cores.
struct Cache {
    buffer: BufferId,
    heads: Columns,
    capacity: u32,
    d: u32,
    dtype: DType,
}

impl Cache {
    /// Bytes of a position of a head.
    fn row(&self) -> u32 {
        self.d * self.dtype.bytes()
    }

    /// Bytes of a head.
    fn head(&self) -> u32 {
        self.capacity * self.row()
    }
}

/// What becomes of the products of queries and keys.
#[derive(Clone, Copy)]
pub(super) struct Scores {
    /// Their factor.
    pub(super) scale: f32,
    /// Their limit; 0 for none.
    pub(super) softcap: f32,
    /// What they, and what softmax makes of them, are rounded to.
    pub(super) codes: [Option<Codes>; 2],
}

/// A pass over the KV blocks of a head.
struct Pass<'a> {
    keys: &'a Cache,
    values: &'a Cache,
    state: View,
    q: View,
    /// Bytes between query rows.
    q_s0: u32,
    /// Query heads that share the head.
    group: u32,
    /// Its index.
    head: Expr,
    mask: MaskKind,
}

/// What a pass does with a block.
enum Step {
    /// Folds it into the running softmax.
    Running(Scores),
    /// With rounded scores, finds their maximum and sum or weighs the values.
    Rounded { by: View, weigh: bool },
}

impl Step {
    fn reads_values(&self) -> bool {
        !matches!(self, Step::Rounded { weigh: false, .. })
    }
}

impl Lower<'_> {
    fn cache(&mut self, id: StateId) -> Result<Cache, Reason> {
        let state = self
            .graph
            .tables()
            .state(id)
            .ok_or("the state is not in the graph's table")?;
        let dims: Option<Vec<u32>> = state
            .shape
            .iter()
            .map(|d| d.as_const().and_then(|c| u32::try_from(c).ok()))
            .collect();
        let shape = |s: &State| {
            format!(
                "state `{}` has shape {:?}, expected [1, heads, capacity, d]",
                s.name, s.shape
            )
        };
        let Some(&[1, heads, capacity, d]) = dims.as_deref() else {
            return Err(shape(state));
        };
        let dtype = chip_type(state.dtype)?;
        let head = u64::from(capacity) * u64::from(d) * u64::from(dtype.bytes());
        if u32::try_from(head).is_err() || heads == 0 || d == 0 {
            return Err(shape(state));
        }
        let unit = match state.layout {
            Layout::Split { axis: 1, unit } => u32::try_from(unit).unwrap_or(heads),
            Layout::Replicated if self.cores == 1 => 1,
            _ => {
                return Err(format!(
                    "state `{}` must be split between the cores by KV head",
                    state.name
                ));
            }
        };
        let (name, turns) = (state.name.clone(), state.turns.len() as u64);
        let mut bytes = u64::from(heads) * head;
        if turns > 0 {
            bytes = align_up(bytes, ALIGN);
        }
        let space = Space::State(name.clone());
        let buffer = self.build.dram(&name, space, bytes * turns.max(1));
        if turns > 0 {
            self.build.stack(buffer, bytes);
        }
        Ok(Cache {
            buffer,
            heads: Columns::split(heads, unit, self.cores),
            capacity,
            d,
            dtype,
        })
    }

    /// The first column of the core's heads in rows that have them all, or 0 in rows that have only them.
    fn first_column(&self, rows: Sram, heads: Columns, size: u32) -> Result<Expr, Reason> {
        let groups = rows.columns.groups(size).filter(|g| g.total == heads.total);
        match groups {
            Some(g) if g == heads => Ok(Expr::ZERO),
            Some(g) if !g.split => Ok(heads.start() * i64::from(size)),
            _ => Err("the operand's heads lie on other cores than the state's".into()),
        }
    }

    /// Stores the new rows behind the old ones.
    pub(super) fn append(
        &mut self,
        id: ValueId,
        node: &Node,
        state: StateId,
    ) -> Result<Value, Reason> {
        let mut new = self.sram(node, 0)?;
        let cache = self.cache(state)?;
        let column = self.first_column(new, cache.heads, cache.d)?;
        if new.dtype != cache.dtype {
            let bytes =
                u64::from(self.rows.bound) * u64::from(new.columns.per_core * cache.dtype.bytes());
            let buffer = self.build.sram(&format!("v{}_narrow", id.0), bytes);
            let narrow = Sram::new(buffer, new.columns, cache.dtype);
            self.convert(new, narrow);
            new = narrow;
        }
        let (row, head) = (cache.row(), cache.head());
        let to =
            cache.heads.start() * i64::from(head) + self.rows.position.clone() * i64::from(row);
        let store = Copy {
            dst: at(cache.buffer, to),
            dst_s: [head, row, 0],
            src: new.at(column),
            src_s: [row, new.row(), 0],
            n: [cache.heads.extent(), self.rows.extent(), Extent::from(1)],
            bytes: Extent::from(row),
        };
        self.build.op(Queue::Dma1, OpKind::Store(store));
        Ok(Value::State(state))
    }

    /// Positions of a KV block: no more than a state has.
    fn kv_block(&self) -> u32 {
        let states = self.graph.states().iter();
        let capacity = states.filter_map(|s| u32::try_from(s.shape.get(2)?.as_const()?).ok());
        self.params
            .kv_block
            .clamp(1, capacity.min().unwrap_or(1).max(1))
    }

    /// Binds what all attention of the row block has in common.
    pub(super) fn seen(&mut self) -> Seen {
        let graph = self.graph;
        let masks: Vec<MaskKind> = graph
            .iter()
            .filter_map(|(_, node)| match node.op {
                Op::Attention { mask, .. } => Some(mask),
                _ => None,
            })
            .collect();
        let (position, block) = (self.rows.position.clone(), self.kv_block());
        let mut seen = Seen::default();
        if !masks.is_empty() {
            let end = position.clone() + self.rows.count.clone();
            seen.end = self.build.bind("end", end);
        }
        for mask in masks {
            if let Some(window) = mask.window
                && !seen.first.contains_key(&window)
            {
                let first = position.clone() - Expr::Const(i64::from(window) - 1);
                let first = first.max(Expr::ZERO).div(i64::from(block));
                let first = self.build.bind(&format!("first{window}"), first);
                seen.first.insert(window, first);
            }
        }
        seen
    }

    /// The sinks of the core's query heads, `group` for each of its KV heads, as f32 in SRAM.
    fn sinks(
        &mut self,
        id: ValueId,
        node: &Node,
        owner: Columns,
        group: u32,
    ) -> Result<BufferId, Reason> {
        let sinks = self.constant(node, 3)?;
        let (from, item) = self.weight(&sinks, Packing::Rows)?;
        let (size, each) = (item.dtype.bytes(), group * item.dtype.bytes());
        let here = owner.per_core * group;
        let raw = self
            .build
            .sram(&format!("v{}_sinks", id.0), u64::from(here * size));
        let load = super::memory::copy(
            (at(raw, 0), 0),
            (at(from, owner.start() * i64::from(each)), 0),
            Extent::from(1),
            owner.extent().times(each),
        );
        self.build.op(Queue::Dma1, OpKind::Load(load));
        if item.dtype == DType::F32 {
            return Ok(raw);
        }
        let wide = self
            .build
            .sram(&format!("v{}_wide", id.0), u64::from(here * 4));
        let one = |buffer, dtype| Operand {
            view: at(buffer, 0),
            s0: 0,
            s1: 0,
            dtype,
            bcast: false,
        };
        let kind = OpKind::Unary {
            op: UnaryFn::Copy,
            dst: one(wide, DType::F32),
            a: one(raw, item.dtype),
            n: [
                Extent::from(1),
                Extent::from(1),
                owner.extent().times(group),
            ],
            scale: 1.0,
            bias: 0.0,
        };
        self.build.op(Queue::Vpu, kind);
        Ok(wide)
    }

    fn state_operand(&mut self, node: &Node, index: usize) -> Result<Cache, Reason> {
        match self.value(node, index)? {
            Value::State(s) => self.cache(s),
            other => Err(format!(
                "operand {index} is {}, expected a state",
                other.kind()
            )),
        }
    }

    /// For each of the core's KV heads: KV blocks, at absolute multiples of their size, past the running softmax. Twice if weights are
    /// rounded: they are divided by the sum of all before.
    pub(super) fn attention(
        &mut self,
        id: ValueId,
        node: &Node,
        [heads, kv_heads, head_dim]: [usize; 3],
        mask: MaskKind,
        scores: Scores,
    ) -> Result<Value, Reason> {
        let q = self.sram(node, 0)?;
        let (keys, values) = (self.state_operand(node, 1)?, self.state_operand(node, 2)?);
        let out = self.result(id, node)?;
        let (owner, d, group) = (keys.heads, keys.d, (heads / kv_heads.max(1)) as u32);
        let same = |c: &Cache| {
            (c.heads, c.capacity, c.d, c.dtype) == (owner, keys.capacity, d, keys.dtype)
        };
        if !same(&values)
            || owner.total as usize != kv_heads
            || d as usize != head_dim
            || q.dtype != DType::F32
        {
            return Err("keys, values and attributes do not agree".into());
        }
        let size = group * d;
        if out.columns.groups(size) != Some(owner) {
            return Err("the result must be split between the cores by KV head".into());
        }
        let q_column = self.first_column(q, owner, size)?;
        let rows = self.rows.extent();
        let state_bytes = u64::from(self.rows.bound) * u64::from(group * att_state_bytes(d));
        let state = at(self.build.sram(&format!("v{}_state", id.0), state_bytes), 0);
        let by = self.rounded_by(id, scores);
        let sinks = match node.operands.len() > 3 {
            true => Some(self.sinks(id, node, owner, group)?),
            false => None,
        };

        let head = self.build.begin(
            &format!("head{}", id.0),
            owner.count(),
            u64::from(owner.per_core),
        );
        let init = OpKind::AttInit {
            state: state.clone(),
            rows: rows.clone(),
            heads: group,
            d,
            sinks: sinks.is_some(),
            sink: match sinks {
                Some(sinks) => at(sinks, head.clone() * i64::from(group * 4)),
                None => state.clone(),
            },
        };
        self.build.op(Queue::Att, init);
        let pass = Pass {
            keys: &keys,
            values: &values,
            state: state.clone(),
            q: q.at(q_column + head.clone() * i64::from(size)),
            q_s0: q.row(),
            group,
            head: owner.start() + head.clone(),
            mask,
        };
        match &by {
            None => self.blocks(&format!("kv{}", id.0), &pass, Step::Running(scores)),
            Some(by) => {
                let step = |weigh| Step::Rounded {
                    by: by.clone(),
                    weigh,
                };
                self.blocks(&format!("sum{}", id.0), &pass, step(false));
                self.blocks(&format!("kv{}", id.0), &pass, step(true));
            }
        }
        let dst = out.at(head * i64::from(size));
        self.build.op(
            Queue::Att,
            OpKind::AttFin {
                dst,
                dst_s0: out.row(),
                dst_s1: d * 4,
                state,
                rows,
                heads: group,
                d,
                weighed: by.is_some(),
            },
        );
        self.build.end();
        Ok(Value::Sram(out))
    }

    /// What `att.round` rounds by, in SRAM, if anything is rounded.
    fn rounded_by(&mut self, id: ValueId, scores: Scores) -> Option<View> {
        if scores.codes == [None, None] {
            return None;
        }
        let of = |codes: Option<Codes>| {
            codes.map_or([0.0; 4], |codes| {
                let (low, high) = codes.range();
                [codes.scale.get(), codes.zero as f32, low, high]
            })
        };
        let [of_scores, of_weights] = scores.codes.map(of);
        let numbers = [
            [scores.scale, scores.softcap].as_slice(),
            &of_scores,
            &of_weights,
        ]
        .concat();
        let buffer = self.build.sram(&format!("v{}_by", id.0), ROUND_BY_BYTES);
        for (i, value) in numbers.into_iter().enumerate() {
            let dst = Operand {
                view: at(buffer, i as i64 * 4),
                s0: 0,
                s1: 0,
                dtype: DType::F32,
                bcast: false,
            };
            let n = [1, 1, 1].map(Extent::from);
            self.build.op(Queue::Vpu, OpKind::Fill { dst, n, value });
        }
        Some(at(buffer, 0))
    }

    /// One pass of a head over the KV blocks that any row sees.
    fn blocks(&mut self, name: &str, pass: &Pass, step: Step) {
        let (d, row) = (pass.keys.d, pass.keys.row());
        let block = self.kv_block();
        let page_bytes = u64::from(block) * u64::from(row) * 2;
        let ring = self.build.ring("kv", Queue::Att, page_bytes);

        // Positions end where the row block's rows end; a window hides the first blocks from all of them.
        let position = self.rows.position.clone();
        let end = self.seen.end.clone();
        let capacity = u64::from(pass.keys.capacity);
        let most = (self.tokens.past_max + self.tokens.max).min(capacity);
        let window = pass
            .mask
            .window
            .and_then(|window| self.seen.first.get(&window));
        let first = window.cloned().unwrap_or(Expr::ZERO);
        let trip = end.clone().ceil_div(i64::from(block)) - first.clone();
        let index = self
            .build
            .begin(name, trip, most.div_ceil(u64::from(block)));
        let kv_pos = (index + first) * i64::from(block);
        let kv = extent(block, end - kv_pos.clone());
        let from =
            pass.head.clone() * i64::from(pass.keys.head()) + kv_pos.clone() * i64::from(row);
        let load = |cache: &Cache, offset: u32| {
            let (dst, src) = (
                page(ring, i64::from(offset)),
                at(cache.buffer, from.clone()),
            );
            OpKind::Load(super::memory::copy(
                (dst, 0),
                (src, 0),
                Extent::from(1),
                kv.times(row),
            ))
        };
        let mut fill = vec![load(pass.keys, 0)];
        if step.reads_values() {
            fill.push(load(pass.values, block * row));
        }
        let (k, v) = (page(ring, 0), page(ring, i64::from(block * row)));
        let (rows, q_s1, window) = (self.rows.extent(), d * 4, pass.mask.window.unwrap_or(0));
        let (state, q, q_s0) = (pass.state.clone(), pass.q.clone(), pass.q_s0);
        let (heads, causal, kv_type) = (pass.group, pass.mask.causal, pass.keys.dtype);
        let step = match step {
            Step::Running(Scores { scale, softcap, .. }) => OpKind::AttStep {
                state,
                q,
                q_s0,
                q_s1,
                k,
                k_s0: row,
                v,
                v_s0: row,
                rows,
                heads,
                d,
                kv,
                q_pos: position,
                kv_pos,
                scale,
                causal,
                window,
                softcap,
                kv_type,
            },
            Step::Rounded { by, weigh } => OpKind::AttRound {
                state,
                q,
                q_s0,
                q_s1,
                k,
                k_s0: row,
                v,
                v_s0: row,
                rows,
                heads,
                d,
                kv,
                q_pos: position,
                kv_pos,
                by,
                causal,
                window,
                weigh,
                kv_type,
            },
        };
        self.build.stream(ring, fill, vec![step]);
        self.build.end();
    }
}
