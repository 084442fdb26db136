//! The driver's hot paths beside a raw loop of the client library, on the same server, at the same
//! write concern, in the same run.
//!
//! `cargo bench -p zaqar-storage-mongo`, with `ZAQAR_TEST_MONGO_URI` or after `cargo xtask services
//! up`, prints a line for each: what it did, how many messages a second, and the ratio to the raw
//! loop of as many callers that do the same with as many documents at a time. Rounds alternate, so
//! that a busy machine slows both sides; trust the ratios.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use mongodb::{Client, Collection, IndexModel};
use zaqar_core::{
    Body, ClaimId, CreateClaim, DisciplinedClock, NewMessage, PageLimit, PostMessages, ProjectId,
    QueueKey, QueueName, QueueRef, Ttl,
};
use zaqar_storage_mongo::{MongoDrivers, OpenOptions};
use zaqar_testbed::Service;

const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const CALLERS: usize = 16;
const BODY_BYTES: usize = 1_024;
const TENS: usize = 10;
const DATABASE: &str = "zaqar_bench";
const RAW_CLAIMS: &str = "raw claim 10 + delete, 16 callers";
/// Where a caller of the raw loop starts among what is free: callers that all want the oldest ten
/// take them from each other.
const SPREAD: u64 = (TENS * CALLERS) as u64;

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let uri = zaqar_testbed::uri(Service::Mongo).context("no server: see the head of this file")?;
    let client = Client::with_uri_str(&uri).await?;
    // For `cargo xtask bench --backend`: nothing but the raw inserts of 1, their rate alone on a line.
    if std::env::args().any(|argument| argument == "raw") {
        let rate = raw_inserts(&raw_collection(&client).await?, 1).await?;
        client.database(DATABASE).drop().await?;
        println!("{rate:.0}");
        return Ok(());
    }
    let mut rates: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut round = raw_round(&client).await?;
        round.extend(driver_round(&uri).await?);
        for (index, (name, rate)) in round.into_iter().enumerate() {
            rates.entry((index, name)).or_default().push(rate);
        }
        client.database(DATABASE).drop().await?;
    }
    let rates: Vec<_> =
        rates.into_iter().map(|((_, name), mut all)| (name, median(&mut all))).collect();
    let raw = |wanted: &str| {
        rates.iter().find(|(name, _)| *name == wanted).map_or(f64::NAN, |(_, rate)| *rate)
    };
    for (name, rate) in &rates {
        let beside = match name {
            name if name.contains("claim") => raw(RAW_CLAIMS),
            name if name.contains("of 1,") => raw(raw_inserts_name(1)),
            _ => raw(raw_inserts_name(TENS)),
        };
        println!("{name:<48} {rate:>9.0} /s   {:.2}", rate / beside);
    }
    Ok(())
}

fn raw_inserts_name(batch: usize) -> &'static str {
    match batch {
        1 => "raw inserts of 1, 16 callers",
        _ => "raw inserts of 10, 16 callers",
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What the client library can do: each caller inserts for itself.
async fn raw_round(client: &Client) -> Result<Vec<(&'static str, f64)>> {
    let raw = raw_collection(client).await?;
    let mut rates = Vec::new();
    for batch in [1, TENS] {
        rates.push((raw_inserts_name(batch), raw_inserts(&raw, batch).await?));
    }
    raw.create_index(IndexModel::builder().keys(doc! { "q": 1, "claim": 1, "_id": 1 }).build())
        .await?;
    rates.push((RAW_CLAIMS, raw_claims(&raw).await?));
    Ok(rates)
}

async fn raw_collection(client: &Client) -> Result<Collection<Document>> {
    let write_concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    let options = CollectionOptions::builder().write_concern(write_concern).build();
    let raw = client.database(DATABASE).collection_with_options::<Document>("raw", options);
    raw.insert_one(doc! {}).await?;
    Ok(raw)
}

async fn raw_inserts(raw: &Collection<Document>, batch: usize) -> Result<f64> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (raw, body) = (raw.clone(), body());
        tasks.spawn(async move {
            let mut stored = 0;
            while start.elapsed() < ROUND {
                let row = doc! {
                    "q": 1_i64, "expires": 2_000_000_000_000_i64, "claim": 0_i64, "body": &body,
                };
                raw.insert_many(vec![row; batch]).await?;
                stored += batch;
            }
            anyhow::Ok(stored)
        });
    }
    total(tasks, start).await
}

