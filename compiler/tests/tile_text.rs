//! The text form of tile programs: `parse(print(p)) == p` for random programs of every stage, and errors with positions.

use llmc_compiler::tile::*;
use llmc_isa::{DType, Queue};
use proptest::prelude::*;

/// Makes values out of a list of random numbers; zeros when it runs out, so that programs end.
struct Source<'a>(std::slice::Iter<'a, u64>);

impl Source<'_> {
    fn raw(&mut self) -> u64 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.raw() % n
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn list<T>(&mut self, most: u64, item: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| item(self)).collect()
    }

    fn name(&mut self) -> String {
        self.pick(&[
            "x",
            "%12",
            "core",
            "max",
            "w.0",
            "a \"b\"\\",
            "",
            "tab\t;line\n",
            "é",
            "9",
            "x",
            "launch",
            "page",
        ])
        .into()
    }

    fn u32(&mut self) -> u32 {
        let small = self.flag();
        self.raw() as u32 % if small { 4 } else { u32::MAX }
    }

    fn f32(&mut self) -> f32 {
        let v = f32::from_bits(self.raw() as u32);
        if v.is_nan() { f32::NEG_INFINITY } else { v }
    }

    fn expr(&mut self, depth: u32) -> Expr {
        let leaf = depth == 0;
        let two = |s: &mut Self| (Box::new(s.expr(depth - 1)), Box::new(s.expr(depth - 1)));
        match self.below(if leaf { 4 } else { 11 }) {
            0 => Expr::Const(self.raw() as i64),
            1 => Expr::Core,
            2 => Expr::Launch(self.below(5) as u16),
            3 => Expr::Var(VarId(self.below(7) as u32)),
            4 => two(self).apply(Expr::Add),
            5 => two(self).apply(Expr::Sub),
            6 => Expr::Mul(Box::new(self.expr(depth - 1)), self.raw() as i64),
            7 => Expr::Div(
                Box::new(self.expr(depth - 1)),
                self.below(1 << 40) as i64 + 1,
            ),
            8 => Expr::Mod(Box::new(self.expr(depth - 1)), self.below(9) as i64 + 1),
            9 => two(self).apply(Expr::Min),
            _ => two(self).apply(Expr::Max),
        }
    }

    fn e(&mut self) -> Expr {
        let depth = self.below(4) as u32;
        self.expr(depth)
    }

    fn view(&mut self) -> View {
        let id = self.below(4) as u32;
        let place = if self.flag() {
            Place::Buffer(BufferId(id))
        } else {
            Place::Page(RingId(id))
        };
        View {
            place,
            offset: self.e(),
        }
    }

    fn ext(&mut self) -> Extent {
        let n = self.u32();
        Extent {
            n,
            clamp: self.flag().then(|| self.e()),
        }
    }

    fn exts(&mut self) -> [Extent; 3] {
        if self.flag() {
            [1, 1, 1].map(Extent::from)
        } else {
            [self.ext(), self.ext(), self.ext()]
        }
    }

    fn dtype(&mut self) -> DType {
        self.pick(DType::ALL)
    }

    fn operand(&mut self) -> Operand {
        Operand {
            view: self.view(),
            s0: self.u32(),
            s1: self.u32(),
            dtype: self.dtype(),
            bcast: self.flag(),
        }
    }

    fn strides(&mut self) -> [u32; 3] {
        [self.u32(), self.u32(), self.u32()]
    }

    fn copy(&mut self) -> Copy {
        let (dst, dst_s, src, src_s) = (self.view(), self.strides(), self.view(), self.strides());
        Copy {
            dst,
            dst_s,
            src,
            src_s,
            n: self.exts(),
            bytes: self.ext(),
        }
    }

    fn kind(&mut self) -> OpKind {
        use {BinaryFn as B, ReduceFn as R, UnaryFn as U};
        let binary = [B::Add, B::Sub, B::Mul, B::Div, B::Min, B::Max];
        let unary = [
            [U::Copy, U::Neg, U::Abs, U::Exp],
            [U::Log, U::Sqrt, U::Rsqrt, U::Recip],
            [U::Sigmoid, U::Tanh, U::Silu, U::Relu],
            [U::Gelu, U::Erf, U::Sin, U::Cos],
        ];
        let reduce = [R::Sum, R::Maxr, R::Sumsq];
        match self.below(14) {
            0 => OpKind::Load(self.copy()),
            1 => OpKind::Store(self.copy()),
            2 => OpKind::PushAll(self.copy()),
            3 => OpKind::AllGather(self.copy()),
            4 => {
                let (dst, dst_s0, index, index_i64) =
                    (self.view(), self.u32(), self.view(), self.flag());
                let (count, table, row_stride) = (self.ext(), self.view(), self.u32());
                OpKind::Gather {
                    dst,
                    dst_s0,
                    index,
                    index_i64,
                    count,
                    table,
                    row_stride,
                    bytes: self.u32(),
                    rows: self.u32(),
                }
            }
            5 => {
                let (dst, dst_s0, a, a_s0) = (self.view(), self.u32(), self.view(), self.u32());
                let (b, b_panel, m, n, k) =
                    (self.view(), self.u32(), self.ext(), self.ext(), self.ext());
                let (a_type, b_type, acc) = (self.dtype(), self.dtype(), self.flag());
                OpKind::MatMul {
                    dst,
                    dst_s0,
                    a,
                    a_s0,
                    b,
                    b_panel,
                    m,
                    n,
                    k,
                    a_type,
                    b_type,
                    acc,
                }
            }
            6 => {
                let op = self.pick(&binary);
                OpKind::Binary {
                    op,
                    dst: self.operand(),
                    a: self.operand(),
                    b: self.operand(),
                    n: self.exts(),
                }
            }
            7 => {
                let op = self.pick(unary.as_flattened());
                let (dst, a, n) = (self.operand(), self.operand(), self.exts());
                OpKind::Unary {
                    op,
                    dst,
                    a,
                    n,
                    scale: self.f32(),
                    bias: self.f32(),
                }
            }
            8 => {
                let op = self.pick(&reduce);
                OpKind::Reduce {
                    op,
                    dst: self.operand(),
                    a: self.operand(),
                    n: self.exts(),
                }
            }
            9 => OpKind::Fill {
                dst: self.operand(),
                n: self.exts(),
                value: self.f32(),
            },
            10 => OpKind::AttInit {
                state: self.view(),
                rows: self.ext(),
                heads: self.u32(),
                d: self.u32(),
                sink: self.view(),
                sinks: self.u32().is_multiple_of(2),
            },
            11 => {
                let (state, q, q_s0, q_s1) = (self.view(), self.view(), self.u32(), self.u32());
                let (k, k_s0, v, v_s0) = (self.view(), self.u32(), self.view(), self.u32());
                let (rows, heads, d, kv, q_pos, kv_pos) = (
                    self.ext(),
                    self.u32(),
                    self.u32(),
                    self.ext(),
                    self.e(),
                    self.e(),
                );
                let (scale, causal, window, softcap) =
                    (self.f32(), self.flag(), self.u32(), self.f32());
                let kv_type = self.dtype();
                OpKind::AttStep {
                    state,
                    q,
                    q_s0,
                    q_s1,
                    k,
                    k_s0,
                    v,
                    v_s0,
                    rows,
                    heads,
                    d,
                    kv,
                    q_pos,
                    kv_pos,
                    scale,
                    causal,
                    window,
                    softcap,
                    kv_type,
                }
            }
            12 => {
                let (state, q, q_s0, q_s1) = (self.view(), self.view(), self.u32(), self.u32());
                let (k, k_s0, v, v_s0) = (self.view(), self.u32(), self.view(), self.u32());
                OpKind::AttRound {
                    state,
                    q,
                    q_s0,
                    q_s1,
                    k,
                    k_s0,
                    v,
                    v_s0,
                    rows: self.ext(),
                    heads: self.u32(),
                    d: self.u32(),
                    kv: self.ext(),
                    q_pos: self.e(),
                    kv_pos: self.e(),
                    by: self.view(),
                    causal: self.flag(),
                    window: self.u32(),
                    weigh: self.flag(),
                    kv_type: self.dtype(),
                }
            }
            _ => {
                let (dst, dst_s0, dst_s1, state) =
                    (self.view(), self.u32(), self.u32(), self.view());
                OpKind::AttFin {
                    dst,
                    dst_s0,
                    dst_s1,
                    state,
                    rows: self.ext(),
                    heads: self.u32(),
                    d: self.u32(),
                    weighed: self.flag(),
                }
            }
        }
    }

    fn op(&mut self) -> Op {
        Op {
            queue: self.pick(Queue::ALL),
            kind: self.kind(),
            origin: OriginId(self.below(4) as u32),
        }
    }

    fn stmt(&mut self, depth: u32) -> Stmt {
        let queue = self.pick(Queue::ALL);
        let (sem, n) = (SemId(self.raw() as u8), self.u32());
        let (var, ring) = (VarId(self.below(7) as u32), RingId(self.below(4) as u32));
        match self.below(if depth == 0 { 6 } else { 7 }) {
            0 => Stmt::Op(self.op()),
            1 => Stmt::Let {
                var,
                value: self.e(),
            },
            2 => Stmt::Stream {
                ring,
                fill: self.list(2, Self::op),
                consume: self.list(2, Self::op),
            },
            3 => Stmt::Wait { queue, sem, n },
            4 => Stmt::Post {
                queue,
                sem,
                n,
                all_cores: self.flag(),
            },
            5 => Stmt::Advance(ring),
            _ => {
                let (trip, max_trip) = (self.e(), self.raw());
                Stmt::Loop {
                    var,
                    trip,
                    max_trip,
                    body: self.list(3, |s| s.stmt(depth - 1)),
                }
            }
        }
    }

    fn program(&mut self) -> Program {
        Program {
            name: self.name(),
            cores: self.u32(),
            launch: self.list(3, |s| Launch {
                name: s.name(),
                max: s.raw(),
            }),
            vars: self.list(6, Self::name),
            buffers: self.list(4, |s| {
                let of = s.name();
                let spaces = [
                    Space::Sram,
                    Space::Weights(of.clone()),
                    Space::State(of.clone()),
                    Space::Input(of.clone()),
                    Space::Output(of),
                ];
                let space = spaces[s.below(5) as usize].clone();
                Buffer {
                    name: s.name(),
                    space,
                    bytes: s.raw(),
                    addr: s.flag().then(|| s.raw()),
                }
            }),
            rings: self.list(3, |s| Ring {
                name: s.name(),
                consumer: s.pick(Queue::ALL),
                page: s.raw(),
                slots: s.u32(),
                addr: s.flag().then(|| s.raw()),
                sems: s
                    .flag()
                    .then(|| (SemId(s.raw() as u8), SemId(s.raw() as u8))),
            }),
            origins: self.list(3, |s| Origin {
                node: s.name(),
                onnx: s.list(2, Self::name),
            }),
            body: self.list(6, |s| s.stmt(2)),
        }
    }
}

