use super::*;
use crate::asm::parse_inst;
use crate::energy::{Counts, energy};
use crate::inst::ROWS;

/// Closed forms against numbers published elsewhere: LLMCompass' table of output-stationary arrays, and SCALE-Sim v3.
#[test]
fn array_goldens() {
    let os16 = [
        ((16, 16, 16), 45),
        ((16, 16, 256), 285),
        ((16, 128, 16), 367),
        ((32, 32, 128), 631),
    ];
    for ((m, n, k), cycles) in os16 {
        assert_eq!(
            mxu_os(m, n, k, 16, 16),
            cycles,
            "LLMCompass 16 x 16, {m} {n} {k}"
        );
    }
    for ((m, n, k), cycles) in [((128, 128, 128), 381), ((128, 128, 512), 765)] {
        assert_eq!(
            mxu_os(m, n, k, 128, 128),
            cycles,
            "LLMCompass 128 x 128, {m} {n} {k}"
        );
    }
    assert_eq!(mxu_os(256, 128, 256, 32, 32), 10175, "SCALE-Sim GEMM");
    assert_eq!(mxu_ws(256, 128, 256, 32, 32), 11199, "SCALE-Sim GEMM");
    assert_eq!(
        mxu_ws(3025, 96, 363, 32, 32),
        112_283,
        "SCALE-Sim AlexNet conv1"
    );
    assert_eq!(mxu_is(256, 128, 256, 32, 32), 14207, "SCALE-Sim GEMM");
}

/// The dataflow of the chip file chooses the closed form.
#[test]
fn dataflows() {
    let mm = "mxu.mm dst_s0=512, a=[0x1000], a_s0=1024, b=[0x2000], b_panel_stride=8192, m=256, n=128, k=256, b_type=bf16";
    let inst = parse_inst(mm).unwrap();
    let edge = Chip::load("edge").unwrap();
    for (dataflow, cycles) in [("os", 10175), ("ws", 11199), ("is", 14207)] {
        let chip = edge.with("mxu.dataflow", dataflow).unwrap();
        assert_eq!(cost(&inst, &chip).busy, 8 + cycles, "{dataflow}");
    }
}

/// Narrow products take fewer steps of the array.
#[test]
fn products_per_step() {
    let edge = Chip::load("edge").unwrap();
    for (a, b, k) in [
        ("i8", "i8", 128),
        ("i8", "i4", 64),
        ("i8", "i2", 64),
        ("bf16", "i4", 256),
        ("f8e4m3", "f8e4m3", 128),
    ] {
        let mmq = format!("mxu.mmq m=1, n=32, k=256, a_type={a}, b_type={b}");
        let cost = cost(&parse_inst(&mmq).unwrap(), &edge);
        assert_eq!(cost.busy, 8 + mxu_os(1, 32, k, 32, 32), "{a} {b}");
        assert_eq!(cost.macs().iter().sum::<u64>(), 32 * 256);
    }
}

/// `tests/cases/cycles.txt`: at least one line per row, and per closed formula, with the cycles and the energy of each. A blank or
/// comment line stays as it is.
#[test]
fn cycles_of_every_instruction() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/cycles.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut missing: std::collections::BTreeMap<u8, &str> =
        ROWS.iter().map(|row| (row.opcode, row.name)).collect();
    let mut found = String::new();
    let mut chip = Chip::load("edge").unwrap();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("chip ") {
            chip = Chip::load(name).unwrap();
        }
        if line.is_empty() || line.starts_with('#') || line.starts_with("chip ") {
            found += &format!("{line}\n");
            continue;
        }
        let inst = line.split(" => ").next().unwrap_or(line);
        let parsed = parse_inst(inst).unwrap_or_else(|e| panic!("{inst}: {e}"));
        crate::encode(&parsed).unwrap_or_else(|e| panic!("{inst}: {e}"));
        missing.remove(&parsed.row().opcode);
        let cost = cost(&parsed, &chip);
        let energy = energy(&Counts::of(&cost, 1), 0, &chip).total() * 1e12;
        found += &format!(
            "{inst} => busy {}, latency {}, {energy:.1} pJ\n",
            cost.busy, cost.latency
        );
    }
    assert!(
        missing.is_empty(),
        "tests/cases/cycles.txt has no line for {missing:?}"
    );
    crate::manual::assert_fresh("tests/cases/cycles.txt", &found);
}

/// Cost of one instruction as text on the edge chip with round numbers.
fn on_edge(text: &str) -> Cost {
    let chip = Chip::load("edge").unwrap();
    cost(&parse_inst(text).unwrap(), &chip)
}

