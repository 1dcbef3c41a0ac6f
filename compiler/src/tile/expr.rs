//! Scalar expressions that the control unit evaluates: addresses, trip counts, clamps.

/// A loop variable or a derived scalar of a tile [`Program`](super::Program).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub u32);

/// An integer expression over the core id, launch registers and variables.
///
/// Division and remainder are floor and Euclidean, by positive constants, as `ctl.div` and `ctl.mod` compute them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// A constant.
    Const(i64),
    /// The id of the core that runs the program.
    Core,
    /// A launch register, by index.
    Launch(u16),
    /// A loop variable (0, 1, 2, ...) or derived scalar.
    Var(VarId),
    /// Sum.
    Add(Box<Expr>, Box<Expr>),
    /// Difference.
    Sub(Box<Expr>, Box<Expr>),
    /// Product with a constant.
    Mul(Box<Expr>, i64),
    /// Floor division by a positive constant.
    Div(Box<Expr>, i64),
    /// Remainder by a positive constant.
    Mod(Box<Expr>, i64),
    /// Minimum.
    Min(Box<Expr>, Box<Expr>),
    /// Maximum.
    Max(Box<Expr>, Box<Expr>),
}

/// What the leaves of an [`Expr`] stand for while it is evaluated.
pub trait Scope {
    /// The core id.
    fn core(&self) -> i64;
    /// The value of a launch register.
    fn launch(&self, index: u16) -> i64;
    /// The value of a variable.
    fn var(&self, var: VarId) -> i64;
}

impl Expr {
    /// The constant zero.
    pub const ZERO: Expr = Expr::Const(0);

    /// The value, if the expression is a constant.
    pub fn as_const(&self) -> Option<i64> {
        match self {
            Expr::Const(c) => Some(*c),
            _ => None,
        }
    }

    /// `ceil(self / d)` for `d > 0`.
    pub fn ceil_div(self, d: i64) -> Expr {
        (self + Expr::Const(d - 1)).div(d)
    }

    /// Floor division by `d > 0`, folded where possible.
    #[allow(clippy::should_implement_trait)] // the trait would take any divisor
    pub fn div(self, d: i64) -> Expr {
        match self {
            Expr::Const(c) => Expr::Const(c.div_euclid(d)),
            e if d == 1 => e,
            e => Expr::Div(Box::new(e), d),
        }
    }

    /// Remainder by `d > 0`, folded where possible.
    #[allow(clippy::should_implement_trait)] // the trait would take any divisor
    pub fn rem(self, d: i64) -> Expr {
        match self {
            Expr::Const(c) => Expr::Const(c.rem_euclid(d)),
            _ if d == 1 => Expr::ZERO,
            e => Expr::Mod(Box::new(e), d),
        }
    }

    /// Minimum, folded where possible.
    pub fn min(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Const(a), Expr::Const(b)) => Expr::Const(a.min(b)),
            (a, b) if a == b => a,
            (a, b) => Expr::Min(Box::new(a), Box::new(b)),
        }
    }

    /// Maximum, folded where possible.
    pub fn max(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Const(a), Expr::Const(b)) => Expr::Const(a.max(b)),
            (a, b) if a == b => a,
            (a, b) => Expr::Max(Box::new(a), Box::new(b)),
        }
    }

    /// Evaluates the expression.
    pub fn eval(&self, scope: &impl Scope) -> i64 {
        match self {
            Expr::Const(c) => *c,
            Expr::Core => scope.core(),
            Expr::Launch(i) => scope.launch(*i),
            Expr::Var(v) => scope.var(*v),
            Expr::Add(a, b) => a.eval(scope) + b.eval(scope),
            Expr::Sub(a, b) => a.eval(scope) - b.eval(scope),
            Expr::Mul(a, c) => a.eval(scope) * c,
            Expr::Div(a, c) => a.eval(scope).div_euclid(*c),
            Expr::Mod(a, c) => a.eval(scope).rem_euclid(*c),
            Expr::Min(a, b) => a.eval(scope).min(b.eval(scope)),
            Expr::Max(a, b) => a.eval(scope).max(b.eval(scope)),
        }
    }
}

impl From<i64> for Expr {
    fn from(c: i64) -> Expr {
        Expr::Const(c)
    }
}

impl From<VarId> for Expr {
    fn from(v: VarId) -> Expr {
        Expr::Var(v)
    }
}

impl std::ops::Add for Expr {
    type Output = Expr;
    fn add(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Const(a), Expr::Const(b)) => Expr::Const(a + b),
            (Expr::Const(0), e) | (e, Expr::Const(0)) => e,
            (a, b) => Expr::Add(Box::new(a), Box::new(b)),
        }
    }
}

impl std::ops::Sub for Expr {
    type Output = Expr;
    fn sub(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Const(a), Expr::Const(b)) => Expr::Const(a - b),
            (e, Expr::Const(0)) => e,
            (a, b) => Expr::Sub(Box::new(a), Box::new(b)),
        }
    }
}

impl std::ops::Mul<i64> for Expr {
    type Output = Expr;
    fn mul(self, c: i64) -> Expr {
        match self {
            Expr::Const(a) => Expr::Const(a * c),
            _ if c == 0 => Expr::ZERO,
            e if c == 1 => e,
            Expr::Mul(e, b) if b.checked_mul(c).is_some() => Expr::Mul(e, b * c),
            e => Expr::Mul(Box::new(e), c),
        }
    }
}
