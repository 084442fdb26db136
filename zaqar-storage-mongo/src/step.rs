//! One transaction, as the operations in it see it.
//!
//! Snapshot isolation: a step reads the store as it was when the step began, and fails with a write
//! conflict if it changes a document that somebody else changed since. So whatever decides on what it
//! read must also *write* something that its rivals write: posts, moves, closes and changes of
//! subscriptions all write the queue head ([`Step::lock_head`]); deletes write what they looked at.

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::ReturnDocument;
use mongodb::{ClientSession, Collection};
use serde::de::DeserializeOwned;
use zaqar_core::Timestamp;

use crate::error::NativeResult;
use crate::query::{Query, read};
use crate::schema::DATA;
use crate::store::Store;

/// One transaction.
pub(crate) struct Step<'s> {
    pub(crate) store: &'s Store,
    pub(crate) session: ClientSession,
    /// The moment of the step; read again once it holds its lock.
    pub(crate) now: Timestamp,
}

impl<'s> Step<'s> {
    /// Begins a transaction.
    pub(crate) async fn begin(store: &'s Store) -> NativeResult<Self> {
        let mut session = store.client.start_session().await?;
        session
            .start_transaction()
            .read_concern(mongodb::options::ReadConcern::snapshot())
            .write_concern(store.write_concern.clone())
            .await?;
        Ok(Self { store, session, now: store.clock.now() })
    }

    fn collection(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.store.collection(name)
    }

    /// Reads the time again: what decided so far may have waited.
    pub(crate) fn tick(&mut self) {
        self.now = self.store.clock.now();
    }

    /// Finds documents.
    pub(crate) async fn find<T: DeserializeOwned>(
        &mut self,
        collection: &str,
        query: Query,
    ) -> NativeResult<Vec<T>> {
        let source = self.collection(collection);
        let found = source.find(query.filter).with_options(query.options);
        let mut cursor = found.session(&mut self.session).await?;
        let mut rows = Vec::new();
        while cursor.advance(&mut self.session).await? {
            rows.push(read(cursor.current())?);
        }
        Ok(rows)
    }

    /// Finds one document of `data`.
    pub(crate) async fn find_one<T: DeserializeOwned>(
        &mut self,
        query: Query,
    ) -> NativeResult<Option<T>> {
        Ok(self.find(DATA, query.limit(1)).await?.pop())
    }

    /// Inserts documents into `data`, in their order.
    pub(crate) async fn insert(&mut self, documents: &[RawDocumentBuf]) -> NativeResult<()> {
        self.collection(DATA).insert_many(documents).session(&mut self.session).await?;
        Ok(())
    }

    /// Inserts one document.
    pub(crate) async fn insert_one(
        &mut self,
        collection: &str,
        document: Document,
    ) -> NativeResult<()> {
        let target = self.store.database.collection::<Document>(collection);
        target.insert_one(document).session(&mut self.session).await?;
        Ok(())
    }

    /// Puts one document in the place of the one of its id, if there is one.
    pub(crate) async fn put(
        &mut self,
        collection: &str,
        id: &str,
        document: Document,
    ) -> NativeResult<()> {
        let target = self.store.database.collection::<Document>(collection);
        let put = target.replace_one(doc! { "_id": id }, document).upsert(true);
        put.session(&mut self.session).await?;
        Ok(())
    }

    /// Updates all documents that meet the filter; how many did.
    pub(crate) async fn update(
        &mut self,
        collection: &str,
        filter: Document,
        update: Document,
    ) -> NativeResult<u64> {
        let target = self.collection(collection);
        Ok(target.update_many(filter, update).session(&mut self.session).await?.matched_count)
    }

    /// Changes all documents that meet the filter by what they hold themselves; how many did.
    pub(crate) async fn update_from_itself(
        &mut self,
        collection: &str,
        filter: Document,
        stages: Vec<Document>,
    ) -> NativeResult<u64> {
        let target = self.collection(collection);
        Ok(target.update_many(filter, stages).session(&mut self.session).await?.matched_count)
    }

    /// Updates the document of an id of queue `q` in `data`, and makes it if it is missing.
    pub(crate) async fn upsert(&mut self, q: i64, id: &str, update: Document) -> NativeResult<()> {
        let target = self.collection(DATA);
        let upsert = target.update_one(doc! { "_id": id, "q": q }, update).upsert(true);
        upsert.session(&mut self.session).await?;
        Ok(())
    }

    /// Updates one document; the document as it was before, if there is one.
    pub(crate) async fn modify<T: DeserializeOwned + Send + Sync>(
        &mut self,
        collection: &str,
        filter: Document,
        update: Document,
    ) -> NativeResult<Option<T>> {
        let target = self.store.database.collection::<T>(collection);
        let modify = target.find_one_and_update(filter, update);
        modify.return_document(ReturnDocument::Before).session(&mut self.session).await
    }

    /// Deletes all documents that meet the filter; how many did.
    pub(crate) async fn delete(&mut self, collection: &str, filter: Document) -> NativeResult<u64> {
        let target = self.collection(collection);
        Ok(target.delete_many(filter).session(&mut self.session).await?.deleted_count)
    }
}
