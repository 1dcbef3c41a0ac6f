//! Recurrent operators, unrolled over a sequence of fixed length.

use llmc_ir::{Dim, UnaryOp};

use super::super::call::Call;
use super::super::error::OpError;
use super::super::lower::Lower;
use super::super::value::Val;
use super::Out;
use super::build::Made;

/// Attributes of `LSTM`, `GRU` and `RNN` together.
pub const RECURRENT: &[&str] = &[
    "activations",
    "direction",
    "hidden_size",
    "input_forget",
    "layout",
    "linear_before_reset",
];

/// Longer sequences would make a graph too large.
pub const MAX_STEPS: usize = 1024;

/// Which operator it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rnn,
    Gru,
    Lstm,
}

/// The weights of one direction, with rows of gates.
struct Cell {
    kind: Kind,
    /// Input weights, transposed: [input, gates * hidden].
    w: Val,
    /// Recurrent weights, transposed: [hidden, gates * hidden].
    r: Val,
    /// Biases of both, [gates * hidden] each.
    wb: Option<Val>,
    rb: Option<Val>,
    /// Peepholes of LSTM: input, output, forget; [hidden] each.
    peepholes: Option<[Val; 3]>,
    hidden: usize,
    linear_before_reset: bool,
}

/// Row `index` of axis 0, without the axis.
fn row(cx: &mut Lower, x: &Val, index: usize) -> Made {
    let row = cx.part(x, 0, index, index + 1)?;
    cx.close(&row, 0)
}

fn plus(cx: &mut Lower, x: &Val, bias: Option<&Val>) -> Made {
    match bias {
        Some(bias) => cx.sum(x, bias),
        None => Ok(x.clone()),
    }
}

impl Cell {
    /// Gate `i` of gates side by side in the last axis.
    fn gate(&self, cx: &mut Lower, all: &Val, i: usize) -> Made {
        let last = cx.rank(all)? - 1;
        cx.part(all, last, i * self.hidden, (i + 1) * self.hidden)
    }

    fn opened(&self, cx: &mut Lower, x: &Val, peephole: usize, cell: &Val) -> Made {
        let x = match &self.peepholes {
            Some(weights) => {
                let seen = cx.mul(&weights[peephole], cell)?;
                cx.sum(x, &seen)?
            }
            None => x.clone(),
        };
        cx.map(UnaryOp::Sigmoid, &x)
    }

    /// One step from input gates `x` (with bias), hidden state and cell state to the next states.
    fn step(&self, cx: &mut Lower, x: &Val, h: &Val, c: &Val) -> Result<(Val, Val), OpError> {
        let back = cx.matmul(h, &self.r)?;
        match self.kind {
            Kind::Rnn => {
                let sum = cx.sum(x, &back)?;
                let sum = plus(cx, &sum, self.rb.as_ref())?;
                Ok((cx.map(UnaryOp::Tanh, &sum)?, c.clone()))
            }
            Kind::Lstm => {
                let all = cx.sum(x, &back)?;
                let all = plus(cx, &all, self.rb.as_ref())?;
                let gates = (0..4).map(|i| self.gate(cx, &all, i));
                let gates = gates.collect::<Result<Vec<_>, _>>()?;
                let input = self.opened(cx, &gates[0], 0, c)?;
                let forget = self.opened(cx, &gates[2], 2, c)?;
                let new = cx.map(UnaryOp::Tanh, &gates[3])?;
                let (kept, new) = (cx.mul(&forget, c)?, cx.mul(&input, &new)?);
                let cell = cx.sum(&kept, &new)?;
                let output = self.opened(cx, &gates[1], 1, &cell)?;
                let shown = cx.map(UnaryOp::Tanh, &cell)?;
                Ok((cx.mul(&output, &shown)?, cell))
            }
            Kind::Gru => {
                let biased = plus(cx, &back, self.rb.as_ref())?;
                let mut gates = Vec::new();
                for i in 0..2 {
                    let (a, b) = (self.gate(cx, x, i)?, self.gate(cx, &biased, i)?);
                    let sum = cx.sum(&a, &b)?;
                    gates.push(cx.map(UnaryOp::Sigmoid, &sum)?);
                }
                let [update, reset] = [&gates[0], &gates[1]];
                let recurrent = match self.linear_before_reset {
                    true => {
                        let linear = self.gate(cx, &biased, 2)?;
                        cx.mul(reset, &linear)?
                    }
                    false => {
                        let left = cx.mul(reset, h)?;
                        let weights = self.gate(cx, &self.r, 2)?;
                        let sum = cx.matmul(&left, &weights)?;
                        match &self.rb {
                            Some(bias) => {
                                let bias = self.gate(cx, bias, 2)?;
                                cx.sum(&sum, &bias)?
                            }
                            None => sum,
                        }
                    }
                };
                let input = self.gate(cx, x, 2)?;
                let sum = cx.sum(&input, &recurrent)?;
                let new = cx.map(UnaryOp::Tanh, &sum)?;
                // (1 - z) * new + z * h
                let change = cx.sub(h, &new)?;
                let change = cx.mul(update, &change)?;
                Ok((cx.sum(&new, &change)?, c.clone()))
            }
        }
    }
}

