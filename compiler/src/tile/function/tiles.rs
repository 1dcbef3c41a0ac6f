//! Kernels over tiles: a box of elements is cut into tiles that fit SRAM, the cores take tiles in turn, and each tile is
//! loaded, worked on and stored.

use llmc_isa::{DType, Queue};

use super::slab::Slab;
use super::{Function, Reason};
use crate::tile::lower::build::at;
use crate::tile::{BinaryFn, BufferId, Copy, Expr, Extent, IntFn, OpKind, Operand, UnaryFn};

/// Dims of a tile; the vector unit has as many.
pub(super) const TILE_DIMS: usize = 3;

/// Elements of a tile at least, if the box has as many: smaller tiles cost more in instructions than cores save.
pub(super) const MIN_TILE: u64 = 256;

/// The inner dims of a box that several slabs walk over, each with its own strides.
#[derive(Clone, Debug)]
pub(super) struct Space {
    /// Extent of each dim.
    pub n: Vec<u64>,
    /// Per slab, byte strides of each dim.
    pub strides: Vec<Vec<i64>>,
}

impl Space {
    /// The common box of slabs of one shape, neighbouring dims joined where all slabs allow it.
    pub(super) fn of(slabs: &[&Slab]) -> Space {
        let shape = slabs.first().map(|s| s.shape()).unwrap_or_default();
        let mut out = Space {
            n: Vec::new(),
            strides: vec![Vec::new(); slabs.len()],
        };
        for (i, &n) in shape.iter().enumerate() {
            let own = |s: &Slab| s.dim(i).stride;
            if n == 1 {
                continue;
            }
            let joins = !out.n.is_empty()
                && slabs
                    .iter()
                    .zip(&out.strides)
                    .all(|(s, before)| before.last() == Some(&(own(s) * n as i64)));
            if joins {
                if let Some(last) = out.n.last_mut() {
                    *last *= n;
                }
                for (s, strides) in slabs.iter().zip(&mut out.strides) {
                    if let Some(last) = strides.last_mut() {
                        *last = own(s);
                    }
                }
            } else {
                out.n.push(n);
                for (s, strides) in slabs.iter().zip(&mut out.strides) {
                    strides.push(own(s));
                }
            }
        }
        out
    }
}

/// How a box is cut: per dim the size of a tile, and which dims a tile has.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    n: Vec<u64>,
    size: Vec<u64>,
    /// The dims of a tile, innermost last; at most [`TILE_DIMS`]. Of the others a tile has one element.
    inner: Vec<usize>,
}

impl Cut {
    /// Tiles of at most `most` elements and `dims` dims, filled from the innermost on; `blocked` dims are left to the loop.
    pub(super) fn new(n: &[u64], most: u64, dims: usize, blocked: impl Fn(usize) -> bool) -> Cut {
        let mut cut = Cut {
            n: n.to_vec(),
            size: vec![1; n.len()],
            inner: Vec::new(),
        };
        let mut room = most.max(1);
        for i in (0..n.len()).rev() {
            if blocked(i) || n[i] == 0 {
                continue;
            }
            cut.size[i] = n[i].min(room);
            cut.inner.insert(0, i);
            room /= cut.size[i];
            if cut.size[i] < n[i] || cut.inner.len() == dims {
                break;
            }
        }
        cut
    }

    /// Tiles of given sizes; those of the last `dims` dims may be more than 1.
    pub(super) fn sized(n: Vec<u64>, size: Vec<u64>, dims: usize) -> Cut {
        let inner = (n.len() - dims..n.len()).collect();
        Cut { n, size, inner }
    }

    fn count(&self, dim: usize) -> u64 {
        self.n[dim].div_ceil(self.size[dim])
    }

    /// Number of tiles.
    pub(super) fn tiles(&self) -> u64 {
        (0..self.n.len()).map(|i| self.count(i)).product()
    }

