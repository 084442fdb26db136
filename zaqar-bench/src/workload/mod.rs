//! The workloads: each prepares its queues, is measured, and has its messages accounted for.

mod calm;
mod claim_delete;
mod consumer;
mod deep;
mod list;
mod mixed;
mod ping;
mod post;
mod poster;
mod queue_path;
mod setup;
#[cfg(test)]
mod testing;
mod walker;

use std::sync::Arc;

use crate::options::Options;
use crate::report::Round;
use crate::run::{Context, Measured, Phase, Progress};

pub use consumer::DeleteMode;

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Posts only.
    Post,
    /// Walks through full queues.
    List,
    /// Claims and deletes what was prepared.
    ClaimDelete(DeleteMode),
    /// Producers and consumers at once.
    Mixed(DeleteMode),
    /// Few posts, each claimed at once.
    Calm,
    /// Few requests that store nothing.
    Ping,
    /// Claims with many messages ahead or waiting.
    Deep {
        /// Messages in flight ahead, and messages waiting.
        depth: u64,
        /// Claims measured on each queue.
        claims: u32,
    },
}

impl Workload {
    /// The name in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::List => "list",
            Self::ClaimDelete(_) => "claim-delete",
            Self::Mixed(_) => "mixed",
            Self::Calm => "calm",
            Self::Ping => "ping",
            Self::Deep { .. } => "deep",
        }
    }

    fn queues(&self, options: &Options) -> u32 {
        match self {
            Self::Calm | Self::Ping => 1,
            Self::Deep { .. } => deep::QUEUES,
            _ => options.queues,
        }
    }
}

/// Runs a workload once against one server.
///
/// # Errors
/// The options do not fit, or the queues cannot be prepared. Failed requests and failed checks are
/// part of the answer.
pub fn run_round(
    workload: Workload,
    options: &Options,
    url: &str,
    server_pids: &[u32],
    progress: &Progress,
) -> anyhow::Result<Round> {
    let queues = workload.queues(options);
    let context = Context::new(options, url, server_pids, queues, progress.clone())?;
    let context = Arc::new(context);
    setup::create_queues(&context)?;
    let measured = run_measured(workload, &context)?;
    setup::account(&context)?;
    setup::delete_queues(&context)?;
    progress.clear();
    let mut round = Round::new(&context, &measured);
    if workload == Workload::Ping {
        // It stores nothing that could be lost: there is only the answer to check.
        round.passed = round.requests > 0 && round.errors.is_empty();
    }
    Ok(round)
}

fn run_measured(workload: Workload, context: &Arc<Context>) -> anyhow::Result<Measured> {
    match workload {
        Workload::Post => post::run(context),
        Workload::List => list::run(context),
        Workload::ClaimDelete(mode) => claim_delete::run(context, mode),
        Workload::Mixed(mode) => mixed::run(context, mode),
        Workload::Calm => calm::run(context),
        Workload::Ping => ping::run(context),
        Workload::Deep { depth, claims } => deep::run(context, depth, claims),
    }
}

/// The measured phase as the options ask for it.
fn measured_phase(context: &Context, actors: usize) -> Phase {
    Phase {
        name: "measuring",
        actors,
        warmup: context.options.warmup,
        duration: Some(context.options.duration),
    }
}

/// The queue that a session uses in its `turn`; sessions start on different ones.
fn queue_of_turn(context: &Context, session: usize, turn: u32) -> u32 {
    let start = u32::try_from(session).unwrap_or_default();
    start.wrapping_add(turn) % context.queues
}
