//! The checkers accept what `alloc` and `sync` make, and object to mutations of it.

use super::*;
use crate::sync::synchronise;
use crate::testing::*;
use crate::tile::*;
use llmc_isa::Queue::{Mxu, Vpu};
use proptest::prelude::*;

const SRAM: u64 = 1 << 20;
const DRAM: u64 = 1 << 20;

/// Two layers' worth of everything: streams of two engines, nested loops, an all-gather, state written and read back.
fn sample_program(cores: u32) -> Program {
    let mut b = Build::new(cores);
    let lanes = 16 * cores;
    let (w, past) = (
        b.weights("w", 4 * 1024),
        b.state("kv", u64::from(cores) * 64),
    );
    let output = b.output("y", u64::from(cores) * 64);
    let (x, part, all) = (
        b.sram("x_tile", 64),
        b.sram("part", 192),
        b.sram("all", u64::from(lanes) * 4),
    );
    let (sum, row) = (b.sram("sum", 64), b.sram("row", 64));
    let (pages, rows) = (b.ring("pages", Mxu, 1024), b.ring("rows", Vpu, 64));
    let mine = |buffer| at(buffer, Expr::Core * 64);
    b.op(fill(x, 16));
    b.loop_to("i", Expr::Launch(0).ceil_div(2), 4, |b, _| {
        b.loop_to("j", Expr::from(3), 3, |b, j| {
            let fill = load(page(pages, 0), at(w, Expr::from(j) * 1024), 1024);
            b.stream(
                pages,
                vec![fill],
                vec![matmul(
                    at(part, Expr::from(j) * 64),
                    at(x, 0),
                    page(pages, 0),
                    16,
                )],
            );
        });
        b.op(copy(sum, part, 16));
        b.op(all_gather(all, sum, 64));
        b.op(add(row, all, part, 16));
        b.op(store(mine(past), at(row, 0), 64));
        b.looped("k", 3, |b| {
            b.stream(
                rows,
                vec![load(page(rows, 0), at(w, 0), 64)],
                vec![copy_view(at(row, 0), page(rows, 0), 16)],
            );
        });
        b.op(load(at(x, 0), mine(past), 64));
        b.op(add(sum, row, x, 16));
        b.op(store(mine(output), at(sum, 0), 64));
    });
    b.placed()
}

fn checked(program: &Program) -> Result<(), CheckErrors> {
    alloc_check(program, SRAM, DRAM)?;
    schedule_check(program).map(|_| ())
}

fn synchronised(cores: u32) -> Program {
    let (program, _) = synchronise(&sample_program(cores), 64).unwrap();
    program
}

/// Applies `f` to each statement list, outermost first, until it has changed something.
fn edit(stmts: &mut Vec<Stmt>, f: &mut dyn FnMut(&mut Vec<Stmt>) -> bool) -> bool {
    f(stmts)
        || stmts.iter_mut().any(|stmt| match stmt {
            Stmt::Loop { body, .. } => edit(body, f),
            _ => false,
        })
}

/// All programs that result from editing at one place: `f` gets a list and a position, and says whether it applies.
fn mutants(program: &Program, f: impl Fn(&mut Vec<Stmt>, usize) -> bool) -> Vec<Program> {
    let mut out = Vec::new();
    for number in 0.. {
        let mut left = number;
        let mut mutant = program.clone();
        let mut exhausted = true;
        edit(&mut mutant.body, &mut |stmts| {
            for i in 0..stmts.len() {
                let mut copy = stmts.clone();
                if !f(&mut copy, i) {
                    continue;
                }
                if left == 0 {
                    *stmts = copy;
                    exhausted = false;
                    return true;
                }
                left -= 1;
            }
            false
        });
        if exhausted {
            return out;
        }
        out.push(mutant);
    }
    out
}

fn without_semaphore(stmts: &mut Vec<Stmt>, gone: SemId) {
    stmts.retain_mut(|stmt| match stmt {
        Stmt::Wait { sem, .. } | Stmt::Post { sem, .. } => *sem != gone,
        Stmt::Loop { body, .. } => {
            without_semaphore(body, gone);
            true
        }
        _ => true,
    });
}

#[test]
fn accepts_what_sync_makes() {
    for cores in [1, 2, 3, 5] {
        let program = synchronised(cores);
        checked(&program).unwrap_or_else(|e| panic!("{cores} cores: {e}\n{program}"));
    }
}