    /// Elements of a whole tile, per tile dim, outermost first, with 1 for missing dims.
    pub(super) fn shape(&self) -> [u32; TILE_DIMS] {
        let mut shape = [1; TILE_DIMS];
        let skip = TILE_DIMS - self.inner.len();
        for (to, dim) in shape[skip..].iter_mut().zip(&self.inner) {
            *to = self.size[*dim] as u32;
        }
        shape
    }

    /// Opens a loop over the tiles: this core's share of them. Returns the index of the first element of each dim.
    pub(super) fn begin(&self, f: &mut Function) -> Vec<Expr> {
        let tile = f.begin_share(self.tiles());
        self.split(f, tile)
    }

    /// Opens a loop over all tiles, on every core that comes here.
    pub(super) fn begin_all(&self, f: &mut Function) -> Vec<Expr> {
        let tiles = self.tiles();
        let tile = f.begin("r", Expr::Const(tiles as i64), tiles);
        self.split(f, tile)
    }

    /// Opens a loop over all tiles, on the first core alone.
    pub(super) fn begin_one(&self, f: &mut Function) -> Vec<Expr> {
        let tiles = self.tiles();
        let mut trip = Expr::Const(tiles as i64);
        if f.cores > 1 {
            trip = (Expr::Const(1) - Expr::Core).max(Expr::ZERO) * tiles as i64;
        }
        let tile = f.begin("t", trip, tiles);
        self.split(f, tile)
    }

    fn split(&self, f: &mut Function, tile: Expr) -> Vec<Expr> {
        let mut inner = 1u64;
        let mut index = vec![Expr::ZERO; self.n.len()];
        for i in (0..self.n.len()).rev() {
            let count = self.count(i);
            if count > 1 {
                let own = tile.clone().div(inner as i64);
                let own = if inner * count < self.tiles() {
                    own.rem(count as i64)
                } else {
                    own
                };
                let name = f.label("i");
                index[i] = f.build.bind(&name, own * self.size[i] as i64);
            }
            inner *= count;
        }
        index
    }

    /// The extents of the tile at `index`: less than the shape at the end of a dim.
    pub(super) fn extents(&self, index: &[Expr]) -> [Extent; TILE_DIMS] {
        let mut out = [1, 1, 1].map(Extent::from);
        let skip = TILE_DIMS - self.inner.len();
        for (to, &dim) in out[skip..].iter_mut().zip(&self.inner) {
            *to = rest(self.n[dim], self.size[dim], &index[dim]);
        }
        out
    }

    /// Byte strides of a slab along the tile dims.
    pub(super) fn strides(&self, strides: &[i64]) -> [i64; TILE_DIMS] {
        let mut out = [0; TILE_DIMS];
        let skip = TILE_DIMS - self.inner.len();
        for (to, &dim) in out[skip..].iter_mut().zip(&self.inner) {
            *to = if self.n[dim] == 1 { 0 } else { strides[dim] };
        }
        out
    }
}

/// `size` elements, or what is left of `n` from `index` on.
pub(super) fn rest(n: u64, size: u64, index: &Expr) -> Extent {
    Extent {
        n: size as u32,
        clamp: (!n.is_multiple_of(size)).then(|| Expr::Const(n as i64) - index.clone()),
    }
}

/// The byte offset of the element at `index`.
pub(super) fn offset(base: i64, index: &[Expr], strides: &[i64]) -> Expr {
    index
        .iter()
        .zip(strides)
        .filter(|(i, s)| **i != Expr::ZERO && **s != 0)
        .fold(Expr::Const(base), |sum, (i, s)| sum + i.clone() * *s)
}

/// Elements of a tile in SRAM. Dims along which the slab does not move are held once.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub buffer: BufferId,
    pub dtype: DType,
    /// Byte strides; 0 where the dim is held once.
    pub strides: [u32; TILE_DIMS],
}

