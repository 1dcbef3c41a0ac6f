//! Lowering, case by case: each file under `cases/lower` has its parameters and graph, then `----`, then the tile program
//! or the error. `LLMC_BLESS=1` writes what is found. Each program is also walked on all cores, to see that it stays in
//! its buffers and writes every output and state byte exactly once.

use std::collections::BTreeMap;
use std::path::Path;

use llmc_compiler::tile::*;

const CUT: &str = "----\n";

/// The number after `key=` in the comment lines.
fn option(text: &str, key: &str) -> u32 {
    let words = text
        .lines()
        .filter(|l| l.starts_with("//"))
        .flat_map(str::split_whitespace);
    let mut values = words.filter_map(|w| w.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
    values
        .next()
        .unwrap_or_else(|| panic!("no `{key}=` in the case"))
}

fn run(path: &Path, input: &str) -> String {
    let params = TileParams {
        mt: option(input, "mt"),
        weight_page: option(input, "weight_page"),
        panels: option(input, "panels"),
        kv_block: option(input, "kv_block"),
    };
    let graph = llmc_ir::parse_graph(input).unwrap_or_else(|e| panic!("{}: {e:?}", path.display()));
    let mut weights = WeightPlan::default();
    match lower(&graph, option(input, "cores"), &params, &mut weights) {
        Err(e) => format!("{e}\n"),
        Ok(program) => {
            let text = program.to_string();
            let back: Program = text
                .parse()
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(back, program, "{}", path.display());
            for buffer in &program.buffers {
                if let Space::Weights(name) = &buffer.space {
                    assert_eq!(weights.item(name).map(|i| i.bytes), Some(buffer.bytes));
                }
            }
            walk(&program);
            text
        }
    }
}

#[test]
fn cases() {
    let bless = std::env::var_os("LLMC_BLESS").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/lower");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    paths.sort();
    let mut failed = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        let (input, expected) = text.split_once(CUT).unwrap_or((&text, ""));
        let found = run(path, input);
        if bless && found != expected {
            std::fs::write(path, format!("{input}{CUT}{found}")).unwrap();
        } else if found != expected {
            failed.push(format!("{}: found\n{found}", path.display()));
        }
    }
    assert!(
        failed.is_empty(),
        "{}\n(LLMC_BLESS=1 accepts)",
        failed.join("\n")
    );
}

/// One core at one point of a walk.
struct Core {
    id: i64,
    launch: [i64; 2],
    vars: BTreeMap<VarId, i64>,
}

impl Scope for Core {
    fn core(&self) -> i64 {
        self.id
    }
    fn launch(&self, index: u16) -> i64 {
        self.launch[usize::from(index)]
    }
    fn var(&self, var: VarId) -> i64 {
        *self
            .vars
            .get(&var)
            .expect("a variable is read before it is set")
    }
}

/// Times each byte of a buffer was written.
type Writes = BTreeMap<BufferId, Vec<u8>>;

/// Runs the control part for launches of all sizes on all cores.
fn walk(program: &Program) {
    for tokens in 1..=program.launch[0].max as i64 {
        for past in [0, 3, program.launch[1].max as i64] {
            let mut writes = Writes::new();
            for id in 0..i64::from(program.cores) {
                let mut core = Core {
                    id,
                    launch: [tokens, past],
                    vars: BTreeMap::new(),
                };
                block(program, &program.body, &mut core, &mut writes);
            }
            // A host does not launch past the capacity; if it does, nothing may leave its buffer all the same.
            let has_state = program
                .buffers
                .iter()
                .any(|b| matches!(b.space, Space::State(_)));
            if has_state && past + tokens > program.launch[1].max as i64 + 1 {
                continue;
            }
            for (i, buffer) in program.buffers.iter().enumerate() {
                let Some(counts) = writes.get(&BufferId(i as u32)) else {
                    continue;
                };
                check_writes(program, buffer, counts, tokens, past);
            }
        }
    }
}