/// `(a, b).apply(f)` is `f(a, b)`.
trait Apply {
    fn apply(self, f: fn(Box<Expr>, Box<Expr>) -> Expr) -> Expr;
}

impl Apply for (Box<Expr>, Box<Expr>) {
    fn apply(self, f: fn(Box<Expr>, Box<Expr>) -> Expr) -> Expr {
        f(self.0, self.1)
    }
}

fn numbers() -> impl Strategy<Value = Vec<u64>> {
    let number = prop_oneof![3 => any::<u64>(), 1 => 0..20u64, 1 => Just(i64::MIN as u64)];
    prop::collection::vec(number, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_read_back(numbers in numbers()) {
        let program = Source(numbers.iter()).program();
        let text = program.to_string();
        let back: Result<Program, ParseError> = text.parse();
        prop_assert_eq!(back.as_ref(), Ok(&program), "{}", text);
    }

    #[test]
    fn expressions_read_back(numbers in numbers()) {
        let mut source = Source(numbers.iter());
        let e = source.expr(5);
        let program = Program { body: vec![], ..source.program() };
        let back = Expr::parse(&e.text(&program), &program);
        prop_assert_eq!(back, Ok(e));
    }

    #[test]
    fn damaged_text_is_read_or_refused(numbers in numbers(), cut in any::<prop::sample::Index>(), c in any::<char>()) {
        let text = Source(numbers.iter()).program().to_string();
        let mut chars: Vec<char> = text.chars().collect();
        let at = cut.index(chars.len());
        chars[at] = c;
        let damaged: String = chars.iter().collect();
        let _ = damaged.parse::<Program>();
        let _ = chars[..at].iter().collect::<String>().parse::<Program>();
    }
}

fn error(text: &str) -> String {
    text.parse::<Program>().unwrap_err().to_string()
}

#[test]
fn errors_have_positions() {
    let head = "program p cores 2\nlaunch tokens max 8\nsram x bytes 64\n";
    let cases = [
        (
            "program",
            "line 1, column 8: expected a name, found the end of the text",
        ),
        (
            "program p cores 2\n{\n  let y = 1\n}",
            "line 3, column 7: there is no variable `y`",
        ),
        (
            &format!("{head}{{\n  vpu frob @0\n}}"),
            "line 5, column 7: no op is called `frob`",
        ),
        (
            &format!("{head}{{\n  vpu fill dst=z[0] value=1 @0\n}}"),
            "line 5, column 16: there is no buffer `z`",
        ),
        (
            &format!("{head}{{\n  vpu fill value=1 @0\n}}"),
            "line 5, column 12: expected `dst=`, found `value`",
        ),
        (
            &format!("{head}{{\n  vpu fill dst=x[tokens/0] @0\n}}"),
            "line 5, column 25: division by 0: divisors are positive",
        ),
        (
            &format!("{head}sram x bytes 1\n{{\n  vpu fill dst=x[0] @0\n}}"),
            "line 6, column 16: there are several things called `x`: write its number",
        ),
        (
            &format!("{head}{{\n  let tokens = 1\n}}"),
            "line 5, column 7: expected a variable, found a launch register",
        ),
        (
            &format!("{head}{{\n  wait vpu sem 300 n 1\n}}"),
            "line 5, column 16: `300` is not a whole number that fits here",
        ),
        (
            &format!("{head}{{"),
            "line 4, column 2: expected a statement or `}`, found the end of the text",
        ),
        (
            "program \"p\n",
            "line 2, column 1: the string does not end on its line",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected, "{text}");
    }
    let deep = format!(
        "{head}{{ let $0 = {}1{} }}",
        "(".repeat(5000),
        ")".repeat(5000)
    );
    assert!(error(&deep).contains("nested more than 200 levels deep"));
}
