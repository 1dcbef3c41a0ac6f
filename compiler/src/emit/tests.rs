//! Emitted code touches what the tile program touches, in the same order: both are run, one expression by expression, the other
//! instruction by instruction.

use super::*;
use crate::report::walk;
use crate::sync::synchronise;
use crate::testing::*;
use crate::tile::{Extent, Mode, Reach, Scope};
use llmc_isa::access::{self, accesses};
use llmc_isa::asm;
use proptest::prelude::*;

/// Memory, whether it is written, and byte ranges.
type Touched = (&'static str, bool, Vec<(u64, u64)>);

/// What an engine or semaphore statement does, as far as the controller decides it.
#[derive(Debug, PartialEq)]
enum Event {
    /// Queue, semaphore, count, wait, all cores.
    Sem(Queue, u8, u32, bool, bool),
    /// Queue and accesses.
    Touch(Queue, Vec<Touched>),
}

/// Runs the tile program on one core.
struct Reference<'a> {
    program: &'a Program,
    core: i64,
    launch: &'a [i64],
    vars: Vec<i64>,
    pages: Vec<u64>,
    events: Vec<Event>,
}

impl Scope for Reference<'_> {
    fn core(&self) -> i64 {
        self.core
    }
    fn launch(&self, index: u16) -> i64 {
        self.launch[usize::from(index)]
    }
    fn var(&self, var: VarId) -> i64 {
        self.vars[var.0 as usize]
    }
}

impl Reference<'_> {
    fn block(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Loop {
                    var, trip, body, ..
                } => {
                    for turn in 0..trip.eval(self).max(0) {
                        self.vars[var.0 as usize] = turn;
                        self.block(body);
                    }
                }
                Stmt::Let { var, value } => self.vars[var.0 as usize] = value.eval(self),
                Stmt::Op(op) => self.op(op),
                Stmt::Stream { .. } | Stmt::Barrier => unreachable!("expanded by sync"),
                Stmt::Wait { queue, sem, n } => {
                    self.events.push(Event::Sem(*queue, sem.0, *n, true, false))
                }
                Stmt::Post {
                    queue,
                    sem,
                    n,
                    all_cores,
                } => self
                    .events
                    .push(Event::Sem(*queue, sem.0, *n, false, *all_cores)),
                Stmt::Advance(ring) => {
                    let r = &self.program.rings[ring.index()];
                    let page = &mut self.pages[ring.index()];
                    *page = (*page + r.page) % (r.page * u64::from(r.slots));
                }
            }
        }
    }

    fn extent(&self, extent: &Extent) -> u64 {
        extent.effective(|e| e.eval(self)).into()
    }

    fn op(&mut self, op: &Op) {
        let found = op.accesses();
        let nothing = found.guards.iter().any(|g| self.extent(g) == 0);
        let regions = if nothing { vec![] } else { found.regions };
        let touched = regions.iter().map(|r| {
            let (base, space) = match r.view.place {
                Place::Buffer(id) => {
                    let b = &self.program.buffers[id.index()];
                    (
                        b.addr.unwrap(),
                        if b.space == Space::Sram {
                            "sram"
                        } else {
                            "dram"
                        },
                    )
                }
                Place::Page(id) => (
                    self.program.rings[id.index()].addr.unwrap() + self.pages[id.index()],
                    "sram",
                ),
            };
            let access = access::Access {
                operand: "",
                space: access::Space::Sram,
                write: r.mode == Mode::Write,
                base: base.wrapping_add_signed(r.view.offset.eval(self)),
                strides: [0, 1, 2].map(|i| u64::from(r.dims[i].0)),
                counts: [0, 1, 2].map(|i| self.extent(&r.dims[i].1)),
                bytes: self.extent(&r.bytes),
            };
            let space = if r.reach == Reach::AllCores {
                "remote"
            } else {
                space
            };
            (space, access.write, access.ranges().collect())
        });
        let touched = touched.collect();
        self.events.push(Event::Touch(op.queue, touched));
    }
}

fn reference(program: &Program, core: i64, launch: &[i64]) -> Vec<Event> {
    let (vars, pages) = (vec![0; program.vars.len()], vec![0; program.rings.len()]);
    let mut r = Reference {
        program,
        core,
        launch,
        vars,
        pages,
        events: vec![],
    };
    r.block(&program.body);
    r.events
}

fn emitted(code: &Code, core: i64, launch: &[i64]) -> Vec<Event> {
    let mut events = vec![];
    walk(&code.insts, core, launch, &[], &mut |_, inst| {
        events.push(match inst {
            Inst::SemWait(i) => Event::Sem(i.queue, i.sem.0, i.n.into(), true, false),
            Inst::SemPost(i) => Event::Sem(
                i.queue,
                i.sem.0,
                i.n.into(),
                false,
                i.scope == llmc_isa::Scope::All,
            ),
            _ => {
                let touched = accesses(inst).into_iter().map(|a| {
                    let space = match a.space {
                        access::Space::Sram => "sram",
                        access::Space::Dram => "dram",
                        access::Space::Remote { .. } => "remote",
                    };
                    (space, a.write, a.ranges().collect())
                });
                Event::Touch(inst.queue().unwrap(), touched.collect())
            }
        });
    })
    .unwrap();
    events
}