impl Held {
    /// Strides of a tile of `shape` elements that is held once along the dims of `moves` that are false; and its bytes.
    pub(super) fn layout(
        shape: [u32; TILE_DIMS],
        moves: [bool; TILE_DIMS],
        element: u32,
    ) -> ([u32; TILE_DIMS], u64) {
        let (mut strides, mut bytes) = ([0; TILE_DIMS], u64::from(element));
        for i in (0..TILE_DIMS).rev() {
            if moves[i] {
                strides[i] = bytes as u32;
                bytes *= u64::from(shape[i]);
            }
        }
        (strides, bytes)
    }

    /// As an operand of the vector unit. The inner dim is contiguous or held once.
    pub(super) fn operand(&self) -> Operand {
        Operand {
            view: at(self.buffer, 0),
            s0: self.strides[0],
            s1: self.strides[1],
            dtype: self.dtype,
            bcast: self.strides[2] == 0,
        }
    }
}

/// A copy between DRAM (byte strides `far`) and a tile in SRAM, either way; runs of the inner dim where both are contiguous.
pub(super) fn transfer(
    held: &Held,
    buffer: BufferId,
    first: Expr,
    far: [i64; TILE_DIMS],
    n: &[Extent; TILE_DIMS],
    store: bool,
) -> Result<OpKind, Reason> {
    let element = held.dtype.bytes();
    let stride = |s: i64| {
        u32::try_from(s).map_err(|_| format!("elements are {s} bytes apart, which no copy reaches"))
    };
    let mut far_s = [stride(far[0])?, stride(far[1])?, stride(far[2])?];
    let mut near_s = held.strides;
    // A load reads what is held once only once.
    let mut n = n.clone();
    if !store {
        for (n, stride) in n.iter_mut().zip(held.strides) {
            if stride == 0 {
                *n = 1.into();
            }
        }
    }
    let contiguous = (far_s[2] == element && near_s[2] == element) || n[2] == 1.into();
    let bytes = if contiguous {
        let bytes = n[2].times(element);
        n = [1.into(), n[0].clone(), n[1].clone()];
        far_s = [0, far_s[0], far_s[1]];
        near_s = [0, near_s[0], near_s[1]];
        bytes
    } else {
        element.into()
    };
    let (dram, sram) = (at(buffer, first), at(held.buffer, 0));
    let ((dst, dst_s), (src, src_s)) = if store {
        ((dram, far_s), (sram, near_s))
    } else {
        ((sram, near_s), (dram, far_s))
    };
    let copy = Copy {
        dst,
        dst_s,
        src,
        src_s,
        n,
        bytes,
    };
    Ok(if store {
        OpKind::Store(copy)
    } else {
        OpKind::Load(copy)
    })
}

/// What the vector unit does with a tile: operands of the slabs, and ops on them in order.
pub(super) struct Tile {
    /// Extents.
    pub n: [Extent; TILE_DIMS],
    /// The result.
    pub dst: Operand,
    /// The arguments.
    pub args: Vec<Operand>,
    ops: Vec<OpKind>,
    shape: [u32; TILE_DIMS],
    /// First of the buffers for temporaries.
    temps: Vec<BufferId>,
    used: usize,
}

impl Tile {
    /// Room for as many elements as the tile has.
    pub(super) fn temp(&mut self, dtype: DType) -> Operand {
        let buffer = match self.temps.get(self.used) {
            Some(buffer) => *buffer,
            None => BufferId(0),
        };
        self.used += 1;
        let (strides, _) = Held::layout(self.shape, [true; 3], dtype.bytes());
        let held = Held {
            buffer,
            dtype,
            strides,
        };
        held.operand()
    }

    /// One number, the same for all elements; held as `dtype`.
    pub(super) fn number(&mut self, value: f32, dtype: DType) -> Operand {
        let mut one = Operand {
            s0: 0,
            s1: 0,
            ..self.temp(dtype)
        };
        let n = [1, 1, 1].map(Extent::from);
        self.ops.push(OpKind::Fill {
            dst: one.clone(),
            n,
            value,
        });
        one.bcast = true;
        one
    }

