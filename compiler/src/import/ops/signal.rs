//! Signals: window functions, and Fourier transforms as products with matrices of cosines and sines.

use std::f64::consts::PI;

use llmc_ir::{Dim, Op};
use llmc_tensor::{DType, Tensor};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::{Val, axis_of, unknown_type};
use super::Out;
use super::build::Made;
use super::elementwise::dtype_at;

/// Attributes of the window functions.
pub const WINDOW: &[&str] = &["output_datatype", "periodic"];

/// Larger matrices are refused; a fast transform would be needed.
const MAX_MATRIX: usize = 1 << 24;

/// Sum of cosines of multiples of the phase.
fn window(cx: &mut Lower, call: &Call, terms: &'static [f64]) -> Out {
    let dtype = dtype_at(call.attributes().int_or("output_datatype", 1)?)?;
    let periodic = call.attributes().flag_or("periodic", true)?;
    let value = cx.local(&[call.input(0)?], Err(unknown_type()), |operands| {
        let n = operands.first().and_then(|t| t.to_i64_vec().ok());
        let n = n.and_then(|v| v.first().copied()).unwrap_or(0);
        let n = usize::try_from(n).ok().filter(|n| *n <= MAX_MATRIX);
        let n = n.ok_or_else(|| OpError::input("the size of the window"))?;
        let last = if periodic { n } else { n.saturating_sub(1) }.max(1) as f64;
        let at = |i: usize| {
            let phase = 2.0 * PI * i as f64 / last;
            let each = terms.iter().enumerate();
            each.map(|(k, t)| t * (k as f64 * phase).cos()).sum()
        };
        let values: Vec<f64> = (0..n).map(at).collect();
        Tensor::from_f64(dtype, [n], &values).map_err(|e| OpError::bug(e.to_string()))
    })?;
    Ok(vec![value])
}

/// `HannWindow`.
pub fn hann(cx: &mut Lower, call: &Call) -> Out {
    window(cx, call, &[0.5, -0.5])
}

/// `HammingWindow`.
pub fn hamming(cx: &mut Lower, call: &Call) -> Out {
    window(cx, call, &[25.0 / 46.0, -21.0 / 46.0])
}

/// `BlackmanWindow`.
pub fn blackman(cx: &mut Lower, call: &Call) -> Out {
    window(cx, call, &[0.42, -0.5, 0.08])
}

/// A transform of lines of `n` points.
struct Transform {
    n: usize,
    inverse: bool,
    onesided: bool,
}

impl Transform {
    /// Points of the operand: half of them and one if the rest is their mirror image.
    fn inputs(&self) -> usize {
        if self.inverse && self.onesided {
            self.n / 2 + 1
        } else {
            self.n
        }
    }

    fn outputs(&self) -> usize {
        if !self.inverse && self.onesided {
            self.n / 2 + 1
        } else {
            self.n
        }
    }

    /// Parts of a point of the result: real alone, or real and imaginary.
    fn parts(&self) -> usize {
        if self.inverse && self.onesided { 1 } else { 2 }
    }

    /// The matrix from [points * given] to [points * parts].
    fn matrix(&self, cx: &Lower, dtype: DType, given: usize) -> Made {
        let (rows, columns) = (self.inputs() * given, self.outputs() * self.parts());
        let count = rows.checked_mul(columns).filter(|n| *n <= MAX_MATRIX);
        let count = count.ok_or_else(|| {
            OpError::unsupported(format!("a Fourier transform of {} points", self.n), "")
        })?;
        let mut values = Vec::with_capacity(count);
        for (i, part) in (0..self.inputs()).flat_map(|i| (0..given).map(move |p| (i, p))) {
            for (o, result) in
                (0..self.outputs()).flat_map(|o| (0..self.parts()).map(move |p| (o, p)))
            {
                let turns = (i * o % self.n) as f64 / self.n as f64;
                let angle = 2.0 * PI * turns * if self.inverse { 1.0 } else { -1.0 };
                // e^(i angle) times a real or an imaginary number
                let value = match (part, result) {
                    (0, 0) | (1, 1) => angle.cos(),
                    (0, _) => angle.sin(),
                    _ => -angle.sin(),
                };
                let mirrored = self.inverse && self.onesided && i != 0 && 2 * i != self.n;
                let share = if mirrored { 2.0 } else { 1.0 };
                let norm = if self.inverse { self.n as f64 } else { 1.0 };
                values.push(value * share / norm);
            }
        }
        cx.known(dtype, vec![rows, columns], &values)
    }

