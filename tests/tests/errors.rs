//! What the command line says when something is wrong: the exit code, the message, and that nothing is left half-written.

use llmc_isa::container::Binary;
use llmc_isa::{Inst, WORD_BYTES, asm, encode};
use llmc_tensor::{Tensor, npy};
use llmc_tests::{llmc, onnx::externalise, shakespeare};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Fails unless the command ends with `code` and says all of `says`; returns standard error.
fn fails(code: u8, args: &[&str], says: &[&str]) -> String {
    let ran = llmc(args);
    assert_eq!(ran.code, code, "llmc {args:?}\n{}{}", ran.out, ran.err);
    assert!(ran.out.is_empty() || code == 2, "{}", ran.out);
    for part in says {
        assert!(
            ran.err.contains(part),
            "llmc {args:?} does not say `{part}`:\n{}",
            ran.err
        );
    }
    ran.err
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn model() -> PathBuf {
    shakespeare().join("model.onnx")
}

/// The example, compiled once for all tests of this file.
fn compiled() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join("example.llmc");
        let ran = llmc([
            "compile",
            text(&model()),
            "-o",
            text(&out),
            "--max-context",
            "128",
            "--prefill",
            "16",
        ]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(names(folder.path()), ["example.llmc"]);
        folder
    });
    folder.path().join("example.llmc")
}

fn tokens(folder: &Path, ids: &[i64]) -> PathBuf {
    let path = folder.join("ids.npy");
    npy::write_npy(&path, &Tensor::from_slice([1, ids.len()], ids).unwrap()).unwrap();
    path
}

#[test]
fn wrong_usage_is_2() {
    fails(2, &[], &["Usage"]);
    fails(2, &["frobnicate"], &["frobnicate"]);
    fails(2, &["compile"], &["MODEL"]);
    fails(
        2,
        &["compile", "a.onnx", "-o", "b", "--quant", "w3a3"],
        &["w3a3"],
    );
    fails(
        2,
        &["generate", "a.llmc", "--prompt", "x", "--temperature=-1"],
        &["--temperature"],
    );
    fails(
        2,
        &["generate", "a.llmc", "--prompt", "x", "--top-p", "1.5"],
        &["--top-p"],
    );
    fails(
        2,
        &["generate", "a.llmc", "--prompt", "x", "--max-tokens", "0"],
        &["--max-tokens"],
    );
    fails(2, &["eval", "a.llmc"], &["--tokens"]);
    fails(
        2,
        &["dump", text(&model()), "--stage", "nonsense"],
        &["nonsense"],
    );
}

#[test]
fn help_is_0_and_on_standard_output() {
    for args in [
        vec!["--help"],
        vec!["compile", "--help"],
        vec!["generate", "--help"],
        vec!["chip", "--help"],
    ] {
        let ran = llmc(&args);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("Usage"), "{}", ran.out);
        assert!(ran.err.is_empty());
    }
}

#[test]
fn missing_files() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.llmc");
    fails(
        1,
        &["compile", "/nowhere/model.onnx", "-o", text(&out)],
        &["error: ", "/nowhere/model.onnx"],
    );
    fails(
        1,
        &["generate", "/nowhere/model.onnx", "--prompt", "x"],
        &["/nowhere/model.onnx"],
    );
    fails(
        1,
        &["generate", "/nowhere/model.llmc", "--prompt", "x"],
        &["/nowhere/model.llmc"],
    );
    fails(
        1,
        &["inspect", "/nowhere/model.llmc"],
        &["/nowhere/model.llmc"],
    );
    fails(
        1,
        &["eval", text(&compiled()), "--tokens", "/nowhere/ids.npy"],
        &["/nowhere/ids.npy"],
    );
    fails(
        1,
        &["eval", text(&compiled()), "--text", "/nowhere/text"],
        &["/nowhere/text"],
    );
    fails(
        1,
        &["compile", text(&model()), "-o", "/nowhere/out.llmc"],
        &["/nowhere/out.llmc"],
    );
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_damaged_model() {
    let folder = TempDir::new().unwrap();
    let (cut, out) = (
        folder.path().join("cut.onnx"),
        folder.path().join("out.llmc"),
    );
    let whole = fs::read(model()).unwrap();
    for length in [0, 1, 1000, whole.len() / 2, whole.len() - 1] {
        fs::write(&cut, &whole[..length]).unwrap();
        fails(
            1,
            &["compile", text(&cut), "-o", text(&out)],
            &["error: ", "cut.onnx"],
        );
    }
    fs::write(&cut, b"this is no model at all, it is a line of text").unwrap();
    fails(
        1,
        &["compile", text(&cut), "-o", text(&out)],
        &["error: ", "cut.onnx"],
    );
    assert_eq!(names(folder.path()), ["cut.onnx"]);
}

