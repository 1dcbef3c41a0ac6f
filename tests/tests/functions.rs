//! Function programs compute what their graphs mean: random graphs of every family of ops, compiled for chips of several sizes,
//! run on the emulator and compared with the reference evaluator. `LLMC_FUZZ_BUDGET` multiplies the number of graphs.

use llmc_compiler::{CompileOptions, compile_graph};
use llmc_ir::{
    BinaryOp, Bindings, CmpOp, Dim, Graph, Op, ReduceOp, Type, UnaryOp, ValueId, eval_graph,
};
use llmc_isa::Chip;
use llmc_isa::container::Binary;
use llmc_runtime_emu::{Mode, Options, Session};
use llmc_tensor::{DType, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Graphs per family.
const GRAPHS: u64 = 12;

/// Small deterministic random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// A shape of at most `most` elements or so; now and then with a dim of 0 or a long one.
    fn shape(&mut self, rank: usize) -> Vec<usize> {
        let long = self.below(8 * rank.max(1));
        let dim = |(i, n): (usize, usize)| if i == long { 300 + n } else { n };
        let dims: Vec<usize> = (0..rank).map(|_| 1 + self.below(7)).collect();
        dims.into_iter().enumerate().map(dim).collect()
    }

    /// A tensor; integers are between -limit and limit - 1, floats multiples of 1/8 between -4 and 4.
    fn tensor(&mut self, dtype: DType, shape: &[usize], limit: usize) -> Tensor {
        let n = shape.iter().product();
        if dtype.is_float() {
            let values: Vec<f64> = (0..n).map(|_| self.below(65) as f64 / 8.0 - 4.0).collect();
            return Tensor::from_f64(dtype, shape, &values).unwrap();
        }
        let low = if dtype.is_signed_int() { limit } else { 0 };
        let values: Vec<i64> = (0..n)
            .map(|_| self.below(limit + low) as i64 - low as i64)
            .collect();
        Tensor::from_i64(dtype, shape, &values).unwrap()
    }
}

/// A graph that grows, with values for its inputs.
struct Case {
    graph: Graph,
    inputs: BTreeMap<String, Tensor>,
    random: Random,
}

impl Case {
    fn new(seed: u64) -> Case {
        Case {
            graph: Graph::new("case"),
            inputs: BTreeMap::new(),
            random: Random::new(seed),
        }
    }

    fn input(&mut self, dtype: DType, shape: &[usize], limit: usize) -> ValueId {
        let tensor = self.random.tensor(dtype, shape, limit);
        let name = format!("x{}", self.inputs.len());
        let ty = Type::of(&tensor);
        self.inputs.insert(name.clone(), tensor);
        self.graph.add_input(name, ty)
    }

    fn floats(&mut self, shape: &[usize]) -> ValueId {
        self.input(DType::F32, shape, 1)
    }

