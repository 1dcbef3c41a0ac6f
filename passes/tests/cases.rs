//! Start => goal cases: `tests/cases/<pass>/<name>.txt` holds a graph, a line `====`, and what the pass makes of it (or
//! its error). `LLMC_BLESS=1 cargo test -p llmc-passes` writes the second part anew.
//!
//! Comments of the start state what no blessing may change: `// must: rms_norm` and `// must not: rope attention` name
//! ops that the result has or has not. Where a pass keeps the meaning of a graph, both parts are also evaluated on
//! random inputs.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Random, assert_close};
use llmc_ir::eval::fresh_states;
use llmc_ir::{Bindings, Const, Graph, Module, Stage, eval_graph, parse_module, verify_module};
use llmc_passes::{
    BytesAndMacs, Quant, Sizes, dequantise, egraph, fold, last_row, promote_state, quantise, roll,
    shard, specialise, stored, tables, unpack, unstack,
};

const SEPARATOR: &str = "\n====\n";
const MAX_CONTEXT: usize = 16;

#[test]
fn fuse() {
    let rules = egraph::rules::all();
    let costs = BytesAndMacs::default();
    check("fuse", Stage::Specialised, true, &|module| {
        for graph in &mut module.entries {
            let (fused, _) =
                egraph::saturate(graph, &rules, &costs).map_err(|error| error.to_string())?;
            *graph = fused;
            graph.remove_unused_tables();
        }
        Ok(())
    });
}

#[test]
fn fold_constants() {
    check("fold", Stage::Specialised, true, &|module| {
        fold::fold(module)
            .map(drop)
            .map_err(|(entry, cause)| format!("{entry}: {cause}"))
    });
}

#[test]
fn unpack_products() {
    check("unpack", Stage::Specialised, true, &|module| {
        unpack::unpack(module)
            .map(drop)
            .map_err(|(entry, cause)| format!("{entry}: {cause}"))
    });
}

#[test]
fn unstack_products() {
    check("unstack", Stage::Specialised, true, &|module| {
        for graph in &mut module.entries {
            unstack::unstack(graph).map_err(|error| error.to_string())?;
        }
        Ok(())
    });
}

#[test]
fn promote() {
    check("promote_state", Stage::Specialised, false, &|module| {
        let mut each = module.entries.iter_mut();
        each.try_for_each(|graph| {
            promote_state::promote_state(graph, MAX_CONTEXT)
                .map(drop)
                .map_err(|cause| cause.to_string())
        })
    });
}

#[test]
fn sink_last_row() {
    check("last_row", Stage::Specialised, true, &|module| {
        let mut each = module.entries.iter_mut();
        each.try_for_each(|graph| {
            last_row::sink_last_row(graph)
                .map(drop)
                .map_err(|cause| cause.to_string())
        })
    });
}

#[test]
fn quantise_to_bf16() {
    check("quantise", Stage::Specialised, false, &|module| {
        quantise::quantise(module, Quant::Bf16)
            .map(drop)
            .map_err(|cause| cause.to_string())
    });
}

/// A pass over each graph of a module.
fn each(
    module: &mut Module,
    pass: fn(&mut Graph) -> Result<usize, llmc_passes::Cause>,
) -> Result<(), String> {
    let mut graphs = module.entries.iter_mut();
    graphs.try_for_each(|graph| pass(graph).map(drop).map_err(|cause| cause.to_string()))
}

#[test]
fn absorb_dequantised_weights() {
    check("dequantise", Stage::Specialised, true, &|module| {
        each(module, dequantise::absorb)
    });
}

#[test]
fn round_what_is_new() {
    // What is past is rounded in a run, but not where random numbers stand for it.
    check("rounded_caches", Stage::Imported, false, &|module| {
        each(module, stored::round_new_tokens)
    });
}

#[test]
fn store_what_is_rounded() {
    check("stored", Stage::Specialised, true, &|module| {
        each(module, stored::store_rounded)
    });
}

#[test]
fn narrow_tables_of_rotations() {
    check("tables", Stage::Specialised, true, &|module| {
        each(module, |graph| tables::narrow(graph, MAX_CONTEXT))
    });
}

#[test]
fn shard_over_two_cores() {
    check("shard", Stage::Sharded, true, &|module| {
        shard::shard(module, 2)
            .map(drop)
            .map_err(|(entry, cause)| format!("{entry}: {cause}"))
    });
}

#[test]
fn roll_layers() {
    check("roll", Stage::Specialised, true, &|module| {
        let mut each = module.entries.iter_mut();
        each.try_for_each(|graph| {
            *graph = with_bytes(graph);
            let (rolled, _) = roll::roll(graph).map_err(|cause| cause.to_string())?;
            *graph = rolled;
            Ok(())
        })
    });
}

