//! What all workloads over HTTP have in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Options shared by the workloads.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Base URL of the server under test
    #[arg(long, default_value = "http://127.0.0.1:8888")]
    pub url: String,

    /// A second server: rounds alternate between both, and ratios are printed
    #[arg(long, value_name = "URL")]
    pub compare: Option<String>,

    /// Value of the X-Project-ID header
    #[arg(long, default_value = "zaqar-bench")]
    pub project: String,

    /// Value of the X-Auth-Token header
    #[arg(long, env = "ZAQAR_BENCH_TOKEN", hide_env_values = true)]
    pub token: Option<Token>,

    /// File of tokens, one a line: each request bears the next one in its X-Auth-Token header
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub tokens: Option<PathBuf>,

    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,

    /// Threads of this program; leave the other cores to the server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,

    /// Measured time, in seconds
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Duration,

    /// Messages to post (post, mixed) or to prepare (list, claim-delete); posting ends with them
    #[arg(long)]
    pub messages: Option<u64>,

    /// Time under load before measuring, in seconds
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = seconds)]
    pub warmup: Duration,

    /// Bytes of one message body
    #[arg(long, default_value_t = 1024)]
    pub body_bytes: usize,

    /// Messages per post or claim [default: 1 for posts, 10 for claims]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub batch: Option<u16>,

    /// Queues, used in turn
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub queues: u32,

    /// Posts per second over all connections, at random instants, whether or not the server keeps
    /// up [default: as fast as answers come; calm: 100]
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,

    /// Life of a message, in seconds
    #[arg(long, default_value_t = 3600)]
    pub ttl: u32,

    /// Life of a claim, in seconds; a run that lasts longer sees its messages again
    #[arg(long, default_value_t = 43_200)]
    pub claim_ttl: u32,

    /// Messages per listed page, at most what the server allows
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub page: u16,

    /// Pause of an idle consumer between empty claims, in milliseconds (mixed)
    #[arg(long, default_value_t = 1)]
    pub poll_ms: u64,

    /// How long an answer may take, in seconds
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Duration,

    /// Rounds [default: 1, with --compare 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: Option<u32>,

    /// Seed of the padding and of the arrivals
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Process of the server, for its processor time; several separated by commas
    /// [default: found by the port when the server is on this machine]
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pub server_pid: Vec<u32>,

    /// The same for the server of --compare
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pub compare_pid: Vec<u32>,

    /// Do not fail when messages come out of order (for stores that do not promise it)
    #[arg(long)]
    pub unordered: bool,

    /// Leave the queues and their messages on the server
    #[arg(long)]
    pub keep: bool,

    /// No progress line
    #[arg(long)]
    pub quiet: bool,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A token that is not printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl std::str::FromStr for Token {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text} is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err(format!("{text} is not a positive number")),
    }
}