/// Outputs are written up to the last token's row; states in the new positions only.
fn check_writes(program: &Program, buffer: &Buffer, counts: &[u8], tokens: i64, past: i64) {
    let bytes = buffer.bytes as usize;
    match &buffer.space {
        Space::Output(_) => {
            let rows = program.launch[0].max as usize;
            let per_row = program.name == "score";
            let valid = if per_row {
                bytes / rows * tokens as usize
            } else {
                bytes
            };
            let expected = (0..bytes).map(|i| u8::from(i < valid));
            assert!(
                expected.eq(counts.iter().copied()),
                "{} {tokens} {past}",
                buffer.name
            );
        }
        Space::State(_) => {
            let capacity = program.launch[1].max as usize + 1;
            let positions = past as usize..(past + tokens) as usize;
            let per_position = counts.len() / 2 / capacity;
            let expected =
                (0..bytes).map(|i| u8::from(positions.contains(&(i / per_position % capacity))));
            assert!(
                expected.eq(counts.iter().copied()),
                "{} {tokens} {past}",
                buffer.name
            );
        }
        Space::Sram | Space::Weights(_) | Space::Input(_) | Space::Scratch => {}
    }
}

fn block(program: &Program, body: &[Stmt], core: &mut Core, writes: &mut Writes) {
    for stmt in body {
        match stmt {
            Stmt::Loop {
                var,
                trip,
                max_trip,
                body,
            } => {
                let trip = trip.eval(core);
                assert!(
                    trip <= *max_trip as i64,
                    "{trip} turns, at most {max_trip} expected"
                );
                for i in 0..trip {
                    core.vars.insert(*var, i);
                    block(program, body, core, writes);
                }
                core.vars.remove(var);
            }
            Stmt::Let { var, value } => drop(core.vars.insert(*var, value.eval(core))),
            Stmt::Op(op) => access(program, op, core, writes),
            Stmt::Stream {
                ring: _,
                fill,
                consume,
            } => {
                fill.iter()
                    .chain(consume)
                    .for_each(|op| access(program, op, core, writes));
            }
            Stmt::Barrier => panic!("only function programs have barriers"),
            Stmt::Wait { .. } | Stmt::Post { .. } | Stmt::Advance(_) => {
                panic!("not synchronised yet")
            }
        }
    }
}

fn access(program: &Program, op: &Op, core: &Core, writes: &mut Writes) {
    let accesses = op.accesses();
    let value = |e: &Extent| e.effective(|c| c.eval(core)) as usize;
    if accesses.guards.iter().any(|g| value(g) == 0) {
        return;
    }
    for region in &accesses.regions {
        let size = match region.view.place {
            Place::Buffer(b) => program.buffers[b.index()].bytes,
            Place::Page(r) => program.rings[r.index()].page,
        } as usize;
        let first = usize::try_from(region.view.offset.eval(core)).expect("a negative offset");
        let [n0, n1, n2] = [0, 1, 2].map(|i| value(&region.dims[i].1));
        let [s0, s1, s2] = [0, 1, 2].map(|i| region.dims[i].0 as usize);
        let bytes = value(&region.bytes);
        let end = first + (n0 - 1) * s0 + (n1 - 1) * s1 + (n2 - 1) * s2 + bytes;
        assert!(
            end <= size,
            "core {} {:?}: {} leaves its buffer: {end} > {size}",
            core.id,
            core.launch,
            op.text(program)
        );
        let (Place::Buffer(b), Mode::Write) = (region.view.place, region.mode) else {
            continue;
        };
        let counts = writes.entry(b).or_insert_with(|| vec![0; size]);
        for (i0, i1, i2) in
            (0..n0).flat_map(|a| (0..n1).flat_map(move |b| (0..n2).map(move |c| (a, b, c))))
        {
            let at = first + i0 * s0 + i1 * s1 + i2 * s2;
            counts[at..at + bytes]
                .iter_mut()
                .for_each(|c| *c = c.saturating_add(1));
        }
    }
}
