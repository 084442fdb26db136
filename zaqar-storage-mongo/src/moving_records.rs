//! What a queue remembers beside its messages, read in pages where it comes from and written where
//! it goes.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use mongodb::bson::doc;
use serde::Deserialize;
use zaqar_core::move_rules::{RecordKind, RecordPlace, marker_of, run_of};
use zaqar_core::{
    DeadLetterOrigin, Error, ExhaustedDelivery, MessageId, MoveRecord, Page, PageLimit, QueueRef,
    Result, Timestamp,
};

use crate::barrier::Place;
use crate::error::{Failure, NativeResult, damaged};
use crate::heads::{Head, head_query};
use crate::moving::of_move;
use crate::origins::OriginRow;
use crate::outbox::{Exhausted, number_code};
use crate::post_keys::KeyRow;
use crate::query::Query;
use crate::reader::View;
use crate::rows::{document, length_code};
use crate::schema::DATA;
use crate::step::Step;
use crate::store::Store;
use crate::tables::{
    POSITION_MAX, arrival_key, behind, exhausted_key, kind, name_in, post_key, queue_code,
};
use crate::task::Task;

const OPERATION: &str = "move_records";

/// Reads a page, of as many kinds as it takes to fill it.
pub(crate) async fn read_records(
    store: &Store,
    queue: &QueueRef,
    marker: Option<&str>,
    limit: PageLimit,
) -> Result<Page<MoveRecord, String>> {
    let q = queue_code(queue.incarnation);
    let view = store.view(OPERATION, Place::Queue(q)).await?;
    let now = store.clock.now();
    let mut place = RecordPlace::of(marker)?;
    let mut items = Vec::new();
    loop {
        let room = length_code(limit.as_usize().saturating_sub(items.len()));
        items.extend(match place.kind {
            RecordKind::Key => keys(&view, queue, &place, room, now).await?,
            RecordKind::Arrival => arrivals(&view, q, &place, room).await?,
            RecordKind::Exhausted => given_up(&view, q, &place, room).await?,
        });
        let full = items.len() >= limit.as_usize();
        match place.next_kind() {
            Some(next) if !full => place = next,
            _ => break,
        }
    }
    // After the reads: a head that is of this move now was so then.
    let heads: Vec<Head> = view.find(DATA, head_query(queue)).await?;
    of_move(queue, heads.into_iter().next())?;
    Ok(Page::of(items, marker_of))
}

/// The documents of a kind behind a place, in order.
fn walk(q: i64, letter: u8, after: String, room: i64) -> Query {
    let filter = doc! { "_id": behind(q, letter, after), "q": q };
    Query::of(filter).by("_id_").sort(doc! { "_id": 1 }).limit(room)
}

/// The id behind which the documents of a kind lie whose names are behind this one.
fn after(q: i64, letter: u8, name: &str) -> String {
    format!("{q:010x}{}{name}", char::from(letter))
}

async fn keys(
    view: &View<'_>,
    queue: &QueueRef,
    place: &RecordPlace,
    room: i64,
    now: Timestamp,
) -> Result<Vec<MoveRecord>> {
    let q = queue_code(queue.incarnation);
    let mut query = walk(q, b'i', after(q, b'i', &place.after), room);
    query.filter.insert("ends", doc! { "$gt": now.as_millis() });
    let rows: Vec<KeyRow> = view.find(DATA, query).await?;
    let records: NativeResult<Vec<_>> = rows.iter().map(|row| row.record(queue)).collect();
    records.map_err(|error| view.failed(&error))
}

async fn arrivals(
    view: &View<'_>,
    q: i64,
    place: &RecordPlace,
    room: i64,
) -> Result<Vec<MoveRecord>> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "_id")]
        key: String,
        at: i64,
        origin: Option<OriginRow>,
    }
    let read = |row: &Row| {
        let id: MessageId = name_in(&row.key).parse().map_err(|_| damaged("arrival"))?;
        let origin = row.origin.as_ref().map(OriginRow::origin).transpose()?;
        Ok(MoveRecord::Arrival { id, position: row.at.unsigned_abs(), origin })
    };
    let query = walk(q, b'a', after(q, b'a', &place.after), room);
    let rows: Vec<Row> = view.find(DATA, query).await?;
    let records: NativeResult<Vec<_>> = rows.iter().map(read).collect();
    records.map_err(|error| view.failed(&error))
}

async fn given_up(
    view: &View<'_>,
    q: i64,
    place: &RecordPlace,
    room: i64,
) -> Result<Vec<MoveRecord>> {
    let query = walk(q, b'x', exhausted_key(q, place.after_number()), room);
    let rows: Vec<Exhausted> = view.find(DATA, query).await?;
    let records: NativeResult<Vec<_>> =
        rows.into_iter().map(|row| row.shown().map(MoveRecord::Exhausted)).collect();
    records.map_err(|error| view.failed(&error))
}

