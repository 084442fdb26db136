//! Counting what a project holds, queue by queue.
//!
//! Messages are counted by the stores. No store counts bytes: what a queue's messages weigh is
//! taken from some of them, spread over the queue from its oldest to its newest; all of them if they
//! are few.

use zaqar_core::{
    Effect, Error, ListMessages, ListQueues, Message, MessageMarker, PageLimit, ProjectId,
    QueueKind, QueueRef, QueueStats, Retry,
};

use super::Amount;
use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;

/// Queues that are asked for at once.
const QUEUES_PER_PAGE: u32 = 100;
/// Places of a queue where messages are looked at.
const PLACES: u64 = 5;
/// Messages that are looked at in each place.
const MESSAGES_PER_PLACE: u32 = 20;

/// What was found so far.
#[derive(Debug, Default)]
struct Tally {
    found: Amount,
    /// Messages that could not be looked at, because nobody can decrypt them.
    unseen: u64,
}

impl Tally {
    /// What cannot be seen weighs as much as the rest does on average.
    fn total(self) -> Amount {
        let seen = self.found.messages.saturating_sub(self.unseen);
        let guessed = times(self.unseen, self.found.bytes, seen);
        Amount { bytes: self.found.bytes.saturating_add(guessed), ..self.found }
    }
}

/// What `count` messages weigh, if `seen` of them weigh `bytes`.
fn times(count: u64, bytes: u64, seen: u64) -> u64 {
    let whole = u128::from(count).saturating_mul(u128::from(bytes));
    let share = whole.checked_div(u128::from(seen)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

impl Engine {
    /// Counts what a project holds; its bytes only if they matter.
    pub(super) async fn sample(
        &self,
        project: &ProjectId,
        with_bytes: bool,
    ) -> EngineResult<Amount> {
        let mut tally = Tally::default();
        for kind in [QueueKind::Queue, QueueKind::Topic] {
            let mut marker = None;
            loop {
                let limit = PageLimit::new(QUEUES_PER_PAGE).unwrap_or_default();
                let options = ListQueues::new().marker(marker).limit(limit);
                let list = self.control().queues().queue_list(project, kind, options);
                let page = self.in_time(Call::read("queue_list"), list).await?;
                for record in page.items {
                    if self.tasks().is_closed() {
                        return Err(stopping());
                    }
                    self.sample_queue(&record.queue_ref(), with_bytes, &mut tally).await?;
                }
                marker = page.next;
                if marker.is_none() {
                    break;
                }
            }
        }
        Ok(tally.total())
    }

    async fn sample_queue(
        &self,
        queue: &QueueRef,
        with_bytes: bool,
        tally: &mut Tally,
    ) -> EngineResult<()> {
        let stats = self.data().messages().message_stats(queue);
        let stats = match self.in_time(Call::read("message_stats"), stats).await {
            // It was deleted meanwhile.
            Err(error) if error.is_stale_route() => return Ok(()),
            other => other?,
        };
        let total = stats.total();
        tally.found.messages = tally.found.messages.saturating_add(total);
        if !with_bytes || total == 0 {
            return Ok(());
        }
        match self.weight(queue, &stats).await {
            Ok(bytes) => tally.found.bytes = tally.found.bytes.saturating_add(bytes),
            Err(error) if is_unreadable(&error) => {
                tally.unseen = tally.unseen.saturating_add(total);
            }
            Err(error) if error.is_stale_route() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What the messages of a queue weigh, by some of them.
    async fn weight(&self, queue: &QueueRef, stats: &QueueStats) -> EngineResult<u64> {
        let mut seen = Seen::default();
        let first = self.look(queue, None).await?;
        seen.add(&first);
        let newest = stats.newest.map(|edge| edge.id);
        let newest = newest.filter(|id| id.incarnation() == queue.incarnation);
        if stats.total() > seen.count
            && let (Some(oldest), Some(newest)) = (first.first(), newest)
        {
            let (from, to) = (oldest.marker.sequence(), newest.sequence());
            for place in 1..PLACES {
                let ahead = to.saturating_sub(from) / PLACES * place;
                let after = MessageMarker::new(queue.incarnation, from.saturating_add(ahead));
                let Ok(after) = after else { break };
                seen.add(&self.look(queue, Some(after)).await?);
            }
        }
        Ok(times(stats.total(), seen.bytes, seen.count))
    }

    /// Some messages after a place.
    async fn look(
        &self,
        queue: &QueueRef,
        after: Option<MessageMarker>,
    ) -> EngineResult<Vec<Message>> {
        let limit = PageLimit::new(MESSAGES_PER_PLACE).unwrap_or_default();
        let options = ListMessages::new()
            .marker(after)
            .limit(limit)
            .include_claimed(true)
            .include_delayed(true);
        let list = self.data().messages().message_list(queue, options);
        Ok(self.in_time(Call::read("message_list"), list).await?.items)
    }
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    bytes: u64,
}

impl Seen {
    fn add(&mut self, messages: &[Message]) {
        for message in messages {
            let bytes = u64::try_from(message.body.len()).unwrap_or(u64::MAX);
            self.count = self.count.saturating_add(1);
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }
}

fn stopping() -> EngineError {
    let (effect, retry) = (Effect::None, Retry::Later);
    Error::backend("quota_sample", effect, retry, "the service stops").into()
}

fn is_unreadable(error: &EngineError) -> bool {
    matches!(error, EngineError::Store(Error::Unreadable { .. } | Error::NoEncryptionKey))
}