    fn op(&mut self, op: Op, operands: &[ValueId]) -> ValueId {
        let text = op.to_string();
        let added = self.graph.add_node(op, operands, vec!["node".into()]);
        added.unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn shape(&self, value: ValueId) -> Vec<usize> {
        self.graph.ty(value).const_shape().unwrap()
    }

    /// A value that lies in memory in another way than row by row.
    fn moved(&mut self, value: ValueId) -> ValueId {
        let shape = self.shape(value);
        if shape.is_empty() {
            return value;
        }
        let axis = self.random.below(shape.len());
        match self.random.below(4) {
            0 => {
                let mut perm: Vec<usize> = (0..shape.len()).collect();
                perm.rotate_left(axis);
                self.op(Op::Transpose { perm }, &[value])
            }
            1 if shape[axis] > 0 => {
                let (start, end) = (Dim::from(shape[axis] as i64 - 1), Dim::from(-1));
                let step = -1 - self.random.below(2) as i64;
                self.op(slice(axis, start, end, step), &[value])
            }
            2 => {
                let end = Dim::from(shape[axis] as i64);
                let start = Dim::from(self.random.below(shape[axis] + 1).min(1) as i64);
                self.op(slice(axis, start, end, 1), &[value])
            }
            _ => value,
        }
    }

    /// Compiles for a chip, runs it; outputs by name.
    fn run(&self, chip: &Chip) -> Vec<(String, Tensor)> {
        let mut options = CompileOptions::new(chip.clone());
        options.threads = 1;
        let compiled = compile_graph(self.graph.clone(), &options)
            .unwrap_or_else(|e| panic!("{e}\n{}", self.graph));
        let binary = Binary::from_bytes(compiled.to_bytes().unwrap(), "case").unwrap();
        let binary = Arc::new(binary);
        let mut session = Session::new(binary.clone(), None, Options::default()).unwrap();
        let inputs: Vec<(&str, &Tensor)> =
            self.inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let ran = session.call("main", &inputs);
        let (outputs, stats) = ran.unwrap_or_else(|e| panic!("{e}\n{}", self.graph));
        let timing = Options {
            mode: Mode::Timing,
            ..Options::default()
        };
        let mut session = Session::new(binary, None, timing).unwrap();
        let (none, timing) = session.call("main", &inputs).unwrap();
        assert!(none.is_empty());
        assert_eq!(stats, timing, "with values and without\n{}", self.graph);
        outputs
    }

    /// Equal on chips of all sizes, and to the evaluator up to `tolerance`.
    fn check(mut self, result: ValueId, tolerance: f64) {
        self.graph.add_output("y", result);
        let mut states = BTreeMap::new();
        let expected = eval_graph(&self.graph, &Bindings::new(), &self.inputs, &mut states);
        let expected = &expected.unwrap_or_else(|e| panic!("{e}\n{}", self.graph))["y"];
        for sram in [512 << 10, 16 << 10] {
            let chip = Chip::load("edge")
                .and_then(|c| c.with_sram_bytes(sram))
                .unwrap();
            let one = chip.with("chip.cores_x", 1_u64);
            let one = one.and_then(|c| c.with("chip.cores_y", 1_u64)).unwrap();
            assert_eq!((chip.cores(), one.cores()), (4, 1));
            let (got, alone) = (self.run(&chip), self.run(&one));
            assert_eq!(got, alone, "4 cores and 1\n{}", self.graph);
            let got = &got[0].1;
            assert_eq!(
                (got.dtype(), got.shape()),
                (expected.dtype(), expected.shape()),
                "{}",
                self.graph
            );
            let pairs = got.to_f64_vec().into_iter().zip(expected.to_f64_vec());
            for (i, (x, y)) in pairs.enumerate() {
                let same = x == y || x.is_nan() && y.is_nan();
                assert!(
                    same || (x - y).abs() <= tolerance * y.abs().max(1.0),
                    "element {i} is {x}, expected {y}; {sram} bytes of SRAM\n{}",
                    self.graph
                );
            }
        }
    }
}

fn slice(axis: usize, start: Dim, end: Dim, step: i64) -> Op {
    Op::Slice {
        axis,
        start,
        end,
        step,
    }
}

/// Runs `build` with many seeds; it returns the result and the tolerance.
fn family(build: impl Fn(&mut Case) -> (ValueId, f64)) {
    let budget = std::env::var("LLMC_FUZZ_BUDGET").ok();
    let times = budget.and_then(|b| b.parse().ok()).unwrap_or(1);
    for seed in 0..GRAPHS * times {
        let mut case = Case::new(seed + 1);
        let (result, tolerance) = build(&mut case);
        case.check(result, tolerance);
    }
}

#[test]
fn elementwise_functions_broadcast() {
    let functions = [
        UnaryOp::Neg,
        UnaryOp::Exp,
        UnaryOp::Tanh,
        UnaryOp::Erf,
        UnaryOp::Floor,
        UnaryOp::GeluTanh,
        UnaryOp::Sign,
    ];
    let binary = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Max];
    family(|case| {
        let rank = case.random.below(6);
        let shape = case.random.shape(rank);
        let skip = case.random.below(rank + 1);
        let short: Vec<usize> = shape[skip..]
            .iter()
            .map(|n| if case.random.flag() { 1 } else { *n })
            .collect();
        let (a, b) = (case.floats(&shape), case.floats(&short));
        let f = functions[case.random.below(functions.len())];
        let a = case.op(Op::Unary(f), &[a]);
        let g = binary[case.random.below(binary.len())];
        let y = case.op(Op::Binary(g), &[a, b]);
        (case.moved(y), 1e-5)
    });
}

