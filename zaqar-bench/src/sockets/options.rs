//! The options of the sockets workload.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::http::Target;
use crate::measure;
use crate::options::seconds;

/// Options of the sockets workload.
#[derive(Debug, Clone, Args)]
pub struct SocketsOptions {
    /// Base URL of the server under test
    #[arg(long, default_value = "http://127.0.0.1:8888")]
    pub url: String,

    /// Where it lets WebSocket clients in [default: /v2/ws below the base URL]
    #[arg(long, value_name = "URL")]
    pub socket_url: Option<String>,

    /// Value of the X-Project-ID header
    #[arg(long, default_value = "zaqar-bench")]
    pub project: String,

    /// Connections to open, each of which subscribes to the queue
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sockets: u32,

    /// Messages to post over REST, one a request, one after the other
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub messages: u64,

    /// Bytes of one message body
    #[arg(long, default_value_t = 1024)]
    pub body_bytes: usize,

    /// How long an answer or the next message may take, in seconds
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Duration,

    /// Process of the server, for its memory; several separated by commas
    /// [default: found by the port when the server is on this machine]
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pub server_pid: Vec<u32>,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl SocketsOptions {
    pub(super) fn socket_url(&self) -> String {
        let below = || {
            let base = self.url.trim_end_matches('/').trim_end_matches("/v2");
            format!("{}/v2/ws", base.replacen("http", "ws", 1))
        };
        self.socket_url.clone().unwrap_or_else(below)
    }

    pub(super) fn server_pids(&self, target: &Target) -> Vec<u32> {
        match self.server_pid.as_slice() {
            [] => measure::find_listeners(target.port()),
            named => named.to_vec(),
        }
    }
}
