//! Moves of queues out of this store and into it (G17): the controller, and how a move begins and
//! ends here.
//!
//! Each step changes the head, as whatever takes its lock, so two of them never pass each other.
//! Claims, deletes and renewals do not: see [`crate::moving_parts`].

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use zaqar_core::move_rules::{check_subscriptions, still_open};
use zaqar_core::moves::MOVE_SUBSCRIPTIONS_MAX;
use zaqar_core::{
    MoveController, MoveOpening, MovePart, MoveRecord, Page, PageLimit, QueueRef, Result,
};

use crate::driver::MongoData;
use crate::error::{Failure, NativeResult};
use crate::heads::{Head, epoch_known, gone, head_query, live_states};
use crate::moving_arrivals::InsertPart;
use crate::moving_open::Open;
use crate::moving_parts::{Freeze, ReadPart, Remove, Reveal};
use crate::moving_records::{InsertRecords, read_records};
use crate::outbox::entries_from;
use crate::query::Query;
use crate::rows::length_code;
use crate::schema::DATA;
use crate::step::Step;
use crate::subscriptions::{SubscriptionRow, living};
use crate::sweep::Id;
use crate::tables::{CLOSED, MOVED, POSITION_MAX, head_key};
use crate::task::Task;

/// The head of exactly this move.
pub(crate) fn of_move(queue: &QueueRef, found: Option<Head>) -> Result<Head> {
    let live = |head: &Head| head.is_of(queue) && head.is_live();
    let head = found.filter(live).ok_or_else(|| gone(queue))?;
    if head.epoch == epoch_known(queue) { Ok(head) } else { Err(head.moved(queue)) }
}

impl Step<'_> {
    /// Reads the head of exactly this move.
    pub(crate) async fn head_of_move(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let found = self.find_one(head_query(queue)).await?;
        Ok(of_move(queue, found)?)
    }

    /// Takes the lock of the head of exactly this move.
    pub(crate) async fn lock_head_of_move(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let condition = doc! { "state": live_states(), "epoch": epoch_known(queue) };
        let lock = doc! { "$inc": { "changes": 1_i64 } };
        match self.lock_head_if(queue, condition, lock).await? {
            Some(head) => Ok(head),
            // Nothing was locked: say why.
            None => self.head_of_move(queue).await,
        }
    }

    /// Takes the lock of the head that this move leads away from.
    pub(crate) async fn lock_source(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let mut head = self.lock_head_of_move(queue).await?;
        if head.state != MOVED {
            return Err(still_open().into());
        }
        if head.to == 0 {
            // It moved before heads knew what is on its way.
            (head.from, head.to) = (head.next, head.next);
        }
        Ok(head)
    }

    /// Changes the head whose lock this step has.
    pub(crate) async fn set_head(&mut self, head: &Head, set: Document) -> NativeResult<()> {
        self.update(DATA, doc! { "_id": head_key(head.q) }, doc! { "$set": set }).await?;
        Ok(())
    }
}

/// Reads what the target must know.
#[derive(Debug)]
struct Begin(QueueRef);

#[async_trait]
impl Task for Begin {
    type Output = MoveOpening;
    const OPERATION: &'static str = "move_begin";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MoveOpening, Failure> {
        let head = step.lock_source(&self.0).await?;
        let query = Query::of(living(head.q, step.now)).by("subscribers");
        let query = query.limit(length_code(MOVE_SUBSCRIPTIONS_MAX + 1));
        let mut rows: Vec<SubscriptionRow> = step.find(DATA, query).await?;
        check_subscriptions(rows.len())?;
        rows.sort_unstable_by_key(|row| row.number);
        let subscriptions: NativeResult<Vec<_>> =
            rows.iter().map(|row| row.subscription(&self.0, step.now)).collect();
        let start = head.next.min(POSITION_MAX).unsigned_abs();
        Ok(MoveOpening { start, subscriptions: subscriptions? })
    }
}

/// Closes a head of which nothing is left.
#[derive(Debug)]
struct Leave(QueueRef);

#[async_trait]
impl Task for Leave {
    type Output = bool;
    const OPERATION: &'static str = "move_leave";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<bool, Failure> {
        let head = step.lock_source(&self.0).await?;
        if head.is_frozen() || holds_messages(step, &head).await? || delivers(step, &head).await? {
            return Ok(false);
        }
        let closed = doc! { "state": CLOSED, "subscribed": false, "away": true, "gc": true };
        step.set_head(&head, closed).await?;
        Ok(true)
    }
}

/// Whether a message is left, parked or not.
async fn holds_messages(step: &mut Step<'_>, head: &Head) -> NativeResult<bool> {
    let left = doc! {
        "q": head.q,
        "expires": { "$gt": step.now.as_millis() },
        "s": { "$gt": head.purged },
    };
    any(step, Query::of(left).by("expiring")).await
}

/// Whether something is to be delivered to somebody.
async fn delivers(step: &mut Step<'_>, head: &Head) -> NativeResult<bool> {
    let query = Query::of(living(head.q, step.now)).by("subscribers");
    let rows: Vec<SubscriptionRow> = step.find(DATA, query).await?;
    for row in rows.iter().filter(|row| row.is_active()) {
        let retries = doc! { "q": head.q, "retrying": row.number };
        if any(step, entries_from(head.q, row.cursor)).await?
            || any(step, Query::of(retries).by("retries_due")).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn any(step: &mut Step<'_>, query: Query) -> NativeResult<bool> {
    Ok(step.find_one::<Id>(query.fields(&["_id"])).await?.is_some())
}

#[async_trait]
impl MoveController for MongoData {
    async fn move_begin(&self, queue: &QueueRef) -> Result<MoveOpening> {
        self.run(queue, Begin(queue.clone())).await
    }

    async fn move_open(&self, queue: &QueueRef, opening: &MoveOpening) -> Result<bool> {
        self.run(queue, Open { queue: queue.clone(), opening: opening.clone() }).await
    }

    async fn move_freeze(&self, queue: &QueueRef, limit: PageLimit) -> Result<MovePart> {
        self.run(queue, Freeze { queue: queue.clone(), limit }).await
    }

    async fn move_part(&self, queue: &QueueRef) -> Result<MovePart> {
        self.run(queue, ReadPart(queue.clone())).await
    }

    async fn move_insert(&self, queue: &QueueRef, part: &MovePart) -> Result<()> {
        self.run(queue, InsertPart { queue: queue.clone(), part: part.clone() }).await
    }

    async fn move_remove(&self, queue: &QueueRef, from: u64) -> Result<()> {
        self.run(queue, Remove { queue: queue.clone(), from }).await
    }

    async fn move_reveal(&self, queue: &QueueRef, from: u64) -> Result<()> {
        self.run(queue, Reveal { queue: queue.clone(), from }).await
    }

    async fn move_records(
        &self,
        queue: &QueueRef,
        marker: Option<&str>,
        limit: PageLimit,
    ) -> Result<Page<MoveRecord, String>> {
        read_records(&self.handle.store, queue, marker, limit).await
    }

    async fn move_insert_records(&self, queue: &QueueRef, records: &[MoveRecord]) -> Result<()> {
        self.run(queue, InsertRecords { queue: queue.clone(), records: records.to_vec() }).await
    }

    async fn move_leave(&self, queue: &QueueRef) -> Result<bool> {
        self.run(queue, Leave(queue.clone())).await
    }
}