#[test]
fn missing_external_data() {
    let folder = TempDir::new().unwrap();
    let (path, out) = (
        folder.path().join("model.onnx"),
        folder.path().join("out.llmc"),
    );
    let (model, data) = externalise(&fs::read(model()).unwrap(), "weights.bin");
    fs::write(&path, model).unwrap();
    fails(
        1,
        &["compile", text(&path), "-o", text(&out)],
        &["weights.bin"],
    );
    // A data file that ends too early is missing data as well.
    fs::write(folder.path().join("weights.bin"), &data[..data.len() / 2]).unwrap();
    fails(
        1,
        &["compile", text(&path), "-o", text(&out)],
        &["weights.bin"],
    );
    assert_eq!(names(folder.path()), ["model.onnx", "weights.bin"]);
}

#[test]
fn unknown_chips() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.llmc");
    fails(
        1,
        &[
            "compile",
            text(&model()),
            "-o",
            text(&out),
            "--chip",
            "potato",
        ],
        &["potato", "edge", "ideal"],
    );
    fails(1, &["chip", "show", "potato"], &["potato"]);
    fails(
        1,
        &["chip", "check", "/nowhere/chip.toml"],
        &["/nowhere/chip.toml"],
    );
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, "name = 3\n").unwrap();
    fails(1, &["chip", "check", text(&broken)], &["broken.toml"]);
    fails(
        1,
        &[
            "compile",
            text(&model()),
            "-o",
            text(&out),
            "--chip",
            text(&broken),
        ],
        &["broken.toml"],
    );
    assert_eq!(names(folder.path()), ["broken.toml"]);
}

#[test]
fn wrong_tokens() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("logits.npy");
    let binary = compiled();
    let eval = |path: &Path, says: &[&str]| {
        fails(
            1,
            &[
                "eval",
                text(&binary),
                "--tokens",
                text(path),
                "--logits",
                text(&out),
            ],
            says,
        );
    };
    eval(
        &tokens(folder.path(), &[0, 5, 1024]),
        &["1024", "position 2"],
    );
    eval(&tokens(folder.path(), &[0, -1]), &["-1", "position 1"]);
    eval(&tokens(folder.path(), &[]), &["no tokens"]);

    let path = folder.path().join("ids.npy");
    npy::write_npy(&path, &Tensor::from_slice([1, 2], &[0.0f32, 1.0]).unwrap()).unwrap();
    eval(&path, &["int64"]);
    fs::write(&path, b"not numpy").unwrap();
    eval(&path, &["ids.npy"]);
    assert_eq!(names(folder.path()), ["ids.npy"]);
}

#[test]
fn too_long_for_the_context() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("logits.npy");
    let binary = compiled();
    let path = tokens(folder.path(), &[7; 129]);
    for via in ["prefill", "decode"] {
        let args = [
            "eval",
            text(&binary),
            "--tokens",
            text(&path),
            "--logits",
            text(&out),
            "--via",
            via,
        ];
        fails(1, &args, &["129", "128"]);
    }
    fails(
        1,
        &["generate", text(&binary), "--prompt", &"and ".repeat(200)],
        &["context", "128"],
    );
    fails(
        1,
        &[
            "generate",
            text(&binary),
            "--prompt",
            "ROMEO:",
            "--max-tokens",
            "127",
        ],
        &["--max-tokens 126"],
    );
    fails(
        1,
        &[
            "eval",
            text(&binary),
            "--tokens",
            text(&path),
            "--chunk",
            "17",
        ],
        &["17", "16"],
    );
    assert_eq!(names(folder.path()), ["ids.npy"]);
}

