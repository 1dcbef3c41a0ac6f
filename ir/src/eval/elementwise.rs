//! Unary, binary, comparison and selection.

use super::movement::take;
use super::values::{Values, broadcast};
use super::{Eval, text};
use crate::op::{BinaryOp, CmpOp, UnaryOp};
use llmc_tensor::{DType, Tensor};

pub(super) fn unary(f: UnaryOp, x: &Tensor) -> Eval<Tensor> {
    let shape = x.shape().to_vec();
    let test = |p: fn(f64) -> bool| {
        Tensor::from_vec(shape.clone(), x.to_f64_vec().into_iter().map(p).collect())
    };
    match f {
        UnaryOp::IsNan => return test(f64::is_nan).map_err(text),
        UnaryOp::IsInf => return test(f64::is_infinite).map_err(text),
        _ => {}
    }
    let values = match Values::of(x) {
        Values::F(v) => Values::F(v.into_iter().map(|v| unary_float(f, v)).collect()),
        Values::I(v) => Values::I(v.into_iter().map(|v| unary_int(f, v)).collect()),
        Values::B(v) => Values::B(v.into_iter().map(|v| !v).collect()),
    };
    values.into_tensor(x.dtype(), shape)
}

fn unary_int(f: UnaryOp, x: i64) -> i64 {
    match f {
        UnaryOp::Neg => x.wrapping_neg(),
        UnaryOp::Abs => x.wrapping_abs(),
        UnaryOp::Sign => x.signum(),
        UnaryOp::Relu => x.max(0),
        _ => x, // inference lets no other function of integers through
    }
}

/// A function of one float, in f64.
pub(super) fn unary_float(f: UnaryOp, x: f64) -> f64 {
    match f {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign if x == 0.0 => 0.0,
        UnaryOp::Sign => x.signum(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Recip => 1.0 / x,
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Erf => erf(x),
        UnaryOp::Relu => maximum(x, 0.0),
        UnaryOp::Silu => silu(x),
        UnaryOp::Gelu => x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        UnaryOp::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            x / 2.0 * (1.0 + inner.tanh())
        }
        UnaryOp::Cos => x.cos(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Atan => x.atan(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::Not => x, // not a function from floats to floats
    }
}

fn silu(x: f64) -> f64 {
    // x / (1 + e^-x) is -0 at -inf by its limit, not -inf/inf
    if x == f64::NEG_INFINITY {
        0.0
    } else {
        x / (1.0 + (-x).exp())
    }
}

/// silu(g) * u.
pub(super) fn silu_mul(g: &Tensor, u: &Tensor) -> Vec<f64> {
    g.to_f64_vec()
        .into_iter()
        .zip(u.to_f64_vec())
        .map(|(g, u)| silu(g) * u)
        .collect()
}

/// The error function: 2/sqrt(pi) e^-x^2 (x + 2x^3/3 + 4x^5/15 + ..), a series of positive terms.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a >= 6.0 {
        return x.signum(); // 1 - erf(6) < 2^-53
    }
    let (mut term, mut sum, mut n) = (a, a, 0.0);
    while term > sum * 1e-17 {
        n += 1.0;
        term *= 2.0 * a * a / (2.0 * n + 1.0);
        sum += term;
    }
    let value = 2.0 / std::f64::consts::PI.sqrt() * (-a * a).exp() * sum;
    if x.is_nan() { x } else { value.copysign(x) }
}

fn minimum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

pub(super) fn binary(f: BinaryOp, a: &Tensor, b: &Tensor, shape: Vec<usize>) -> Eval<Tensor> {
    let (ia, ib) = (broadcast(a.shape(), &shape), broadcast(b.shape(), &shape));
    let pairs = || ia.iter().zip(&ib);
    if a.dtype() == DType::U64 && b.dtype() == DType::U64 {
        let (x, y) = (
            a.to_vec::<u64>().map_err(text)?,
            b.to_vec::<u64>().map_err(text)?,
        );
        let all = pairs().map(|(i, j)| binary_u64(f, x[*i], y[*j]));
        return Tensor::from_vec(shape, all.collect::<Eval<Vec<u64>>>()?).map_err(text);
    }
    let bits = a.dtype().bits() as u32;
    let values = match (Values::of(a), Values::of(b)) {
        (Values::F(x), Values::F(y)) => Values::F(
            pairs()
                .map(|(i, j)| binary_float(f, x[*i], y[*j]))
                .collect(),
        ),
        (Values::I(x), Values::I(y)) => Values::I(
            pairs()
                .map(|(i, j)| binary_int(f, bits, x[*i], y[*j]))
                .collect::<Eval<_>>()?,
        ),
        (Values::B(x), Values::B(y)) => {
            Values::B(pairs().map(|(i, j)| binary_bool(f, x[*i], y[*j])).collect())
        }
        // powers may mix integers and floats
        (Values::F(x), Values::I(y)) => {
            Values::F(pairs().map(|(i, j)| x[*i].powf(y[*j] as f64)).collect())
        }
        (Values::I(x), Values::F(y)) => Values::I(
            pairs()
                .map(|(i, j)| (x[*i] as f64).powf(y[*j]) as i64)
                .collect(),
        ),
        (Values::B(_), _) | (_, Values::B(_)) => return Err("bools and numbers do not mix".into()),
    };
    values.into_tensor(a.dtype(), shape)
}

