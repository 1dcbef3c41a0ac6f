//! Arithmetic: one spelling for each value.

use llmc_ir::{Dim, Op, ReduceOp};
use llmc_tensor::DType;

use crate::egraph::draw::{Draw, Values};
use crate::egraph::lang::Attr;
use crate::egraph::matched::{Match, Miss};
use crate::egraph::rule::{Rule, rule};

/// Rules of this topic.
pub fn rules() -> Vec<Rule> {
    vec![
        rule(
            "add-commutes",
            "a + b = b + a",
            "(add ?a ?b)",
            "(add ?b ?a)",
        )
        .on(|d| d.broadcast("?a", "?b", Values::Any)),
        rule("mul-commutes", "a b = b a", "(mul ?a ?b)", "(mul ?b ?a)")
            .on(|d| d.broadcast("?a", "?b", Values::Any)),
        rule(
            "pow-2-is-square",
            "a power of 2 is a square",
            "(pow ?x ?n)",
            "(mul ?x ?x)",
        )
        .when(|m| m.neutral("?x", "?n", 2.0))
        .on(|d| beside(d, Values::Any, "?n", 2.0)),
        rule(
            "pow-3-is-cube",
            "a power of 3 is a cube",
            "(pow ?x ?n)",
            "(mul ?x (mul ?x ?x))",
        )
        .when(|m| m.neutral("?x", "?n", 3.0))
        .on(|d| beside(d, Values::Finite, "?n", 3.0)),
        rule(
            "pow-half-is-sqrt",
            "a power of 1/2 is a root",
            "(pow ?x ?n)",
            "(sqrt ?x)",
        )
        .when(|m| m.neutral("?x", "?n", 0.5))
        .on(|d| beside(d, Values::NotNegative, "?n", 0.5)),
        rule(
            "pow-minus-half-is-rsqrt",
            "a power of -1/2 is one over a root",
            "(pow ?x ?n)",
            "(rsqrt ?x)",
        )
        .when(|m| m.neutral("?x", "?n", -0.5))
        .on(|d| beside(d, Values::NotNegative, "?n", -0.5)),
        rule(
            "one-over-is-recip",
            "1 / x is a reciprocal",
            "(div ?one ?x)",
            "(recip ?x)",
        )
        .when(|m| m.neutral("?x", "?one", 1.0))
        .on(|d| beside(d, Values::Any, "?one", 1.0)),
        rule(
            "recip-sqrt-is-rsqrt",
            "one over a root is one function",
            "(recip (sqrt ?x))",
            "(rsqrt ?x)",
        )
        .on(one_value),
        rule(
            "div-sqrt-is-mul-rsqrt",
            "dividing by a root multiplies by one over it",
            "(div ?x (sqrt ?y))",
            "(mul ?x (rsqrt ?y))",
        )
        .on(|d| d.broadcast("?x", "?y", Values::Any)),
        rule("mul-1", "x * 1 = x", "(mul ?x ?one)", "?x")
            .when(|m| m.neutral("?x", "?one", 1.0))
            .on(|d| beside(d, Values::Any, "?one", 1.0)),
        rule("add-0", "x + 0 = x", "(add ?x ?zero)", "?x")
            .when(|m| m.neutral("?x", "?zero", 0.0))
            .on(|d| beside(d, Values::Any, "?zero", 0.0)),
        rule(
            "cast-same",
            "a cast to the same type does nothing",
            "(cast ?x ?to)",
            "?x",
        )
        .when(|m| m.same_type("?x"))
        .on(|d| {
            one_value(d);
            d.op("?to", Op::Cast(DType::F32));
        }),
        rule(
            "mul-is-scaled",
            "a product with a number is a scaling",
            "(mul ?x ?s)",
            "(scaled ?x ?out)",
        )
        .with(|m| scale(m, |s| s))
        .on(|d| by_factor(d, Values::Any)),
        rule(
            "div-is-scaled",
            "a quotient by a number is a scaling",
            "(div ?x ?s)",
            "(scaled ?x ?out)",
        )
        .with(|m| scale(m, |s| 1.0 / s))
        .on(|d| by_factor(d, Values::Any)),
        rule(
            "scale-out-of-mul",
            "a scaled factor scales the product",
            "(mul (scaled ?x ?f) ?y)",
            "(scaled (mul ?x ?y) ?f)",
        )
        .when(|m| m.same_type("?x"))
        .on(scaled_factor),
        rule(
            "scaled-scaled",
            "two scalings are one",
            "(scaled (scaled ?x ?a) ?b)",
            "(scaled ?x ?out)",
        )
        .with(product)
        .on(scaled_twice),
        rule("div-1", "x / 1 = x", "(div ?x ?one)", "?x")
            .when(|m| m.neutral("?x", "?one", 1.0))
            .on(|d| beside(d, Values::Any, "?one", 1.0)),
        rule(
            "sub-0",
            "x - 0 = x: a zero point of 0",
            "(sub ?x ?zero)",
            "?x",
        )
        .when(|m| m.neutral("?x", "?zero", 0.0))
        .on(|d| beside(d, Values::Any, "?zero", 0.0)),
        rule(
            "mul-minus-1-is-neg",
            "x * -1 = -x",
            "(mul ?x ?one)",
            "(neg ?x)",
        )
        .when(|m| m.neutral("?x", "?one", -1.0))
        .on(|d| beside(d, Values::Any, "?one", -1.0)),
        rule(
            "sub-from-0-is-neg",
            "0 - x = -x",
            "(sub ?zero ?x)",
            "(neg ?x)",
        )
        .when(|m| m.neutral("?x", "?zero", 0.0))
        .on(|d| beside(d, Values::Any, "?zero", 0.0)),
        rule(
            "add-neg-is-sub",
            "x + -y = x - y",
            "(add ?x (neg ?y))",
            "(sub ?x ?y)",
        )
        .on(|d| d.broadcast("?x", "?y", Values::Any)),
        rule(
            "sub-neg-is-add",
            "x - -y = x + y",
            "(sub ?x (neg ?y))",
            "(add ?x ?y)",
        )
        .on(|d| d.broadcast("?x", "?y", Values::Any)),
        rule(
            "sqrt-recip-is-rsqrt",
            "the root of one over x is one function",
            "(sqrt (recip ?x))",
            "(rsqrt ?x)",
        )
        .on(not_negative),
        rule(
            "cast-there-and-back",
            "a wider type keeps every number",
            "(cast (cast ?x ?wide) ?back)",
            "?x",
        )
        .when(wider_and_back)
        .on(|d| {
            one_value(d);
            d.op("?wide", Op::Cast(DType::F64));
            d.op("?back", Op::Cast(DType::F32));
        }),
        rule(
            "sum-square-is-sum",
            "a sum of squares is the sum of a square",
            "(reduce ?x ?how)",
            "(reduce (mul ?x ?x) ?out)",
        )
        .with(sum_of_square)
        .on(|d| {
            summed(d, ReduceOp::SumSquare);
        }),
        rule(
            "scaled-sum-is-mean",
            "a sum over n elements divided by n is a mean",
            "(scaled (reduce ?x ?how) ?f)",
            "(reduce ?x ?out)",
        )
        .with(mean_of_sum)
        .on(|d| {
            let elements = summed(d, ReduceOp::Sum);
            d.attr("?f", Attr::scale(1.0 / elements as f64));
        }),
        rule(
            "max-0-is-relu",
            "the larger of x and 0",
            "(max ?x ?zero)",
            "(relu ?x)",
        )
        .when(|m| m.neutral("?x", "?zero", 0.0))
        .on(|d| beside(d, Values::Finite, "?zero", 0.0)),
        rule(
            "sigmoid-written-out",
            "1 / (1 + e^-x)",
            "(recip (add (exp (neg ?x)) ?one))",
            "(sigmoid ?x)",
        )
        .when(|m| m.neutral("?x", "?one", 1.0))
        .on(|d| beside(d, Values::Any, "?one", 1.0)),
    ]
}

