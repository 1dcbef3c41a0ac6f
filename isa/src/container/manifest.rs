//! The protobuf messages of the container.

/// What a program consists of.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Manifest {
    /// Version of the compiler that wrote the file.
    #[prost(string, tag = "1")]
    pub compiler_version: String,
    /// Name of the chip the program is for.
    #[prost(string, tag = "2")]
    pub chip_name: String,
    /// [`crate::Chip::fingerprint`] of that chip, as hexadecimal text.
    #[prost(string, tag = "3")]
    pub chip_fingerprint: String,
    /// Bytes of DRAM the program uses, from address 0.
    #[prost(uint64, tag = "4")]
    pub dram_bytes: u64,
    /// Where the weights go.
    #[prost(message, required, tag = "5")]
    pub weights: WeightsImage,
    /// Programs, one per entry.
    #[prost(message, repeated, tag = "6")]
    pub entries: Vec<Entry>,
    /// Tensors that live in DRAM between launches.
    #[prost(message, repeated, tag = "7")]
    pub states: Vec<StateTensor>,
    /// What a host needs to know of the model.
    #[prost(message, required, tag = "8")]
    pub model: ModelInfo,
}

/// The image of the read-only part of DRAM.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WeightsImage {
    /// DRAM address of its first byte.
    #[prost(uint64, tag = "1")]
    pub dram_addr: u64,
    /// Size in bytes.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    /// BLAKE3 hash of the bytes, 32 bytes. Filled in by [`super::BinaryBuilder::write`].
    #[prost(bytes = "vec", tag = "3")]
    pub blake3: Vec<u8>,
}

/// One program; every core runs it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Name, such as `decode`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// First instruction, counted in instructions from the start of `.text`.
    #[prost(uint64, tag = "2")]
    pub code_offset: u64,
    /// Number of instructions.
    #[prost(uint64, tag = "3")]
    pub code_len: u64,
    /// Launch registers in order.
    #[prost(message, repeated, tag = "4")]
    pub launch: Vec<LaunchRegister>,
    /// Tensors the host writes before a launch.
    #[prost(message, repeated, tag = "5")]
    pub inputs: Vec<IoTensor>,
    /// Tensors the host reads after a launch.
    #[prost(message, repeated, tag = "6")]
    pub outputs: Vec<IoTensor>,
}

/// A number the host passes to a launch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LaunchRegister {
    /// Name, such as `tokens` or `past`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Largest allowed value; the smallest is 0.
    #[prost(uint64, tag = "2")]
    pub max: u64,
}

/// An input or output tensor in DRAM.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IoTensor {
    /// Name, as in the model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Element type in DRAM: `f32`, `bf16`, `f16`, `i32`, `i8`, `u8`, or `i64` (token ids).
    #[prost(string, tag = "2")]
    pub dtype: String,
    /// Dimensions of the space reserved for it; a launch may use less of the outermost.
    #[prost(uint64, repeated, tag = "3")]
    pub dims: Vec<u64>,
    /// DRAM address of its first byte.
    #[prost(uint64, tag = "4")]
    pub dram_addr: u64,
    /// Size in bytes.
    #[prost(uint64, tag = "5")]
    pub bytes: u64,
    /// Element type in the model, if it is another one; hosts convert.
    #[prost(string, tag = "6")]
    pub model_dtype: String,
}

/// A tensor that keeps its value between launches.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StateTensor {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Element type: `f32`, `bf16`, `i32` or `i64`.
    #[prost(string, tag = "2")]
    pub dtype: String,
    /// Dimensions, at capacity.
    #[prost(uint64, repeated, tag = "3")]
    pub dims: Vec<u64>,
    /// DRAM address of its first byte.
    #[prost(uint64, tag = "4")]
    pub dram_addr: u64,
    /// Size in bytes.
    #[prost(uint64, tag = "5")]
    pub bytes: u64,
}

/// What a host needs to know of a language model.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelInfo {
    /// Number of tokens; 0 if the program is no language model.
    #[prost(uint64, tag = "1")]
    pub vocab: u64,
    /// Positions that fit the state.
    #[prost(uint64, tag = "2")]
    pub max_context: u64,
    /// Tokens a launch of `prefill` or `score` takes at most.
    #[prost(uint64, tag = "3")]
    pub prefill: u64,
    /// Token that starts a text, if the model has one.
    #[prost(int64, optional, tag = "4")]
    pub bos: Option<i64>,
    /// Tokens that end a text.
    #[prost(int64, repeated, tag = "5")]
    pub eos: Vec<i64>,
}

/// Where each instruction comes from.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DebugMap {
    /// Source operations.
    #[prost(message, repeated, tag = "1")]
    pub ops: Vec<DebugOp>,
    /// For each instruction of `.text`: 1 + index in `ops`, or 0 for none. May be shorter than the code.
    #[prost(uint32, repeated, tag = "2")]
    pub inst_op: Vec<u32>,
    /// What lies where in the memories.
    #[prost(message, repeated, tag = "3")]
    pub buffers: Vec<DebugBuffer>,
}

/// A buffer of the tile program. SRAM is used again, so its buffers hold for some instructions only.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DebugBuffer {
    /// Kind and name, such as "ring `kv`".
    #[prost(string, tag = "1")]
    pub name: String,
    /// In the SRAM of each core, not in DRAM.
    #[prost(bool, tag = "2")]
    pub sram: bool,
    /// First byte.
    #[prost(uint64, tag = "3")]
    pub addr: u64,
    /// Size in bytes, all pages included.
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
    /// Bytes of a page; 0 if it has none.
    #[prost(uint64, tag = "5")]
    pub page: u64,
    /// First instruction of `.text` that uses it.
    #[prost(uint64, tag = "6")]
    pub first: u64,
    /// Last instruction of `.text` that uses it.
    #[prost(uint64, tag = "7")]
    pub last: u64,
}

impl DebugBuffer {
    /// Instructions between `index` and those that use the buffer; 0 if it is among them.
    fn distance(&self, index: u64) -> u64 {
        self.first.saturating_sub(index) + index.saturating_sub(self.last)
    }
}

/// An operation of the tile program and what it stands for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DebugOp {
    /// Text of the tile op.
    #[prost(string, tag = "1")]
    pub tile_op: String,
    /// Text or name of the graph node.
    #[prost(string, tag = "2")]
    pub graph_node: String,
    /// Names of the ONNX nodes.
    #[prost(string, repeated, tag = "3")]
    pub onnx: Vec<String>,
}

impl DebugMap {
    /// The buffer at a byte of the SRAM or the DRAM when instruction `index` of `.text` runs; of several, the one that is used
    /// nearest to it.
    pub fn buffer(&self, sram: bool, at: u64, index: u64) -> Option<&DebugBuffer> {
        let there = |b: &&DebugBuffer| b.sram == sram && at >= b.addr && at - b.addr < b.bytes;
        let all = self.buffers.iter().filter(there);
        all.min_by_key(|b| (b.distance(index), b.bytes))
    }

    /// The source of instruction `index` of `.text`.
    pub fn op(&self, index: usize) -> Option<&DebugOp> {
        let id = *self.inst_op.get(index)?;
        self.ops.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }
}

impl Manifest {
    /// The entry with this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }
}
