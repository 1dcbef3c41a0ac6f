//! What the caller of the compiler can choose, and the stages it can look at.

use llmc_ir::RangeOf;
use llmc_isa::Chip;
use llmc_passes::Quant;

/// Most tokens of a prefill launch, if nothing is said.
pub const DEFAULT_PREFILL: u64 = 64;

/// What is compiled for.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// The chip.
    pub chip: Chip,
    /// How weights are held.
    pub quant: Quant,
    /// What dynamic quantisation of activations takes its range of: all tokens of a launch, as ONNX Runtime does, or each.
    pub dynamic_range: RangeOf,
    /// Most tokens of a sequence; by default what the model was made for.
    pub max_context: Option<u64>,
    /// Most tokens of a prefill launch; by default [`DEFAULT_PREFILL`], or the context if that is shorter.
    pub prefill: Option<u64>,
    /// Sequences at a time. Only 1 is supported yet.
    pub batch: u64,
    /// Values of the symbolic dims of models without state.
    pub dims: Vec<(String, u64)>,
    /// Whether repeated layers become a loop; otherwise each has its own code. Changes no value that is computed.
    pub roll: bool,
    /// Threads, 0 for one per processor. Changes nothing in the result.
    pub threads: usize,
    /// Stages whose text is wanted, see [`crate::Compiled::texts`].
    pub emit: Vec<Stage>,
}

impl CompileOptions {
    /// The defaults, for a chip.
    pub fn new(chip: Chip) -> CompileOptions {
        CompileOptions {
            chip,
            quant: Quant::None,
            dynamic_range: RangeOf::default(),
            max_context: None,
            prefill: None,
            batch: 1,
            dims: Vec::new(),
            roll: true,
            threads: 0,
            emit: Vec::new(),
        }
    }
}

macro_rules! stages {
    ($($(#[doc = $doc:literal])* $name:ident $word:literal after $pass:literal,)*) => {
        /// A point of the compile at which the program has a text form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Stage {
            $($(#[doc = $doc])* $name,)*
        }

        impl Stage {
            /// All stages, in order.
            pub const ALL: &'static [Stage] = &[$(Stage::$name),*];

            /// Its name, as in `llmc dump --stage NAME`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Stage::$name => $word,)*
                }
            }

            /// The pass that this is what is left after, as in `llmc compile --stop-after PASS`.
            pub const fn pass(self) -> &'static str {
                match self {
                    $(Stage::$name => $pass,)*
                }
            }

            /// What the text shows.
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Stage::$name => concat!($($doc),*),)*
                }
            }
        }
    };
}

stages! {
    /// The graph as read from the ONNX file.
    Imported "imported" after "import",
    /// KV caches as state.
    Stateful "stateful" after "promote_state",
    /// Repeated layers as one.
    Rolled "rolled" after "roll",
    /// Constant subgraphs evaluated.
    Folded "folded" after "fold",
    /// One graph per entry.
    Specialised "specialised" after "specialise",
    /// Fused by equality saturation.
    Fused "fused" after "fuse",
    /// Weights quantised.
    Quantised "quantised" after "quantise",
    /// Split over the cores.
    Sharded "sharded" after "shard",
    /// The tile program as lowered.
    Lowered "lowered" after "lower",
    /// With the number of pages of each ring.
    Scheduled "scheduled" after "schedule",
    /// With addresses.
    Placed "placed" after "place",
    /// With waits and posts.
    Synchronised "synchronised" after "sync",
    /// Instructions.
    Asm "asm" after "emit",
}

impl Stage {
    /// Whether its text is a graph; otherwise it is a tile program or assembly.
    pub fn is_graph(self) -> bool {
        self <= Stage::Sharded
    }

    /// The stage of this name, or after the pass of this name.
    pub fn of(name: &str) -> Option<Stage> {
        let mut all = Stage::ALL.iter().copied();
        all.find(|s| s.name() == name || s.pass() == name)
    }
}

impl std::str::FromStr for Stage {
    type Err = String;
    fn from_str(name: &str) -> Result<Stage, String> {
        let names = || {
            Stage::ALL
                .iter()
                .map(|s| s.name())
                .collect::<Vec<_>>()
                .join(", ")
        };
        Stage::of(name)
            .ok_or_else(|| format!("there is no stage `{name}`; the stages are {}", names()))
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