fn binary_float(f: BinaryOp, a: f64, b: f64) -> f64 {
    match f {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Min => minimum(a, b),
        BinaryOp::Max => maximum(a, b),
        BinaryOp::Mod => match a % b {
            rest if rest != 0.0 && (rest < 0.0) != (b < 0.0) => rest + b,
            rest => rest,
        },
        BinaryOp::Rem => a % b,
        // not of floats, by inference
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => f64::NAN,
    }
}

fn by_zero() -> String {
    "an integer is divided by 0".into()
}

/// Integers of `bits` bits, which hold no more than i64 does.
fn binary_int(f: BinaryOp, bits: u32, a: i64, b: i64) -> Eval<i64> {
    Ok(match f {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div if b == 0 => return Err(by_zero()),
        BinaryOp::Div => a.wrapping_div(b),
        BinaryOp::Pow => match u32::try_from(b) {
            Ok(b) => a.wrapping_pow(b),
            Err(_) => (a as f64).powf(b as f64) as i64,
        },
        BinaryOp::Min => a.min(b),
        BinaryOp::Max => a.max(b),
        BinaryOp::Mod if b == 0 => return Err(by_zero()),
        BinaryOp::Mod => {
            let rest = a.wrapping_rem(b);
            if rest != 0 && (rest < 0) != (b < 0) {
                rest + b
            } else {
                rest
            }
        }
        BinaryOp::Rem if b == 0 => return Err(by_zero()),
        BinaryOp::Rem => a.wrapping_rem(b),
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl if !(0..i64::from(bits)).contains(&b) => 0,
        BinaryOp::Shr if !(0..i64::from(bits)).contains(&b) => a >> 63,
        BinaryOp::Shl => a << b,
        BinaryOp::Shr => a >> b,
    })
}

/// What differs from i64 where the highest bit is no sign.
fn binary_u64(f: BinaryOp, a: u64, b: u64) -> Eval<u64> {
    Ok(match f {
        BinaryOp::Div => a.checked_div(b).ok_or_else(by_zero)?,
        BinaryOp::Mod | BinaryOp::Rem => a.checked_rem(b).ok_or_else(by_zero)?,
        BinaryOp::Min => a.min(b),
        BinaryOp::Max => a.max(b),
        BinaryOp::Pow => a.wrapping_pow(u32::try_from(b).unwrap_or(u32::MAX)),
        BinaryOp::Shl => u32::try_from(b)
            .ok()
            .and_then(|b| a.checked_shl(b))
            .unwrap_or(0),
        BinaryOp::Shr => u32::try_from(b)
            .ok()
            .and_then(|b| a.checked_shr(b))
            .unwrap_or(0),
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Xor => binary_int(f, 64, a as i64, b as i64)? as u64,
    })
}

fn binary_bool(f: BinaryOp, a: bool, b: bool) -> bool {
    match f {
        BinaryOp::And => a && b,
        BinaryOp::Or => a || b,
        _ => a != b, // Xor; inference lets nothing else through
    }
}

pub(super) fn compare(f: CmpOp, a: &Tensor, b: &Tensor, shape: Vec<usize>) -> Eval<Tensor> {
    fn test<T: PartialOrd>(f: CmpOp, a: T, b: T) -> bool {
        match f {
            CmpOp::Eq => a == b,
            CmpOp::Ne => a != b,
            CmpOp::Lt => a < b,
            CmpOp::Le => a <= b,
            CmpOp::Gt => a > b,
            CmpOp::Ge => a >= b,
        }
    }
    let (ia, ib) = (broadcast(a.shape(), &shape), broadcast(b.shape(), &shape));
    let pairs = ia.iter().zip(&ib);
    if a.dtype() == DType::U64 && b.dtype() == DType::U64 {
        let (x, y) = (
            a.to_vec::<u64>().map_err(text)?,
            b.to_vec::<u64>().map_err(text)?,
        );
        let bools = pairs.map(|(i, j)| test(f, x[*i], y[*j])).collect();
        return Tensor::from_vec(shape, bools).map_err(text);
    }
    let bools: Vec<bool> = match (Values::of(a), Values::of(b)) {
        (Values::F(x), Values::F(y)) => pairs.map(|(i, j)| test(f, x[*i], y[*j])).collect(),
        (Values::I(x), Values::I(y)) => pairs.map(|(i, j)| test(f, x[*i], y[*j])).collect(),
        (Values::B(x), Values::B(y)) => pairs.map(|(i, j)| test(f, x[*i], y[*j])).collect(),
        _ => return Err("operands have different element types".into()),
    };
    Tensor::from_vec(shape, bools).map_err(text)
}

pub(super) fn select(c: &Tensor, a: &Tensor, b: &Tensor, shape: Vec<usize>) -> Eval<Tensor> {
    let condition = c.to_bool_vec();
    let choice = broadcast(c.shape(), &shape)
        .into_iter()
        .map(|i| condition[i]);
    let (ia, ib) = (broadcast(a.shape(), &shape), broadcast(b.shape(), &shape));
    let picks = choice
        .zip(ia.into_iter().zip(ib))
        .map(|(c, (i, j))| if c { (a, i) } else { (b, j) });
    take(a.dtype(), shape, picks)
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn erf_has_known_values() {
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (2.0, 0.995_322_265_018_952_7),
            (7.0, 1.0),
        ] {
            assert!((erf(x) - want).abs() < 1e-14, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!(erf(f64::NAN).is_nan());
    }
}
