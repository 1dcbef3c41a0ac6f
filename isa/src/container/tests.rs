use super::*;
use crate::Chip;
use crate::asm::assemble;
use crate::inst::WORD_BYTES;
use std::path::Path;

fn tensor(name: &str, dtype: &str, dims: &[u64], dram_addr: u64) -> IoTensor {
    let bytes = dims.iter().product::<u64>() * dtype_bytes(dtype).unwrap();
    IoTensor {
        name: name.into(),
        dtype: dtype.into(),
        dims: dims.to_vec(),
        dram_addr,
        bytes,
        model_dtype: String::new(),
    }
}

/// A small program with two entries and 5000 bytes of weights.
fn builder() -> BinaryBuilder {
    let text = ".entry prefill\n ctl.launch rd=r1\n dma.load queue=dma0, n0=1, n1=1, n2=1, bytes=64\n ctl.halt\n.entry decode\n ctl.halt\n";
    let program = assemble(text).unwrap();
    let mut entries = Vec::new();
    let mut code = Vec::new();
    for (name, insts) in program.entries {
        entries.push(Entry {
            name,
            code_offset: code.len() as u64,
            code_len: insts.len() as u64,
            launch: vec![LaunchRegister {
                name: "tokens".into(),
                max: 16,
            }],
            inputs: vec![tensor("input_ids", "i64", &[1, 16], 8192)],
            outputs: vec![tensor("logits", "f32", &[1, 32], 8320)],
        });
        code.extend(insts);
    }
    let state = tensor("k.0", "f32", &[1, 2, 64, 4], 8448);
    let state = StateTensor {
        name: state.name,
        dtype: state.dtype,
        dims: state.dims,
        dram_addr: state.dram_addr,
        bytes: state.bytes,
    };
    let op = DebugOp {
        tile_op: "load w".into(),
        graph_node: "%3".into(),
        onnx: vec!["/model/MatMul".into()],
    };
    BinaryBuilder {
        manifest: Manifest {
            compiler_version: "test".into(),
            dram_bytes: 16384,
            entries,
            states: vec![state],
            model: ModelInfo {
                vocab: 32,
                max_context: 64,
                prefill: 16,
                bos: Some(1),
                eos: vec![2],
            },
            ..Manifest::default()
        },
        debug: DebugMap {
            ops: vec![op],
            inst_op: vec![0, 1],
            buffers: Vec::new(),
        },
        chip: Chip::load("edge").unwrap(),
        code,
        tokenizer: b"{}".to_vec(),
    }
}

fn weights() -> Vec<u8> {
    (0..5000_u32).map(|i| (i * 7) as u8).collect()
}

fn bytes_of(builder: &BinaryBuilder) -> Vec<u8> {
    builder.to_bytes(&mut weights().as_slice()).unwrap()
}

#[test]
fn what_was_written_is_read() {
    let builder = builder();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.llmc");
    builder.write(&path, &mut weights().as_slice()).unwrap();
    assert_eq!(
        std::fs::read(&path).unwrap(),
        bytes_of(&builder),
        "both ways give the same bytes"
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file stays"
    );

    let binary = Binary::read(&path).unwrap();
    binary.verify_weights().unwrap();
    assert_eq!(binary.code(), builder.code);
    assert_eq!(binary.weights(), weights());
    assert_eq!(binary.weights().as_ptr() as usize % 4096, 0);
    assert_eq!(
        (binary.tokenizer(), binary.debug()),
        (Some(&b"{}"[..]), &builder.debug)
    );
    assert_eq!(binary.chip().fingerprint(), builder.chip.fingerprint());
    let manifest = binary.manifest();
    assert_eq!(
        (manifest.states.clone(), manifest.chip_name.as_str()),
        (builder.manifest.states, "edge")
    );
    let decode = manifest.entry("decode").unwrap();
    assert_eq!(binary.entry_code(decode).len(), 1);
    assert_eq!(binary.debug().op(1).unwrap().onnx, ["/model/MatMul"]);
    assert!(binary.debug().op(0).is_none() && binary.debug().op(99).is_none());
    assert_eq!(binary.program().entries.len(), 2);
}

#[test]
fn readelf_finds_nothing_to_complain_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.llmc");
    builder().write(&path, &mut weights().as_slice()).unwrap();
    let Ok(output) = std::process::Command::new("readelf")
        .args(["-hSWs"])
        .arg(&path)
        .output()
    else {
        eprintln!("readelf is not installed: nothing checked");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        !text.contains("Warning") && text.contains(".weights") && text.contains("prefill"),
        "{text}"
    );
}

/// Tests that a change to a builder is refused with this message.
fn refused(change: impl FnOnce(&mut BinaryBuilder), message: &str) {
    let mut builder = builder();
    change(&mut builder);
    let error = builder.to_bytes(&mut weights().as_slice()).unwrap_err();
    assert!(error.reason.contains(message), "{error}");
}

