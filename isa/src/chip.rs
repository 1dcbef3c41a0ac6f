//! The chip: what a chip file says, as plain numbers.
//!
//! A chip file is TOML. `name` and `description` come first; then each parameter of [`PARAMS`] in its section, as
//! `key = { value = .., source = "..", status = "verified" | "secondary" | "estimate" }`, with the unit in the key.
//! Compiler and emulator read the same file; nothing else knows sizes or speeds.
//!
//! The section `claim` repeats what the maker says of the whole chip, and serves [`Chip::check`] alone: it is in no fingerprint,
//! and changing a parameter by hand drops it.

mod check;
mod parse;
mod schema;

mod params;

pub use check::Problem;
pub use params::{Dataflow, PARAMS, Param, ParamInfo, ParamKind, Place, Status, Value};
pub use schema::json_schema;

use params::Params;
use std::path::Path;

/// Chip files that are built in: name and text.
const PRESETS: [(&str, &str); 5] = [
    ("ideal", include_str!("../chips/ideal.toml")),
    ("edge", include_str!("../chips/edge.toml")),
    ("h100-like", include_str!("../chips/h100-like.toml")),
    ("groq-like", include_str!("../chips/groq-like.toml")),
    (
        "tenstorrent-blackhole-like",
        include_str!("../chips/tenstorrent-blackhole-like.toml"),
    ),
];

/// Section of a chip file that only serves its check: what the maker says of the whole chip.
const CLAIM: &str = "claim";

/// A chip as described by a chip file. Always consistent: [`Chip::check`] has found nothing when it was made or changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    name: String,
    description: String,
    origin: String,
    params: Params,
    text: String,
}

/// Why there is no chip: all problems of a chip file, or that it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(|p| p.to_string()).collect::<Vec<_>>().join("\n"))]
pub struct ChipError {
    /// The problems; never empty.
    pub problems: Vec<Problem>,
}

impl ChipError {
    fn single(origin: &str, key: &str, message: String) -> ChipError {
        let problem = Problem {
            origin: origin.to_string(),
            key: key.to_string(),
            message,
            ..Problem::default()
        };
        ChipError {
            problems: vec![problem],
        }
    }
}

