//! Symbolic dims: canonical polynomials over symbols, and their values under bindings.

use crate::text::Cursor;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, Mul, Neg, Sub};
use std::str::FromStr;
use std::sync::Arc;

/// The name of an unknown, non-negative length: `batch`, `seq`, `past`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// Sequences per launch.
    pub const BATCH: &'static str = "batch";
    /// Tokens per sequence in this launch.
    pub const SEQ: &'static str = "seq";
    /// Tokens per sequence that are in the state already.
    pub const PAST: &'static str = "past";

    /// The symbol of this name. Names that are not identifiers are back-quoted in text.
    pub fn new(name: impl AsRef<str>) -> Symbol {
        Symbol(Arc::from(name.as_ref()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Symbol {
    fn from(name: &str) -> Symbol {
        Symbol::new(name)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ident = self
            .0
            .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && self
                .0
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
        if ident {
            f.write_str(&self.0)
        } else {
            write!(f, "`{}`", self.0.replace('`', "'"))
        }
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A product of symbols, sorted; empty for 1.
type Monomial = Vec<Symbol>;

/// A polynomial over symbols with i64 coefficients: `past + seq`, `2*seq`, `64`.
///
/// Canonical: terms are sorted by monomial and no coefficient is zero, so `==` is equality of polynomials.
/// Coefficients saturate on overflow; [`Dim::eval`] reports overflow.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    terms: Vec<(Monomial, i64)>,
}

/// Why a dim has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DimError {
    /// A symbol is not bound.
    #[error("`{symbol}` in `{dim}` has no value")]
    Unbound {
        /// The symbol.
        symbol: Symbol,
        /// The whole dim.
        dim: Dim,
    },
    /// The value does not fit an i64.
    #[error("`{0}` overflows")]
    Overflow(Dim),
    /// A length is negative.
    #[error("`{dim}` is {value}, a length cannot be negative")]
    Negative {
        /// The dim.
        dim: Dim,
        /// Its value.
        value: i64,
    },
}

impl Dim {
    /// The constant 0.
    pub fn zero() -> Dim {
        Dim::default()
    }

    /// The constant 1.
    pub fn one() -> Dim {
        Dim::from(1)
    }

    /// The dim that is one symbol.
    pub fn sym(name: impl AsRef<str>) -> Dim {
        Dim {
            terms: vec![(vec![Symbol::new(name)], 1)],
        }
    }

    /// `batch`.
    pub fn batch() -> Dim {
        Dim::sym(Symbol::BATCH)
    }

    /// `seq`.
    pub fn seq() -> Dim {
        Dim::sym(Symbol::SEQ)
    }

    /// `past`.
    pub fn past() -> Dim {
        Dim::sym(Symbol::PAST)
    }

    /// The value, if no symbol is in it.
    pub fn as_const(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [(m, c)] if m.is_empty() => Some(*c),
            _ => None,
        }
    }

    /// The symbol, if the dim is one symbol and nothing else.
    pub fn as_symbol(&self) -> Option<&Symbol> {
        match self.terms.as_slice() {
            [(m, 1)] if m.len() == 1 => m.first(),
            _ => None,
        }
    }

    /// True if this is the constant `value`.
    pub fn is(&self, value: i64) -> bool {
        self.as_const() == Some(value)
    }

    /// Symbols in it, sorted, each once.
    pub fn symbols(&self) -> Vec<Symbol> {
        let mut all: Vec<_> = self
            .terms
            .iter()
            .flat_map(|(m, _)| m.iter().cloned())
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// True if both are the same polynomial, and so equal for all values of the symbols.
    pub fn known_eq(&self, other: &Dim) -> bool {
        self == other
    }

    /// True if `self <= other` for all non-negative values of the symbols, as far as signs of coefficients tell.
    pub fn known_le(&self, other: &Dim) -> bool {
        (other - self).terms.iter().all(|(_, c)| *c >= 0)
    }

    /// The value under bindings.
    ///
    /// # Errors
    /// If a symbol is not bound or the value overflows.
    pub fn eval(&self, bindings: &Bindings) -> Result<i64, DimError> {
        let overflow = || DimError::Overflow(self.clone());
        let mut sum = 0i64;
        for (monomial, coefficient) in &self.terms {
            let mut product = *coefficient;
            for symbol in monomial {
                let unbound = || DimError::Unbound {
                    symbol: symbol.clone(),
                    dim: self.clone(),
                };
                let value = bindings.get(symbol.name()).ok_or_else(unbound)?;
                product = product.checked_mul(value).ok_or_else(overflow)?;
            }
            sum = sum.checked_add(product).ok_or_else(overflow)?;
        }
        Ok(sum)
    }

    /// The value under bindings as a length.
    ///
    /// # Errors
    /// If a symbol is not bound, or the value overflows or is negative.
    pub fn eval_len(&self, bindings: &Bindings) -> Result<usize, DimError> {
        let value = self.eval(bindings)?;
        usize::try_from(value).map_err(|_| DimError::Negative {
            dim: self.clone(),
            value,
        })
    }

    /// An upper bound when each symbol lies between 0 and its bound: terms with negative coefficients count
    /// as 0. `None` if a symbol has no bound, or on overflow.
    pub fn upper_bound(&self, bounds: &BTreeMap<Symbol, i64>) -> Option<i64> {
        let mut sum = 0i64;
        for (monomial, coefficient) in &self.terms {
            if *coefficient < 0 && !monomial.is_empty() {
                continue;
            }
            let product = monomial
                .iter()
                .try_fold(*coefficient, |p, s| p.checked_mul(*bounds.get(s)?))?;
            sum = sum.checked_add(product)?;
        }
        Some(sum)
    }

    /// Replaces a symbol by a dim.
    pub fn substitute(&self, symbol: &Symbol, by: &Dim) -> Dim {
        self.substitute_all(&BTreeMap::from([(symbol.clone(), by.clone())]))
    }

    /// Replaces several symbols at once; those not in the map stay.
    pub fn substitute_all(&self, by: &BTreeMap<Symbol, Dim>) -> Dim {
        self.terms
            .iter()
            .fold(Dim::zero(), |sum, (monomial, coefficient)| {
                let factor = |p: Dim, s: &Symbol| match by.get(s) {
                    Some(d) => &p * d,
                    None => &p * &Dim::sym(s.name()),
                };
                sum + monomial.iter().fold(Dim::from(*coefficient), factor)
            })
    }

    /// The quotient, if the division leaves no rest for any values of the symbols. `None` also for division by 0.
    pub fn exact_div(&self, divisor: &Dim) -> Option<Dim> {
        let (lead, lead_c) = divisor.leading()?;
        let mut rest = self.clone();
        let mut quotient = Dim::zero();
        while let Some((m, c)) = rest.leading() {
            if c.checked_rem(*lead_c)? != 0 {
                return None;
            }
            let factor = Dim {
                terms: vec![(divide_monomial(m, lead)?, c.checked_div(*lead_c)?)],
            };
            rest = &rest - &(&factor * divisor);
            quotient = &quotient + &factor;
        }
        Some(quotient)
    }

    /// The term of highest degree; among those the first by symbol. This order is kept by multiplication,
    /// which is what polynomial division needs.
    fn leading(&self) -> Option<&(Monomial, i64)> {
        self.terms
            .iter()
            .max_by(|(a, _), (b, _)| match a.len().cmp(&b.len()) {
                Ordering::Equal => b.cmp(a),
                unequal => unequal,
            })
    }

    fn from_terms(terms: impl IntoIterator<Item = (Monomial, i64)>) -> Dim {
        let mut sum: BTreeMap<Monomial, i64> = BTreeMap::new();
        for (m, c) in terms {
            let slot = sum.entry(m).or_insert(0);
            *slot = slot.saturating_add(c);
        }
        Dim {
            terms: sum.into_iter().filter(|(_, c)| *c != 0).collect(),
        }
    }

    pub(crate) fn parse(c: &mut Cursor<'_>) -> Result<Dim, String> {
        let mut sum = if c.eat("-") {
            -Dim::parse_term(c)?
        } else {
            Dim::parse_term(c)?
        };
        loop {
            if c.eat("+") {
                sum = sum + Dim::parse_term(c)?;
            } else if c.eat("-") {
                sum = sum - Dim::parse_term(c)?;
            } else {
                return Ok(sum);
            }
        }
    }

    fn parse_term(c: &mut Cursor<'_>) -> Result<Dim, String> {
        let mut product = Dim::parse_factor(c)?;
        while c.eat("*") {
            product = product * Dim::parse_factor(c)?;
        }
        Ok(product)
    }

    fn parse_factor(c: &mut Cursor<'_>) -> Result<Dim, String> {
        if let Some(n) = c.number()? {
            return Ok(Dim::from(n));
        }
        if let Some(name) = c.back_quoted()? {
            return Ok(Dim::sym(name));
        }
        match c.ident() {
            Some(name) => Ok(Dim::sym(name)),
            None => Err(format!(
                "expected a number or a symbol, found {}",
                c.found()
            )),
        }
    }
}

/// `a / b` if every symbol of `b` is in `a` as often.
fn divide_monomial(a: &[Symbol], b: &[Symbol]) -> Option<Monomial> {
    let mut rest = a.to_vec();
    for s in b {
        let at = rest.iter().position(|r| r == s)?;
        rest.remove(at);
    }
    Some(rest)
}

macro_rules! from_int {
    ($($t:ty),*) => {$(
        impl From<$t> for Dim {
            fn from(value: $t) -> Dim {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                Dim::from_terms([(Vec::new(), value)])
            }
        }
    )*};
}

from_int!(i64, usize, u32, i32);

impl From<&Symbol> for Dim {
    fn from(symbol: &Symbol) -> Dim {
        Dim::sym(symbol.name())
    }
}

impl Add<&Dim> for &Dim {
    type Output = Dim;

    fn add(self, rhs: &Dim) -> Dim {
        Dim::from_terms(self.terms.iter().chain(&rhs.terms).cloned())
    }
}

impl Mul<&Dim> for &Dim {
    type Output = Dim;

    fn mul(self, rhs: &Dim) -> Dim {
        Dim::from_terms(self.terms.iter().flat_map(|(ma, ca)| {
            rhs.terms.iter().map(move |(mb, cb)| {
                let mut m = [ma.as_slice(), mb.as_slice()].concat();
                m.sort();
                (m, ca.saturating_mul(*cb))
            })
        }))
    }
}

impl Neg for &Dim {
    type Output = Dim;

    fn neg(self) -> Dim {
        Dim::from_terms(
            self.terms
                .iter()
                .map(|(m, c)| (m.clone(), c.saturating_neg())),
        )
    }
}

impl Sub<&Dim> for &Dim {
    type Output = Dim;

    fn sub(self, rhs: &Dim) -> Dim {
        self + &-rhs
    }
}

impl Neg for Dim {
    type Output = Dim;

    fn neg(self) -> Dim {
        -&self
    }
}

macro_rules! by_value {
    ($($op:ident $method:ident),*) => {$(
        impl $op<Dim> for Dim {
            type Output = Dim;

            fn $method(self, rhs: Dim) -> Dim {
                (&self).$method(&rhs)
            }
        }
    )*};
}

by_value!(Add add, Sub sub, Mul mul);

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // the constant term sorts first but reads better last
        let symbolic = self.terms.iter().filter(|(m, _)| !m.is_empty());
        let constant = self.terms.iter().filter(|(m, _)| m.is_empty());
        for (i, (monomial, coefficient)) in symbolic.chain(constant).enumerate() {
            match (i, *coefficient < 0) {
                (0, false) => {}
                (0, true) => f.write_str("-")?,
                (_, false) => f.write_str(" + ")?,
                (_, true) => f.write_str(" - ")?,
            }
            let names: Vec<String> = monomial.iter().map(Symbol::to_string).collect();
            match (coefficient.unsigned_abs(), monomial.is_empty()) {
                (n, true) => write!(f, "{n}")?,
                (1, false) => write!(f, "{}", names.join("*"))?,
                (n, false) => write!(f, "{n}*{}", names.join("*"))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Dim {
    type Err = String;

    fn from_str(s: &str) -> Result<Dim, String> {
        let mut c = Cursor::new(s);
        let dim = Dim::parse(&mut c)?;
        c.end()?;
        Ok(dim)
    }
}

/// Values of symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings(BTreeMap<Symbol, i64>);

impl Bindings {
    /// No symbol has a value.
    pub fn new() -> Bindings {
        Bindings::default()
    }

    /// With one more binding: `Bindings::new().with("seq", 4).with("past", 0)`.
    pub fn with(mut self, name: impl AsRef<str>, value: i64) -> Bindings {
        self.set(name, value);
        self
    }

    /// Binds a symbol, replacing an earlier value.
    pub fn set(&mut self, name: impl AsRef<str>, value: i64) {
        self.0.insert(Symbol::new(name), value);
    }

    /// The value of a symbol.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0.get(&Symbol::new(name)).copied()
    }

    /// All bindings, sorted by symbol.
    pub fn iter(&self) -> impl Iterator<Item = (&Symbol, i64)> {
        self.0.iter().map(|(s, v)| (s, *v))
    }
}
