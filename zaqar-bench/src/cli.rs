//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::fan_out::FanOutOptions;
use crate::options::Options;
#[cfg(feature = "raw-sqlite")]
use crate::raw_sqlite::RawOptions;
use crate::sockets::SocketsOptions;
use crate::suite::SuiteOptions;
use crate::wait::WaitOptions;
use crate::workload::{DeleteMode, Workload};

/// Measures a Zaqar server over REST v2, and checks that no message is lost, doubled or misordered.
#[derive(Debug, Parser)]
#[command(name = "zaqar-bench", version)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Post messages
    Post(Options),
    /// Walk through full queues, page by page
    List(Options),
    /// Claim and delete prepared messages
    ClaimDelete(ClaimDelete),
    /// Producers and consumers at once
    Mixed(ClaimDelete),
    /// Time from post to claim at a low rate
    Calm(Options),
    /// Requests that store nothing, at calm's rate: the floor under calm
    Ping(Options),
    /// Claims with many messages in flight ahead, and with many waiting
    Deep(Deep),
    /// Push to many open WebSocket connections: the server's memory, and whether all arrives
    Sockets(SocketsOptions),
    /// What 100 subscribers to a queue cost whoever posts, and whether each gets everything
    FanOut(FanOutOptions),
    /// Many clients that wait for messages: what they cost idle, and how soon a post reaches one
    Wait(WaitOptions),
    /// Insert rows into an SQLite file without any server: the yardstick
    #[cfg(feature = "raw-sqlite")]
    RawSqlite(RawOptions),
    /// The standard set of workloads
    Suite(SuiteOptions),
}

/// Options of the workloads that delete.
#[derive(Debug, Args)]
pub struct ClaimDelete {
    /// Delete the messages of a claim together or one by one
    #[arg(long, value_enum, default_value_t = Delete::Bulk)]
    pub delete: Delete,

    /// The common options
    #[command(flatten)]
    pub options: Options,
}

/// How claimed messages are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Delete {
    /// One request for all messages of a claim
    Bulk,
    /// One request for each message
    Single,
}

impl From<Delete> for DeleteMode {
    fn from(delete: Delete) -> Self {
        match delete {
            Delete::Bulk => Self::Bulk,
            Delete::Single => Self::Single,
        }
    }
}

/// Options of the deep workload.
#[derive(Debug, Args)]
pub struct Deep {
    /// Messages in flight ahead on one queue, and waiting on another
    #[arg(long, default_value_t = 200_000)]
    pub depth: u64,

    /// Claims measured on each queue
    #[arg(long, default_value_t = 1000)]
    pub claims: u32,

    /// The common options
    #[command(flatten)]
    pub options: Options,
}

/// A subcommand, sorted by what runs it.
#[derive(Debug)]
pub enum Task<'a> {
    /// A workload against one or two servers.
    Workload(Workload, &'a Options),
    /// Many open sockets.
    Sockets(&'a SocketsOptions),
    /// Many subscribers to one queue.
    FanOut(&'a FanOutOptions),
    /// Many clients that wait.
    Wait(&'a WaitOptions),
    /// The raw loop.
    #[cfg(feature = "raw-sqlite")]
    RawSqlite(&'a RawOptions),
    /// The standard set.
    Suite(&'a SuiteOptions),
}

impl Command {
    /// What is to be run.
    #[must_use]
    pub fn task(&self) -> Task<'_> {
        let (workload, options) = match self {
            Self::Post(options) => (Workload::Post, options),
            Self::List(options) => (Workload::List, options),
            Self::Calm(options) => (Workload::Calm, options),
            Self::Ping(options) => (Workload::Ping, options),
            Self::ClaimDelete(args) => (Workload::ClaimDelete(args.delete.into()), &args.options),
            Self::Mixed(args) => (Workload::Mixed(args.delete.into()), &args.options),
            Self::Deep(Deep { depth, claims, options }) => {
                (Workload::Deep { depth: *depth, claims: *claims }, options)
            }
            Self::Sockets(options) => return Task::Sockets(options),
            Self::FanOut(options) => return Task::FanOut(options),
            Self::Wait(options) => return Task::Wait(options),
            #[cfg(feature = "raw-sqlite")]
            Self::RawSqlite(options) => return Task::RawSqlite(options),
            Self::Suite(options) => return Task::Suite(options),
        };
        Task::Workload(workload, options)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nonsense_values_are_refused() {
        for argument in ["--rate=0", "--batch=0", "--connections=0", "--duration=-1"] {
            assert!(Cli::try_parse_from(["zaqar-bench", "post", argument]).is_err(), "{argument}");
        }
    }
}
