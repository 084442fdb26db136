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
    /// Epoch of the move, if moved.
    pub(crate) epoch: i64,
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
    /// Refuses a head that does not take operations; a moved one only if they are posts.
    pub(crate) fn check_open(&self, queue: &QueueRef, posting: bool) -> Result<()> {
        match self.state {
            OPEN => Ok(()),
            MOVED if !posting => Ok(()),
            MOVED => {
                let epoch = self.epoch.unsigned_abs();
                Err(Error::QueueMoved { name: queue.key.name.clone(), epoch })
            }
            _ => Err(gone(queue)),
        }
    }

    /// Whether it is open or moved.
    pub(crate) fn is_live(&self) -> bool {
        self.state < CLOSED
    }

    /// Whether it is that queue's: a reference that lies about its project finds nothing (G12).
    fn is_of(&self, queue: &QueueRef) -> bool {
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
        Ok(key.incarnate(incarnation(self.q).map_err(bad)?))
    }

    fn public(&self) -> QueueHead {
        let state = match self.state {
            MOVED => HeadState::Moved { epoch: self.epoch.unsigned_abs() },
            _ => HeadState::Open,
        };
        let sequence_next = self.next.min(POSITION_MAX).unsigned_abs();
        QueueHead { state, sequence_next, subscribed: self.subscribed, frozen: false }
    }
}

/// The refusal of a closed or missing head.
pub(crate) fn gone(queue: &QueueRef) -> Error {
    Error::QueueGone { name: queue.key.name.clone() }
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
        let q = queue_code(queue.incarnation);
        let states = if posting {
            doc! { "$eq": OPEN }
        } else {
            doc! { "$in": [OPEN, MOVED] }
        };
        let filter = doc! {
            "_id": head_key(q),
            "q": q,
            "state": states,
            "project": queue.key.project.as_str(),
            "kind": kind_code(queue.key.kind),
            "name": queue.key.name.as_str(),
        };
        let before = self.modify::<Head>(DATA, filter, update).await?;
        // The lock is held: what is decided from now on is decided now (G8).
        self.tick();
        let Some(head) = before else {
            // Nothing was locked: say why.
            let head = self.head(queue).await?;
            head.check_open(queue, posting)?;
            return Err(gone(queue).into());
        };
        Ok(head)
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
            let open = head.is_of(queue) && head.state == OPEN;
            // Once closed is closed for ever: the head stays behind as a tombstone.
            return if open { Ok(()) } else { Err(gone(queue).into()) };
        }
        let q = queue_code(queue.incarnation);
        let head = doc! {
            "_id": head_key(q),
            "q": q,
            "project": queue.key.project.as_str(),
            "kind": kind_code(queue.key.kind),
            "name": queue.key.name.as_str(),
            "state": OPEN,
            "epoch": 0_i64,
            "next": 1_i64,
            "purged": 0_i64,
            "reclaimed": 0_i64,
            "subscribed": false,
            "subscription_next": 1_i64,
            "exhausted_next": 1_i64,
        };
        step.insert_one(DATA, head).await?;
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
        match step.lock_head(&self.0, false, close).await {
            Ok(_) | Err(Failure::Refused(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
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
        let epoch = i64::try_from(self.epoch)
            .map_err(|_| Error::Invalid { field: "epoch", reason: "is out of range".into() })?;
        let update = doc! { "$set": { "state": MOVED, "epoch": epoch } };
        let mut head = step.lock_head(&self.queue, false, update).await?;
        if head.state == MOVED && epoch < head.epoch {
            // The refusal aborts the step, and what it wrote.
            head.check_open(&self.queue, true)?;
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
