//! What a field may hold beyond what its type allows, and other facts of single rows.

use super::codec::FieldInfo;
use super::rows::Inst;
use crate::operand::{Queue, VOp};

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
            Inst::VpuUnary(i) => no_bcast(&i.dst),
            Inst::VpuBinary(i) => no_bcast(&i.dst),
            Inst::VpuFill(i) => no_bcast(&i.dst),
            Inst::VpuReduce(i) => no_bcast(&i.dst),
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
            | Inst::MxuMm(_)
            | Inst::AttInit(_)
            | Inst::AttStep(_)
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
