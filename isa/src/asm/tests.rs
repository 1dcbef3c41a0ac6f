use super::*;
use crate::inst::{CtlLoop, encode};

fn errors(text: &str) -> String {
    let list = assemble(text).expect_err("no error");
    list.iter()
        .map(AsmError::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_program_prints_as_it_was_written() {
    let text = "\
.entry prefill
    ctl.launch rd=r1
    ctl.core rd=r2
    ctl.madd rd=r3, ra=r2, imm=-64, rb=r1
    ctl.loop count=r1 {
        sem.wait queue=dma0, sem=3, n=2
        dma.load queue=dma0, dst=[r2+0x100], dst_s0=64, src={r3+0x10000}, src_s0=256, n0=4?r1, n1=1, n2=1, bytes=64
        ctl.loop count=r2 {
            sem.post queue=dma0, sem=1, n=1, scope=core, core=r2-1
        }
    }
    vpu.exp dst=bf16[r5+0x40:512:4], a=f32[0x0:0:4:bcast], scale=-0.5, bias=1e-6, n0=1, n1=8, n2=16
    vpu.add dst=f32[r1], a=f32[r2:16], b=f32[r3], n0=1, n1=1, n2=4
    vpu.max dst=f32[r1], a=f32[r2], b=f32[r3], n0=1, n1=1, n2=4
    vpu.maxr dst=f32[r1], a=f32[r2], n0=1, n1=1, n2=4
    mxu.mm dst=[0x100], m=4?r1, n=16, k=16, b_type=bf16, acc=true
    ctl.halt
.entry decode
    ctl.halt
";
    let program = assemble(text).unwrap();
    assert_eq!(disassemble(&program, None), text);
    assert_eq!(program.entries[0].1.len(), 14);
    assert!(matches!(
        program.entries[0].1[3],
        Inst::CtlLoop(CtlLoop { body: 4, .. })
    ));
}

#[test]
fn free_form_text() {
    let text = "; head\n\n.entry  a ; the one\n\tctl.li\trd = r1 ,imm=0x10;c\nctl.loop count=r1 { ; block\nctl.core rd=r2\n}\n";
    assert_eq!(
        disassemble(&assemble(text).unwrap(), None),
        ".entry a\n    ctl.li rd=r1, imm=16\n    ctl.loop count=r1 {\n        ctl.core rd=r2\n    }\n"
    );
}

#[test]
fn loops_that_are_no_blocks_keep_their_body() {
    let text = ".entry a\n    ctl.loop count=r1 {\n        ctl.loop count=r2, body=5\n    }\n    ctl.loop body=9\n    ctl.halt\n";
    assert_eq!(disassemble(&assemble(text).unwrap(), None), text);
}

#[test]
fn all_errors_come_at_once_with_their_places() {
    let text = "\
ctl.halt
.entry a
    ctl.foo rd=r1
    ctl.li rd=r64, imm=zz
    ctl.li rd=r1, rd=r2
    ctl.li rd
    vpu.exp op=exp
    vpu.hex
    ctl.halt x=1
    dma.load queue=mxu, dst=(0), src=[0x10]
    dma.load queue=mxu
    dma.load queue=dma0, bytes=67108864
    ctl.li rd=r1,
    mxu.mm acc=yes, a_type=f64, m=-1
    ctl.div rd=r1, ra=r2
.entry a
.exit
.entry b c
}
.entry d
    ctl.loop count=r1 {
    }
    ctl.halt {
    }
    ctl.loop count=r1, body=3 {
";
    insta::assert_snapshot!(errors(text));
}

#[test]
fn empty_loop() {
    assert_eq!(
        errors(".entry a\nctl.loop count=r1 {\n}\n"),
        "2:1: a loop needs at least one instruction in its block"
    );
}

#[test]
fn special_floats_survive() {
    for text in [
        "inf",
        "-inf",
        "nan:0x7fc00001",
        "-0.0",
        "1e-45",
        "3.4028235e38",
    ] {
        let line = format!("vpu.fill value={text}");
        let inst = parse_inst(&line).unwrap();
        assert_eq!(print_inst(&inst), line);
        assert!(encode(&inst).is_ok());
    }
    assert!(
        parse_inst("vpu.fill value=nan")
            .unwrap_err()
            .to_string()
            .contains("nan:0x7fc00000")
    );
}

#[test]
fn the_debug_map_becomes_comments() {
    let program = assemble(".entry a\nctl.core rd=r1\nctl.halt\n").unwrap();
    let op = DebugOp {
        tile_op: "halt".into(),
        graph_node: "%1".into(),
        onnx: vec!["/a\n".into()],
    };
    let debug = DebugMap {
        ops: vec![op],
        inst_op: vec![0, 1],
        buffers: Vec::new(),
    };
    let text = disassemble(&program, Some(&debug));
    assert_eq!(
        text,
        ".entry a\n    ctl.core rd=r1\n    ctl.halt  ; halt | %1 | \"/a \"\n"
    );
    assert_eq!(assemble(&text).unwrap(), program);
}
