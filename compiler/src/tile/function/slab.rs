//! Values in DRAM: strided boxes of elements.

use llmc_isa::DType;

use crate::tile::BufferId;

/// One dim of a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Extent in elements.
    pub n: u64,
    /// Bytes from one element to the next; 0 repeats one element, below 0 runs backwards.
    pub stride: i64,
}

/// Elements of a DRAM buffer. Transposes, slices and broadcasts are other slabs of the same buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slab {
    pub buffer: BufferId,
    /// Byte offset of the first element.
    pub base: i64,
    /// Element type in memory.
    pub dtype: DType,
    /// Outermost dim first.
    pub dims: Vec<Axis>,
}

/// Row-major dims.
pub(super) fn dense(shape: &[u64], element: u32) -> Vec<Axis> {
    let mut stride = i64::from(element);
    let mut dims: Vec<Axis> = Vec::with_capacity(shape.len());
    for &n in shape.iter().rev() {
        dims.push(Axis { n, stride });
        stride *= n.max(1) as i64;
    }
    dims.reverse();
    dims
}

impl Slab {
    /// All of a buffer, row-major.
    pub(super) fn dense(buffer: BufferId, dtype: DType, shape: &[u64]) -> Slab {
        Slab {
            buffer,
            base: 0,
            dtype,
            dims: dense(shape, dtype.bytes()),
        }
    }

    pub(super) fn shape(&self) -> Vec<u64> {
        self.dims.iter().map(|d| d.n).collect()
    }

    pub(super) fn elements(&self) -> u64 {
        self.dims.iter().map(|d| d.n).product()
    }

    /// Whether the elements follow each other in memory in row-major order.
    pub(super) fn is_dense(&self) -> bool {
        let want = dense(&self.shape(), self.dtype.bytes());
        self.elements() == 0
            || self
                .dims
                .iter()
                .zip(&want)
                .all(|(d, w)| d.n == 1 || d.stride == w.stride)
    }

    /// The same elements under another shape, if the slab is dense or only dims of 1 come and go.
    pub(super) fn reshape(&self, shape: &[u64]) -> Option<Slab> {
        let dims = if self.is_dense() {
            dense(shape, self.dtype.bytes())
        } else {
            let mut kept = self.dims.iter().filter(|d| d.n != 1);
            let one = Axis { n: 1, stride: 0 };
            let mut pick = |n: &u64| match n {
                1 => Some(one),
                n => kept.next().filter(|d| d.n == *n).copied(),
            };
            shape.iter().map(&mut pick).collect::<Option<Vec<_>>>()?
        };
        Some(Slab {
            dims,
            ..self.clone()
        })
    }

    /// Result dim i is dim `perm[i]`.
    pub(super) fn transpose(&self, perm: &[usize]) -> Slab {
        let dims = perm.iter().filter_map(|p| self.dims.get(*p)).copied();
        Slab {
            dims: dims.collect(),
            ..self.clone()
        }
    }

    /// `count` elements of a dim from `start` on, `step` apart.
    pub(super) fn slice(&self, axis: usize, start: i64, step: i64, count: u64) -> Slab {
        let mut out = self.clone();
        if let Some(dim) = out.dims.get_mut(axis) {
            if count > 0 {
                out.base += dim.stride * start;
            }
            *dim = Axis {
                n: count,
                stride: dim.stride * step,
            };
        }
        out
    }

    /// Windows over the last dims: their positions, then the elements of a window, each with its extent and its distance in elements.
    pub(super) fn windows(&self, positions: &[(u64, usize)], kernel: &[(usize, usize)]) -> Slab {
        let first = self.dims.len() - positions.len();
        let mut dims = self.dims[..first].to_vec();
        let moved = |(axis, n, step): (usize, u64, usize)| Axis {
            n,
            stride: self.dim(axis).stride * step as i64,
        };
        let over = positions.iter().enumerate();
        dims.extend(over.map(|(i, (n, step))| moved((first + i, *n, *step))));
        let inside = kernel.iter().enumerate();
        dims.extend(inside.map(|(i, (n, step))| moved((first + i, *n as u64, *step))));
        Slab {
            dims,
            ..self.clone()
        }
    }

    /// Broadcast to a shape, aligned at the last dim.
    pub(super) fn expand(&self, shape: &[u64]) -> Slab {
        let missing = shape.len().saturating_sub(self.dims.len());
        let dims = shape.iter().enumerate().map(|(i, &n)| {
            let own = i.checked_sub(missing).and_then(|i| self.dims.get(i));
            match own {
                Some(d) if d.n == n => *d,
                _ => Axis { n, stride: 0 },
            }
        });
        Slab {
            dims: dims.collect(),
            ..self.clone()
        }
    }

    /// A dim; one element if there is none.
    pub(super) fn dim(&self, axis: usize) -> Axis {
        self.dims
            .get(axis)
            .copied()
            .unwrap_or(Axis { n: 1, stride: 0 })
    }
}
