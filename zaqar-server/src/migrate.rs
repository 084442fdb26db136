//! `zaqar-server migrate`: moves queues between pools, and shows how far it is.
//!
//! The command is one more head for a while: what it began is carried on by the servers if it is
//! stopped, and it carries on what others began.

use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::Instant;
use zaqar_core::{Error, PageLimit, PoolName, ProjectId, QueueKey, QueueKind, QueueName};
use zaqar_engine::{Engine, EngineError, EngineResult, QueuePlace};

/// Queues of a pool that begin to move at a time.
const DRAIN_AT_ONCE: u32 = 20;
/// How long the command waits when a round did nothing.
const IDLE: Duration = Duration::from_millis(200);
/// How often it says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Move one queue to a pool, and wait until it is there
    Queue {
        #[command(flatten)]
        queue: QueueArgs,
        /// The pool to move it to
        #[arg(long, value_name = "POOL")]
        to: String,
    },
    /// Move all queues of a pool to other pools of its flavor, and place no more in it
    Pool {
        /// The pool
        #[arg(value_name = "POOL")]
        pool: String,
    },
    /// Say where a queue lives
    Show {
        #[command(flatten)]
        queue: QueueArgs,
    },
    /// Carry on every move that was begun, and wait until all have ended
    Resume,
}

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    /// The queue
    #[arg(value_name = "QUEUE")]
    name: String,
    /// Its project
    #[arg(long, value_name = "PROJECT", default_value = "")]
    project: String,
    /// It is a topic
    #[arg(long)]
    topic: bool,
}

impl QueueArgs {
    fn key(&self) -> EngineResult<QueueKey> {
        let project = ProjectId::new(&self.project).map_err(Error::from)?;
        let name = QueueName::new(&self.name).map_err(Error::from)?;
        let kind = if self.topic { QueueKind::Topic } else { QueueKind::Queue };
        Ok(QueueKey { project, kind, name })
    }
}

/// Does what the command says, and tells `tell` of it line by line until that wants no more.
pub(crate) async fn run(
    engine: &Engine,
    command: &MigrateCommand,
    mut tell: impl FnMut(&str) -> bool,
) -> EngineResult<()> {
    match command {
        MigrateCommand::Queue { queue, to } => {
            let key = queue.key()?;
            let pool = PoolName::new(to).map_err(Error::from)?;
            let mut place = engine.queue_move(&key, &pool).await?;
            let mut report = Report::new();
            while place.source.is_some() {
                report.add(round(engine).await?);
                place = place_of(engine, &key).await?;
                report.tell(&mut tell, &shown(&key, &place));
            }
            tell(&format!("{}\n", shown(&key, &place)));
            Ok(())
        }
        MigrateCommand::Pool { pool } => drain(engine, pool, tell).await,
        MigrateCommand::Show { queue } => {
            let key = queue.key()?;
            let place = place_of(engine, &key).await?;
            tell(&format!("{}\n", shown(&key, &place)));
            Ok(())
        }
        MigrateCommand::Resume => {
            let mut report = Report::new();
            loop {
                let carried = engine.moves_carry_on().await?;
                report.add(carried.messages);
                if carried.going_on == 0 {
                    tell(&format!("{} messages moved\n", report.messages));
                    return Ok(());
                }
                report.tell(&mut tell, &format!("{} queues on their way", carried.going_on));
                if !carried.got_on() {
                    tokio::time::sleep(IDLE).await;
                }
            }
        }
    }
}

async fn drain(
    engine: &Engine,
    pool: &str,
    mut tell: impl FnMut(&str) -> bool,
) -> EngineResult<()> {
    let pool = PoolName::new(pool).map_err(Error::from)?;
    let limit = PageLimit::new(DRAIN_AT_ONCE).map_err(Error::from)?;
    let (mut report, mut begun) = (Report::new(), 0_u64);
    loop {
        let drained = engine.pool_drain(&pool, limit).await?;
        begun += drained.begun;
        if !drained.more {
            tell(&format!("pool {pool} is empty: {begun} queues moved\n"));
            return Ok(());
        }
        report.add(round(engine).await?);
        report.tell(&mut tell, &format!("pool {pool}: {begun} queues on their way or moved"));
    }
}

/// Carries the moves on for a moment; how many messages arrived.
async fn round(engine: &Engine) -> EngineResult<u64> {
    let carried = engine.moves_carry_on().await?;
    if !carried.got_on() {
        tokio::time::sleep(IDLE).await;
    }
    Ok(carried.messages)
}

async fn place_of(engine: &Engine, key: &QueueKey) -> EngineResult<QueuePlace> {
    let place = engine.queue_place(key).await?;
    place.ok_or_else(|| {
        let (project, name) = (key.project.clone(), key.name.clone());
        EngineError::from(Error::QueueNotFound { project, name })
    })
}

fn shown(key: &QueueKey, place: &QueuePlace) -> String {
    let name = &key.name;
    match (&place.pool, &place.source) {
        (None, _) => format!("{name} lives in the server's own data store"),
        (Some(pool), None) => format!("{name} lives in pool {pool}"),
        (Some(pool), Some(source)) => {
            let left = place.left.unwrap_or_default();
            format!("{name} moves from pool {source} to pool {pool}: {left} messages left")
        }
    }
}

/// How far a command is.
struct Report {
    messages: u64,
    told_at: Instant,
    told: u64,
}

impl Report {
    fn new() -> Self {
        Self { messages: 0, told_at: Instant::now(), told: 0 }
    }

    fn add(&mut self, messages: u64) {
        self.messages = self.messages.saturating_add(messages);
    }

    /// Says it now and then.
    fn tell(&mut self, tell: &mut impl FnMut(&str) -> bool, text: &str) {
        if self.told_at.elapsed() < REPORT_EVERY {
            return;
        }
        let moved = self.messages.saturating_sub(self.told);
        tell(&format!("{text}, {moved} moved in the last second\n"));
        (self.told_at, self.told) = (Instant::now(), self.messages);
    }
}
