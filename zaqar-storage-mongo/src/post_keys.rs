//! Idempotency keys: recorded in the post's own transaction, under the head's lock, so that a repeat
//! stores nothing (G3).

use std::collections::HashMap;

use mongodb::bson::{RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};
use zaqar_core::{Error, IdempotencyKey, MoveRecord, PostKey, Posted, QueueRef, Result, Timestamp};

use crate::error::{NativeResult, damaged};
use crate::posts::{Post, ids};
use crate::query::Query;
use crate::rows::{document, length_code};
use crate::schema::DATA;
use crate::step::Step;
use crate::tables::{name_in, post_key, queue_code};

/// What stands for a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyRow {
    #[serde(rename = "_id")]
    id: String,
    q: i64,
    digest: String,
    first: i64,
    count: i64,
    ends: i64,
}

impl KeyRow {
    /// What stands for a key under which another store posted.
    pub(crate) fn new(
        id: String,
        q: i64,
        digest: &[u8; 32],
        (first, count): (i64, i64),
        until: Timestamp,
    ) -> Self {
        Self { id, q, digest: hex(digest), first, count, ends: until.as_millis() }
    }

    /// Its id, and when it is forgotten.
    pub(crate) fn place(&self) -> (&str, i64) {
        (&self.id, self.ends)
    }

    /// What is told of it to another store.
    pub(crate) fn record(&self, queue: &QueueRef) -> NativeResult<MoveRecord> {
        let invalid = || damaged("idempotency key");
        let count = usize::try_from(self.count).map_err(|_| invalid())?;
        let posted = ids(queue, self.first, count, true).map_err(|_| invalid())?;
        Ok(MoveRecord::Key {
            key: IdempotencyKey::new(name_in(&self.id)).map_err(|_| invalid())?,
            digest: unhex(&self.digest).ok_or_else(invalid)?,
            ids: posted.ids,
            until: Timestamp::from_millis(self.ends),
        })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(digest)
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keys of earlier posts that this batch uses too, forgotten ones as well.
pub(crate) async fn find(
    step: &mut Step<'_>,
    q: i64,
    posts: &[Post],
) -> NativeResult<HashMap<String, KeyRow>> {
    let keys: Vec<String> = posts
        .iter()
        .filter_map(|post| post.options.key.as_ref())
        .map(|key| post_key(q, &key.key))
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let query = Query::of(doc! { "_id": { "$in": keys }, "q": q });
    let rows: Vec<KeyRow> = step.find(DATA, query).await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// Keys that this batch records.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    made: HashMap<String, KeyRow>,
    /// Keys of the past whose place is taken.
    forgotten: Vec<String>,
}

impl Fresh {
    /// Remembers what a post stores under its key; the document to be inserted.
    pub(crate) fn record(
        &mut self,
        q: i64,
        key: &PostKey,
        first: i64,
        count: usize,
        known: &HashMap<String, KeyRow>,
        now: Timestamp,
    ) -> NativeResult<Option<RawDocumentBuf>> {
        let id = post_key(q, &key.key);
        let row = KeyRow {
            id: id.clone(),
            q,
            digest: hex(&key.digest),
            first,
            count: length_code(count),
            ends: now.after(key.keep).as_millis(),
        };
        let written = document(&row)?;
        if known.contains_key(&id) {
            self.forgotten.push(id.clone());
        }
        // A second post of this batch under a key that is forgotten at once finds it here.
        let again = self.made.insert(id, row).is_some();
        Ok((!again).then_some(written))
    }

    /// Clears the places of forgotten keys.
    pub(crate) async fn replace_forgotten(&self, step: &mut Step<'_>) -> NativeResult<()> {
        if !self.forgotten.is_empty() {
            let filter = doc! { "_id": { "$in": self.forgotten.clone() } };
            step.delete(DATA, filter).await?;
        }
        Ok(())
    }
}

/// What an earlier post under the key stored; `None` if the key is new or forgotten.
pub(crate) fn repeated(
    queue: &QueueRef,
    key: &PostKey,
    known: &HashMap<String, KeyRow>,
    fresh: &Fresh,
    now: Timestamp,
) -> Option<Result<Posted>> {
    let id = post_key(queue_code(queue.incarnation), &key.key);
    let row =
        fresh.made.get(&id).or_else(|| known.get(&id).filter(|row| row.ends > now.as_millis()))?;
    if row.digest != hex(&key.digest) {
        return Some(Err(Error::IdempotencyConflict));
    }
    let count = usize::try_from(row.count).unwrap_or(0);
    Some(ids(queue, row.first, count, true))
}
