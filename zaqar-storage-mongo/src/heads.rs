//! Queue heads: the fence of every data operation.
//!
//! Whatever takes positions or depends on a subscriber writes the head, so it is serialized with the
//! head's other writers: a transaction that meets a head changed since its snapshot fails and is done
//! again. So positions are given out in the order of commits, and no reader sees one before those
//! below it (G9): whoever gets `n+1` began after the one that got `n` had committed.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use zaqar_core::{
    Error, HeadState, ProjectId, QueueHead, QueueHeadController, QueueKey, QueueName, QueueRef,
    Result,
};

use crate::barrier::Place;
use crate::driver::MongoData;
use crate::error::{Failure, NativeResult, damaged};
use crate::query::Query;
use crate::rows::{kind_code, kind_of};
use crate::schema::DATA;
use crate::step::Step;
use crate::tables::{CLOSED, MOVED, OPEN, POSITION_MAX, head_key, incarnation, queue_code};
use crate::task::Task;

/// A head as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Head {
    /// The incarnation.
    pub(crate) q: i64,
    project: String,
    kind: i64,
    name: String,
    /// `OPEN`, `MOVED`, or a closed state.
    pub(crate) state: i64,
    /// Epoch of the latest move, of this head or to it.
    pub(crate) epoch: i64,
    /// The first position that is on its way.
    #[serde(default)]
    pub(crate) from: i64,
    /// The first position behind those that are on their way.
    #[serde(default)]
    pub(crate) to: i64,
    /// Whether the queue left this store: a later move may bring it back.
    #[serde(default)]
    pub(crate) away: bool,
    /// The position that the next message gets.
    pub(crate) next: i64,
    /// Positions up to this one were purged.
    pub(crate) purged: i64,
    /// Positions up to this one were purged and removed.
    #[serde(default)]
    pub(crate) reclaimed: i64,
    /// Whether a post writes an outbox entry.
    pub(crate) subscribed: bool,
    /// The number that the next subscription gets.
    pub(crate) subscription_next: i64,
    /// The number that the next exhausted delivery gets.
    pub(crate) exhausted_next: i64,
}

impl Head {
    /// Refuses a head that does not take operations, and a caller that does not know of its latest
    /// move (G17); a moved head only for something new.
    pub(crate) fn check_open(&self, queue: &QueueRef, posting: bool) -> Result<()> {
        match self.state {
            OPEN | MOVED if self.epoch > epoch_known(queue) => Err(self.moved(queue)),
            OPEN => Ok(()),
            MOVED if !posting => Ok(()),
            MOVED => Err(self.moved(queue)),
            _ => Err(gone(queue)),
        }
    }

    /// The refusal of a head that moved.
    pub(crate) fn moved(&self, queue: &QueueRef) -> Error {
        Error::QueueMoved { name: queue.key.name.clone(), epoch: self.epoch.unsigned_abs() }
    }

    /// Whether something is on its way from here or to here.
    pub(crate) fn is_frozen(&self) -> bool {
        self.from < self.to
    }

    /// Where claims and pops stop: what is on its way is next, and nothing overtakes it.
    pub(crate) fn takeable_end(&self) -> i64 {
        if self.is_frozen() { self.from } else { i64::MAX }
    }

    /// Whether it is open or moved.
    pub(crate) fn is_live(&self) -> bool {
        self.state < CLOSED
    }

    /// Whether it is that queue's: a reference that lies about its project finds nothing (G12).
    pub(crate) fn is_of(&self, queue: &QueueRef) -> bool {
        let key = &queue.key;
        self.project == key.project.as_str()
            && self.kind == kind_code(key.kind)
            && self.name == key.name.as_str()
    }

    /// The queue that it is the head of.
    pub(crate) fn queue(&self) -> NativeResult<QueueRef> {
        let bad = |_| damaged("queue head");
        let project = ProjectId::new(&self.project).map_err(bad)?;
        let name = QueueName::new(&self.name).map_err(bad)?;
        let key = QueueKey { project, kind: kind_of(self.kind), name };
        Ok(key.incarnate(incarnation(self.q).map_err(bad)?).at_epoch(self.epoch.unsigned_abs()))
    }

    fn public(&self) -> QueueHead {
        let state = match self.state {
            MOVED => HeadState::Moved { epoch: self.epoch.unsigned_abs() },
            _ => HeadState::Open,
        };
        let sequence_next = self.next.min(POSITION_MAX).unsigned_abs();
        QueueHead { state, sequence_next, subscribed: self.subscribed, frozen: self.is_frozen() }
    }
}

/// The refusal of a closed or missing head.
pub(crate) fn gone(queue: &QueueRef) -> Error {
    Error::QueueGone { name: queue.key.name.clone() }
}

/// The refusal to touch what is on its way to another store, or from one.
pub(crate) fn moving(queue: &QueueRef) -> Error {
    Error::QueueMoving { name: queue.key.name.clone() }
}

/// The latest move that a caller knows of.
pub(crate) fn epoch_known(queue: &QueueRef) -> i64 {
    i64::try_from(queue.epoch).unwrap_or(i64::MAX)
}

/// The stored form of an epoch.
pub(crate) fn epoch_code(epoch: u64) -> Result<i64> {
    i64::try_from(epoch)
        .map_err(|_| Error::Invalid { field: "epoch", reason: "is out of range".into() })
}

/// How the head of a queue is found.
pub(crate) fn head_query(queue: &QueueRef) -> Query {
    Query::id(head_key(queue_code(queue.incarnation)))
}

