//! How rows and columns of a value lie on a core.

use crate::tile::{Expr, Extent, PANEL, Packing};

/// The columns (elements of the last axis) of a value and which of them a core has: core c has `per_core` columns
/// from `c * per_core` on, as far as there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// All columns.
    pub(super) total: u32,
    /// Columns of a core; the last cores may have fewer or none.
    pub(super) per_core: u32,
    /// Every core has its own columns; otherwise all have all of them.
    pub(super) split: bool,
    /// The last cores do have fewer.
    pub(super) ragged: bool,
}

impl Columns {
    /// All columns on every core.
    pub(super) fn all(total: u32) -> Columns {
        Columns {
            total,
            per_core: total,
            split: false,
            ragged: false,
        }
    }

    /// The columns shared out in whole units.
    pub(super) fn split(total: u32, unit: u32, cores: u32) -> Columns {
        let unit = unit.max(1);
        if cores <= 1 {
            return Columns::all(total);
        }
        let per_core = (total.div_ceil(unit).div_ceil(cores) * unit).min(total);
        Columns {
            total,
            per_core,
            split: true,
            ragged: u64::from(per_core) * u64::from(cores) != u64::from(total),
        }
    }

    /// The first column of the core that runs the program.
    pub(super) fn start(&self) -> Expr {
        if self.split {
            Expr::Core * i64::from(self.per_core)
        } else {
            Expr::ZERO
        }
    }

    /// The first panel of that core in the packing of [`Columns::panels`].
    pub(super) fn start_panel(&self) -> Expr {
        if self.split {
            Expr::Core * i64::from(self.per_core.div_ceil(PANEL))
        } else {
            Expr::ZERO
        }
    }

    /// How many columns that core has; not positive if it has none.
    pub(super) fn count(&self) -> Expr {
        let per_core = Expr::from(i64::from(self.per_core));
        if self.ragged {
            per_core.min(Expr::from(i64::from(self.total)) - self.start())
        } else {
            per_core
        }
    }

    /// The same as an extent.
    pub(super) fn extent(&self) -> Extent {
        let left = || Expr::from(i64::from(self.total)) - self.start();
        Extent {
            n: self.per_core,
            clamp: self.ragged.then(left),
        }
    }

    /// The same columns in groups of `size`, if no group lies on two cores.
    pub(super) fn groups(&self, size: u32) -> Option<Columns> {
        let size = size.max(1);
        let whole = self.total.is_multiple_of(size) && self.per_core.is_multiple_of(size);
        whole.then(|| Columns {
            total: self.total / size,
            per_core: self.per_core / size,
            ..*self
        })
    }

    /// Bytes of a row of f32 on a core.
    pub(super) fn row_bytes(&self) -> u32 {
        self.per_core * 4
    }

    /// How a matrix is packed whose product has these columns.
    pub(super) fn panels(&self, k: u32) -> Packing {
        Packing::Panels {
            k,
            n: self.total,
            slice: self.slice(),
        }
    }

    /// Columns that lie in whole panels of their own.
    pub(super) fn slice(&self) -> u32 {
        let whole = !self.split || self.per_core.is_multiple_of(PANEL);
        if whole { self.total } else { self.per_core }
    }
}

/// A size that is at most `bound`: constant if `value` is.
pub(super) fn extent(bound: u32, value: Expr) -> Extent {
    match value.as_const() {
        Some(c) => Extent::from(u32::try_from(c.max(0)).unwrap_or(bound).min(bound)),
        None => Extent {
            n: bound,
            clamp: Some(value),
        },
    }
}

/// The rows that ops work on at some place of the program.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// Most rows there can be.
    pub(super) bound: u32,
    /// How many there are.
    pub(super) count: Expr,
    /// Index of the first among the launch's tokens.
    pub(super) first: Expr,
    /// Absolute position of the first.
    pub(super) position: Expr,
    /// Most rows there can be in the launch.
    pub(super) all: u64,
}

impl Rows {
    /// How many there are, as an extent.
    pub(super) fn extent(&self) -> Extent {
        extent(self.bound, self.count.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_shared_in_whole_units() {
        let c = Columns::split(192, 32, 4);
        assert_eq!((c.per_core, c.ragged), (64, true));
        assert_eq!(
            c.groups(32),
            Some(Columns {
                total: 6,
                per_core: 2,
                split: true,
                ragged: true
            })
        );
        assert_eq!(c.groups(48), None);
        assert_eq!(Columns::split(1000, 16, 4).per_core, 256);
        assert_eq!(Columns::split(1000, 16, 1), Columns::all(1000));
        assert!(!Columns::split(1024, 16, 4).ragged);
    }

    #[test]
    fn slices_are_packed_apart_only_if_panels_would_straddle_cores() {
        let slice = |c: Columns| match c.panels(5) {
            Packing::Panels { slice, .. } => slice,
            Packing::Rows | Packing::Plain | Packing::Codes(_) => 0,
        };
        assert_eq!(slice(Columns::split(128, 32, 4)), 128);
        assert_eq!(slice(Columns::split(32, 8, 4)), 8);
        assert_eq!(slice(Columns::all(40)), 40);
    }
}