#[test]
fn specialise_to_entries() {
    check("specialise", Stage::Specialised, false, &|module| {
        let sizes = Sizes {
            prefill: 8,
            max_context: MAX_CONTEXT,
        };
        *module =
            specialise::specialise(&module.entries[0], sizes).map_err(|cause| cause.to_string())?;
        Ok(())
    });
}

/// A pass; its error as text.
type Pass<'a> = &'a dyn Fn(&mut Module) -> Result<(), String>;

/// Runs a pass on every case of its folder.
fn check(folder: &str, stage: Stage, keeps_meaning: bool, pass: Pass) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("cases")
        .map(|entry| entry.expect("entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", folder.display());
    let failures: Vec<String> = paths
        .iter()
        .filter_map(|path| check_case(path, stage, keeps_meaning, pass).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check_case(path: &Path, stage: Stage, keeps_meaning: bool, pass: Pass) -> Result<(), String> {
    let at = path
        .strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .unwrap_or(path)
        .display();
    let text = std::fs::read_to_string(path).expect("readable");
    let (start, goal) = text.split_once(SEPARATOR).unwrap_or((text.trim_end(), ""));
    let before = parse_module(start).map_err(|errors| format!("{at}: {errors:?}"))?;
    verify_module(&before, Stage::Specialised)
        .map_err(|errors| format!("{at}: start: {errors:?}"))?;
    let mut after = before.clone();
    let have = match pass(&mut after) {
        Ok(()) => {
            verify_module(&after, stage)
                .map_err(|errors| format!("{at}: result: {errors:?}\n{after}"))?;
            check_ops(start, &after).map_err(|error| format!("{at}: {error}\n{after}"))?;
            if keeps_meaning {
                same_meaning(&at.to_string(), &before.entries[0], &after.entries[0]);
            }
            after.to_string()
        }
        Err(error) => format!("error: {error}\n"),
    };
    if std::env::var_os("LLMC_BLESS").is_some() {
        std::fs::write(path, format!("{}{SEPARATOR}{have}", start.trim_end())).expect("writable");
    } else if have != goal {
        return Err(format!(
            "{at} (LLMC_BLESS=1 accepts):\n--- expected\n{goal}--- found\n{have}"
        ));
    }
    Ok(())
}

/// Checks the `must` and `must not` comments.
fn check_ops(start: &str, module: &Module) -> Result<(), String> {
    let has = |name: &str| {
        module
            .entries
            .iter()
            .any(|graph| graph.iter().any(|(_, node)| node.op.name() == name))
    };
    for line in start.lines().map(str::trim) {
        let (words, wanted) = match (
            line.strip_prefix("// must not: "),
            line.strip_prefix("// must: "),
        ) {
            (Some(words), _) => (words, false),
            (_, Some(words)) => (words, true),
            _ => continue,
        };
        if let Some(word) = words.split_whitespace().find(|word| has(word) != wanted) {
            return Err(format!(
                "the result {} {word}",
                if wanted { "lacks" } else { "has" }
            ));
        }
    }
    Ok(())
}

/// Evaluates both graphs at several lengths.
fn same_meaning(at: &str, before: &Graph, after: &Graph) {
    let (before, after) = (&with_bytes(before), &with_bytes(after));
    assert_eq!(before.inputs().len(), after.inputs().len(), "{at}: inputs");
    for (seed, (seq, past)) in [(3, 0), (2, 4), (1, 5)].into_iter().enumerate() {
        let lengths = Bindings::new()
            .with("batch", 1)
            .with("seq", seq)
            .with("past", past);
        let mut random = Random::new(seed as u64 + 1);
        let inputs: BTreeMap<_, _> = before
            .inputs()
            .iter()
            .map(|(name, id)| (name.clone(), random.of_type(before.ty(*id), &lengths)))
            .collect();
        let run = |graph: &Graph| {
            let mut states =
                fresh_states(graph, &lengths).unwrap_or_else(|error| panic!("{at}: {error}"));
            states
                .values_mut()
                .for_each(|state| state.past = past as usize);
            eval_graph(graph, &lengths, &inputs, &mut states)
                .unwrap_or_else(|error| panic!("{at}: {error}"))
        };
        let (want, have) = (run(before), run(after));
        for (name, value) in &want {
            assert_close(
                &format!("{at}: {name} at seq {seq}, past {past}"),
                &have[name],
                value,
                1e-5,
            );
        }
    }
}

/// The graph with random numbers, by name, in place of constants whose bytes the text does not have.
fn with_bytes(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for constant in &mut graph.tables_mut().consts {
        if constant.tensor().is_none() && constant.turns().is_none() {
            let seed = constant
                .name()
                .bytes()
                .fold(7u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
            let tensor = Random::new(seed).tensor(constant.shape(), 1.0);
            *constant = Arc::new(Const::new(constant.name(), tensor));
        }
    }
    graph
}
