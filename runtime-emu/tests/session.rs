//! The host runtime on a toy language model: the logits of a token are its row of a table, the state keeps the rows.

use llmc_isa::container::{
    Binary, BinaryBuilder, DebugMap, Entry, IoTensor, LaunchRegister, Manifest, ModelInfo,
    StateTensor, WeightsImage,
};
use llmc_isa::{Chip, asm};
use llmc_runtime_emu::{Mode, Options, RunError, Session};
use std::sync::Arc;

const VOCAB: u64 = 8;
const CHUNK: u64 = 4;
const CONTEXT: u64 = 6;

fn program() -> String {
    let entry = |name: &str, store: &str| {
        format!(
            "
.entry {name}
    ctl.launch rd=r1
    ctl.launch rd=r2, index=1
    ctl.core rd=r3
    ctl.li rd=r4, imm=1
    ctl.sub rd=r4, ra=r4, rb=r3
    dma.load queue=dma1, dst=[0x0], dst_s2=8, src={{0x200}}, src_s2=8, n0=1, n1=1, n2=4?r1, bytes=8
    dma.gather queue=dma1, dst=[0x100], dst_s0=32, index=[0x0], index_type=i64, count=4?r1, table={{0x0}}, row_stride=32, bytes=32, rows=8
    ctl.madd rd=r5, ra=r2, imm=32
    dma.store queue=dma1, dst={{r5+0x400}}, dst_s2=32, src=[0x100], src_s2=32, n0=1?r4, n1=1, n2=4?r1, bytes=32
    ctl.addi rd=r6, ra=r1, imm=-1
    ctl.madd rd=r6, ra=r6, imm=32
    {store}
    ctl.halt
"
        )
    };
    let last = "dma.store queue=dma1, dst={0x300}, src=[r6+0x100], n0=1?r4, n1=1, n2=1, bytes=32";
    let all = "dma.store queue=dma1, dst={0x300}, dst_s2=32, src=[0x100], src_s2=32, n0=1?r4, n1=1, n2=4?r1, bytes=32";
    [
        entry("prefill", last),
        entry("score", all),
        entry("decode", last),
    ]
    .concat()
}

fn tensor(name: &str, dtype: &str, dims: &[u64], dram_addr: u64) -> IoTensor {
    let size = if dtype == "i64" { 8 } else { 4 };
    IoTensor {
        name: name.to_string(),
        dtype: dtype.to_string(),
        dims: dims.to_vec(),
        dram_addr,
        bytes: dims.iter().product::<u64>() * size,
        model_dtype: String::new(),
    }
}

fn binary() -> Arc<Binary> {
    let program = asm::assemble(&program()).unwrap();
    let mut code = Vec::new();
    let mut entries = Vec::new();
    for (name, insts) in &program.entries {
        let register = |name: &str, max| LaunchRegister {
            name: name.to_string(),
            max,
        };
        let rows = if name == "score" { CHUNK } else { 1 };
        let tokens = if name == "decode" { 1 } else { CHUNK };
        entries.push(Entry {
            name: name.clone(),
            code_offset: code.len() as u64,
            code_len: insts.len() as u64,
            launch: vec![register("tokens", tokens), register("past", CONTEXT)],
            inputs: vec![tensor("input_ids", "i64", &[CHUNK], 0x200)],
            outputs: vec![tensor("logits", "f32", &[rows, VOCAB], 0x300)],
        });
        code.extend_from_slice(insts);
    }
    let weights: Vec<u8> = (0..VOCAB * VOCAB)
        .flat_map(|i| (i as f32).to_le_bytes())
        .collect();
    let state = StateTensor {
        name: "rows".to_string(),
        dtype: "f32".to_string(),
        dims: vec![CONTEXT, VOCAB],
        dram_addr: 0x400,
        bytes: CONTEXT * VOCAB * 4,
    };
    let manifest = Manifest {
        compiler_version: "test".to_string(),
        dram_bytes: 0x1000,
        weights: WeightsImage {
            dram_addr: 0,
            bytes: weights.len() as u64,
            blake3: Vec::new(),
        },
        entries,
        states: vec![state],
        model: ModelInfo {
            vocab: VOCAB,
            max_context: CONTEXT,
            prefill: CHUNK,
            bos: None,
            eos: vec![0],
        },
        ..Manifest::default()
    };
    let chip = Chip::load("edge").unwrap();
    let builder = BinaryBuilder {
        manifest,
        debug: DebugMap::default(),
        chip,
        code,
        tokenizer: Vec::new(),
    };
    Arc::new(Binary::from_bytes(builder.to_bytes(&mut weights.as_slice()).unwrap(), "toy").unwrap())
}

fn session(mode: Mode) -> Session {
    Session::new(
        binary(),
        None,
        Options {
            mode,
            ..Options::default()
        },
    )
    .unwrap()
}

fn row(token: u32) -> Vec<f32> {
    (0..8).map(|i| (token * 8 + i) as f32).collect()
}

