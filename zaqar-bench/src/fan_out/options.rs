//! The options of the fan-out workload.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::options::seconds;

/// Options of the fan-out workload.
#[derive(Debug, Clone, Args)]
pub struct FanOutOptions {
    /// Base URL of the server under test
    #[arg(long, default_value = "http://127.0.0.1:8888")]
    pub url: String,

    /// Value of the X-Project-ID header
    #[arg(long, default_value = "zaqar-bench")]
    pub project: String,

    /// Where this program receives deliveries; the server must be allowed to send there
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Subscriptions of the one queue
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub subscribers: u32,

    /// Messages to post to each of the two queues, one a request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub posts: u32,

    /// Bytes of one message body
    #[arg(long, default_value_t = 1024)]
    pub body_bytes: usize,

    /// Post on while earlier messages are still being delivered
    #[arg(long)]
    pub busy: bool,

    /// How long an answer, or the deliveries of a post, may take, in seconds
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Duration,

    /// Seed of the order of the posts
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
