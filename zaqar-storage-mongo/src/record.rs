//! The store's own record: who it is, and how often it was opened. A store that lacks it though it
//! holds data, or whose record is another's or older than was seen, lost data.

use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use mongodb::bson::doc;
use serde::Deserialize;
use zaqar_core::{ClaimId, OpenError, Result};

use crate::barrier::Place;
use crate::error::Failure;
use crate::query::Query;
use crate::schema::{DATA, META, QUEUES};
use crate::step::Step;
use crate::store::Store;
use crate::sweep::Id;
use crate::task::{Task, transact};

/// The newest layout that this version knows: since 2, messages may be on their way to another store.
const SCHEMA: i64 = 2;
/// The record's id.
const ID: &str = "store";

/// The record, as it is stored.
#[derive(Debug, Clone, Deserialize)]
struct Row {
    uuid: String,
    /// How often the store was opened.
    opened: i64,
    schema: i64,
    /// Whether the record was made anew over data that was there.
    lost: bool,
}

/// What this handle knows of the record.
#[derive(Debug)]
pub(crate) struct Record {
    uuid: String,
    seen: Mutex<i64>,
}

/// Counts the opening, and makes the record if there is none.
#[derive(Debug)]
struct Open;

#[async_trait]
impl Task for Open {
    type Output = Row;
    const OPERATION: &'static str = "open";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Row, Failure> {
        let count = doc! { "$inc": { "opened": 1_i64 }, "$max": { "schema": SCHEMA } };
        let before: Option<Row> = step.modify(META, doc! { "_id": ID }, count).await?;
        if let Some(row) = before {
            return Ok(Row { opened: row.opened + 1, ..row });
        }
        let mut lost = false;
        for collection in [DATA, QUEUES] {
            let any = Query::of(doc! {}).fields(&["_id"]).limit(1);
            lost |= !step.find::<Id>(collection, any).await?.is_empty();
        }
        let row = Row {
            // A random number of 128 bits; what it would name does not matter.
            uuid: ClaimId::random().to_string(),
            opened: 1,
            schema: SCHEMA,
            lost,
        };
        let document = doc! {
            "_id": ID,
            "uuid": row.uuid.as_str(),
            "opened": row.opened,
            "schema": row.schema,
            "lost": row.lost,
        };
        step.insert_one(META, document).await?;
        Ok(row)
    }
}

impl Record {
    /// Opens the store's record.
    pub(crate) async fn open(store: &Store) -> Result<Self, OpenError> {
        let row = transact(store, &mut Open).await;
        let row = row.map_err(|error| OpenError::Backend { source: Box::new(error) })?;
        if row.schema > SCHEMA {
            return Err(OpenError::SchemaTooNew { found: row.schema, supported: SCHEMA });
        }
        if row.lost {
            tracing::error!("the store lost data: it held some, but not its own record");
        }
        Ok(Self { uuid: row.uuid, seen: Mutex::new(row.opened) })
    }

    /// What is wrong with the store's record now.
    pub(crate) async fn check(&self, store: &Store) -> Result<Option<String>> {
        const OPERATION: &str = "health";
        // Before the record is read: an opening that is counted meanwhile is not in it yet.
        let before = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let view = store.view(OPERATION, Place::Rest).await?;
        let found = view.find::<Row>(META, Query::id(ID)).await?.pop();
        let lost = |what: &str| Some(format!("store lost data: {what}"));
        let Some(row) = found else { return Ok(lost("its own record is gone")) };
        if row.uuid != self.uuid {
            return Ok(lost("it is not the store that was opened"));
        }
        if row.lost {
            return Ok(lost("it held data, but not its own record, when it was opened"));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if row.opened < before {
            return Ok(lost("it is older than it was"));
        }
        *seen = row.opened.max(*seen);
        Ok(None)
    }
}