    /// An integer, the same for all elements.
    pub(super) fn integer(&mut self, value: i32) -> Operand {
        let exact = value as f32;
        if exact as i64 == i64::from(value) {
            return self.number(exact, DType::I32);
        }
        let (high, low) = (value >> 16, value & 0xffff);
        let (mut high, low) = (self.integer(high), self.integer(low));
        let shift = self.integer(16);
        let n = [1, 1, 1].map(Extent::from);
        high.bcast = false;
        for (op, b) in [(IntFn::Ishl, shift), (IntFn::Ior, low)] {
            let (dst, a) = (high.clone(), high.clone());
            let n = n.clone();
            self.ops.push(OpKind::Int { op, dst, a, b, n });
        }
        high.bcast = true;
        high
    }

    /// `dst = value`.
    pub(super) fn fill(&mut self, dst: &Operand, value: f32) {
        let (dst, n) = (dst.clone(), self.n.clone());
        self.ops.push(OpKind::Fill { dst, n, value });
    }

    /// `dst = op(a * scale + bias)`.
    pub(super) fn scaled(
        &mut self,
        op: UnaryFn,
        dst: &Operand,
        a: &Operand,
        scale: f32,
        bias: f32,
    ) {
        let (dst, a, n) = (dst.clone(), a.clone(), self.n.clone());
        self.ops.push(OpKind::Unary {
            op,
            dst,
            a,
            n,
            scale,
            bias,
        });
    }

    /// `dst = op(a)`.
    pub(super) fn unary(&mut self, op: UnaryFn, dst: &Operand, a: &Operand) {
        self.scaled(op, dst, a, 1.0, 0.0);
    }

    /// `dst = op(a, b)`.
    pub(super) fn binary(&mut self, op: BinaryFn, dst: &Operand, a: &Operand, b: &Operand) {
        let (dst, a, b, n) = (dst.clone(), a.clone(), b.clone(), self.n.clone());
        self.ops.push(OpKind::Binary { op, dst, a, b, n });
    }

    /// `dst = op(a, b)` of integers.
    pub(super) fn int(&mut self, op: IntFn, dst: &Operand, a: &Operand, b: &Operand) {
        let (dst, a, b, n) = (dst.clone(), a.clone(), b.clone(), self.n.clone());
        self.ops.push(OpKind::Int { op, dst, a, b, n });
    }

    /// `dst = mask ? a : b`.
    pub(super) fn select(&mut self, dst: &Operand, mask: &Operand, a: &Operand, b: &Operand) {
        let (dst, a, b, mask, n) = (
            dst.clone(),
            a.clone(),
            b.clone(),
            mask.clone(),
            self.n.clone(),
        );
        self.ops.push(OpKind::Select { dst, a, b, mask, n });
    }
}

