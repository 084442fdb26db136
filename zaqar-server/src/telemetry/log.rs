//! Log lines on standard error, for people or for machines.

use tracing_subscriber::EnvFilter;

use crate::config::options::{Log, LogFormat};

/// Starts logging for the whole process.
///
/// # Errors
/// A sentence: the level is no filter, or the process logs already.
pub fn init(config: &Log) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(&config.level).map_err(|error| format!("log.level: {error}"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Text => {
            logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error.to_string())
}
