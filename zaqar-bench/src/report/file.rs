//! The result file.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::compare::Comparison;
use super::round::Round;

/// Everything a run found, as it is written to a file.
#[derive(Debug, Clone, Serialize)]
pub struct ReportFile {
    /// Version of this program.
    pub version: &'static str,
    /// The command line, without the token.
    pub command: String,
    /// Where it was measured.
    pub machine: Machine,
    /// The workload.
    pub workload: &'static str,
    /// All rounds in the order they ran.
    pub rounds: Vec<Round>,
    /// Ratios, when two servers were measured.
    pub comparison: Option<Comparison>,
}

/// What a reader needs to know about the machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processor model.
    pub processor: String,
    /// Cores this program may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
}

impl Machine {
    /// Describes this machine as far as `/proc` does.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kibibytes: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or_default();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kibibytes * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// Writes `report` as indented JSON.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(path: &Path, report: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