fn error<T: std::fmt::Debug>(result: Result<T, RunError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn chunks_do_not_matter() {
    let tokens = [3, 1, 4, 1, 5];
    let mut states = Vec::new();
    for chunk in 1..=5 {
        let mut s = session(Mode::Full);
        let logits = s.prefill_in_chunks(&tokens, chunk).unwrap();
        assert_eq!(logits.values, row(5));
        assert_eq!(logits.launches, tokens.len().div_ceil(chunk.min(4)) as u64);
        assert_eq!((s.position(), s.room()), (5, 1));
        states.push(s.state("rows").unwrap());
    }
    let mut s = session(Mode::Full);
    for token in tokens {
        assert_eq!(s.decode(token).unwrap().values, row(token));
    }
    states.push(s.state("rows").unwrap());
    let mut s = session(Mode::Full);
    assert_eq!(s.score(&tokens).unwrap().values, tokens.map(row).concat());
    states.push(s.state("rows").unwrap());
    assert!(
        states
            .iter()
            .all(|state| *state == states[0] && state.len() == 5 * 32)
    );
}

#[test]
fn what_cannot_run_is_refused_before_anything_runs() {
    let mut s = session(Mode::Full);
    s.prefill(&[1, 2, 3]).unwrap();
    assert_eq!(
        error(s.prefill(&[1, 2, 3, 4])),
        "context overflow: 4 tokens after 3 do not fit the maximum context of 6"
    );
    assert_eq!(
        error(s.score(&[1, 8])),
        "token 8 at position 1 of the input is not in the vocabulary of 8 tokens"
    );
    assert_eq!(error(s.prefill(&[])), "no tokens were given");
    assert_eq!(s.position(), 3);
    assert_eq!(
        s.state("rows").unwrap(),
        [1, 2, 3]
            .map(row)
            .concat()
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<u8>>()
    );
    let ids = 1_i64.to_le_bytes();
    assert_eq!(
        error(s.launch("encode", &[], &[])),
        "the program has no entry `encode`; it has: `prefill`, `score`, `decode`"
    );
    assert_eq!(
        error(s.launch("decode", &[1], &[])),
        "entry `decode` has 2 launch registers, 1 were given"
    );
    assert_eq!(
        error(s.launch("decode", &[2, 0], &[("input_ids", &ids)])),
        "launch register `tokens` of entry `decode` is 2, allowed is 0 to 1"
    );
    assert_eq!(
        error(s.launch("decode", &[1, 0], &[])),
        "entry `decode` needs the input `input_ids`"
    );
    assert_eq!(
        error(s.launch("decode", &[1, 0], &[("ids", &ids)])),
        "no input of entry `decode` `ids`; there is: `input_ids`"
    );
    assert!(error(s.launch("decode", &[1, 0], &[("input_ids", &ids[..7])])).contains("7 bytes"));
    assert_eq!(error(s.state("k")), "no state `k`; there is: `rows`");
}

#[test]
fn inputs_and_outputs_start_uninitialised() {
    let mut s = session(Mode::Full);
    let ids: Vec<u8> = [1_i64, 2].iter().flat_map(|i| i.to_le_bytes()).collect();
    let fault = error(s.launch("score", &[3, 0], &[("input_ids", &ids)]));
    assert!(fault.contains("byte 0x210 was never written"), "{fault}");
    assert!(
        fault.contains("touching input `input_ids`, byte 0x10"),
        "{fault}"
    );
    s.launch("score", &[2, 0], &[("input_ids", &ids)]).unwrap();
    assert_eq!(s.output("score", "logits", Some(2)).unwrap().len(), 64);
    assert_eq!(
        error(s.output("score", "logits", None)),
        "tensor `logits`: DRAM byte 0x340 was never written"
    );
    assert!(error(s.output("score", "logits", Some(5))).contains("160 bytes"));
}

#[test]
fn reset_and_rewind() {
    let mut s = session(Mode::Full);
    s.prefill(&[1, 2, 3]).unwrap();
    s.rewind(1);
    s.decode(7).unwrap();
    assert_eq!(s.state("rows").unwrap().len(), 64);
    s.reset().unwrap();
    assert_eq!((s.position(), s.state("rows").unwrap().len()), (0, 0));
    s.rewind(5);
    assert_eq!(s.position(), 0);
    s.prefill(&[5]).unwrap();
    assert_eq!(s.state("rows").unwrap().len(), 32);
}

#[test]
fn modes_agree() {
    let tokens = [3, 1, 4, 1, 5];
    let full = session(Mode::Full).score(&tokens).unwrap();
    let timing = session(Mode::Timing).score(&tokens).unwrap();
    let function = session(Mode::Function).score(&tokens).unwrap();
    assert_eq!(full.stats, timing.stats);
    assert_eq!((full.launches, timing.values.len()), (2, 0));
    assert_eq!((&function.values, function.stats.cycles), (&full.values, 0));
    assert!(full.stats.cycles > 0 && full.stats.totals.dram_bytes > 0);
    let chip = Chip::load("edge").unwrap();
    let energy = full.stats.energy(&chip);
    assert!(energy.dram > 0.0 && energy.total() > energy.dram);
}

#[test]
fn other_chips() {
    let edge = Chip::load("edge").unwrap();
    let open = |chip: Chip| Session::new(binary(), Some(chip), Options::default());
    let slow = edge.with("dram.bandwidth_mb_per_s", 100_u64).unwrap();
    let mut s = open(slow).unwrap();
    let logits = s.prefill(&[3, 1]).unwrap();
    let fast = session(Mode::Full).prefill(&[3, 1]).unwrap();
    assert_eq!(logits.values, fast.values);
    assert!(logits.stats.cycles > fast.stats.cycles);
    let refused = |chip: Chip| open(chip).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused(Chip::load("ideal").unwrap()).contains("it needs 2 x 2 cores"));
    let small = edge.with("core.sram_kib", 256_u64).unwrap();
    assert!(refused(small).contains("it needs 524288 bytes of SRAM per core, the chip has 262144"));
}