impl Chip {
    /// Names of the built-in chips.
    pub fn presets() -> Vec<&'static str> {
        PRESETS.iter().map(|(name, _)| *name).collect()
    }

    /// A built-in chip by name, or the chip of a file (anything with a `/`, a `\` or ending in `.toml`, or that exists).
    pub fn load(name_or_path: &str) -> Result<Chip, ChipError> {
        if let Some((name, text)) = PRESETS.iter().find(|(name, _)| *name == name_or_path) {
            return Chip::from_toml(text, name);
        }
        let path = Path::new(name_or_path);
        if !path.exists() && !name_or_path.contains(['/', '\\']) && !name_or_path.ends_with(".toml")
        {
            let names = Chip::presets().join(", ");
            let message = format!(
                "there is no chip `{name_or_path}`: the built-in chips are {names}; or give a chip file"
            );
            return Err(ChipError::single(name_or_path, "", message));
        }
        let text = std::fs::read_to_string(path).map_err(|e| {
            ChipError::single(name_or_path, "", format!("cannot read the chip file: {e}"))
        })?;
        Chip::from_toml(&text, name_or_path)
    }

    /// The chip of a chip file's text. `origin` names the file in messages. All problems are reported at once.
    pub fn from_toml(text: &str, origin: &str) -> Result<Chip, ChipError> {
        let chip = parse::parse(text, origin).map_err(|problems| ChipError { problems })?;
        chip.checked()
    }

    /// The chip with one parameter changed; `key` is `section.key`, such as `core.sram_kib`.
    pub fn with(&self, key: &str, value: impl Into<Value>) -> Result<Chip, ChipError> {
        let mut chip = self.clone();
        chip.set(key, value)?;
        Ok(chip)
    }

    /// Changes one parameter; its source becomes "set by hand". On an error the chip stays as it was.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> Result<(), ChipError> {
        let fail = |message| ChipError::single(&self.origin, key, message);
        let index = PARAMS
            .iter()
            .position(|p| p.path() == key)
            .ok_or_else(|| fail(parse::unknown_key(key)))?;
        let mut chip = self.clone();
        let mut set = |index, value: &Value, source| {
            let place = Place::default();
            chip.params
                .set(index, value, source, Status::Estimate, place)
        };
        set(index, &value.into(), "set by hand").map_err(fail)?;
        if PARAMS.get(index).is_some_and(|p| p.section != CLAIM) {
            for (index, _) in (0..).zip(PARAMS).filter(|(_, p)| p.section == CLAIM) {
                set(index, &Value::Int(0), "none: changed by hand").map_err(fail)?;
            }
        }
        chip.text = chip.render();
        *self = chip.checked()?;
        Ok(())
    }

    /// The chip with this many bytes of SRAM per core, a multiple of 1024.
    pub fn with_sram_bytes(&self, bytes: u64) -> Result<Chip, ChipError> {
        if !bytes.is_multiple_of(1024) {
            let message = format!("SRAM of {bytes} bytes is no multiple of 1024");
            return Err(ChipError::single(&self.origin, "core.sram_kib", message));
        }
        self.with("core.sram_kib", bytes / 1024)
    }

    fn checked(self) -> Result<Chip, ChipError> {
        let problems = self.check();
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(ChipError { problems })
        }
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line on what the chip stands for.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The chip file as text; [`Chip::from_toml`] of it gives this chip.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every parameter in order of [`PARAMS`]: its row, its value, where the value comes from and how sure it is.
    pub fn params(&self) -> Vec<(&'static ParamInfo, Value, &str, Status)> {
        let info = PARAMS.iter();
        info.zip(self.params.list())
            .map(|(info, (value, source, status))| (info, value, source, status))
            .collect()
    }

    /// BLAKE3 hash of all parameter values, hexadecimal. Name, description, sources, claims and layout of the file do not count.
    pub fn fingerprint(&self) -> String {
        let mut hash = blake3::Hasher::new();
        let params = self.params().into_iter();
        for (info, value, ..) in params.filter(|(info, ..)| info.section != CLAIM) {
            hash.update(format!("{}={value}\n", info.path()).as_bytes());
        }
        hash.finalize().to_hex().to_string()
    }

    /// The chip file in canonical layout.
    fn render(&self) -> String {
        let quote = |text: &str| toml::Value::from(text).to_string();
        let mut out = format!(
            "name = {}\ndescription = {}\n",
            quote(&self.name),
            quote(&self.description)
        );
        let mut section = "";
        for (info, value, source, status) in self.params() {
            if info.section != section {
                section = info.section;
                out += &format!("\n[{section}]\n");
            }
            let (source, status) = (quote(source), status.name());
            out += &format!(
                "{} = {{ value = {value}, source = {source}, status = \"{status}\" }}\n",
                info.key
            );
        }
        out
    }
}

/// Derived quantities; the parameters themselves have a getter each, named `section_key`.
impl Chip {
    /// Number of cores.
    pub fn cores(&self) -> u32 {
        (self.chip_cores_x() * self.chip_cores_y()) as u32
    }

    /// Columns of the mesh; core c is at (c mod columns, c / columns).
    pub fn cores_x(&self) -> u32 {
        self.chip_cores_x() as u32
    }

    /// Rows of the mesh.
    pub fn cores_y(&self) -> u32 {
        self.chip_cores_y() as u32
    }

    /// Clock in Hz.
    pub fn clock_hz(&self) -> u64 {
        self.chip_clock_mhz() * 1_000_000
    }

    /// SRAM of one core in bytes.
    pub fn sram_bytes(&self) -> u64 {
        self.core_sram_kib() * 1024
    }

    /// DRAM of the chip in bytes.
    pub fn dram_bytes(&self) -> u64 {
        self.dram_capacity_mib() << 20
    }

    /// DRAM bandwidth of the chip in bytes per second.
    pub fn dram_bytes_per_s(&self) -> u64 {
        self.dram_bandwidth_mb_per_s() * 1_000_000
    }

    /// Instructions an engine queue holds.
    pub fn queue_depth(&self) -> u32 {
        self.core_queue_depth() as u32
    }

    /// Semaphores of a core.
    pub fn semaphores(&self) -> u32 {
        self.core_semaphores() as u32
    }

    /// Peak of bf16 products of the whole chip, in operations per second: two per multiply-accumulate.
    pub fn peak_bf16_ops_per_s(&self) -> f64 {
        let cells = self.mxu_rows() as f64 * self.mxu_cols() as f64;
        2.0 * cells * f64::from(self.cores()) * self.clock_hz() as f64
    }

    /// Power drawn whatever the chip does, in watts.
    pub fn static_watts(&self) -> f64 {
        self.energy_static_mw() / 1000.0
    }
}

#[cfg(test)]
mod tests;