/// A finite non-zero constant scalar `?s` that does not widen `?x`, as the factor `f(s)`.
fn scale(m: &Match, f: fn(f64) -> f64) -> Result<Attr, Miss> {
    m.same_type("?x")?;
    let factor = f(m.scalar("?s")?);
    m.require(
        factor.is_finite() && factor != 0.0,
        "the factor is zero or not finite",
    )?;
    Ok(Attr::scale(factor))
}

/// The product of two factors.
fn product(m: &Match) -> Result<Attr, Miss> {
    Ok(Attr::scale(m.factor("?a")? * m.factor("?b")?))
}

/// `?back` is the type of `?x`, and `?wide` holds every number of it.
fn wider_and_back(m: &Match) -> Result<(), Miss> {
    m.same_type("?x")?;
    let Op::Cast(wide) = m.op("?wide")? else {
        return Err(Miss("not a cast"));
    };
    let holds = match m.ty("?x")?.dtype {
        DType::F16 | DType::Bf16 => matches!(wide, DType::F32 | DType::F64),
        DType::F32 => *wide == DType::F64,
        DType::I8 | DType::U8 | DType::I16 | DType::I32 => *wide == DType::I64,
        _ => false,
    };
    m.require(holds, "the type between does not hold every number")
}

/// The sum over the axes of a sum of squares.
fn sum_of_square(m: &Match) -> Result<Attr, Miss> {
    match m.op("?how")? {
        Op::Reduce {
            op: ReduceOp::SumSquare,
            axes,
            keepdims,
        } => Ok(Attr::Op(Op::Reduce {
            op: ReduceOp::Sum,
            axes: axes.clone(),
            keepdims: *keepdims,
        })),
        _ => Err(Miss("not a sum of squares")),
    }
}