#[test]
fn damaged_binaries() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bad.llmc");
    let whole = fs::read(compiled()).unwrap();
    for length in [0, 3, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        fails(1, &["inspect", text(&path)], &["bad.llmc"]);
        fails(
            1,
            &["generate", text(&path), "--prompt", "x"],
            &["bad.llmc"],
        );
    }
    fails(
        1,
        &["inspect", text(&shakespeare().join("config.json"))],
        &["not a compiled program"],
    );
    fails(
        1,
        &["disasm", text(&compiled()), "--entry", "nonsense"],
        &["nonsense", "decode"],
    );

    let source = folder.path().join("bad.s");
    fs::write(
        &source,
        ".entry main\nctl.halt\nctl.frobnicate rd=r1\nctl.li rd=r99\n",
    )
    .unwrap();
    let err = fails(
        1,
        &["asm", text(&source), "-o", text(&folder.path().join("out"))],
        &["bad.s:3:", "bad.s:4:"],
    );
    assert!(err.contains("ctl.frobnicate"), "{err}");
    assert_eq!(names(folder.path()), ["bad.llmc", "bad.s"]);
}

#[test]
fn a_tile_that_does_not_fit() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.llmc");
    let model = model();
    let args = [
        "compile",
        text(&model),
        "-o",
        text(&out),
        "--chip",
        "edge",
        "--set",
        "core.sram_kib=4",
    ];
    let err = fails(1, &args, &["error: "]);
    assert!(
        err.contains("bytes") || err.contains("KiB"),
        "says how much is missing:\n{err}"
    );
    assert!(names(folder.path()).is_empty());
}

/// A copy of the example in which `change` has been applied to the file.
fn changed(folder: &Path, change: impl Fn(&Binary, &mut [u8])) -> PathBuf {
    let binary = Binary::read(&compiled()).unwrap();
    let mut bytes = fs::read(compiled()).unwrap();
    change(&binary, &mut bytes);
    let path = folder.join("changed.llmc");
    fs::write(&path, bytes).unwrap();
    path
}

/// Where `part` begins in `bytes`.
fn find(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows.position(|w| w == part).unwrap()
}

/// One bit of the weights is enough; without values nobody looks.
#[test]
fn damaged_weights() {
    let folder = TempDir::new().unwrap();
    let path = changed(folder.path(), |binary, bytes| {
        let weights = binary.weights();
        let at = find(bytes, &weights[..4096]);
        bytes[at + weights.len() / 2] ^= 4;
    });
    let ids = tokens(folder.path(), &[0, 5]);
    let out = folder.path().join("logits.npy");
    let args = [
        "eval",
        text(&path),
        "--tokens",
        text(&ids),
        "--logits",
        text(&out),
    ];
    fails(
        1,
        &args,
        &["the weights are damaged", "BLAKE3", "changed.llmc"],
    );
    let timing = ["run", text(&path), "--entry", "decode", "--mode", "timing"];
    let ran = llmc([&timing[..], &["--launch", "past=3"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
}

/// The first load into a ring is left out: the fault names the buffer, the tile op and the ONNX node of the one that reads.
#[test]
fn a_fault_of_a_compiled_program_names_its_source() {
    let folder = TempDir::new().unwrap();
    let path = changed(folder.path(), |binary, bytes| {
        let entry = binary.manifest().entry("decode").unwrap();
        let code = binary.entry_code(entry);
        let rings = &binary.debug().buffers;
        let loads_ring = |inst: &Inst| match inst {
            Inst::DmaLoad(i) => {
                let at = u64::from(i.dst.off);
                rings.iter().any(|b| b.page > 0 && b.sram && b.addr == at)
            }
            _ => false,
        };
        let first = code.iter().position(loads_ring).unwrap();
        let words: Vec<u8> = binary
            .code()
            .iter()
            .flat_map(|i| encode(i).unwrap())
            .collect();
        let at = find(bytes, &words) + (entry.code_offset as usize + first) * WORD_BYTES;
        let nothing = asm::parse_inst("ctl.add rd=r0, ra=r0, rb=r0").unwrap();
        bytes[at..][..WORD_BYTES].copy_from_slice(&encode(&nothing).unwrap());
    });
    let ids = tokens(folder.path(), &[0]);
    let out = folder.path().join("logits.npy");
    let says = [
        "read of uninitialised memory: operand",
        "SRAM of core 0",
        "from tile op `",
        "graph node `",
        "ONNX `",
        "touching ring `",
        ", page 0, byte 0x0",
        "in entry `decode`",
    ];
    let args = [
        "eval",
        text(&path),
        "--tokens",
        text(&ids),
        "--logits",
        text(&out),
        "--via",
        "decode",
    ];
    let err = fails(1, &args, &says);
    eprintln!("{err}");
}
