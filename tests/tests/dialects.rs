//! Every dialect of the same weights gives the same program: what each exporter wrote for one model, compiled with its own weights as they
//! are, against ONNX Runtime's logits, by prefill and by decode. Without the folder of [`llmc_tests::shared_models`] these tests pass without
//! checking anything, and say so.

use llmc_compiler::{CompileOptions, Stage};
use llmc_ir::{Graph, Op, ValueId};
use llmc_isa::Chip;
use llmc_tensor::{Tensor, compare, npy, npz};
use llmc_tests::{llmc, root, shared_models};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Largest error of a logit, as a part of the range of the expected logits.
const TOLERANCE: f64 = 1e-3;

/// What a file's logits are compared with.
#[derive(Clone, Copy)]
enum Expected {
    /// `expected.npz` beside it.
    Own,
    /// `expected.npz` of another dialect.
    Of(&'static str),
    /// `expected.npz` beside it by prefill, in which activations are quantised over the range of all tokens of the launch. By decode, where a launch
    /// is a token, the last tokens' logits in `tests/cases/token_by_token`: those of ONNX Runtime fed one token at a time. By prefill, logits may be
    /// off by `most`: where a zero point of the range of all tokens lies at a tie, the last bit of a sum moves the codes of all of them.
    Dynamic { tokens: &'static str, most: f64 },
    /// As `Own`, but this part of the logits may be off, by this much: they are rounded to codes themselves, and a sum that its order of additions
    /// puts on the other side of a tie is a step of a code from then on. ONNX Runtime's own prefill and decode differ so.
    Rounded { part: f64, most: f64 },
    /// The logits in `tests/cases/logits`, computed in numpy from the file's weights: ONNX Runtime cannot run the file.
    Stored(&'static str),
}

use Expected::{Dynamic, Of, Own, Rounded, Stored};

/// All files, by folder.
const FILES: &[(&str, Expected)] = &[
    ("llama-tiny/genai_cuda", Own),
    ("llama-tiny/genai_dml", Own),
    ("llama-tiny/genai_fp32", Own),
    ("llama-tiny/genai_int4", Own),
    ("llama-tiny/genai_qdq", Own),
    ("llama-tiny/mobius_cpu", Own),
    ("llama-tiny/mobius_default", Own),
    ("llama-tiny/mobius_onnx-standard", Own),
    ("llama-tiny/mobius_static-cache", Own),
    (
        "llama-tiny/ort_quantize_dynamic",
        Dynamic {
            tokens: "llama-tiny",
            most: TOLERANCE,
        },
    ),
    ("llama-tiny/torch_dyn_eager_18", Own),
    ("llama-tiny/torch_dyn_eager_23", Own),
    ("llama-tiny/torch_dyn_sdpa_18", Own),
    ("llama-tiny/torch_dyn_sdpa_23", Own),
    ("llama-tiny/torch_dyn_sdpa_24", Own),
    ("llama-tiny/torch_dyn_sdpa_None", Own),
    ("llama-tiny/torch_ts_eager", Own),
    ("llama-tiny/torch_ts_sdpa", Own),
    ("shakespeare/dynamo18", Own),
    ("shakespeare/dynamo23", Own),
    (
        "shakespeare/dynq8",
        Dynamic {
            tokens: "shakespeare",
            most: 2e-3,
        },
    ),
    ("shakespeare/genai-fp32", Own),
    ("shakespeare/genai-int4", Own),
    ("shakespeare/optimum", Own),
    (
        "shakespeare/qdq8",
        Rounded {
            part: 0.1,
            most: 5e-3,
        },
    ),
    ("stories260K/dynamo18", Own),
    ("stories260K/dynamo23", Own),
    (
        "stories260K/dynq8",
        Dynamic {
            tokens: "stories260K",
            most: 2e-2,
        },
    ),
    ("stories260K/genai-fp32", Of("stories260K/optimum")),
    ("stories260K/genai-int4", Stored("stories260K-int4")),
    ("stories260K/optimum", Own),
    ("stories260K/qdq8", Own),
    ("families/gemma2/dynamo23", Own),
    ("families/gemma2/optimum", Own),
    ("families/phi/dynamo18", Own),
    ("families/phi/optimum", Own),
    ("families/qwen2/dynamo18", Own),
    ("families/qwen2/dynamo23", Own),
    ("families/qwen2/optimum", Own),
    ("families/qwen2/genai-fp32", Own),
    ("families/qwen2/genai-int4", Own),
    ("deep/llama-2/genai-fp32", Own),
];

/// The float dialects of one model, which must become the same graph.
const FLOATS: &[&[&str]] = &[
    &[
        "llama-tiny/torch_ts_sdpa",
        "llama-tiny/torch_ts_eager",
        "llama-tiny/torch_dyn_eager_18",
        "llama-tiny/torch_dyn_eager_23",
        "llama-tiny/torch_dyn_sdpa_18",
        "llama-tiny/torch_dyn_sdpa_23",
        "llama-tiny/torch_dyn_sdpa_24",
        "llama-tiny/torch_dyn_sdpa_None",
        "llama-tiny/genai_fp32",
        "llama-tiny/mobius_cpu",
        "llama-tiny/mobius_default",
        "llama-tiny/mobius_onnx-standard",
        "llama-tiny/mobius_static-cache",
    ],
    &[
        "shakespeare/optimum",
        "shakespeare/dynamo18",
        "shakespeare/dynamo23",
        "shakespeare/genai-fp32",
    ],
    &[
        "stories260K/optimum",
        "stories260K/dynamo18",
        "stories260K/dynamo23",
        "stories260K/genai-fp32",
    ],
    &[
        "families/qwen2/optimum",
        "families/qwen2/dynamo18",
        "families/qwen2/dynamo23",
        "families/qwen2/genai-fp32",
    ],
    &["families/gemma2/optimum", "families/gemma2/dynamo23"],
    &["families/phi/optimum", "families/phi/dynamo18"],
    &[
        "deep/llama-2/optimum",
        "deep/llama-2/dynamo18",
        "deep/llama-2/genai-fp32",
    ],
    &[
        "deep/llama-80/optimum",
        "deep/llama-80/dynamo18",
        "deep/llama-80/genai-fp32",
    ],
];

/// Dialects whose products must be as many, whatever type their weights have.
const QUANTISED: &[&[&str]] = &[
    &[
        "llama-tiny/torch_ts_sdpa",
        "llama-tiny/genai_cuda",
        "llama-tiny/genai_dml",
        "llama-tiny/genai_int4",
        "llama-tiny/genai_qdq",
        "llama-tiny/ort_quantize_dynamic",
    ],
    &[
        "shakespeare/optimum",
        "shakespeare/genai-int4",
        "shakespeare/dynq8",
        "shakespeare/qdq8",
    ],
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The arrays `tokens` and `logits` of an NPZ file.
fn arrays(path: &Path) -> (Tensor, Tensor) {
    let all: BTreeMap<String, Tensor> = npz::read_npz(path).unwrap().into_iter().collect();
    (all["tokens"].clone(), all["logits"].clone())
}

/// The last rows of logits `[1, T, V]`.
fn last_rows(logits: &Tensor, rows: usize) -> Tensor {
    let [_, all, width] = logits.shape() else {
        panic!("{:?}", logits.shape())
    };
    let values = logits.to_f32_vec();
    let kept = values[(all - rows) * width..].to_vec();
    Tensor::from_vec(vec![1, rows, *width], kept).unwrap()
}

/// The arrays that a file's logits are compared with.
fn reference(models: &Path, file: &str, expected: Expected, via: &str) -> PathBuf {
    let beside = |file: &str| models.join(file).join("expected.npz");
    let stored = |folder: &str, name: &str| root().join(format!("tests/cases/{folder}/{name}.npz"));
    match expected {
        Dynamic { tokens, .. } if via == "decode" => stored("token_by_token", tokens),
        Own | Dynamic { .. } | Rounded { .. } => beside(file),
        Of(other) => beside(other),
        Stored(name) => stored("logits", name),
    }
}

/// Compiles a file and compares its logits by prefill and by decode; the errors relative to the range.
fn errors(models: &Path, file: &str, expected: Expected) -> Result<Vec<f64>, String> {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = |args: &[&str]| {
        let ran = llmc(args);
        match ran.code {
            0 => Ok(()),
            _ => Err(format!("llmc {}: {}", args.join(" "), ran.err)),
        }
    };
    let (model, binary) = (models.join(file).join("model.onnx"), path("m.llmc"));
    let (ids, found) = (path("ids.npy"), path("l.npy"));
    let context = ["--max-context", "128", "--chip", "edge", "--quant", "none"];
    run(&[
        &["compile", text(&model), "-o", text(&binary)][..],
        &context,
    ]
    .concat())?;
    let mut all = Vec::new();
    for via in ["prefill", "decode"] {
        let (tokens, logits) = arrays(&reference(models, file, expected, via));
        npy::write_npy(path("ids.npy"), &tokens).unwrap();
        let files = [
            "--tokens",
            text(&ids),
            "--logits",
            text(&found),
            "--via",
            via,
        ];
        run(&[&["eval", text(&binary)][..], &files].concat())?;
        let rows = last_rows(&npy::read_npy(&found).unwrap(), logits.shape()[1]);
        let error = compare(&rows, &logits, TOLERANCE).unwrap();
        all.push(error.relative_error());
        let off = error.mismatches as f64 / error.elements as f64;
        let fits = match expected {
            Rounded { part, most } => off <= part && error.relative_error() <= most,
            Dynamic { most, .. } if via == "prefill" => error.relative_error() <= most,
            Own | Of(_) | Dynamic { .. } | Stored(_) => error.is_match(),
        };
        if !fits {
            return Err(format!("via {via}, {off:.1e} of them: {error:?}"));
        }
    }
    Ok(all)
}

#[test]
fn every_file_gives_its_logits() {
    let Some(models) = shared_models() else {
        return;
    };
    let mut failed = String::new();
    for (file, expected) in FILES {
        match errors(&models, file, *expected) {
            Ok(errors) => {
                let shown: Vec<String> = errors.iter().map(|e| format!("{e:.1e}")).collect();
                eprintln!("{file:34} {}", shown.join("  "));
            }
            Err(reason) => writeln!(failed, "{file}: {reason}").unwrap(),
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

/// The fused graph of an entry, with its layers rolled or not.
fn fused(models: &Path, file: &str, entry: &str, roll: bool) -> Graph {
    let options = CompileOptions {
        max_context: Some(128),
        roll,
        ..CompileOptions::new(Chip::load("edge").unwrap())
    };
    let model = models.join(file).join("model.onnx");
    let texts = llmc_compiler::dump(&model, &options, Stage::Fused, Some(entry));
    let texts = texts.unwrap_or_else(|e| panic!("{file}: {e}"));
    llmc_ir::parse_graph(&texts[0].text).unwrap_or_else(|e| panic!("{file}: {e:?}"))
}

/// The graph as text without names, its nodes in the order in which the logits and the states ask for them. A constant is its type:
/// some exporters store equal constants once.
fn nameless(graph: &Graph) -> String {
    let mut numbers: BTreeMap<ValueId, usize> = BTreeMap::new();
    let mut out = String::new();
    let appends = graph
        .topological()
        .into_iter()
        .filter(|v| graph.op(*v).has_effect());
    let roots: Vec<ValueId> = graph
        .outputs
        .iter()
        .map(|(_, v)| *v)
        .chain(appends)
        .collect();
    for root in roots {
        number(graph, root, &mut numbers, &mut out);
    }
    out
}

fn number(
    graph: &Graph,
    id: ValueId,
    numbers: &mut BTreeMap<ValueId, usize>,
    out: &mut String,
) -> usize {
    if let Some(known) = numbers.get(&id) {
        return *known;
    }
    let mut operands = Vec::new();
    for operand in graph.operands(id) {
        operands.push(match graph.op(*operand) {
            Op::Const(_) => graph.ty(*operand).to_string(),
            _ => format!("%{}", number(graph, *operand, numbers, out)),
        });
    }
    let op = match graph.op(id) {
        Op::Append { state } => format!("append {:?}", graph.states()[state.index()].shape),
        // One exporter writes the scale, another its root twice.
        Op::Attention {
            heads,
            kv_heads,
            head_dim,
            scale,
            mask,
            softcap,
            ..
        } => format!(
            "attention {heads} {kv_heads} {head_dim} {:.5} {mask:?} {softcap:?}",
            scale.get()
        ),
        op => op.to_string(),
    };
    let index = numbers.len();
    writeln!(
        out,
        "%{index} : {} = {op} {}",
        graph.ty(id),
        operands.join(", ")
    )
    .unwrap();
    numbers.insert(id, index);
    index
}

#[test]
fn float_dialects_differ_only_in_names() {
    let Some(models) = shared_models() else {
        return;
    };
    for family in FLOATS {
        for entry in ["prefill", "decode"] {
            let wanted = nameless(&fused(&models, family[0], entry, true));
            for file in &family[1..] {
                let found = nameless(&fused(&models, file, entry, true));
                let at = wanted.lines().zip(found.lines()).find(|(a, b)| a != b);
                assert_eq!(
                    at, None,
                    "{file} {entry}: the first line unlike that of {}",
                    family[0]
                );
                assert_eq!(
                    wanted.lines().count(),
                    found.lines().count(),
                    "{file} {entry}"
                );
            }
        }
    }
}

/// Attention, norm, rope and matmul ops, whatever the type of their weights.
fn counts(graph: &Graph) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (_, node) in graph.iter() {
        let name = match &node.op {
            Op::MatMulDequantized { .. } => "matmul",
            op @ (Op::MatMul | Op::RmsNorm { .. } | Op::Rope { .. } | Op::Attention { .. }) => {
                op.name()
            }
            _ => continue,
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn quantised_dialects_have_the_same_ops() {
    let Some(models) = shared_models() else {
        return;
    };
    for family in QUANTISED {
        let wanted = counts(&fused(&models, family[0], "decode", false));
        for file in &family[1..] {
            assert_eq!(
                counts(&fused(&models, file, "decode", false)),
                wanted,
                "{file}"
            );
        }
    }
}