impl Function<'_> {
    /// Elements of a tile that takes `bytes` of SRAM per element and `fixed` besides: as many as fit.
    pub(super) fn fitting_elements(&self, bytes: u64, fixed: u64) -> Result<u64, Reason> {
        let fits = self.sram.saturating_sub(fixed) / bytes.max(1);
        if fits == 0 {
            let needs = fixed + bytes;
            return Err(format!(
                "one element at a time takes {needs} bytes of SRAM, a core has {}: {} bytes are missing",
                self.sram,
                needs - self.sram
            ));
        }
        Ok(fits.min(1 << 20))
    }

    /// As [`Self::fitting_elements`], of a box of `elements`, but not so many that cores have nothing to do.
    pub(super) fn tile_elements(
        &self,
        bytes: u64,
        fixed: u64,
        elements: u64,
    ) -> Result<u64, Reason> {
        let share = elements
            .max(1)
            .div_ceil(u64::from(self.cores))
            .max(MIN_TILE);
        Ok(self.fitting_elements(bytes, fixed)?.min(share))
    }

    /// Opens a loop over this core's share of `tiles`; `self.build.end()` closes it. Returns the number of the tile.
    pub(super) fn begin_share(&mut self, tiles: u64) -> Expr {
        let cores = i64::from(self.cores);
        if cores == 1 {
            return self.begin("t", Expr::Const(tiles as i64), tiles);
        }
        let trip = (Expr::Const(tiles as i64 + cores - 1) - Expr::Core).div(cores);
        let turn = self.begin("t", trip, tiles.div_ceil(cores as u64));
        turn * cores + Expr::Core
    }

    /// `out = f(ins)`, element by element; all slabs have one shape. Without a function the first of `ins` is copied.
    pub(super) fn map(
        &mut self,
        out: &Slab,
        ins: &[Slab],
        f: Option<&dyn Fn(&mut Tile)>,
    ) -> Result<(), Reason> {
        if out.elements() == 0 {
            return Ok(());
        }
        self.barrier();
        let slabs: Vec<&Slab> = std::iter::once(out).chain(ins).collect();
        let space = Space::of(&slabs);
        let temps = f.map_or(0, |f| {
            let mut dry = Tile::dry(out, ins);
            f(&mut dry);
            dry.used
        });
        // Alignment of each buffer.
        let held = slabs.len() + temps - usize::from(f.is_none());
        let mut bytes: u64 = ins.iter().map(|s| u64::from(s.dtype.bytes())).sum();
        bytes += 4 * temps as u64;
        if f.is_some() {
            bytes += u64::from(out.dtype.bytes());
        }
        let most = self.tile_elements(bytes, 64 * held as u64, out.elements())?;
        let backwards = |dim: usize| space.strides.iter().any(|s| s[dim] < 0);
        let cut = Cut::new(&space.n, most, TILE_DIMS, backwards);
        let shape = cut.shape();

        let index = cut.begin(self);
        let n = cut.extents(&index);
        let mut loaded = Vec::new();
        for (slab, strides) in ins.iter().zip(&space.strides[1..]) {
            let far = cut.strides(strides);
            let held = self.held("x", shape, far.map(|s| s != 0), slab.dtype);
            let first = offset(slab.base, &index, strides);
            let load = transfer(&held, slab.buffer, first, far, &n, false)?;
            self.build.op(Queue::Dma0, load);
            loaded.push(held);
        }
        let result = match f {
            None => loaded.first().cloned(),
            Some(f) => {
                let held = self.held("y", shape, [true; 3], out.dtype);
                let temps: Vec<BufferId> = (0..temps)
                    .map(|_| self.held("z", shape, [true; 3], DType::F32).buffer)
                    .collect();
                let mut tile = Tile {
                    n: n.clone(),
                    dst: held.operand(),
                    args: loaded.iter().map(Held::operand).collect(),
                    ops: Vec::new(),
                    shape,
                    temps,
                    used: 0,
                };
                f(&mut tile);
                for op in tile.ops {
                    self.build.op(Queue::Vpu, op);
                }
                Some(held)
            }
        };
        if let (Some(held), Some(strides)) = (result, space.strides.first()) {
            let first = offset(out.base, &index, strides);
            let store = transfer(&held, out.buffer, first, cut.strides(strides), &n, true)?;
            self.build.op(Queue::Dma1, store);
        }
        self.build.end();
        Ok(())
    }

    /// A new SRAM buffer for a tile.
    pub(super) fn held(
        &mut self,
        name: &str,
        shape: [u32; TILE_DIMS],
        moves: [bool; TILE_DIMS],
        dtype: DType,
    ) -> Held {
        let (strides, bytes) = Held::layout(shape, moves, dtype.bytes());
        Held {
            buffer: self.build.sram(&self.label(name), bytes),
            dtype,
            strides,
        }
    }
}

impl Tile {
    /// A tile of no size, to count what a function needs.
    fn dry(out: &Slab, ins: &[Slab]) -> Tile {
        let operand = |dtype: DType| Operand {
            view: at(BufferId(0), 0),
            s0: 0,
            s1: 0,
            dtype,
            bcast: false,
        };
        Tile {
            n: [1, 1, 1].map(Extent::from),
            dst: operand(out.dtype),
            args: ins.iter().map(|s| operand(s.dtype)).collect(),
            ops: Vec::new(),
            shape: [1; TILE_DIMS],
            temps: Vec::new(),
            used: 0,
        }
    }
}
