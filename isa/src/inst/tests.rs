//! Properties over all rows: the table is sound, and words, instructions and text agree.

use super::*;
use crate::asm::{parse_inst, print_inst};
use crate::field::Field;
use crate::operand::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn rows_are_sound() {
    let mut opcodes = BTreeSet::new();
    let mut names = BTreeSet::new();
    for row in ROWS {
        assert!(row.opcode != 0, "a word of zeros is no instruction");
        assert!(
            opcodes.insert(row.opcode),
            "{} reuses opcode {:#x}",
            row.name,
            row.opcode
        );
        assert!(
            names.insert(row.name) && !row.doc.is_empty(),
            "{}",
            row.name
        );
        let mut used = [false; WORD_BYTES];
        used[0] = true;
        for field in row.fields {
            assert!(
                field.lo < field.hi && field.hi - field.lo <= 16,
                "{}.{}",
                row.name,
                field.name
            );
            assert!(
                !field.doc.is_empty(),
                "{}.{} has no documentation",
                row.name,
                field.name
            );
            for byte in &mut used[field.lo..field.hi] {
                assert!(
                    !std::mem::replace(byte, true),
                    "{}.{} overlaps another field",
                    row.name,
                    field.name
                );
            }
        }
        let queue = row.fields.iter().any(|f| f.name == "queue");
        assert_eq!(queue, row.engine == "queue", "{}", row.name);
        assert_eq!(row.is_family(), row.field("op").is_some(), "{}", row.name);
    }
}

#[test]
fn every_member_of_a_family_has_its_own_mnemonic() {
    let mut mnemonics = BTreeSet::new();
    let unary = UnaryFn::ALL.iter().map(|op| {
        VpuUnary {
            op: *op,
            ..VpuUnary::default()
        }
        .into()
    });
    let binary = BinaryFn::ALL.iter().map(|op| {
        VpuBinary {
            op: *op,
            ..VpuBinary::default()
        }
        .into()
    });
    let integer = IntFn::ALL.iter().map(|op| {
        VpuInt {
            op: *op,
            ..VpuInt::default()
        }
        .into()
    });
    let quant = QuantFn::ALL.iter().map(|op| {
        VpuQuant {
            op: *op,
            ..VpuQuant::default()
        }
        .into()
    });
    let reduce = ReduceFn::ALL.iter().map(|op| {
        VpuReduce {
            op: *op,
            ..VpuReduce::default()
        }
        .into()
    });
    let single = ROWS
        .iter()
        .filter(|r| !r.is_family())
        .filter_map(|r| Inst::zeroed(r.opcode));
    for inst in unary
        .chain(binary)
        .chain(integer)
        .chain(quant)
        .chain(reduce)
        .chain(single)
    {
        assert!(
            mnemonics.insert(inst.mnemonic()),
            "{} is ambiguous",
            inst.mnemonic()
        );
    }
}