#[test]
fn integers_are_exact_and_wrap() {
    let types = [
        DType::I64,
        DType::I32,
        DType::U8,
        DType::I8,
        DType::I16,
        DType::U16,
    ];
    let functions = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Min,
        BinaryOp::Max,
    ];
    family(|case| {
        let dtype = types[case.random.below(types.len())];
        let shape = case.random.shape(3);
        let (a, b) = (
            case.input(dtype, &shape, 100),
            case.input(dtype, &shape, 100),
        );
        let f = functions[case.random.below(functions.len())];
        let a = case.op(Op::Binary(f), &[a, b]);
        let larger = case.op(Op::Compare(CmpOp::Ge), &[a, b]);
        let y = case.op(Op::Where, &[larger, a, b]);
        let to = types[case.random.below(types.len())];
        (case.op(Op::Cast(to), &[y]), 0.0)
    });
}

#[test]
fn moves() {
    family(|case| {
        let rank = 1 + case.random.below(4);
        let shape = case.random.shape(rank);
        let x = case.floats(&shape);
        let x = case.moved(x);
        let x = case.moved(x);
        let shape = case.shape(x);
        let axis = case.random.below(shape.len());
        let y = case.op(Op::Concat { axis }, &[x, x, x]);
        let all: usize = case.shape(y).iter().product();
        let flat = Op::Reshape {
            shape: vec![Dim::from(all as i64), Dim::from(1)],
        };
        let y = case.op(flat, &[y]);
        let wide = Op::Expand {
            shape: vec![Dim::from(2), Dim::from(all as i64), Dim::from(3)],
        };
        (case.op(wide, &[y]), 0.0)
    });
}

#[test]
fn padding_and_windows() {
    family(|case| {
        let shape = case.random.shape(4);
        let (x, value) = (case.floats(&shape), case.floats(&[]));
        let before: Vec<usize> = (0..4).map(|_| case.random.below(3)).collect();
        let after: Vec<usize> = (0..4).map(|_| 2 + case.random.below(3)).collect();
        let x = case.op(Op::Pad { before, after }, &[x, value]);
        let op = Op::Windows {
            kernel: vec![2, 1 + case.random.below(2)],
            strides: vec![1 + case.random.below(2), 1],
            dilations: vec![1, 1 + case.random.below(2)],
        };
        let y = case.op(op, &[x]);
        let op = Op::Reduce {
            op: ReduceOp::Max,
            axes: vec![4, 5],
            keepdims: false,
        };
        (case.op(op, &[y]), 0.0)
    });
}

#[test]
fn reductions() {
    let functions = [
        ReduceOp::Sum,
        ReduceOp::Mean,
        ReduceOp::Max,
        ReduceOp::Min,
        ReduceOp::SumSquare,
    ];
    family(|case| {
        let rank = 1 + case.random.below(4);
        let shape = case.random.shape(rank);
        let x = case.floats(&shape);
        let x = case.moved(x);
        let mut axes: Vec<usize> = (0..rank).filter(|_| case.random.flag()).collect();
        if axes.is_empty() {
            axes = (0..rank).collect();
        }
        let op = functions[case.random.below(functions.len())];
        let keepdims = case.random.flag();
        (case.op(Op::Reduce { op, axes, keepdims }, &[x]), 1e-4)
    });
    // Integers and products: folded in halves.
    family(|case| {
        let shape = case.random.shape(2);
        let x = case.input(DType::I64, &shape, 3);
        let op = [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min][case.random.below(3)];
        let (axes, keepdims) = (vec![case.random.below(2)], true);
        (case.op(Op::Reduce { op, axes, keepdims }, &[x]), 0.0)
    });
}