#[test]
fn inconsistent_programs_are_refused() {
    refused(
        |b| b.manifest.entries[1].code_offset = 4,
        "entry `decode` has 1 instructions from 4 on, the code has 4",
    );
    refused(
        |b| b.manifest.entries[1].code_len = u64::MAX,
        "entry `decode` has 18446744073709551615 instructions",
    );
    refused(
        |b| b.manifest.entries[1].name = "prefill".into(),
        "two entries `prefill`",
    );
    refused(
        |b| b.manifest.entries[1].name = "a\0".into(),
        "cannot name an entry",
    );
    refused(
        |b| b.manifest.dram_bytes = 9000,
        "state `k.0` has 2048 bytes at 0x2100, beyond the 9000 bytes",
    );
    refused(|b| b.manifest.dram_bytes = 1 << 40, "has 8589934592");
    refused(
        |b| b.manifest.entries[0].inputs[0].dram_addr = 4992,
        "`input_ids` of entry `prefill` at 0x1380 overlaps",
    );
    refused(
        |b| b.manifest.states[0].dims.push(2),
        "is f32[1, 2, 64, 4, 2] but has 2048 bytes",
    );
    refused(
        |b| b.manifest.states[0].dtype = "f8".into(),
        "unknown element type `f8`",
    );
    refused(|b| b.debug.inst_op.push(2), "names operation 2, it has 1");
    refused(
        |b| b.debug.inst_op = vec![0; 5],
        "has 5 instructions, the code 4",
    );
    refused(
        |b| b.manifest.entries[0].launch[0].max = 1 << 63,
        "launch register `tokens`",
    );
    refused(
        |b| b.code[0] = crate::inst::CtlDiv::default().into(),
        "instruction 0: `ctl.div`: field `imm`: 0",
    );
}

/// A source that does not keep its promise.
struct Wrong(u64, usize);

impl WeightSource for Wrong {
    fn bytes(&self) -> u64 {
        self.0
    }
    fn write_to(&mut self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        out.write_all(&vec![0; self.1])
    }
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.llmc");
    std::fs::write(&path, "old").unwrap();
    for (source, message) in [
        (Wrong(100, 99), "the weights end 1 bytes early"),
        (Wrong(100, 101), "longer than announced"),
    ] {
        let mut source = source;
        let error = builder().write(&path, &mut source).unwrap_err();
        assert!(error.reason.contains(message), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(
        builder()
            .write(Path::new("/no/such/folder/a"), &mut weights().as_slice())
            .is_err()
    );
    assert!(
        builder()
            .write(Path::new("/"), &mut weights().as_slice())
            .is_err()
    );
}

fn read_error(bytes: Vec<u8>) -> String {
    Binary::from_bytes(bytes, "a.llmc")
        .map(|_| ())
        .unwrap_err()
        .to_string()
}

#[test]
fn damaged_files_are_named_and_placed() {
    let bytes = bytes_of(&builder());
    assert!(read_error(vec![]).starts_with("a.llmc: this is no llmc program"));
    assert!(read_error(b"hello".to_vec()).starts_with("a.llmc: this is no llmc program"));
    let mut x86 = bytes.clone();
    x86[18] = 62;
    x86[19] = 0;
    assert_eq!(
        read_error(x86),
        "a.llmc: this is no llmc program: ELF machine 0x3e, not 0x4c4d"
    );

    let text = 64;
    let mut bad = bytes.clone();
    bad[text + WORD_BYTES] = 0xee;
    assert_eq!(
        read_error(bad),
        "a.llmc: section `.text`: bad encoding at byte 0x40 of the code: undefined opcode 0xee"
    );

    let mut weights = bytes.clone();
    weights[4096 + 17] ^= 1;
    let binary = Binary::from_bytes(weights, "a.llmc").unwrap();
    assert!(
        binary
            .verify_weights()
            .unwrap_err()
            .to_string()
            .contains("the weights are damaged")
    );
}

#[test]
fn a_program_for_another_chip_is_refused() {
    let bytes = bytes_of(&builder());
    let at = bytes
        .windows(12)
        .position(|w| w == b"value = 120,")
        .unwrap();
    let mut bytes = bytes;
    // Another `dram.latency_ns`, which contradicts nothing.
    bytes[at + 8..at + 11].copy_from_slice(b"121");
    assert!(read_error(bytes).contains("the program was compiled for chip `edge`"));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = bytes_of(&builder());
    for end in (0..bytes.len()).step_by(37) {
        read_error(bytes[..end].to_vec());
    }
}

/// 10 000 files with random bytes changed, headers and tables more often than weights: no panic, and no read outside.
#[test]
fn random_mutations_are_no_panic() {
    let bytes = bytes_of(&builder());
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 20) as usize % below
    };
    let tables = bytes.len() - 2000;
    for _ in 0..10_000 {
        let mut mutant = bytes.clone();
        for _ in 0..1 + random(4) {
            let at = match random(4) {
                0 => random(320),
                1 => tables + random(2000),
                2 => 9096 + random(bytes.len() - 9096),
                _ => random(bytes.len()),
            };
            mutant[at] = match random(3) {
                0 => 0xff,
                1 => mutant[at] ^ (1 << random(8)),
                _ => random(256) as u8,
            };
        }
        if let Ok(binary) = Binary::from_bytes(mutant, "mutant") {
            let _ = binary.verify_weights();
            assert_eq!(
                binary.weights().len() as u64,
                binary.manifest().weights.bytes
            );
            for entry in &binary.manifest().entries {
                assert_eq!(binary.entry_code(entry).len() as u64, entry.code_len);
            }
        }
    }
}
