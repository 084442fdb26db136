//! The options of the wait workload.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::http::Target;
use crate::measure;
use crate::options::seconds;

/// Options of the wait workload.
#[derive(Debug, Clone, Args)]
pub struct WaitOptions {
    /// Base URL of the server under test
    #[arg(long, default_value = "http://127.0.0.1:8888")]
    pub url: String,

    /// Value of the X-Project-ID header
    #[arg(long, default_value = "zaqar-bench")]
    pub project: String,

    /// Clients that wait for something to claim, each on a connection of its own
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub waiters: u32,

    /// Queues that they wait for, in turn
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub queues: u32,

    /// How long one request waits, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=20))]
    pub wait: u64,

    /// How long the waiters may take to settle down, in seconds
    #[arg(long, default_value = "3", value_name = "SECONDS", value_parser = seconds)]
    pub settle: Duration,

    /// How long nothing is posted while the server's processor time is measured, in seconds
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub idle: Duration,

    /// Messages to post afterwards, one after the other has arrived, to the queues in turn
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub wakes: u32,

    /// How long an answer may take beyond its wait, and a message to arrive, in seconds
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Duration,

    /// Process of the server, for its processor time; several separated by commas
    /// [default: found by the port when the server is on this machine]
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pub server_pid: Vec<u32>,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl WaitOptions {
    pub(super) fn server_pids(&self, target: &Target) -> Vec<u32> {
        match self.server_pid.as_slice() {
            [] => measure::find_listeners(target.port()),
            named => named.to_vec(),
        }
    }
}