fn same(program: &Program) -> Result<Code, String> {
    let (program, _) = synchronise(program, 128).map_err(|e| e.to_string())?;
    let code = emit(&program).map_err(|e| e.to_string())?;
    for launch in [[1, 0], [8, 24], [3, 7], [0, 0]] {
        for core in [0, i64::from(program.cores) - 1] {
            let (want, have) = (
                reference(&program, core, &launch),
                emitted(&code, core, &launch),
            );
            if let Some(i) = (0..want.len().max(have.len())).find(|&i| want.get(i) != have.get(i)) {
                return Err(format!(
                    "event {i}: want {:?}, have {:?}\n{program}",
                    want.get(i),
                    have.get(i)
                ));
            }
        }
    }
    let text = asm::disassemble(
        &asm::Program {
            entries: vec![("test".into(), code.insts.clone())],
        },
        None,
    );
    let back = asm::assemble(&text).map_err(|e| format!("{e:?}"))?;
    if back.entries[0].1 != code.insts {
        Err(text)
    } else {
        Ok(code)
    }
}

/// Addresses and extents that depend on everything there is.
#[test]
fn expressions_end_up_in_the_right_fields() {
    let mut b = Build::new(3);
    let (x, y, w) = (
        b.sram("x", 1 << 16),
        b.sram("y", 1 << 16),
        b.weights("w", 1 << 20),
    );
    let ring = b.ring("pages", Queue::Vpu, 4096);
    let v = |v: VarId| Expr::from(v);
    b.op(fill(x, 1 << 14));
    b.loop_to("i", (Expr::Launch(0) + Expr::from(3)).div(4), 4, |b, i| {
        let rows = b.var("rows");
        b.stmt(Stmt::Let {
            var: rows,
            value: Expr::from(4).min(Expr::Launch(0) - v(i) * 4),
        });
        b.loop_to("j", v(rows) + Expr::Core, 7, |b, j| {
            let offset =
                v(j) * 64 + v(i) * 512 + Expr::Core * 128 + (Expr::Launch(1) + v(j)).rem(5) * 4;
            let fill = load(page(ring, v(j) * 64), at(w, offset.clone() * 8), 256);
            b.stream(
                ring,
                vec![fill],
                vec![copy_view(
                    at(y, offset.clone()),
                    page(ring, v(j) * 64 + Expr::from(32)),
                    16,
                )],
            );
            let (queue, mut kind) = copy_view(
                at(y, offset.clone() + Expr::from(64)),
                at(x, (offset.max(v(i) * 100)).div(3) * 4),
                16,
            );
            if let crate::tile::OpKind::Unary { n, .. } = &mut kind {
                n[2].clamp = Some(v(rows) * 3 - v(j));
            }
            b.op((queue, kind));
        });
    });
    let code = same(&b.placed()).unwrap();
    assert!(code.registers < 24, "{} registers", code.registers);
}

#[test]
fn every_instruction_of_an_op_knows_its_source() {
    let mut b = Build::new(2);
    let (x, y, all) = (b.sram("x", 64), b.sram("y", 128), b.sram("all", 128));
    b.op(fill(x, 16));
    b.op(all_gather(all, x, 64));
    b.op(copy(y, all, 32));
    let (program, _) = synchronise(&b.placed(), 64).unwrap();
    let code = emit(&program).unwrap();
    for (inst, op) in code.insts.iter().zip(&code.inst_op) {
        let ctl = inst.queue().is_none();
        assert!(ctl || *op > 0, "{inst:?}");
    }
    let push = code
        .insts
        .iter()
        .position(|i| matches!(i, Inst::DmaPush(_)))
        .unwrap();
    let op = &code.ops[code.inst_op[push] as usize - 1];
    assert_eq!(
        (op.graph_node.as_str(), op.onnx[0].as_str()),
        ("%1 test", "node_test")
    );
    assert_eq!(
        op.tile_op,
        "dma1 push_all dst=all[core*64] src=x[0] bytes=64"
    );
    assert_eq!(code.insts.last(), Some(&CtlHalt {}.into()));
}

#[test]
fn more_values_than_registers() {
    let mut b = Build::new(1);
    let x = b.sram("x", 1 << 16);
    b.loop_to("i", Expr::Launch(0), 8, |b, i| {
        for k in 1..200 {
            b.op(copy_view(
                at(x, Expr::from(i) * (4 * k)),
                at(x, (Expr::Launch(1) + Expr::from(k)).div(3) * 64),
                8,
            ));
        }
    });
    let code = same(&b.placed()).unwrap();
    assert_eq!(code.registers, 63);
}

#[test]
fn too_deep_loops_and_unset_variables_are_errors() {
    let mut b = Build::new(1);
    let x = b.sram("x", 64);
    let v = b.var("v");
    b.op(copy_view(at(x, Expr::from(v)), at(x, 0), 8));
    let text = emit(&b.placed()).unwrap_err().to_string();
    assert_eq!(
        text,
        "entry `test`, at `vpu copy dst=x[v] a=x[0] n=[1, 1, 8] scale=1.0`: `v` uses a variable that is not set there"
    );
    let mut b = Build::new(1);
    let x = b.sram("x", 64);
    fn nest(b: &mut Build, depth: u32, x: crate::tile::BufferId) {
        match depth {
            0 => b.op(fill(x, 8)),
            _ => b.loop_to("i", Expr::Launch(0), 8, |b, _| nest(b, depth - 1, x)),
        }
    }
    nest(&mut b, 9, x);
    assert!(
        emit(&b.placed())
            .unwrap_err()
            .problem
            .contains("nest deeper than 8")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_are_emitted_faithfully(choices in prop::collection::vec(any::<u8>(), 4..160), cores in 1u32..4) {
        same(&random_program(&choices, cores)).map_err(TestCaseError::fail)?;
    }
}