#[test]
fn mxu_cost_follows_the_array() {
    let mm = "mxu.mm dst_s0=512, a=[0x1000], a_s0=512, b=[0x2000], b_panel_stride=4096, m=4, n=40, k=128";
    let f32 = on_edge(mm);
    assert_eq!(f32.busy, 8 + 4 * mxu_os(4, 40, 128, 32, 32));
    assert_eq!((f32.macs_f32, f32.macs_bf16), (4 * 40 * 128, 0));
    assert_eq!(f32.sram_bytes, 4 * 512 + 3 * 128 * 16 * 4 + 4 * 40 * 4);
    let bf16 = on_edge(&format!("{mm}, b_type=bf16"));
    assert_eq!(
        (bf16.busy, bf16.macs_bf16),
        (8 + mxu_os(4, 40, 128, 32, 32), 4 * 40 * 128)
    );
}

#[test]
fn dma_cost_counts_blocks_and_bursts() {
    // Contiguous in DRAM, rows of 100 bytes in SRAM: two port cycles per row.
    let load = on_edge("dma.load queue=dma0, dst_s0=128, src_s0=100, n0=10, n1=1, n2=1, bytes=100");
    assert_eq!(
        (load.busy, load.latency, load.dram_bytes, load.sram_bytes),
        (32 + 20, 120, 1024, 1000)
    );
    let push =
        on_edge("dma.push queue=dma1, scope=all, n0=1, n1=1, n2=1, bytes=1000, dst=[0x1000]");
    assert_eq!(
        (push.busy, push.noc_bytes, push.sram_bytes, push.dram_bytes),
        (32 + 32, 1000, 1000, 0)
    );
    let gather =
        on_edge("dma.gather queue=dma0, index=[0x100], count=3, row_stride=40, bytes=40, rows=9");
    assert_eq!((gather.busy, gather.dram_bytes), (32 + 1 + 3, 3 * 64));
}

#[test]
fn vpu_and_att_costs() {
    let add = "dst=f32[0x0:400], a=f32[0x0:400], b=f32[0x0:400], n0=2, n1=1, n2=100";
    assert_eq!(on_edge(&format!("vpu.add {add}")).busy, 16 + 7);
    assert_eq!(on_edge(&format!("vpu.div {add}")).busy, 16 + 4 * 7);
    assert_eq!(
        on_edge("vpu.exp dst=f32[0x0], a=f32[0x0], scale=1.0, n0=1, n1=1, n2=33").busy,
        16 + 8 * 2
    );
    let step = on_edge("att.step state=[0x4000], rows=2, heads=3, d=16, kv=20, scale=1.0");
    assert_eq!(
        (step.busy, step.macs_f32),
        (
            16 + (2 * 3 * 20 * 32_u64).div_ceil(256) + 15,
            2 * 3 * 20 * 32
        )
    );
}

#[test]
fn no_ops_and_ctl_cost_one_cycle() {
    for text in [
        "mxu.mm n=16, k=16",
        "ctl.halt",
        "sem.wait queue=vpu, n=1",
        "dma.load queue=dma1",
    ] {
        assert_eq!(
            on_edge(text),
            Cost {
                busy: 1,
                ..Cost::default()
            },
            "{text}"
        );
    }
}

#[test]
fn shared_resources() {
    let chip = Chip::load("ideal").unwrap();
    assert_eq!(dram_cycles(3_690_000, &chip), 1800);
    assert_eq!((dram_cycles(1, &chip), dram_cycles(0, &chip)), (1, 0));
    assert_eq!(dram_latency(&chip), 540);
    assert_eq!(
        (hops(0, 31, &chip), hops(9, 9, &chip), hops(7, 8, &chip)),
        (7 + 3, 0, 7 + 1)
    );
    assert_eq!(
        (noc_latency(0, 1, &chip), noc_broadcast_latency(0, &chip)),
        (4, 40)
    );
}

/// The dearest instructions that can be encoded do not overflow.
#[test]
fn extreme_extents() {
    let e = (1_u64 << 26) - 1;
    for text in [
        format!("mxu.mm m={e}, n={e}, k={e}"),
        format!("vpu.exp scale=1.0, n0={e}, n1={e}, n2={e}"),
        format!("dma.load queue=dma0, src_s0=4294967295, n0={e}, n1={e}, n2={e}, bytes={e}"),
        "att.step rows=262143, kv=262143, heads=65535, d=65535, scale=1.0".to_string(),
    ] {
        assert!(on_edge(&text).busy > 1, "{text}");
    }
}
