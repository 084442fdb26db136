//! One round over all moves that are going on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use zaqar_core::{CatalogueEntry, DataDriver, Error, Incarnation, PageLimit, QueueEnd, Result};

use crate::engine::Engine;
use crate::error::EngineResult;

use super::super::Pools;
use super::step::{Mover, Records, Step};

/// Queues that one head moves at a time.
const AT_ONCE: usize = 4;
/// How long a round stays with one queue before it looks at the others.
const TURN: Duration = Duration::from_millis(500);

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MovesReport {
    /// Messages that arrived.
    pub messages: u64,
    /// Moves that ended.
    pub ended: u64,
    /// Moves that go on, here or at another head.
    pub going_on: u64,
    /// Moves that wait for something else to happen first.
    pub waiting: u64,
    /// Moves that could not be carried on now.
    pub failed: u64,
}

impl MovesReport {
    fn add(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.ended += other.ended;
        self.going_on += other.going_on;
        self.waiting += other.waiting;
        self.failed += other.failed;
    }

    /// Whether another round would get on at once.
    #[must_use]
    pub fn got_on(&self) -> bool {
        self.messages > 0 || self.ended > 0
    }
}

/// How far a move was when it was looked at: the head of the source and its newest message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    source_is_there: bool,
    frozen: bool,
    newest: Option<u64>,
}

/// What is known of one move. The queue's next move is another: what was carried over by this one says
/// nothing about it, and a repeat of a post would be stored again where its key did not arrive (G3).
#[derive(Debug)]
struct Look {
    /// The epoch that the move leads to.
    epoch: u64,
    progress: Progress,
    since: Instant,
    /// Whether it is this head that carries it on.
    ours: bool,
    /// How far its records are carried over.
    records: Records,
}

/// What this head has seen of the moves that are going on.
#[derive(Debug)]
pub(in crate::pools) struct Watched {
    looks: Mutex<HashMap<Incarnation, Look>>,
    takeover_after: Duration,
}

impl Watched {
    pub(in crate::pools) fn new(takeover_after: Duration) -> Self {
        Self { looks: Mutex::default(), takeover_after }
    }

    fn looks(&self) -> MutexGuard<'_, HashMap<Incarnation, Look>> {
        // Nothing panics while it is held.
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this head is to carry the move on: it did so before, or nobody does.
    fn is_ours(&self, queue: Incarnation, epoch: u64, progress: Progress) -> bool {
        let mut looks = self.looks();
        let now = Instant::now();
        let records = Records::Unknown;
        let first = Look { epoch, progress, since: now, ours: false, records };
        let look = match looks.entry(queue) {
            Entry::Occupied(known) if known.get().epoch == epoch => known.into_mut(),
            Entry::Occupied(mut earlier) => {
                earlier.insert(first);
                earlier.into_mut()
            }
            Entry::Vacant(unknown) => unknown.insert(first),
        };
        if look.progress != progress {
            (look.progress, look.since) = (progress, now);
        } else if look.since.elapsed() >= self.takeover_after {
            look.ours = true;
        }
        look.ours
    }

    /// This head carries the move on from now.
    pub(super) fn take(&self, queue: Incarnation, epoch: u64) {
        let mut looks = self.looks();
        let progress = Progress { source_is_there: true, frozen: false, newest: None };
        let records = Records::Unknown;
        looks.insert(queue, Look { epoch, progress, since: Instant::now(), ours: true, records });
    }

    fn records(&self, queue: Incarnation, epoch: u64) -> Records {
        let looks = self.looks();
        let look = looks.get(&queue).filter(|look| look.epoch == epoch);
        look.map(|look| look.records.clone()).unwrap_or_default()
    }

    fn note_records(&self, queue: Incarnation, epoch: u64, records: &Records) {
        if let Some(look) = self.looks().get_mut(&queue).filter(|look| look.epoch == epoch) {
            look.records = records.clone();
        }
    }

    fn forget(&self, queue: Incarnation, epoch: u64) {
        let mut looks = self.looks();
        if looks.get(&queue).is_some_and(|look| look.epoch == epoch) {
            looks.remove(&queue);
        }
    }
}