/// A word of a random row in which each field holds random bits that fit its type.
fn words() -> impl Strategy<Value = Word> {
    let row = (0..ROWS.len()).prop_map(|i| ROWS[i]);
    (row, any::<[[u8; 32]; 2]>(), any::<u64>()).prop_map(|(row, noise, sparse)| {
        let noise = noise.concat();
        let mut word = [0; WORD_BYTES];
        word[0] = row.opcode;
        for (i, field) in row.fields.iter().enumerate() {
            // Some fields stay zero, so that the text leaves them out.
            if sparse >> (i % 64) & 3 == 0 {
                continue;
            }
            word[field.lo..field.hi].copy_from_slice(&noise[field.lo..field.hi]);
            let clear = |word: &mut Word, at: usize, bits: u8| word[at] &= bits;
            match field.ty {
                "Reg" => clear(&mut word, field.lo, 63),
                "bool" => clear(&mut word, field.lo, 1),
                "DAddr" => {
                    word[field.hi - 2..field.hi].copy_from_slice(&[0, noise[field.lo] & 0xfc])
                }
                "VOp" => {
                    let dtype = (noise[field.lo] % DType::ALL.len() as u8) << 1;
                    let bcast = field.name != "dst" && noise[field.lo] & 0x80 != 0;
                    word[field.hi - 1] = dtype | u8::from(bcast);
                }
                "Queue" => {
                    word[field.lo] %= if row.mnemonic.starts_with("dma") {
                        2
                    } else {
                        5
                    }
                }
                "DType" => word[field.lo] %= DType::ALL.len() as u8,
                "IndexType" => word[field.lo] %= IndexType::ALL.len() as u8,
                "Scope" => word[field.lo] %= Scope::ALL.len() as u8,
                "ReduceFn" => word[field.lo] %= ReduceFn::ALL.len() as u8,
                "BinaryFn" => word[field.lo] %= BinaryFn::ALL.len() as u8,
                "UnaryFn" => word[field.lo] %= UnaryFn::ALL.len() as u8,
                "IntFn" => word[field.lo] %= IntFn::ALL.len() as u8,
                "QuantFn" => word[field.lo] %= QuantFn::ALL.len() as u8,
                "ActFn" => word[field.lo] %= ActFn::ALL.len() as u8,
                _ => {}
            }
        }
        // Rules of single rows.
        match row.mnemonic {
            "ctl.div" | "ctl.mod" => (word[8], word[15]) = (word[8] | 1, word[15] & 0x7f),
            "ctl.loop" | "sem.wait" | "sem.post" => word[4] |= 1,
            "mxu.mm" => (word[1], word[2]) = (word[1] % 2, word[2] % 2),
            "mxu.mmq" => {
                word[1] = [0, 1, 2, 3, 4, 6][usize::from(word[1]) % 6];
                word[2] = [6, 8, 9, 3, 4][usize::from(word[2]) % if word[1] == 6 { 3 } else { 5 }];
                word[3] %= 3;
                word[56] &= 0xc0;
                (word[60], word[61]) = ([0, 16, 32, 64][usize::from(word[60]) % 4], 0);
                word[63] &= u8::from(word[2] >= 6);
            }
            "att.step" | "att.round" => word[43] = [0, 1, 2, 3, 4, 6, 8][usize::from(word[43]) % 7],
            "vpu." if row.name == "VpuInt" => {
                for last in [16, 29, 42] {
                    let dtype = 5 + (word[last] >> 1) % 5;
                    word[last] = dtype << 1 | word[last] & 1;
                }
            }
            "vpu." if row.name == "VpuQuant" && word[53] & 1 == 0 => word[40..53].fill(0),
            _ => {}
        }
        word
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// Random field values of every row survive word -> instruction -> word and -> text -> instruction.
    #[test]
    fn words_instructions_and_text_agree(word in words()) {
        let inst = decode(&word, 0).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(encode(&inst).unwrap(), word);
        let text = print_inst(&inst);
        let again = parse_inst(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(encode(&again).unwrap(), word, "{}", text);
        prop_assert_eq!(print_inst(&again), text);
    }

    /// Resolving leaves no register but those of `ctl`, keeps the encoding valid, and is idempotent.
    #[test]
    fn resolved_instructions_have_no_registers(word in words(), values in any::<[i16; 8]>()) {
        let mut regs = Regs::default();
        for (i, value) in values.iter().cycle().take(REGISTERS).enumerate() {
            regs.set(Reg(i as u8), i64::from(*value));
        }
        let inst = decode(&word, 0).unwrap();
        if let Ok(resolved) = inst.resolve(&regs) {
            let again = resolved.resolve(&Regs::default()).map(|i| print_inst(&i));
            prop_assert_eq!(again, Ok(print_inst(&resolved)));
            let _ = (crate::access::accesses(&resolved), encode(&resolved));
        }
    }
}

/// Random words: no panic, each rejection has its place, and what decodes is canonical.
#[test]
fn random_words() {
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let (mut good, total) = (
        0,
        if cfg!(debug_assertions) {
            100_000
        } else {
            1_000_000
        },
    );
    for _ in 0..total {
        let mut word = [0_u8; WORD_BYTES];
        word[0] = random() as u8;
        // Mostly sparse words of known opcodes, since dense ones almost never decode.
        if random() % 8 != 0 {
            word[0] = ROWS[random() as usize % ROWS.len()].opcode;
        }
        for _ in 0..random() % 24 {
            let at = random() as usize % (WORD_BYTES - 1) + 1;
            word[at] = random() as u8 >> (random() % 8);
        }
        match decode(&word, 640) {
            Ok(inst) => {
                good += 1;
                assert_eq!(encode(&inst).unwrap(), word);
            }
            Err(e) => assert!((640..704).contains(&e.at), "{e}"),
        }
    }
    assert!(good > total / 50, "{good} of {total} words decoded");
}

#[test]
fn decode_errors_name_place_value_and_expectation() {
    let case = |at: usize, byte: u8, text: &str| {
        let mut word = encode(&parse_inst(text).unwrap()).unwrap();
        word[at] = byte;
        decode(&word, 0x100).unwrap_err().to_string()
    };
    let errors = [
        case(0, 0, "ctl.halt"),
        case(0, 0xff, "ctl.halt"),
        case(5, 1, "ctl.core rd=r1"),
        case(1, 64, "ctl.core rd=r1"),
        case(1, 2, "dma.load queue=dma0"),
        case(1, 5, "sem.wait queue=dma0, n=1"),
        case(4, 0, "sem.wait queue=dma0, n=1"),
        case(3, 2, "mxu.mm m=1"),
        case(2, 77, "mxu.mm m=1"),
        case(2, 6, "mxu.mm m=1"),
        case(56, 65, "mxu.mmq b_type=i8, k=64"),
        case(60, 48, "mxu.mmq b_type=i8, k=64, group=32"),
        case(2, 3, "mxu.mmq a_type=i8, b_type=i8"),
        case(63, 1, "mxu.mmq b_type=f8e4m3"),
        case(43, 5, "att.step d=4"),
        case(40, 1, "vpu.quant n0=1"),
        case(29, 0, "vpu.iadd dst=i32[0x0], a=i32[0x0], b=i32[0x0]"),
        case(26, 4, "dma.load queue=dma0"),
        case(16, 1, "vpu.fill value=1.0"),
        case(16, 64, "vpu.fill value=1.0"),
        case(2, 99, "mxu.drain m=1"),
        case(15, 0x80, "ctl.div imm=1"),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn registers_fold_into_operands() {
    let mut regs = Regs::default();
    regs.set(Reg(1), 100);
    regs.set(Reg(2), -5);
    regs.set(Reg::ZERO, 7);
    assert_eq!((regs.get(Reg(0)), regs[Reg(2)]), (0, -5));
    let resolve = |text: &str| {
        parse_inst(text)
            .unwrap()
            .resolve(&regs)
            .map(|i| print_inst(&i))
            .map_err(|e| e.to_string())
    };
    let load =
        "dma.load queue=dma0, dst=[r1+0x10], src={r1}, n0=200?r1, n1=8?r1, n2=8?r2, bytes=64";
    assert_eq!(
        resolve(load).unwrap(),
        "dma.load queue=dma0, dst=[0x74], src={0x64}, n0=100, n1=8, bytes=64",
        "a clamp goes from 0 to n"
    );
    assert_eq!(
        resolve("att.step q_pos=r2+3, kv_pos=r1").unwrap(),
        "att.step q_pos=-2, kv_pos=100"
    );
    assert_eq!(
        resolve("ctl.add rd=r1, ra=r1, rb=r2").unwrap(),
        "ctl.add rd=r1, ra=r1, rb=r2"
    );
    assert_eq!(
        resolve("vpu.fill dst=f32[r1:4]").unwrap(),
        "vpu.fill dst=f32[0x64:4]"
    );
    assert_eq!(
        resolve("mxu.mm a=[r2+0x4]").unwrap_err(),
        "`mxu.mm`: field `a` is out of range at run time: SRAM address -1"
    );
    regs.set(Reg(1), i64::MAX);
    let huge = |text: &str| parse_inst(text).unwrap().resolve(&regs).unwrap_err().field;
    assert_eq!(
        (huge("dma.load src={r1+0x1}"), huge("att.step q_pos=r1+1")),
        ("src", "q_pos")
    );
}

#[test]
fn values_beyond_the_encoding_are_encode_errors() {
    let error = |inst: Inst| encode(&inst).unwrap_err().to_string();
    let errors = [
        error(
            MxuMm {
                a: SAddr::at(1 << 26),
                ..MxuMm::default()
            }
            .into(),
        ),
        error(
            MxuMm {
                m: Ext::of(1 << 26),
                ..MxuMm::default()
            }
            .into(),
        ),
        error(
            DmaLoad {
                src: DAddr::at(1 << 48),
                ..DmaLoad::default()
            }
            .into(),
        ),
        error(
            AttStep {
                q_pos: Val::imm(1 << 25),
                ..AttStep::default()
            }
            .into(),
        ),
        error(
            AttStep {
                k_s0: 1 << 24,
                ..AttStep::default()
            }
            .into(),
        ),
        error(CtlCore { rd: Reg(64) }.into()),
        error(
            VpuFill {
                dst: VOp {
                    bcast: true,
                    ..VOp::default()
                },
                ..VpuFill::default()
            }
            .into(),
        ),
    ];
    insta::assert_snapshot!(errors.join("\n"));
    assert!(
        encode(
            &AttStep {
                q_pos: Val::imm(-(1 << 25)),
                ..AttStep::default()
            }
            .into()
        )
        .is_ok()
    );
}

#[test]
fn text_of_field_types() {
    assert_eq!(
        Val::parse("r5-3"),
        Ok(Val {
            base: Reg(5),
            off: -3
        })
    );
    assert_eq!(
        Ext::parse("16?r5").map(|e| e.print()),
        Ok("16?r5".to_string())
    );
    for bad in [
        "",
        "r",
        "rx",
        "r5+",
        "r5+-",
        "0x",
        "-",
        "1e3",
        "99999999999999999999999999999999999999999",
        "r5 + 3",
        "--1",
    ] {
        assert!(Val::parse(bad).is_err(), "{bad:?}");
    }
    for bad in [
        "[",
        "[]",
        "f32",
        "f32[",
        "f32[]",
        "f32[:1]",
        "f32[0:1:2:3]",
        "f32[bcast]",
        "f8[0x0]",
        "f32[0x0:x]",
    ] {
        assert!(VOp::parse(bad).is_err(), "{bad:?}");
    }
}