/// A head that was read, if it is that queue's and takes reads.
pub(crate) fn checked(queue: &QueueRef, found: Option<Head>) -> Result<Head> {
    let head = found.filter(|head| head.is_of(queue)).ok_or_else(|| gone(queue))?;
    head.check_open(queue, false)?;
    Ok(head)
}

impl Step<'_> {
    /// The head of a queue, open or moved; `QueueGone` if it is closed or missing.
    pub(crate) async fn head(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let found = self.find_one(head_query(queue)).await?;
        Ok(checked(queue, found)?)
    }

    /// Changes the head of a queue, open or moved, and so takes its lock; the head as it was before.
    /// With `posting`, a moved one is refused.
    pub(crate) async fn lock_head(
        &mut self,
        queue: &QueueRef,
        posting: bool,
        update: Document,
    ) -> Result<Head, Failure> {
        let states = if posting {
            doc! { "$eq": OPEN }
        } else {
            live_states()
        };
        let condition = doc! { "state": states, "epoch": { "$lte": epoch_known(queue) } };
        let Some(head) = self.lock_head_if(queue, condition, update).await? else {
            // Nothing was locked: say why.
            let head = self.head(queue).await?;
            head.check_open(queue, posting)?;
            return Err(gone(queue).into());
        };
        Ok(head)
    }

    /// Changes the head of a queue if it meets a condition, and so takes its lock; the head as it was
    /// before.
    pub(crate) async fn lock_head_if(
        &mut self,
        queue: &QueueRef,
        condition: Document,
        update: Document,
    ) -> NativeResult<Option<Head>> {
        let q = queue_code(queue.incarnation);
        let mut filter = doc! {
            "_id": head_key(q),
            "q": q,
            "project": queue.key.project.as_str(),
            "kind": kind_code(queue.key.kind),
            "name": queue.key.name.as_str(),
        };
        filter.extend(condition);
        let before = self.modify::<Head>(DATA, filter, update).await?;
        // The lock is held: what is decided from now on is decided now (G8).
        self.tick();
        Ok(before)
    }
}

/// The states of a head that is there.
pub(crate) fn live_states() -> Document {
    doc! { "$in": [OPEN, MOVED] }
}

/// A head that is made: open under `epoch`, its positions starting at `start`.
pub(crate) fn new_head(queue: &QueueRef, epoch: i64, start: i64) -> Document {
    let q = queue_code(queue.incarnation);
    doc! {
        "_id": head_key(q),
        "q": q,
        "project": queue.key.project.as_str(),
        "kind": kind_code(queue.key.kind),
        "name": queue.key.name.as_str(),
        "state": OPEN,
        "epoch": epoch,
        "from": start,
        "to": start,
        "next": start,
        "purged": 0_i64,
        "reclaimed": 0_i64,
        "subscribed": false,
        "subscription_next": 1_i64,
        "exhausted_next": 1_i64,
    }
}

#[derive(Debug)]
struct OpenHead(QueueRef);

#[async_trait]
impl Task for OpenHead {
    type Output = ();
    const OPERATION: &'static str = "head_open";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let queue = &self.0;
        if let Some(head) = step.find_one::<Head>(head_query(queue)).await? {
            // Once closed is closed for ever: the head stays behind as a tombstone. One that was
            // left is opened again by a move alone.
            checked(queue, Some(head))?;
            return Ok(());
        }
        step.insert_one(DATA, new_head(queue, 0, 1)).await?;
        Ok(())
    }
}

#[derive(Debug)]
struct CloseHead(QueueRef);

#[async_trait]
impl Task for CloseHead {
    type Output = ();
    const OPERATION: &'static str = "head_close";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let close = doc! { "$set": { "state": CLOSED, "subscribed": false, "gc": true } };
        // Whoever closes it need not know where it is.
        let live = doc! { "state": live_states() };
        if step.lock_head_if(&self.0, live, close).await?.is_none() {
            // No move brings back what was closed after it had left.
            let stay_away = doc! { "$unset": { "away": "" } };
            step.lock_head_if(&self.0, doc! { "away": true }, stay_away).await?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct MoveHead {
    queue: QueueRef,
    epoch: u64,
}

#[async_trait]
impl Task for MoveHead {
    type Output = QueueHead;
    const OPERATION: &'static str = "head_move";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<QueueHead, Failure> {
        let epoch = epoch_code(self.epoch)?;
        let live = doc! { "state": live_states() };
        let update = doc! { "$set": { "state": MOVED, "epoch": epoch } };
        let locked = step.lock_head_if(&self.queue, live, update).await?;
        let mut head = locked.ok_or_else(|| gone(&self.queue))?;
        if epoch < head.epoch {
            // The refusal aborts the step, and what it wrote.
            return Err(head.moved(&self.queue).into());
        }
        if head.state == OPEN {
            // Nothing is on its way yet.
            (head.from, head.to) = (head.next, head.next);
            let ends = doc! { "$set": { "from": head.next, "to": head.next } };
            step.update(DATA, doc! { "_id": head_key(head.q) }, ends).await?;
        }
        (head.state, head.epoch) = (MOVED, epoch);
        Ok(head.public())
    }
}

#[async_trait]
impl QueueHeadController for MongoData {
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, OpenHead(queue.clone())).await
    }

    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, CloseHead(queue.clone())).await
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        let place = Place::Queue(queue_code(queue.incarnation));
        let view = self.handle.store.view("head_get", place).await?;
        Ok(view.head(queue).await?.public())
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.run(queue, MoveHead { queue: queue.clone(), epoch }).await
    }
}
