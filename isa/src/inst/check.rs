//! What a field may hold beyond what its type allows, and other facts of single rows.

use super::codec::FieldInfo;
use super::rows::{Inst, MxuMmq};
use crate::operand::{DType, Queue, VOp};

impl Inst {
    /// The mnemonic in full.
    pub fn mnemonic(&self) -> String {
        let row = self.row();
        let op = self
            .texts()
            .into_iter()
            .find(|(name, ..)| row.is_family() && *name == "op");
        format!(
            "{}{}",
            row.mnemonic,
            op.map_or(String::new(), |(_, text, _)| text)
        )
    }

    /// Rules of single rows; the error names the field.
    pub(super) fn check(&self) -> Result<(), (&'static FieldInfo, String)> {
        let broken = match self {
            Inst::CtlDiv(i) => positive("imm", i.imm),
            Inst::CtlMod(i) => positive("imm", i.imm),
            Inst::CtlLoop(i) => positive("body", i64::from(i.body)),
            Inst::SemWait(i) => positive("n", i64::from(i.n)),
            Inst::SemPost(i) => positive("n", i64::from(i.n)),
            Inst::DmaLoad(i) => dma_queue(i.queue),
            Inst::DmaStore(i) => dma_queue(i.queue),
            Inst::DmaPush(i) => dma_queue(i.queue),
            Inst::DmaGather(i) => dma_queue(i.queue),
            Inst::DmaScatter(i) => dma_queue(i.queue),
            Inst::MxuMm(i) => {
                let plain = [DType::F32, DType::Bf16];
                one_of("a_type", i.a_type, &plain).or(one_of("b_type", i.b_type, &plain))
            }
            Inst::MxuMmq(i) => quantised(i),
            Inst::VpuUnary(i) => no_bcast(&i.dst),
            Inst::VpuBinary(i) => no_bcast(&i.dst),
            Inst::VpuFill(i) => no_bcast(&i.dst),
            Inst::VpuReduce(i) => no_bcast(&i.dst),
            Inst::VpuInt(i) => no_bcast(&i.dst).or([("dst", &i.dst), ("a", &i.a), ("b", &i.b)]
                .into_iter()
                .find_map(|(name, v)| one_of(name, v.dtype, INTEGERS))),
            Inst::VpuSelect(i) => no_bcast(&i.dst),
            Inst::VpuQuant(i) => no_bcast(&i.dst).or_else(|| {
                let stray = !i.op.has_zero() && i.zero != VOp::default();
                stray.then(|| {
                    let name = i.op.name();
                    ("zero", format!("`vpu.{name}` takes no zero points"))
                })
            }),
            Inst::AttStep(i) => one_of("kv_type", i.kv_type, KV_TYPES),
            Inst::AttRound(i) => one_of("kv_type", i.kv_type, KV_TYPES),
            Inst::CtlLi(_)
            | Inst::CtlAddi(_)
            | Inst::CtlMadd(_)
            | Inst::CtlAdd(_)
            | Inst::CtlSub(_)
            | Inst::CtlMul(_)
            | Inst::CtlMin(_)
            | Inst::CtlMax(_)
            | Inst::CtlLaunch(_)
            | Inst::CtlCore(_)
            | Inst::CtlHalt(_)
            | Inst::MxuDrain(_)
            | Inst::AttInit(_)
            | Inst::AttFin(_) => None,
        };
        match broken.and_then(|(name, reason)| Some((self.row().field(name)?, reason))) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

type Broken = Option<(&'static str, String)>;

fn positive(field: &'static str, value: i64) -> Broken {
    (value <= 0).then(|| (field, format!("{value} (must be above 0)")))
}

fn dma_queue(queue: Queue) -> Broken {
    let dma = matches!(queue, Queue::Dma0 | Queue::Dma1);
    (!dma).then(|| {
        (
            "queue",
            format!(
                "{} ({}) is no DMA engine (dma0 or dma1)",
                queue as u8,
                queue.name()
            ),
        )
    })
}

fn no_bcast(dst: &VOp) -> Broken {
    dst.bcast
        .then(|| ("dst", "a destination cannot be broadcast".to_string()))
}

const INTEGERS: &[DType] = &[DType::I32, DType::I8, DType::U8, DType::I4, DType::I2];

/// What keys and values of attention may be.
const KV_TYPES: &[DType] = &[
    DType::F32,
    DType::Bf16,
    DType::F16,
    DType::F8E4M3,
    DType::F8E5M2,
    DType::I8,
    DType::I4,
];

fn one_of(field: &'static str, found: DType, allowed: &[DType]) -> Broken {
    (!allowed.contains(&found)).then(|| {
        let names: Vec<&str> = allowed.iter().map(|t| t.name()).collect();
        let reason = format!(
            "{} ({}) is none of {}",
            found as u8,
            found.name(),
            names.join(", ")
        );
        (field, reason)
    })
}

/// `mxu.mmq`: types that go together, and whole groups.
fn quantised(i: &MxuMmq) -> Broken {
    use DType::*;
    let codes: &[DType] = match i.a_type {
        I8 => &[I8, I4, I2],
        _ => &[I8, I4, I2, F8E4M3, F8E5M2],
    };
    let (k, group) = (i.k, u32::from(i.group));
    one_of("a_type", i.a_type, &[I8, F32, Bf16, F16, F8E4M3, F8E5M2])
        .or(one_of("b_type", i.b_type, codes))
        .or(one_of("scale_type", i.scale_type, &[F32, Bf16, F16]))
        .or((!k.is_multiple_of(64)).then(|| ("k", format!("{k} (must be a multiple of 64)"))))
        .or(
            (!group.is_multiple_of(16) || group != 0 && !k.is_multiple_of(group)).then(|| {
                let rule = "must be 0, or a multiple of 16 that divides k";
                ("group", format!("{group} ({rule} = {k})"))
            }),
        )
        .or((i.zeros && !i.b_type.is_int()).then(|| {
            let reason = format!("codes of {} have no zero points", i.b_type.name());
            ("zeros", reason)
        }))
}
