//! `llmc compile`, and the compiler options that other subcommands share.

use crate::dump::stages;
use crate::{Context, Error, Io, chip, file};
use clap::builder::PossibleValuesParser;
use llmc_compiler::{CompileOptions, Compiled, Stage, StageText};
use llmc_isa::chip::Value;
use llmc_isa::container::Binary;
use std::path::{Path, PathBuf};

/// Options that decide what is compiled, and for what.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Compiler")]
pub struct CompileArgs {
    /// The chip: a preset (see `llmc chip list`) or a chip file [default: ideal]
    #[arg(long, value_name = "NAME|FILE")]
    pub chip: Option<String>,
    /// Changes a number of the chip file, e.g. `core.sram_kib=256`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, Value)>,
    /// How weights are stored and multiplied [default: none]
    #[arg(long, value_enum)]
    pub quant: Option<Quant>,
    /// What activations that the model quantises dynamically take their range of [default: launch]
    #[arg(long, value_enum)]
    pub dynamic_range: Option<DynamicRange>,
    /// Positions the state holds [default: the model's limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_context: Option<u32>,
    /// Most tokens of one launch of the prompt [default: 64, or the context if that is shorter]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub prefill: Option<u32>,
    /// Sequences at once [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// Binds a symbolic dimension of a model without state; may be repeated
    #[arg(long = "dim", value_name = "NAME=VALUE", value_parser = pair::<u64>)]
    pub dims: Vec<(String, u64)>,
    /// Threads of the compiler (0: one per processor) and of the emulator; changes no result [default: 0 and 1]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// How weights are stored and multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Quant {
    /// As in the model: float stays f32
    #[default]
    None,
    /// Matrices in bf16, sums in f32
    Bf16,
}

/// What activations that are quantised dynamically take their range of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DynamicRange {
    /// All tokens of a launch, as ONNX Runtime: results depend on how a prompt is cut
    #[default]
    Launch,
    /// Each token: results do not depend on how a prompt is cut
    Token,
}

impl CompileArgs {
    /// What `--chip` says, or its default.
    pub fn chip_name(&self) -> &str {
        self.chip.as_deref().unwrap_or("ideal")
    }

    /// Fails if an option is given that means nothing for a program that is compiled already.
    ///
    /// # Errors
    /// Names the option.
    pub fn only_chip(&self) -> Result<(), Error> {
        let given = [
            ("--quant", self.quant.is_some()),
            ("--dynamic-range", self.dynamic_range.is_some()),
            ("--max-context", self.max_context.is_some()),
            ("--prefill", self.prefill.is_some()),
            ("--batch", self.batch.is_some()),
            ("--dim", !self.dims.is_empty()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(Error::Usage(format!(
                "{option}: the program is compiled already"
            ))),
            None => Ok(()),
        }
    }
}

/// The parser of `NAME=VALUE`.
pub(crate) fn pair<T: std::str::FromStr>(text: &str) -> Result<(String, T), String>
where
    T::Err: std::fmt::Display,
{
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = value.parse().map_err(|e| format!("`{value}`: {e}"))?;
    Ok((name.to_string(), value))
}

fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_string(), chip::value(value)))
}

/// Options of `llmc compile`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "tokenizer.json, config.json and genai_config.json are taken from the model's folder if they are there.

Examples:
  llmc compile model.onnx -o model.llmc
  llmc compile model.onnx -o model.llmc --chip edge --max-context 256 --prefill 16
  llmc compile encoder.onnx -o encoder.llmc --dim batch_size=1 --dim sequence_length=128
  llmc compile model.onnx -o model.llmc --emit fused,asm --emit-dir stages"
)]
pub struct Options {
    /// An ONNX model
    #[arg(required_unless_present = "passes")]
    model: Option<PathBuf>,
    /// The binary to write
    #[arg(
        short,
        long,
        value_name = "OUT.llmc",
        required_unless_present_any = ["stop_after", "passes"]
    )]
    output: Option<PathBuf>,
    /// List the passes, for `--print-after` and `--stop-after`, and the stages of `--emit` that they lead to
    #[arg(long, exclusive = true)]
    passes: bool,
    /// Print the program after these passes to standard error
    #[arg(long, value_name = "PASS,..", value_delimiter = ',', value_parser = stages())]
    print_after: Vec<Stage>,
    /// Stop after this pass and print the program instead of writing a binary
    #[arg(long, value_name = "PASS", value_parser = stages(), conflicts_with_all = ["output", "emit", "json"])]
    stop_after: Option<Stage>,
    /// Stages to write as text, or `all`
    #[arg(long, value_name = "STAGE,..", value_delimiter = ',', value_parser = stages_or_all())]
    emit: Vec<String>,
    /// Folder for the text of stages [default: the folder of the binary]
    #[arg(long, value_name = "DIR", requires = "emit")]
    emit_dir: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compile: CompileArgs,
}