async fn raw_claims(raw: &Collection<Document>) -> Result<f64> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let raw = raw.clone();
        tasks.spawn(async move {
            let mut done = 0;
            while start.elapsed() < ROUND {
                match claim_and_delete(&raw).await? {
                    Some(rows) => done += rows,
                    None => break,
                }
            }
            anyhow::Ok(done)
        });
    }
    total(tasks, start).await
}

/// Puts up to ten free documents under a claim, reads what it got of them, and deletes them if they
/// still are under it; `None` if none was free.
async fn claim_and_delete(raw: &Collection<Document>) -> Result<Option<usize>> {
    let random = ClaimId::random();
    let claim = random.to_string();
    let skip = random.as_bytes().first().map_or(0, |byte| u64::from(*byte) * SPREAD / 256);
    let free = raw.find(doc! { "q": 1_i64, "claim": 0_i64 }).sort(doc! { "_id": 1 }).skip(skip);
    let free = free.limit(TENS as i64).projection(doc! { "_id": 1 }).await?;
    let free: Vec<Document> = free.try_collect().await?;
    if free.is_empty() {
        return Ok(None);
    }
    let ids: Vec<_> = free.iter().filter_map(|row| row.get("_id")).collect();
    let hold = doc! { "$set": { "claim": &claim, "until": 2_000_000_000_000_i64 } };
    raw.update_many(doc! { "_id": { "$in": ids }, "claim": 0_i64 }, hold).await?;
    let held: Vec<Document> =
        raw.find(doc! { "q": 1_i64, "claim": &claim }).await?.try_collect().await?;
    let ids: Vec<_> = held.iter().filter_map(|row| row.get("_id")).collect();
    let still = doc! { "_id": { "$in": ids }, "claim": &claim };
    let removed = raw.delete_many(still).await?.deleted_count;
    anyhow::ensure!(removed == held.len() as u64, "a claimed document went");
    Ok(Some(held.len()))
}

async fn driver_round(uri: &str) -> Result<Vec<(&'static str, f64)>> {
    let uri = uri.replace("/?", &format!("/{DATABASE}?"));
    let clock = Arc::new(DisciplinedClock::from_system());
    let drivers = zaqar_storage_mongo::open(&uri, OpenOptions::new(clock)).await?;
    let queue = make_queue(&drivers).await?;
    let rates = vec![
        ("posts of 1, 16 callers", posts(&drivers, &queue, 1).await?),
        ("posts of 10, 16 callers", posts(&drivers, &queue, 10).await?),
        ("claim 10 + bulk delete, 16 callers", claims(&drivers, &queue).await?),
    ];
    drivers.data.close().await;
    Ok(rates)
}

async fn make_queue(drivers: &MongoDrivers) -> Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("bench")?, QueueName::new("bench")?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

fn body() -> String {
    format!("\"{}\"", "x".repeat(BODY_BYTES - 2))
}

async fn posts(drivers: &MongoDrivers, queue: &QueueRef, batch: usize) -> Result<f64> {
    let message = NewMessage::new(Body::from_json(body())?, Ttl::from_secs(3_600)?);
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (data, queue, message) = (Arc::clone(&drivers.data), queue.clone(), message.clone());
        tasks.spawn(async move {
            let mut stored = 0;
            while start.elapsed() < ROUND {
                let messages = vec![message.clone(); batch];
                data.messages().message_post(&queue, messages, PostMessages::new()).await?;
                stored += batch;
            }
            anyhow::Ok(stored)
        });
    }
    total(tasks, start).await
}

async fn claims(drivers: &MongoDrivers, queue: &QueueRef) -> Result<f64> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (data, queue) = (Arc::clone(&drivers.data), queue.clone());
        tasks.spawn(async move {
            let mut done = 0;
            while start.elapsed() < ROUND {
                let ttl = Ttl::from_secs(300)?;
                let claim = CreateClaim::new(ClaimId::random(), ttl, Ttl::from_secs(60)?);
                let claim = claim.limit(PageLimit::new(10)?);
                let messages = data.claims().claim_create(&queue, claim.clone()).await?.messages;
                let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
                anyhow::ensure!(!ids.is_empty(), "the queue ran out of messages to claim");
                let claims = [claim.id];
                data.messages().message_bulk_delete(&queue, &ids, Some(&claims)).await?;
                done += ids.len();
            }
            anyhow::Ok(done)
        });
    }
    total(tasks, start).await
}

async fn total(mut tasks: tokio::task::JoinSet<Result<usize>>, start: Instant) -> Result<f64> {
    let mut sum = 0;
    while let Some(done) = tasks.join_next().await {
        sum += done??;
    }
    Ok(sum as f64 / start.elapsed().as_secs_f64())
}