    /// Transforms x [.., points, given], whose lines are cut or filled up with zeros.
    fn apply(&self, cx: &mut Lower, x: &Val) -> Made {
        let mut shape = cx.extents(x)?;
        let rank = shape.len();
        let (have, want, given) = (shape[rank - 2], self.inputs(), shape[rank - 1]);
        if !(1..=2).contains(&given) {
            return Err(OpError::input(format!("{given} parts of a number")));
        }
        let mut x = cx.part(x, rank - 2, 0, have.min(want))?;
        if have < want {
            let before = vec![0; rank];
            let mut after = before.clone();
            after[rank - 2] = want - have;
            let zero = cx.number(&x, 0.0)?;
            x = cx.apply(Op::Pad { before, after }, &[&x, &zero])?;
        }
        shape.truncate(rank - 2);
        let lead: Vec<Dim> = shape.iter().map(|d| Dim::from(*d)).collect();
        let flat = [lead.clone(), vec![Dim::from(want * given)]].concat();
        let lines = cx.reshape(&x, flat)?;
        let matrix = self.matrix(cx, x.dtype()?, given)?;
        let lines = cx.matmul(&lines, &matrix)?;
        let open = vec![Dim::from(self.outputs()), Dim::from(self.parts())];
        cx.reshape(&lines, [lead, open].concat())
    }
}

fn number(cx: &Lower, call: &Call, operand: usize) -> Result<Option<i64>, OpError> {
    let values = call
        .optional(operand)
        .map(|v| cx.fixed_ints(v))
        .transpose()?;
    Ok(values.and_then(|v| v.first().copied()))
}

/// `DFT`: the axis as attribute (opset 17) or operand (opset 20).
pub fn dft(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let attributes = call.attributes();
    let shape = cx.extents(x)?;
    let rank = shape.len();
    let axis = match call.version() {
        ..20 => attributes.int_or("axis", 1)?,
        _ => number(cx, call, 2)?.unwrap_or(-2),
    };
    let axis = axis_of(axis, rank)?;
    if axis + 1 == rank {
        return Err(OpError::input(
            "the last axis holds the parts of the numbers",
        ));
    }
    let (inverse, onesided) = (
        attributes.flag_or("inverse", false)?,
        attributes.flag_or("onesided", false)?,
    );
    let n = match number(cx, call, 1)? {
        Some(n) => usize::try_from(n).unwrap_or(0),
        None if inverse && onesided => 2 * shape[axis].saturating_sub(1),
        None => shape[axis],
    };
    if n == 0 || n > MAX_MATRIX {
        return Err(OpError::input(format!("a transform of {n} points")));
    }
    let transform = Transform {
        n,
        inverse,
        onesided,
    };
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis, rank - 2);
    let lines = cx.permute(x, perm.clone())?;
    let lines = transform.apply(cx, &lines)?;
    Ok(vec![cx.permute(&lines, perm)?])
}

/// `STFT`: the transforms of windows of a signal [batch, length, parts].
pub fn stft(cx: &mut Lower, call: &Call) -> Out {
    let x = call.input(0)?;
    let [_, _, parts] = cx.extents(x)?[..] else {
        return Err(OpError::input("the signal must have three axes"));
    };
    let step = number(cx, call, 1)?
        .and_then(|s| usize::try_from(s).ok())
        .filter(|s| *s > 0);
    let step = step.ok_or_else(|| OpError::input("frame_step must be positive"))?;
    let length = match (call.optional(2), number(cx, call, 3)?) {
        (_, Some(n)) => usize::try_from(n).unwrap_or(0),
        (Some(window), None) => cx.extents(window)?.first().copied().unwrap_or(0),
        (None, None) => return Err(OpError::input("neither window nor frame_length is given")),
    };
    if length == 0 || length > MAX_MATRIX {
        return Err(OpError::input(format!("windows of {length} points")));
    }
    let lines = cx.permute(x, vec![0, 2, 1])?;
    let op = Op::Windows {
        kernel: vec![length],
        strides: vec![step],
        dilations: vec![1],
    };
    let frames = cx.apply(op, &[&lines])?;
    let mut frames = cx.permute(&frames, vec![0, 2, 3, 1])?;
    if let Some(window) = call.optional(2) {
        let window = cx.open(window, 1)?;
        frames = cx.mul(&frames, &window)?;
    }
    let transform = Transform {
        n: length,
        inverse: false,
        onesided: call.attributes().flag_or("onesided", true)? && parts == 1,
    };
    Ok(vec![transform.apply(cx, &frames)?])
}