impl Engine {
    /// Carries on the moves of queues between pools for a moment: those that this engine began, and
    /// those that nobody carries on. Without pools there are none.
    ///
    /// # Errors
    /// The control store's. What fails for one queue is counted in the report.
    pub async fn moves_carry_on(&self) -> EngineResult<MovesReport> {
        let mut report = MovesReport::default();
        let Some(pools) = self.pools() else { return Ok(report) };
        let limit = self.move_limit()?;
        let mut marker = None;
        loop {
            let catalogue = self.control().catalogue();
            let page = catalogue.catalogue_list_moving(marker, PageLimit::default()).await?;
            if page.items.is_empty() {
                return Ok(report);
            }
            marker = page.next;
            let turns = page.items.into_iter().map(|entry| async move {
                let queue = entry.queue.clone();
                pools.turn(entry, limit).await.unwrap_or_else(|error| {
                    tracing::warn!(queue = %queue.key.name, %error, "a queue is not moved for now");
                    MovesReport { going_on: 1, failed: 1, ..MovesReport::default() }
                })
            });
            let mut turns = stream::iter(turns).buffer_unordered(AT_ONCE);
            while let Some(turn) = turns.next().await {
                report.add(turn);
            }
        }
    }

    /// Messages of one part of a move.
    fn move_limit(&self) -> EngineResult<PageLimit> {
        Ok(PageLimit::new(self.config().moves.messages_per_part).map_err(Error::from)?)
    }
}

impl Pools {
    /// Carries one move on for a moment.
    async fn turn(&self, entry: CatalogueEntry, limit: PageLimit) -> Result<MovesReport> {
        let mut report = MovesReport::default();
        let Some(source) = &entry.source else { return Ok(report) };
        let (source, target) = self.ends(&entry.pool, source).await?;
        let progress = progress(&*source.data, &entry).await?;
        let (moved, epoch) = (entry.queue.incarnation, entry.epoch);
        if !self.0.watched.is_ours(moved, epoch, progress) {
            report.going_on = 1;
            return Ok(report);
        }
        let ends = (Arc::clone(&source.data), Arc::clone(&target.data));
        let may_collect = !target.keeps_everything();
        let control = Arc::clone(&self.0.control);
        let records = self.0.watched.records(moved, epoch);
        let mut mover = Mover::new(control, &entry, ends, may_collect, records);
        let until = Instant::now() + TURN;
        while Instant::now() < until {
            let step = mover.step(limit).await?;
            self.0.watched.note_records(moved, epoch, mover.records());
            match step {
                Step::Went { messages } => {
                    report.messages += messages;
                    self.0.pace.keep(messages).await;
                }
                Step::Waits(reason) => {
                    tracing::debug!(queue = %mover.queue().key.name, ?reason, "a move waits");
                    report.waiting = 1;
                    break;
                }
                Step::Done | Step::Void => {
                    self.0.watched.forget(moved, epoch);
                    self.forget(&entry.queue).await;
                    report.ended = 1;
                    return Ok(report);
                }
            }
        }
        report.going_on = 1;
        Ok(report)
    }
}

async fn progress(source: &dyn DataDriver, entry: &CatalogueEntry) -> Result<Progress> {
    let queue = entry.queue.at_epoch(entry.epoch);
    let head = match source.heads().head_get(&queue).await {
        Ok(head) => Some(head),
        Err(Error::QueueGone { .. }) => None,
        Err(error) => return Err(error),
    };
    let newest = match head {
        Some(_) => source.messages().message_first(&queue, QueueEnd::Newest).await?,
        None => None,
    };
    Ok(Progress {
        source_is_there: head.is_some(),
        frozen: head.is_some_and(|head| head.frozen),
        newest: newest.map(|message| message.marker.sequence()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_move_carried_over_says_nothing_about_the_next() {
        let watched = Watched::new(Duration::from_secs(3_600));
        let queue = Incarnation::new(7).unwrap();
        let progress = Progress { source_is_there: true, frozen: false, newest: None };
        watched.take(queue, 1);
        let carried = Records::To(Some("k".to_owned()));
        watched.note_records(queue, 1, &carried);
        assert!(watched.is_ours(queue, 1, progress));
        assert_eq!(watched.records(queue, 1), carried);
        // Another head ended that move, and the queue is on its way again.
        assert_eq!(watched.records(queue, 2), Records::Unknown);
        assert!(!watched.is_ours(queue, 2, progress), "a move that another head began");
        watched.take(queue, 2);
        watched.note_records(queue, 1, &carried);
        assert_eq!(watched.records(queue, 2), Records::Unknown);
        watched.forget(queue, 1);
        assert!(watched.is_ours(queue, 2, progress), "the look at the new move was lost");
    }
}