/// The mean over the axes of a sum, if `?f` is one over the number of elements there.
fn mean_of_sum(m: &Match) -> Result<Attr, Miss> {
    let Op::Reduce {
        op: ReduceOp::Sum,
        axes,
        keepdims,
    } = m.op("?how")?
    else {
        return Err(Miss("not a sum"));
    };
    let shape = &m.ty("?x")?.shape;
    let lengths = axes
        .iter()
        .map(|axis| shape.get(*axis).and_then(Dim::as_const));
    let elements: Option<i64> = lengths.product();
    let elements = elements.ok_or(Miss("the number of elements is not constant"))?;
    let is_mean = (m.factor("?f")? * elements as f64 - 1.0).abs() < 1e-6;
    m.require(is_mean, "the factor is not one over the number of elements")?;
    Ok(Attr::Op(Op::Reduce {
        op: ReduceOp::Mean,
        axes: axes.clone(),
        keepdims: *keepdims,
    }))
}

// ---- instances ----

/// `?x`.
fn one_value(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Any);
}

/// `?x` and a constant.
fn beside(d: &mut Draw, values: Values, constant: &'static str, value: f32) {
    let shape = d.shape();
    d.value("?x", &shape, values);
    d.scalar(constant, value);
}

/// `?x` and the constant factor `?s`.
fn by_factor(d: &mut Draw, values: Values) {
    let factor = d.factor();
    beside(d, values, "?s", factor);
}

/// `?x` and the factors `?a` and `?b`.
fn scaled_twice(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Finite);
    for var in ["?a", "?b"] {
        let factor = d.factor();
        d.attr(var, Attr::scale(factor.into()));
    }
}

/// `?x`, not below 0.
fn not_negative(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::NotNegative);
}

/// `?x` with a constant last axis, and a reduction over it; returns its length.
fn summed(d: &mut Draw, op: ReduceOp) -> usize {
    let elements = 1 + d.below(6);
    let axes = d.below(3);
    let shape = [d.dims(axes), vec![Dim::from(elements)]].concat();
    d.value("?x", &shape, Values::Finite);
    let keepdims = d.flip();
    let axes = vec![shape.len() - 1];
    d.op("?how", Op::Reduce { op, axes, keepdims });
    elements
}

/// `?x`, a factor of it, and `?y` that broadcasts to it.
fn scaled_factor(d: &mut Draw) {
    let shape = d.shape();
    d.value("?x", &shape, Values::Finite);
    d.broadcast_to("?y", &shape, Values::Finite);
    let factor = d.factor();
    d.attr("?f", Attr::scale(factor.into()));
}