#[test]
fn products() {
    family(|case| {
        let (m, k, n) = (
            1 + case.random.below(40),
            1 + case.random.below(90),
            1 + case.random.below(40),
        );
        let batch = 1 + case.random.below(3);
        let a = case.floats(&[batch, m, k]);
        let b = if case.random.flag() {
            let b = case.floats(&[n, k]);
            let perm = vec![1, 0];
            case.op(Op::Transpose { perm }, &[b])
        } else {
            case.floats(&[2, 1, k, n])
        };
        (case.op(Op::MatMul, &[a, b]), 1e-4)
    });
    family(|case| {
        let (m, k, n) = (3, 1 + case.random.below(20), 1 + case.random.below(20));
        let (a, b) = (
            case.input(DType::I32, &[m, k], 1000),
            case.input(DType::I32, &[k, n], 1000),
        );
        (case.op(Op::MatMul, &[a, b]), 0.0)
    });
}

#[test]
fn softmax_sums_and_norms() {
    family(|case| {
        let shape = case.random.shape(3);
        let x = case.floats(&shape);
        let x = case.moved(x);
        let shape = case.shape(x);
        let axis = case.random.below(3);
        let last = shape[2];
        let y = match case.random.below(4) {
            0 => case.op(Op::Softmax { axis }, &[x]),
            1 => {
                let w = case.floats(&[last]);
                case.op(Op::RmsNorm { eps: 1e-3.into() }, &[x, w])
            }
            2 => {
                let (w, b) = (case.floats(&[last]), case.floats(&[last]));
                case.op(Op::LayerNorm { eps: 1e-3.into() }, &[x, w, b])
            }
            _ => {
                let (exclusive, reverse) = (case.random.flag(), case.random.flag());
                let op = Op::CumSum {
                    axis,
                    exclusive,
                    reverse,
                };
                case.op(op, &[x])
            }
        };
        let k = Dim::from(case.random.below(3) as i64 - 1);
        let upper = case.random.flag();
        (case.op(Op::Trilu { upper, k }, &[y]), 1e-4)
    });
}

#[test]
fn rows_by_index() {
    family(|case| {
        let shape = case.random.shape(3);
        let data = case.floats(&shape);
        if case.random.flag() {
            let axis = case.random.below(3);
            let places = case.random.shape(2);
            let indices = case.input(DType::I64, &places, shape[axis]);
            return (case.op(Op::Gather { axis }, &[data, indices]), 0.0);
        }
        let least = shape[0].min(shape[1]);
        let indices = case.input(DType::I64, &[9, 2], least);
        if case.random.flag() {
            let batch_dims = 0;
            return (case.op(Op::GatherNd { batch_dims }, &[data, indices]), 0.0);
        }
        let updates = case.floats(&[9, shape[2]]);
        let ops = [
            llmc_ir::op::ScatterOp::Assign,
            llmc_ir::op::ScatterOp::Add,
            llmc_ir::op::ScatterOp::Max,
        ];
        let op = Op::ScatterNd {
            batch_dims: 0,
            op: ops[case.random.below(3)],
        };
        (case.op(op, &[data, indices, updates]), 1e-6)
    });
}

#[test]
fn order() {
    family(|case| {
        let shape = case.random.shape(3);
        let x = if case.random.flag() {
            case.floats(&shape)
        } else {
            case.input(DType::I32, &shape, 5)
        };
        let axis = case.random.below(3);
        let k = 1 + case.random.below(shape[axis]);
        let largest = case.random.flag();
        (case.op(Op::TopK { axis, k, largest }, &[x]), 0.0)
    });
}

#[test]
fn values_without_elements() {
    let mut case = Case::new(1);
    let x = case.floats(&[3, 0, 2]);
    let (op, axes, keepdims) = (ReduceOp::Max, vec![1], false);
    let most = case.op(Op::Reduce { op, axes, keepdims }, &[x]);
    case.check(most, 0.0);
    let mut case = Case::new(2);
    let (a, b) = (case.floats(&[2, 0]), case.floats(&[0, 5]));
    let y = case.op(Op::MatMul, &[a, b]);
    case.check(y, 0.0);
}