fn recurrent(cx: &mut Lower, call: &Call, kind: Kind, gates: usize) -> Out {
    let attributes = call.attributes();
    if attributes.has("activations") || attributes.flag_or("input_forget", false)? {
        return Err(OpError::unsupported(
            "activations other than the default ones and input_forget are not supported",
            "",
        ));
    }
    let batch_first = attributes.flag_or("layout", false)?;
    let mut x = call.input(0)?.clone();
    if cx.rank(&x)? != 3 {
        return Err(OpError::input("the operand must have three axes"));
    }
    if batch_first {
        x = cx.permute(&x, vec![1, 0, 2])?;
    }
    let steps = cx.shape(&x)?[0]
        .as_const()
        .and_then(|n| usize::try_from(n).ok());
    let steps = steps
        .filter(|n| (1..=MAX_STEPS).contains(n))
        .ok_or_else(|| {
            OpError::unsupported(
                format!("a sequence that is not of 1 to {MAX_STEPS} fixed steps"),
                "bind its length with --dim",
            )
        })?;
    if let Some(lengths) = call.optional(4) {
        let full = cx
            .fixed_ints(lengths)
            .map(|l| l.iter().all(|l| *l == steps as i64));
        if full != Ok(true) {
            return Err(OpError::unsupported(
                "sequence_lens other than the whole length, or not known",
                "export with sequences of one length",
            ));
        }
    }
    let batch = cx.shape(&x)?[1].clone();
    let hidden = cx.extents(call.input(2)?)?.last().copied().unwrap_or(0);
    let direction = attributes.text_or("direction", "forward")?;
    let backward = match direction {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => return Err(OpError::input(format!("direction=`{other}` is unknown"))),
    };
    let (mut outputs, mut hiddens, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for (d, &reverse) in backward.iter().enumerate() {
        let turned = |cx: &mut Lower, i: usize| {
            let weights = row(cx, call.input(i)?, d)?;
            cx.permute(&weights, vec![1, 0])
        };
        let (w, r) = (turned(cx, 1)?, turned(cx, 2)?);
        let (wb, rb) = match call.optional(3) {
            None => (None, None),
            Some(bias) => {
                let both = row(cx, bias, d)?;
                let half = gates * hidden;
                (
                    Some(cx.part(&both, 0, 0, half)?),
                    Some(cx.part(&both, 0, half, 2 * half)?),
                )
            }
        };
        let peepholes = match call.optional(7).filter(|_| kind == Kind::Lstm) {
            None => None,
            Some(p) => {
                let all = row(cx, p, d)?;
                let mut part = |i: usize| cx.part(&all, 0, i * hidden, (i + 1) * hidden);
                Some([part(0)?, part(1)?, part(2)?])
            }
        };
        let cell = Cell {
            kind,
            w,
            r,
            wb,
            rb,
            peepholes,
            hidden,
            linear_before_reset: attributes.flag_or("linear_before_reset", false)?,
        };
        let start = |cx: &mut Lower, i: usize| match call.optional(i) {
            Some(start) if batch_first => {
                let start = cx.permute(start, vec![1, 0, 2])?;
                row(cx, &start, d)
            }
            Some(start) => row(cx, start, d),
            None => {
                let zero = cx.number(&x, 0.0)?;
                cx.spread(&zero, vec![batch.clone(), Dim::from(hidden)])
            }
        };
        let mut h = start(cx, 5)?;
        let mut c = match kind {
            Kind::Lstm => start(cx, 6)?,
            Kind::Rnn | Kind::Gru => h.clone(),
        };
        // the input's part of all gates does not wait for the recurrence
        let gates_of_x = cx.matmul(&x, &cell.w)?;
        let gates_of_x = plus(cx, &gates_of_x, cell.wb.as_ref())?;
        let mut lines = vec![None; steps];
        for i in 0..steps {
            let t = if reverse { steps - 1 - i } else { i };
            let now = row(cx, &gates_of_x, t)?;
            (h, c) = cell.step(cx, &now, &h, &c)?;
            lines[t] = Some(cx.open(&h, 0)?);
        }
        let lines: Vec<&Val> = lines.iter().flatten().collect();
        let all = cx.joined(&lines, 0)?;
        outputs.push(cx.open(&all, 1)?);
        hiddens.push(cx.open(&h, 0)?);
        cells.push(cx.open(&c, 0)?);
    }
    let mut joined = |all: &[Val], axis: usize, perm: Vec<usize>| {
        let parts: Vec<&Val> = all.iter().collect();
        let value = cx.joined(&parts, axis)?;
        match batch_first {
            true => cx.permute(&value, perm),
            false => Ok(value),
        }
    };
    let y = joined(&outputs, 1, vec![2, 0, 1, 3])?;
    let h = joined(&hiddens, 0, vec![1, 0, 2])?;
    let mut results = vec![y, h];
    if kind == Kind::Lstm {
        results.push(joined(&cells, 0, vec![1, 0, 2])?);
    }
    Ok(results)
}

/// `RNN`.
pub fn rnn(cx: &mut Lower, call: &Call) -> Out {
    recurrent(cx, call, Kind::Rnn, 1)
}

/// `GRU`.
pub fn gru(cx: &mut Lower, call: &Call) -> Out {
    recurrent(cx, call, Kind::Gru, 3)
}

/// `LSTM`.
pub fn lstm(cx: &mut Lower, call: &Call) -> Out {
    recurrent(cx, call, Kind::Lstm, 4)
}
