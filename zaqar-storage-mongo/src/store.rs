//! One open database: its client, and what every operation goes through.

use std::sync::Arc;

use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::options::{CollectionOptions, ReadConcern, WriteConcern};
use mongodb::{Client, Collection, Database};
use serde::de::DeserializeOwned;
use zaqar_core::{Clock, DriverInfo, QueueRef, Result};
use zaqar_storage_lanes::{Gate, Lanes, Party};

use crate::abandoned::Abandoned;
use crate::barrier::Barrier;
use crate::error::{NativeResult, effect_of, engine_error, vanished};
use crate::posts::PostStep;
use crate::query::{Query, read};
use crate::reader::Bounds;
use crate::record::Record;
use crate::removals::RemovalStep;
use crate::schema::DATA;
use crate::takes::TakeStep;
use crate::task::{Task, transact};

/// What transactions and plain operations work on.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) client: Client,
    pub(crate) database: Database,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) write_concern: WriteConcern,
    /// The name under which the server knows this application.
    pub(crate) application: String,
    /// Whether it was opened through the router of a sharded cluster.
    pub(crate) sharded: bool,
    /// Where reads wait for a moment that they may be answered from.
    pub(crate) barrier: Lanes<Barrier>,
    /// What is known of queues that never becomes untrue.
    pub(crate) bounds: Bounds,
    /// Operations that nobody waits for any more.
    pub(crate) abandoned: Abandoned,
}

impl Store {
    /// A collection of raw documents: majority reads from the primary, majority writes. What is
    /// answered is not read here but through a [`View`](crate::reader::View).
    pub(crate) fn collection(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.database.collection(name)
    }

    /// `data` as the primary has it at this moment, committed by the majority or not. Only for
    /// looking ahead: a conditional write decides.
    pub(crate) fn data_ahead(&self) -> Collection<RawDocumentBuf> {
        let local = CollectionOptions::builder().read_concern(ReadConcern::local()).build();
        self.database.collection_with_options(DATA, local)
    }

    /// Finds documents, as the collection's read concern says.
    pub(crate) async fn find_in<T: DeserializeOwned>(
        collection: &Collection<RawDocumentBuf>,
        query: Query,
    ) -> NativeResult<Vec<T>> {
        let mut cursor = collection.find(query.filter).with_options(query.options).await?;
        let mut rows = Vec::new();
        while cursor.advance().await? {
            rows.push(read(cursor.current())?);
        }
        Ok(rows)
    }

    /// The acknowledgement of every write, for commands that are put together by hand.
    pub(crate) fn write_concern_document(&self) -> NativeResult<Document> {
        Ok(mongodb::bson::serialize_to_document(&self.write_concern)?)
    }

    /// Updates documents of `data`, each by itself; how many.
    pub(crate) async fn update(
        &self,
        operation: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<u64> {
        let data = self.collection(DATA);
        let write = data.update_many(filter, update);
        let updated = self.patiently(write.into_future()).await;
        let updated = updated.map_err(|error| engine_error(operation, effect_of(&error), &error));
        Ok(updated?.modified_count)
    }

    /// Deletes documents, each by itself; how many.
    pub(crate) async fn delete(
        &self,
        operation: &'static str,
        collection: &str,
        filter: Document,
    ) -> Result<u64> {
        let target = self.collection(collection);
        let write = target.delete_many(filter);
        let deleted = self.patiently(write.into_future()).await;
        let deleted = deleted.map_err(|error| engine_error(operation, effect_of(&error), &error));
        Ok(deleted?.deleted_count)
    }
}

/// An open store, with everything that waits for it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) store: Arc<Store>,
    /// Places for operations that go in no lane, and for the lanes' batches.
    pub(crate) gate: Arc<Gate>,
    pub(crate) posts: Lanes<PostStep>,
    pub(crate) takes: Lanes<TakeStep>,
    pub(crate) removals: Lanes<RemovalStep>,
    pub(crate) record: Record,
    pub(crate) info: DriverInfo,
    /// What the URI asked for that may lose messages, if that was let through.
    pub(crate) weakness: Option<String>,
}

impl Handle {
    /// Does a task of some project in a transaction, whether or not its caller stays.
    pub(crate) async fn run<T: Task>(&self, party: Party, task: T) -> Result<T::Output> {
        self.run_on(None, party, task).await
    }

    /// Does a task on a queue.
    pub(crate) async fn run_on<T: Task>(
        &self,
        queue: Option<&QueueRef>,
        party: Party,
        mut task: T,
    ) -> Result<T::Output> {
        let (caller, underway) = self.store.abandoned.begin(queue).await;
        let store = Arc::clone(&self.store);
        let work = async move {
            let done = Box::pin(transact(&store, &mut task)).await;
            drop(underway);
            done
        };
        let answer = self.gate.run(&party, T::OPERATION, apart(T::OPERATION, work)).await;
        caller.answered();
        answer
    }

    /// Does housekeeping in a transaction.
    pub(crate) async fn housekeep<T: Task>(&self, task: T) -> Result<T::Output> {
        self.run(None, task).await
    }

    /// Does what is no transaction, whether or not its caller stays.
    pub(crate) async fn finish<T, F>(
        &self,
        party: Party,
        operation: &'static str,
        work: impl FnOnce(Arc<Store>) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (caller, underway) = self.store.abandoned.begin(None).await;
        let work = Box::pin(work(Arc::clone(&self.store)));
        let work = async move {
            let done = work.await;
            drop(underway);
            done
        };
        let answer = self.gate.run(&party, operation, apart(operation, work)).await;
        caller.answered();
        answer
    }

    /// Serves what was accepted, then lets go of the store.
    pub(crate) async fn close(&self) {
        self.posts.close().await;
        self.takes.close().await;
        self.removals.close().await;
        self.gate.close().await;
        self.store.barrier.close().await;
        self.store.client.clone().shutdown().immediate(true).await;
    }
}

/// Does work in a task of its own: dropping a call of the client library in the middle costs its
/// connection, and may cost more.
async fn apart<T, F>(operation: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    tokio::spawn(work).await.unwrap_or_else(|_| Err(vanished(operation)))
}
