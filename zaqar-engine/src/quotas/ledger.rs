//! The accounts of all projects, and what asks them.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Instrument;
use zaqar_core::{Effect, Error, Posted, ProjectId, QueueKey, Retry};

use super::account::{Account, Reservation, Turn, Verdict};
use super::{Amount, Exceeded};
use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::{Behalf, Call};
use crate::messages::PostRequest;

/// Projects that are remembered; beyond it the least used are forgotten, and sampled anew.
const PROJECTS_MAX: u64 = 100_000;
/// How long a project is remembered after its last use.
const IDLE_MAX: Duration = Duration::from_secs(3_600);

/// What is kept of projects that have quotas.
#[derive(Debug)]
pub(crate) struct Ledger {
    accounts: Cache<ProjectId, Arc<Account>>,
    making: Cache<ProjectId, Arc<Mutex<()>>>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let accounts = Cache::builder().max_capacity(PROJECTS_MAX).time_to_idle(IDLE_MAX);
        let making = Cache::builder().max_capacity(PROJECTS_MAX).time_to_idle(IDLE_MAX);
        Self { accounts: accounts.build(), making: making.build() }
    }
}

/// Room for a post, if its project has a quota.
#[derive(Debug)]
#[must_use = "room that is dropped stays taken, as if the post had been stored"]
pub(crate) struct Room(Option<Reservation>);

impl Room {
    /// Says what became of the post.
    pub(crate) fn settle(self, posted: &EngineResult<Posted>) {
        let nothing_stored = match posted {
            Ok(posted) => posted.repeated,
            Err(error) => error.effect() == Effect::None,
        };
        if let Some(reservation) = self.0.filter(|_| nothing_stored) {
            reservation.give_back();
        }
    }
}

impl Engine {
    /// Takes room for the messages of a post.
    ///
    /// # Errors
    /// `Quota`; with effect `None` if what the project holds cannot be found out.
    pub(crate) async fn room_for_post(
        &self,
        project: &ProjectId,
        request: &PostRequest,
    ) -> EngineResult<Room> {
        let quota = self.config().quotas.of(project);
        if !quota.is_about_messages() {
            return Ok(Room(None));
        }
        let wanted = Amount::of(request);
        let account = self.ledger().accounts.get_with_by_ref(project, Arc::default);
        let mut has_waited = false;
        loop {
            let now = self.clock().now();
            let (verdict, turn) = account.reserve(quota, wanted, now);
            if let Some(turn) = turn {
                self.sample_apart(project, turn);
            }
            let refusal = match verdict {
                Verdict::Granted(reservation) => return Ok(Room(Some(reservation))),
                Verdict::Full(exceeded) => Some(exceeded),
                Verdict::Unknown => None,
            };
            // Messages may have gone since the last sample: before a post is refused, one that is
            // being taken is waited for.
            if !has_waited && account.is_sampling() {
                has_waited = true;
                let sampled = async {
                    account.sampled().await;
                    Ok::<(), EngineError>(())
                };
                self.in_time(Call::read("quota_sample"), sampled).await?;
                continue;
            }
            return Err(match refusal {
                Some(exceeded) => exceeded.refuse(project),
                None => unknown(),
            });
        }
    }

    /// Takes a sample in a task of its own, which is finished whoever waits for it.
    fn sample_apart(&self, project: &ProjectId, turn: Turn) {
        let (engine, project) = (self.clone(), project.clone());
        let sample = async move {
            let with_bytes = engine.config().quotas.of(&project).bytes.is_some();
            match engine.sample(&project, with_bytes).await {
                Ok(found) => {
                    let now = engine.clock().now();
                    let cost_ms = now.as_millis().saturating_sub(turn.began_at().as_millis());
                    tracing::debug!(%project, cost_ms, ?found, "counted what a project holds");
                    turn.enter(found, now);
                }
                Err(error) => {
                    tracing::warn!(%error, "what a project holds could not be counted");
                }
            }
        };
        self.tasks().spawn(sample.instrument(tracing::Span::none()));
    }

    /// Lets one task of this process at a time make a queue of a project that may have no more than
    /// so many, while there is room for one.
    ///
    /// # Errors
    /// `Quota`; the control store's.
    pub(crate) async fn room_for_queue(
        &self,
        key: &QueueKey,
        behalf: Behalf,
    ) -> EngineResult<Option<OwnedMutexGuard<()>>> {
        let max = self.config().quotas.of(&key.project).of_kind(key.kind);
        let Some(max) = max.filter(|_| behalf == Behalf::Client) else { return Ok(None) };
        let making = self.ledger().making.get_with_by_ref(&key.project, Arc::default);
        let turn = making.lock_owned().await;
        if self.queue_count(&key.project, key.kind).await? >= max {
            return Err(Exceeded::Queues(key.kind, max).refuse(&key.project));
        }
        Ok(Some(turn))
    }
}

fn unknown() -> EngineError {
    let reason = "what the project holds is not known";
    Error::backend("quota_sample", Effect::None, Retry::Later, reason).into()
}
