//! Scalar expressions in a canonical form: a constant plus multiples of atoms. Equal values written in different ways become
//! equal more often, constants move into instruction fields, and what is left is what registers have to hold.

use crate::tile::{Expr, RingId, VarId};
use std::collections::BTreeMap;

/// What sums are made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// The core id.
    Core,
    /// A launch register.
    Launch(u16),
    /// A loop variable.
    Var(VarId),
    /// The byte offset of the current page of a ring.
    Page(RingId),
    /// Floor division.
    Div(Box<Linear>, i64),
    /// Remainder.
    Mod(Box<Linear>, i64),
    /// Minimum.
    Min(Box<Linear>, Box<Linear>),
    /// Maximum.
    Max(Box<Linear>, Box<Linear>),
}

/// `constant + sum of factor * atom`; no factor is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Linear {
    /// Atoms and factors.
    pub terms: BTreeMap<Atom, i64>,
    /// The constant.
    pub constant: i64,
}

/// What variables stand for: loop variables for themselves, derived scalars for their values.
pub type Values = BTreeMap<VarId, Linear>;

impl Linear {
    /// A constant.
    pub fn constant(constant: i64) -> Linear {
        Linear {
            terms: BTreeMap::new(),
            constant,
        }
    }

    /// The value, if it is constant.
    pub fn as_const(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// Itself without its constant.
    pub fn varying(&self) -> Linear {
        Linear {
            terms: self.terms.clone(),
            constant: 0,
        }
    }

    /// The canonical form of an expression; `None` if it has a variable without a value.
    pub fn of(expr: &Expr, values: &Values) -> Option<Linear> {
        Some(match expr {
            Expr::Const(c) => Linear::constant(*c),
            Expr::Core => Atom::Core.into(),
            Expr::Launch(i) => Atom::Launch(*i).into(),
            Expr::Var(v) => values.get(v)?.clone(),
            Expr::Add(a, b) => Linear::of(a, values)?.plus(&Linear::of(b, values)?, 1),
            Expr::Sub(a, b) => Linear::of(a, values)?.plus(&Linear::of(b, values)?, -1),
            Expr::Mul(a, c) => Linear::default().plus(&Linear::of(a, values)?, *c),
            Expr::Div(a, d) => Linear::of(a, values)?.div(*d),
            Expr::Mod(a, d) => Linear::of(a, values)?.rem(*d),
            Expr::Min(a, b) => Linear::of(a, values)?.min(Linear::of(b, values)?),
            Expr::Max(a, b) => Linear::of(a, values)?.max(Linear::of(b, values)?),
        })
    }

    /// `self + factor * other`.
    pub fn plus(mut self, other: &Linear, factor: i64) -> Linear {
        self.constant = self
            .constant
            .wrapping_add(other.constant.wrapping_mul(factor));
        for (atom, f) in &other.terms {
            let sum = self.terms.entry(atom.clone()).or_insert(0);
            *sum = sum.wrapping_add(f.wrapping_mul(factor));
        }
        self.terms.retain(|_, f| *f != 0);
        self
    }

    fn div(self, d: i64) -> Linear {
        // floor((d*x + r) / d) = x + floor(r / d)
        let (whole, rest) = self.split(d);
        let quotient = match rest.as_const() {
            Some(c) => Linear::constant(c.div_euclid(d)),
            None => Atom::Div(Box::new(rest), d).into(),
        };
        quotient.plus(&whole, 1)
    }

    fn rem(self, d: i64) -> Linear {
        let (_, rest) = self.split(d);
        match rest.as_const() {
            Some(c) => Linear::constant(c.rem_euclid(d)),
            None => Atom::Mod(Box::new(rest), d).into(),
        }
    }

    /// `(x, r)` with `self = d*x + r`, where x has the terms whose factors d divides.
    fn split(self, d: i64) -> (Linear, Linear) {
        let (mut whole, mut rest) = (
            Linear::default(),
            Linear::constant(self.constant.rem_euclid(d)),
        );
        whole.constant = self.constant.div_euclid(d);
        for (atom, factor) in self.terms {
            if factor % d == 0 {
                whole.terms.insert(atom, factor / d);
            } else {
                rest.terms.insert(atom, factor);
            }
        }
        (whole, rest)
    }

    fn min(self, other: Linear) -> Linear {
        match self.clone().plus(&other, -1).as_const() {
            Some(difference) if difference <= 0 => self,
            Some(_) => other,
            None => Atom::Min(
                Box::new(self.clone().min_of(&other, true)),
                Box::new(self.min_of(&other, false)),
            )
            .into(),
        }
    }

    fn max(self, other: Linear) -> Linear {
        match self.clone().plus(&other, -1).as_const() {
            Some(difference) if difference >= 0 => self,
            Some(_) => other,
            None => Atom::Max(
                Box::new(self.clone().min_of(&other, true)),
                Box::new(self.min_of(&other, false)),
            )
            .into(),
        }
    }

    /// The one that comes first, or last, in the order of representation: so that `min(a, b)` is `min(b, a)`.
    fn min_of(self, other: &Linear, first: bool) -> Linear {
        if (self <= *other) == first {
            self
        } else {
            other.clone()
        }
    }

    /// Whether an atom in it, at any depth, satisfies `f`.
    pub fn any(&self, f: &dyn Fn(&Atom) -> bool) -> bool {
        self.terms.keys().any(|atom| {
            f(atom)
                || match atom {
                    Atom::Core | Atom::Launch(_) | Atom::Var(_) | Atom::Page(_) => false,
                    Atom::Div(a, _) | Atom::Mod(a, _) => a.any(f),
                    Atom::Min(a, b) | Atom::Max(a, b) => a.any(f) || b.any(f),
                }
        })
    }
}

impl From<Atom> for Linear {
    fn from(atom: Atom) -> Linear {
        Linear {
            terms: BTreeMap::from([(atom, 1)]),
            constant: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(e: Expr) -> Linear {
        Linear::of(&e, &Values::from([(VarId(0), Atom::Var(VarId(0)).into())])).unwrap()
    }

    #[test]
    fn equal_sums_are_equal() {
        let v = || Expr::from(VarId(0));
        assert_eq!(
            linear((v() + Expr::from(3)) * 64),
            linear(Expr::from(192) + v() * 64)
        );
        assert_eq!(
            linear((v() * 64 + Expr::Core).rem(32)),
            linear(Expr::Core.rem(32))
        );
        assert_eq!(
            linear((v() * 64 + Expr::Core + Expr::from(70)).div(32)),
            linear(v() * 2 + Expr::from(2) + (Expr::Core + Expr::from(6)).div(32))
        );
        assert_eq!(
            linear((v() + Expr::from(1)).min(v() + Expr::from(2))),
            linear(v() + Expr::from(1))
        );
        assert_eq!(linear(v().max(Expr::Core)), linear(Expr::Core.max(v())));
        assert_eq!(linear(v() - v()).as_const(), Some(0));
        assert_eq!(Linear::of(&Expr::from(VarId(9)), &Values::new()), None);
    }
}