#[test]
fn the_unsynchronised_program_races() {
    let program = synchronised(2);
    let mut bare = program.clone();
    for sem in 0..64 {
        without_semaphore(&mut bare.body, SemId(sem));
    }
    let errors = checked(&bare).unwrap_err();
    assert!(
        errors
            .errors
            .iter()
            .any(|e| matches!(e, CheckError::Race { .. })),
        "{errors}"
    );
}

#[test]
fn objects_to_every_dropped_wait_and_post() {
    let program = synchronised(2);
    let mutants = mutants(&program, |stmts, i| match stmts[i] {
        Stmt::Wait { .. } | Stmt::Post { .. } => {
            stmts.remove(i);
            true
        }
        _ => false,
    });
    assert!(mutants.len() > 30);
    for mutant in mutants {
        assert!(checked(&mutant).is_err(), "{mutant}");
    }
}

/// Semaphores of the sample program that the others imply, each by way of rings in inner loops, which `sync` does not look into:
/// `x_tile` from the fill before the loop to `dma0` and to `mxu`, each because of the other; and `vpu` to `mxu` of the next turn.
const IMPLIED: [u8; 3] = [4, 5, 11];

#[test]
fn objects_to_every_dropped_semaphore() {
    // Waits and posts together, so that nothing is left over or missing: only the race remains.
    let (program, stats) = synchronise(&sample_program(2), 64).unwrap();
    let mut redundant = Vec::new();
    for sem in (0..stats.semaphores).map(|s| SemId(s as u8)) {
        let mut mutant = program.clone();
        without_semaphore(&mut mutant.body, sem);
        match checked(&mutant) {
            Err(e) => assert!(
                e.errors
                    .iter()
                    .any(|e| matches!(e, CheckError::Race { .. } | CheckError::Mixed { .. })),
                "{e}"
            ),
            Ok(()) => redundant.push(sem.0),
        }
    }
    assert_eq!(redundant, IMPLIED, "{program}");
}

#[test]
fn objects_to_every_op_moved_before_its_wait() {
    let program = synchronised(2);
    let mutants = mutants(&program, |stmts, i| {
        let queue = |stmt: Option<&Stmt>| match stmt {
            Some(Stmt::Op(op)) => Some(op.queue),
            _ => None,
        };
        match stmts[i] {
            Stmt::Wait { queue: q, sem, .. }
                if queue(stmts.get(i + 1)) == Some(q) && !IMPLIED.contains(&sem.0) =>
            {
                stmts.swap(i, i + 1);
                true
            }
            _ => false,
        }
    });
    assert!(mutants.len() > 8);
    for mutant in mutants {
        assert!(checked(&mutant).is_err(), "{mutant}");
    }
}

#[test]
fn objects_to_every_address_moved_onto_another() {
    let program = synchronised(2);
    for (a, b) in [
        ("part", "x_tile"),
        ("part", "sum"),
        ("part", "all"),
        ("all", "sum"),
        ("x_tile", "row"),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            let mut mutant = program.clone();
            let index = |name| program.buffers.iter().position(|b| b.name == name).unwrap();
            mutant.buffers[index(a)].addr = program.buffers[index(b)].addr;
            assert!(
                alloc_check(&mutant, SRAM, DRAM).is_err(),
                "alloc_check: {a} onto {b}"
            );
            assert!(
                schedule_check(&mutant).is_err(),
                "schedule_check: {a} onto {b}"
            );
        }
    }
    for i in 0..program.buffers.len() {
        for (addr, sram) in [
            (program.buffers[i].addr.map(|x| x + 8), SRAM),
            (Some(SRAM - 32), SRAM),
            (None, SRAM),
        ] {
            let mut mutant = program.clone();
            mutant.buffers[i].addr = addr;
            assert!(alloc_check(&mutant, sram, sram).is_err(), "{addr:?}");
        }
    }
    let mut mutant = program.clone();
    mutant.rings[0].addr = program.buffers[4].addr;
    assert!(alloc_check(&mutant, SRAM, DRAM).is_err());
}