fn stages_or_all() -> PossibleValuesParser {
    PossibleValuesParser::new(Stage::ALL.iter().map(|s| s.name()).chain(["all"]))
}

/// Runs `llmc compile`.
///
/// # Errors
/// If the model cannot be compiled for the chip, or a file cannot be written.
pub fn run(options: &Options, io: &mut Io) -> Result<(), Error> {
    let Some(model) = options.model.as_deref().filter(|_| !options.passes) else {
        let row = |s: &Stage| format!("{:14} {:14} {}\n", s.pass(), s.name(), s.doc().trim());
        return io.print(Stage::ALL.iter().map(row).collect::<String>());
    };
    let all = options.emit.iter().any(|name| name == "all");
    let wanted = |stage: &&Stage| all || options.emit.iter().any(|name| name == stage.name());
    let mut settings = options.compile.settings()?;
    // Each by itself, so that it is shown even if a later pass fails.
    for stage in &options.print_after {
        for text in stage_texts(model, &settings, *stage)? {
            io.note(format_args!("// after {}\n{}", stage.pass(), text.text));
        }
    }
    if let Some(stage) = options.stop_after {
        for text in stage_texts(model, &settings, stage)? {
            io.print(text.text)?;
        }
        return Ok(());
    }
    let Some(output) = &options.output else {
        return Err(Error::Usage("--output is missing".to_string()));
    };
    settings.emit = Stage::ALL.iter().filter(wanted).copied().collect();
    let compiled = compile(model, &settings, io)?;

    let beside = output.parent().unwrap_or(Path::new("."));
    let folder = options.emit_dir.as_deref().unwrap_or(beside);
    if options.emit_dir.is_some() {
        std::fs::create_dir_all(folder)
            .context(|| format!("cannot make `{}`", folder.display()))?;
    }
    for text in &compiled.texts {
        let number = 1 + text.stage as usize;
        let name = format!("{}.{number:02}-{}.txt", text.entry, text.stage);
        file::write(&folder.join(name), text.text.as_bytes())?;
    }
    let cannot = || format!("cannot write `{}`", output.display());
    compiled.write(output).context(cannot)?;
    if options.json {
        io.json(&compiled.report)
    } else {
        io.print(&compiled.report)
    }
}

/// The program after a pass.
fn stage_texts(
    model: &Path,
    settings: &CompileOptions,
    stage: Stage,
) -> Result<Vec<StageText>, Error> {
    llmc_compiler::dump(model, settings, stage, None)
        .context(|| format!("cannot compile `{}`", model.display()))
}

impl CompileArgs {
    /// The compiler's options.
    ///
    /// # Errors
    /// If the chip cannot be used.
    pub fn settings(&self) -> Result<CompileOptions, Error> {
        Ok(CompileOptions {
            quant: match self.quant.unwrap_or_default() {
                Quant::None => llmc_compiler::Quant::None,
                Quant::Bf16 => llmc_compiler::Quant::Bf16,
            },
            dynamic_range: match self.dynamic_range.unwrap_or_default() {
                DynamicRange::Launch => llmc_compiler::RangeOf::All,
                DynamicRange::Token => llmc_compiler::RangeOf::Row,
            },
            max_context: self.max_context.map(u64::from),
            prefill: self.prefill.map(u64::from),
            batch: self.batch.unwrap_or(1).into(),
            dims: self.dims.clone(),
            threads: self.threads.unwrap_or(0),
            ..CompileOptions::new(chip::load_with(self.chip_name(), &self.set)?)
        })
    }
}

/// Compiles; warnings become remarks.
///
/// # Errors
/// What the compiler says, with the model's name.
pub fn compile(model: &Path, settings: &CompileOptions, io: &mut Io) -> Result<Compiled, Error> {
    let shown = io.progress(&format!("compiling {}", model.display()));
    let compiled = llmc_compiler::compile(model, settings);
    drop(shown);
    let compiled = compiled.context(|| format!("cannot compile `{}`", model.display()))?;
    for warning in &compiled.report.warnings {
        io.note(format_args!("warning: {warning}"));
    }
    Ok(compiled)
}

/// Compiles a model to be run at once.
///
/// # Errors
/// As [`compile`].
pub fn in_memory(model: &Path, args: &CompileArgs, io: &mut Io) -> Result<Binary, Error> {
    let compiled = compile(model, &args.settings()?, io)?;
    let name = model.display().to_string();
    let bytes = compiled
        .to_bytes()
        .context(|| format!("cannot compile `{name}`"))?;
    Binary::from_bytes(bytes, &name)
        .context(|| "bug in llmc: the compiled program is not valid".into())
}