/// Remembers what another store did.
#[derive(Debug)]
pub(crate) struct InsertRecords {
    pub(crate) queue: QueueRef,
    pub(crate) records: Vec<MoveRecord>,
}

#[async_trait]
impl Task for InsertRecords {
    type Output = ();
    const OPERATION: &'static str = "move_insert_records";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.lock_head_of_move(&self.queue).await?;
        self.insert_keys(step, head.q).await?;
        for record in &self.records {
            if let MoveRecord::Arrival { id, position, origin } = record {
                insert_arrival(step, head.q, *id, *position, origin.as_ref()).await?;
            }
        }
        self.insert_given_up(step, &head).await?;
        Ok(())
    }
}

fn positions_used_up() -> Failure {
    let reason = "has used up its positions; use another queue".to_owned();
    Error::Invalid { field: "queue", reason }.into()
}

impl InsertRecords {
    /// Keys that this store does not remember, or not any more.
    async fn insert_keys(&self, step: &mut Step<'_>, q: i64) -> Result<(), Failure> {
        let mut rows = HashMap::new();
        for record in &self.records {
            if let MoveRecord::Key { key, digest, ids, until } = record {
                let (first, count) = run_of(&self.queue, ids)?;
                if first.saturating_add(count) > POSITION_MAX {
                    return Err(positions_used_up());
                }
                let id = post_key(q, key);
                let row = KeyRow::new(id.clone(), q, digest, (first, count), *until);
                rows.entry(id).or_insert(row);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let known = doc! {
            "_id": { "$in": rows.keys().cloned().collect::<Vec<_>>() },
            "q": q,
        };
        let known: Vec<KeyRow> = step.find(DATA, Query::of(known)).await?;
        let (kept, forgotten): (Vec<_>, Vec<_>) =
            known.iter().map(KeyRow::place).partition(|(_, ends)| *ends > step.now.as_millis());
        for (id, _) in kept {
            rows.remove(id);
        }
        let forgotten: Vec<&str> = forgotten.into_iter().map(|(id, _)| id).collect();
        if !forgotten.is_empty() {
            step.delete(DATA, doc! { "_id": { "$in": forgotten } }).await?;
        }
        let documents: NativeResult<Vec<_>> = rows.values().map(document).collect();
        insert(step, documents?).await
    }

    async fn insert_given_up(&self, step: &mut Step<'_>, head: &Head) -> Result<(), Failure> {
        let given_up = self.records.iter().filter_map(|record| match record {
            MoveRecord::Exhausted(record) => Some(record),
            _ => None,
        });
        let records: Vec<&ExhaustedDelivery> = given_up.collect();
        if records.is_empty() {
            return Ok(());
        }
        let messages: Vec<String> = records.iter().map(|one| one.message.to_string()).collect();
        let known = doc! { "k": kind::EXHAUSTED, "q": head.q, "message": { "$in": messages } };
        let rows: Vec<Exhausted> = step.find(DATA, Query::of(known).by("kinds")).await?;
        let mut known: HashSet<(String, String)> =
            rows.into_iter().map(|row| (row.message, row.address)).collect();
        let fresh = records
            .into_iter()
            .filter(|one| known.insert((one.message.to_string(), one.subscriber.clone())));
        let documents: NativeResult<Vec<_>> = (head.exhausted_next..)
            .zip(fresh)
            .map(|(number, one)| document(&Exhausted::of(head.q, number, one)))
            .collect();
        let documents = documents?;
        let next = head.exhausted_next.saturating_add(length_code(documents.len()));
        step.set_head(head, doc! { "exhausted_next": next }).await?;
        insert(step, documents).await
    }
}

async fn insert(
    step: &mut Step<'_>,
    documents: Vec<mongodb::bson::RawDocumentBuf>,
) -> Result<(), Failure> {
    if !documents.is_empty() {
        step.insert(&documents).await?;
    }
    Ok(())
}

/// One that came with its message may lack where it came from.
async fn insert_arrival(
    step: &mut Step<'_>,
    q: i64,
    id: MessageId,
    position: u64,
    origin: Option<&DeadLetterOrigin>,
) -> Result<(), Failure> {
    let position = number_code(position);
    if position > POSITION_MAX {
        return Err(positions_used_up());
    }
    let key = arrival_key(q, id);
    step.upsert(q, &key, doc! { "$setOnInsert": { "at": position } }).await?;
    if let Some(origin) = origin {
        let origin = mongodb::bson::serialize_to_bson(&OriginRow::of(origin))
            .map_err(|_| damaged("origin"))?;
        let unknown = doc! { "_id": key, "q": q, "origin": { "$exists": false } };
        step.update(DATA, unknown, doc! { "$set": { "origin": origin } }).await?;
    }
    Ok(())
}
