//! What the graph passes did, and how long they took.

use llmc_passes::{Elapsed, PassReport};
use serde::{Serialize, Serializer};
use std::fmt;

/// The passes of a compile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassesReport {
    /// The whole compile from reading the model on, in microseconds, without writing the binary.
    #[serde(rename = "compile_us", serialize_with = "micros")]
    pub compile: Elapsed,
    /// Saturation of all entries, in microseconds.
    #[serde(rename = "saturation_us", serialize_with = "micros")]
    pub saturation: Elapsed,
    /// What it consists of, in order.
    pub steps: Vec<StepReport>,
    /// Turns of each repeat, and nodes of its body.
    pub repeats: Vec<(usize, usize)>,
    /// Saturation by entry.
    pub entries: Vec<SaturationReport>,
}

/// A step of the compile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// Its name.
    pub step: &'static str,
    /// In microseconds.
    #[serde(rename = "time_us", serialize_with = "micros")]
    pub time: Elapsed,
}

/// Equality saturation of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SaturationReport {
    /// The entry.
    pub entry: String,
    /// Why it stopped: `saturated`, or the limit that was hit.
    pub stop: String,
    /// Rounds of all rules.
    pub iterations: usize,
    /// Nodes of the e-graph at the end.
    pub nodes: usize,
    /// Classes of the e-graph at the end.
    pub classes: usize,
    /// Cost of the extracted graph, in cycles of the cost model.
    pub cost: u64,
    /// No equal graph of the e-graph costs less; 0 if that is not known.
    pub bound: u64,
    /// With extraction, in microseconds.
    #[serde(rename = "time_us", serialize_with = "micros")]
    pub time: Elapsed,
}

fn micros<S: Serializer>(time: &Elapsed, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.micros())
}

impl PassesReport {
    /// Of a compile that consisted of `times`.
    pub fn new(passes: &PassReport, times: &[(&'static str, Elapsed)]) -> PassesReport {
        let entries: Vec<SaturationReport> = passes
            .eqsat
            .iter()
            .map(|(entry, eqsat)| SaturationReport {
                entry: entry.clone(),
                stop: eqsat.stop.clone(),
                iterations: eqsat.iterations,
                nodes: eqsat.nodes,
                classes: eqsat.classes,
                cost: eqsat.cost,
                bound: eqsat.bound,
                time: eqsat.time,
            })
            .collect();
        PassesReport {
            compile: Elapsed(times.iter().map(|(_, time)| time.0).sum()),
            steps: times
                .iter()
                .map(|&(step, time)| StepReport { step, time })
                .collect(),
            saturation: Elapsed(entries.iter().map(|e| e.time.0).sum()),
            repeats: passes.roll.repeats.clone(),
            entries,
        }
    }
}

impl fmt::Display for PassesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, all) = (self.saturation.micros(), self.compile.micros().max(1));
        writeln!(
            f,
            "compiled in {}, of which saturation {} ({} %)",
            self.compile,
            self.saturation,
            100 * part / all
        )?;
        let steps = self.steps.iter();
        let steps: Vec<String> = steps.map(|s| format!("{} {}", s.step, s.time)).collect();
        writeln!(f, "  {}", steps.join(", "))?;
        for (turns, nodes) in &self.repeats {
            writeln!(f, "  {turns} layers as one of {nodes} nodes")?;
        }
        self.entries.iter().try_for_each(|e| {
            let extracted = match e.bound {
                bound if bound == e.cost => "the cheapest".to_string(),
                0 => "how far from the cheapest is not known".to_string(),
                bound => format!("the cheapest costs {bound} at least"),
            };
            writeln!(
                f,
                "  {}: {} after {} rounds, {} nodes in {} classes; extracted at {} cycles ({extracted}), {}",
                e.entry, e.stop, e.iterations, e.nodes, e.classes, e.cost, e.time
            )
        })
    }
}