#[test]
fn messages_name_both_ops_cores_and_bytes() {
    let program = synchronised(2);
    let mut mutant = program.clone();
    without_semaphore(&mut mutant.body, program.rings[0].sems.unwrap().1);
    let text = checked(&mutant).unwrap_err().to_string();
    for part in [
        "entry `test` is not safe",
        "race on SRAM of core 0",
        "(`pages`)",
        "of core 0 (%1 test)",
        "tokens = 1, past = 0",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let mut mutant = program.clone();
    let Stmt::Post { n, .. } = &mut mutant.body[0] else {
        panic!("credits come first")
    };
    *n = 1;
    let text = checked(&mutant).unwrap_err().to_string();
    assert!(
        text.contains("deadlock") && text.contains("core 1: dma0 waits for 2 of semaphore"),
        "{text}"
    );
}

#[test]
fn reads_of_unwritten_sram_and_out_of_bounds() {
    let mut b = Build::new(1);
    let (x, y) = (b.sram("x", 64), b.sram("y", 64));
    b.op(fill(x, 8));
    b.op(copy(y, x, 16));
    let text = schedule_check(&b.placed()).unwrap_err().to_string();
    assert!(
        text.contains("reads SRAM of core 0 0x20..0x40 (`x`), which nobody has written"),
        "{text}"
    );
    let mut b = Build::new(1);
    let x = b.sram("x", 32);
    b.op(fill(x, 16));
    let text = schedule_check(&b.placed()).unwrap_err().to_string();
    assert!(
        text.contains("touches SRAM of core 0 0x0..0x40 (`x`), outside of it (32 bytes)"),
        "{text}"
    );
}

#[test]
fn cut_loops_find_the_same() {
    let mut b = Build::new(2);
    let (w, ring) = (b.weights("w", 64 * 1024), b.ring("pages", Mxu, 1024));
    let (x, y, z) = (b.sram("x", 64), b.sram("y", 64 * 64), b.sram("z", 64 * 64));
    b.op(fill(x, 16));
    b.loop_to("j", Expr::from(64), 64, |b, j| {
        let load = load(page(ring, 0), at(w, Expr::from(j) * 1024), 1024);
        b.stream(
            ring,
            vec![load],
            vec![matmul(
                at(y, Expr::from(j) * 64),
                at(x, 0),
                page(ring, 0),
                16,
            )],
        );
    });
    b.op(copy(z, y, 64 * 16));
    let (program, _) = synchronise(&b.placed(), 64).unwrap();
    let proof = schedule_check_within(&program, 1).unwrap();
    assert!(
        proof
            .samples
            .iter()
            .all(|(_, done)| done.cut && done.steps < 200)
    );
    let mutants = mutants(&program, |stmts, i| {
        matches!(stmts[i], Stmt::Wait { .. }) && {
            stmts.remove(i);
            true
        }
    });
    for mutant in mutants {
        assert!(schedule_check_within(&mutant, 1).is_err());
    }
}

#[test]
fn turns_left_out_must_take_what_they_post() {
    let mut b = Build::new(1);
    let (w, x) = (b.weights("w", 64 * 64), b.sram("x", 64));
    b.loop_to("layer", Expr::from(64), 64, |b, layer| {
        b.op(load(at(x, 0), at(w, Expr::from(layer) * 64), 64));
    });
    let (program, _) = synchronise(&b.placed(), 64).unwrap();
    let done = schedule_check(&program).unwrap().samples[0].1;
    assert!(done.cut && done.steps < 64);
    // Enough tokens for the turns that are run, and for no other.
    let (queue, sem) = (Vpu, SemId(63));
    let mut short = program.clone();
    edit(&mut short.body, &mut |stmts| {
        let at = stmts.iter().position(|s| matches!(s, Stmt::Loop { .. }));
        if let Some(Stmt::Loop { body, .. }) = at.and_then(|i| stmts.get_mut(i)) {
            body.insert(0, Stmt::Wait { queue, sem, n: 1 });
        }
        let post = Stmt::Post {
            queue,
            sem,
            n: TURNS_ALIKE as u32 + 1,
            all_cores: false,
        };
        stmts.insert(0, post);
        true
    });
    let error = schedule_check(&short).unwrap_err().to_string();
    assert!(
        error.contains("each turn of a loop changes semaphore 63 by -1"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_are_safe_once_synchronised(choices in prop::collection::vec(any::<u8>(), 4..160), cores in 1u32..4) {
        let program = random_program(&choices, cores);
        let (program, _) = synchronise(&program, 128).map_err(|e| TestCaseError::fail(e.to_string()))?;
        for budget in [STEP_BUDGET, 1] {
            if let Err(e) = alloc_check(&program, SRAM, DRAM).and_then(|()| schedule_check_within(&program, budget).map(|_| ())) {
                return Err(TestCaseError::fail(format!("{e}\n{program}")));
            }
        }
    }
}
