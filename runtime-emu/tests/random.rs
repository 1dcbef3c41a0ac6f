//! Random programs: whatever they do, the emulator ends with statistics or a fault, does the same again, and keeps the
//! same time without data.

use llmc_isa::asm::parse_inst;
use llmc_isa::container::{
    Binary, BinaryBuilder, DebugMap, Entry, LaunchRegister, Manifest, WeightsImage,
};
use llmc_isa::inst::ROWS;
use llmc_isa::{Chip, Inst, Queue, encode};
use llmc_runtime_emu::{Category, Machine, Mode, Options};
use proptest::prelude::*;
use std::sync::Arc;

/// A repeatable stream of small numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len() as u64) as usize]
    }

    /// Text for a field of this type; mostly small and aligned, so that programs get somewhere.
    fn field(&mut self, name: &str, ty: &str) -> String {
        let odd = self.roll(40) == 0;
        match ty {
            "Reg" => format!("r{}", self.roll(4)),
            "Val" => format!("{}", self.roll(3)),
            "SAddr" if odd => format!("[{}]", self.roll(20000)),
            "SAddr" => format!("[r{}+{}]", self.roll(3), self.roll(64) * 16),
            "DAddr" if odd => format!("{{{}}}", self.roll(5000)),
            "DAddr" => format!("{{r{}+{}}}", self.roll(3), self.roll(200) * 16),
            "Ext" if name == "bytes" => format!("{}", self.roll(5) * 16),
            "Ext" if self.roll(4) == 0 => format!("{}?r{}", self.roll(8), self.roll(4)),
            "Ext" => format!("{}", 1 + self.roll(4)),
            "Sem" => format!("{}", self.roll(4)),
            "Queue" => Queue::ALL[self.roll(5) as usize].name().to_string(),
            "VOp" => {
                let (dtype, bcast) = (self.pick(&["f32", "bf16"]), self.pick(&["", "", ":bcast"]));
                format!(
                    "{dtype}[{}:{}:{}{bcast}]",
                    self.roll(64) * 16,
                    self.roll(8) * 16,
                    self.roll(8) * 16
                )
            }
            "bool" => self.pick(&["true", "false"]).to_string(),
            "f32" => self.pick(&["0.0", "1.0", "-2.5", "inf"]).to_string(),
            "i64" => format!("{}", self.roll(100) as i64 - 20),
            "DType" => self.pick(&["f32", "bf16"]).to_string(),
            "IndexType" => self.pick(&["i32", "i64"]).to_string(),
            "Scope" => self.pick(&["local", "all", "core"]).to_string(),
            _ if name == "body" => format!("{}", 1 + self.roll(4)),
            _ if name == "op" => String::new(),
            "u16" if name == "index" => "0".to_string(),
            _ if odd => format!("{}", self.roll(100)),
            _ => format!("{}", self.roll(5) * 16),
        }
    }

    fn inst(&mut self) -> Option<Inst> {
        let row = ROWS[self.roll(ROWS.len() as u64) as usize];
        // Waits mostly end a random program at once.
        if row.name == "SemWait" && self.roll(4) > 0 {
            return None;
        }
        let mut inst = Inst::zeroed(row.opcode)?;
        for f in row.fields {
            let text = self.field(f.name, f.ty);
            let _ = inst.set(f.name, &text);
        }
        encode(&inst).ok().map(|_| inst)
    }
}

fn binary(seed: u64, length: u64) -> Arc<Binary> {
    let mut dice = Dice(seed);
    // All memory is filled before anything else happens.
    let prelude = [
        "vpu.fill dst=f32[0x0], value=0.5, n0=1, n1=1, n2=4096",
        "sem.post queue=vpu, sem=9, n=4",
        "sem.wait queue=dma0, sem=9, n=1",
        "sem.wait queue=dma1, sem=9, n=1",
        "sem.wait queue=mxu, sem=9, n=1",
        "sem.wait queue=att, sem=9, n=1",
    ];
    let mut code: Vec<Inst> = prelude
        .iter()
        .map(|text| parse_inst(text).unwrap())
        .collect();
    let length = length + code.len() as u64;
    while (code.len() as u64) < length {
        code.extend(dice.inst());
    }
    code.push(Inst::zeroed(0x0e).unwrap());
    let mut chip = Chip::load("edge").unwrap();
    chip.set("chip.cores_y", 1_u64).unwrap();
    chip.set("core.sram_kib", 16_u64).unwrap();
    chip.set("core.queue_depth", 2 + dice.roll(4)).unwrap();
    let entry = Entry {
        name: "main".to_string(),
        code_len: code.len() as u64,
        launch: vec![LaunchRegister {
            name: "n".to_string(),
            max: 9,
        }],
        ..Entry::default()
    };
    let manifest = Manifest {
        dram_bytes: 4096,
        weights: WeightsImage {
            dram_addr: 0,
            bytes: 1024,
            blake3: Vec::new(),
        },
        entries: vec![entry],
        ..Manifest::default()
    };
    let builder = BinaryBuilder {
        manifest,
        debug: DebugMap::default(),
        chip,
        code,
        tokenizer: Vec::new(),
    };
    let bytes = builder.to_bytes(&mut [0x3c_u8; 1024].as_slice()).unwrap();
    Arc::new(Binary::from_bytes(bytes, "random").unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_end(seed: u64, length in 1_u64..40) {
        let binary = binary(seed, length);
        let entry = binary.manifest().entries[0].clone();
        let run = |mode, races| {
            let options = Options { mode, races, max_instructions: 2000, threads: 1 };
            let mut machine = Machine::new(binary.clone(), None, options).unwrap();
            machine.write_dram(1024, &[0x3d; 3072]).unwrap();
            let result = machine.launch(&entry, &[3]);
            if let Err(fault) = &result {
                assert_ne!(fault.category(), Category::Bug, "{fault}");
            }
            result.map_err(|fault| fault.to_string())
        };
        let full = run(Mode::Full, true);
        prop_assert_eq!(&full, &run(Mode::Full, true));
        if let Ok(stats) = &full {
            prop_assert_eq!(stats, &run(Mode::Timing, true).unwrap());
            prop_assert_eq!(stats, &run(Mode::Full, false).unwrap());
            // Without time, launches end as well, and no token is lost.
            prop_assert_eq!(stats.instructions, run(Mode::Function, true).unwrap().instructions);
        }
    }
}
