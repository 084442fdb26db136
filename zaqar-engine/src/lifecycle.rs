//! How queues come and go: the protocol between the control record and the queue head.
//!
//! A record is only ever visible with an open head behind it: to create, the head is opened first
//! and the record inserted last; to delete, the record is hidden first and the head closed next.
//! Every step may be repeated, so whoever meets a deletion that was interrupted finishes it.

use zaqar_core::{
    Created, Effect, Error, FlavorName, JsonObject, QueueKey, QueueRecord, QueueRef, QueueState,
};

use crate::attributes;
use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::{Behalf, Call};

/// How often a create starts over because the name was taken by a queue on its way out.
const CREATE_ATTEMPTS_MAX: u32 = 8;

impl Engine {
    /// Makes the queue if it is missing, without metadata.
    pub(crate) async fn queue_ensure(&self, key: &QueueKey, behalf: Behalf) -> EngineResult<()> {
        self.create_detached(key, JsonObject::new(), behalf).await.map(|_created| ())
    }

    /// Makes the queue, or finds the one of that name.
    pub(crate) async fn create_detached(
        &self,
        key: &QueueKey,
        metadata: JsonObject,
        behalf: Behalf,
    ) -> EngineResult<Created<()>> {
        let (engine, key) = (self.clone(), key.clone());
        self.detached(Call::write("queue_create"), async move {
            engine.create(&key, &metadata, behalf).await
        })
        .await
    }

    async fn create(
        &self,
        key: &QueueKey,
        metadata: &JsonObject,
        behalf: Behalf,
    ) -> EngineResult<Created<()>> {
        let queues = self.control().queues();
        let _turn = self.routes().making(key).await;
        for _ in 0..CREATE_ATTEMPTS_MAX {
            match queues.queue_find(key).await? {
                Some(record) if record.state == QueueState::Active => {
                    self.routes().keep(&record).await;
                    return Ok(Created::Existing(()));
                }
                Some(deleting) => self.deletion_finish(&deleting.queue_ref()).await?,
                None => {}
            }
            let _room = self.room_for_queue(key, behalf).await?;
            let queue = key.incarnate(queues.queue_allocate_incarnation().await?);
            if let Err(error) = self.open(&queue, metadata).await {
                self.forget_place(&queue).await;
                return Err(error);
            }
            match self.insert(&queue, metadata).await? {
                Created::New(record) => {
                    self.routes().keep(&record).await;
                    return Ok(Created::New(()));
                }
                Created::Existing(holder) => {
                    self.abandon(&queue).await?;
                    if holder.state == QueueState::Active {
                        self.routes().keep(&holder).await;
                        return Ok(Created::Existing(()));
                    }
                }
            }
        }
        Err(Error::QueueChanged { name: key.name.clone() }.into())
    }

    /// Inserts the record. When the answer is in doubt, the store is asked who holds the name; the
    /// head is left open if that cannot be told, because closing it under a record that was
    /// inserted after all would leave a queue that nobody can use.
    async fn insert(
        &self,
        queue: &QueueRef,
        metadata: &JsonObject,
    ) -> Result<Created<QueueRecord>, Error> {
        let queues = self.control().queues();
        let error = match queues.queue_insert(queue, metadata).await {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        if error.effect() == Effect::None {
            self.abandon(queue).await?;
            return Err(error);
        }
        match queues.queue_find(&queue.key).await {
            Ok(Some(record)) if record.incarnation == queue.incarnation => Ok(Created::New(record)),
            Ok(Some(record)) => Ok(Created::Existing(record)),
            Ok(None) | Err(_) => Err(error),
        }
    }

    /// Places a new incarnation and opens its head.
    async fn open(&self, queue: &QueueRef, metadata: &JsonObject) -> EngineResult<()> {
        self.place(queue, metadata).await?;
        Ok(self.data().heads().head_open(queue).await?)
    }

    /// Forgets the place of an incarnation that nobody will use: its pool would seem to hold a queue
    /// for ever, and could not be removed. The head may be open after all; nothing leads to it.
    async fn forget_place(&self, queue: &QueueRef) {
        if let Some(pools) = self.pools()
            && let Err(error) = pools.unplace(queue).await
        {
            tracing::warn!(%error, "the place of a queue that was not made is still remembered");
        }
    }

    /// Places a queue that asks for pools of a flavor. Any other is placed when its head is opened.
    async fn place(&self, queue: &QueueRef, metadata: &JsonObject) -> EngineResult<()> {
        let (Some(pools), Some(name)) = (self.pools(), attributes::flavor(metadata)) else {
            return Ok(());
        };
        let placed = match FlavorName::new(name) {
            Ok(flavor) => pools.place(queue, Some(&flavor)).await,
            Err(_none_has_such_a_name) => return Err(no_flavor(name)),
        };
        match placed {
            Err(Error::FlavorNotFound { .. }) => Err(no_flavor(name)),
            placed => Ok(placed?),
        }
    }

    /// Closes the head of an incarnation, and forgets its place.
    async fn abandon(&self, queue: &QueueRef) -> Result<(), Error> {
        self.data().heads().head_close(queue).await?;
        match self.pools() {
            Some(pools) => pools.unplace(queue).await,
            None => Ok(()),
        }
    }

    /// Deletes the queue and all that is in it; silent if there is none.
    pub(crate) async fn delete_detached(&self, key: &QueueKey) -> EngineResult<()> {
        let (engine, key) = (self.clone(), key.clone());
        self.detached(Call::write("queue_delete"), async move { Ok(engine.delete(&key).await?) })
            .await
    }

    async fn delete(&self, key: &QueueKey) -> Result<(), Error> {
        let queues = self.control().queues();
        let Some(record) = queues.queue_find(key).await? else {
            self.routes().forget_name(key).await;
            return Ok(());
        };
        let queue = record.queue_ref();
        if record.state == QueueState::Active {
            queues.queue_mark_deleting(&queue).await?;
        }
        self.deletion_finish(&queue).await
    }

    /// Finishes a deletion whose record is marked.
    pub(crate) async fn deletion_finish(&self, queue: &QueueRef) -> Result<(), Error> {
        self.deletion_steps(queue).await?;
        // After the last step, so that a route loaded during the deletion goes as well; one that
        // an older read brings later still meets the closed head.
        self.routes().forget_incarnation(queue).await;
        Ok(())
    }

    /// The same without a look at the cache, for use while a route is being loaded into it.
    pub(crate) async fn deletion_steps(&self, queue: &QueueRef) -> Result<(), Error> {
        self.abandon(queue).await?;
        self.control().queues().queue_remove(queue).await
    }
}

fn no_flavor(name: &str) -> EngineError {
    EngineError::attribute(format!("Flavor {name} does not exist"))
}
