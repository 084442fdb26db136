//! The driver's hot paths beside a raw loop of the client library, on the same server, at the same
//! write concern, in the same run.
//!
//! `cargo bench -p zaqar-storage-mongo`, with `ZAQAR_TEST_MONGO_URI` or after `cargo xtask services
//! up`, prints a line for each: what it did, how many messages a second, and the ratio to the raw
//! loop of as many callers that insert as many documents at a time. Rounds alternate, so that a busy
//! machine slows both sides; trust the ratios.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use mongodb::{Client, Collection};
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
const DATABASE: &str = "zaqar_bench";

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let uri = zaqar_testbed::uri(Service::Mongo).context("no server: see the head of this file")?;
    let client = Client::with_uri_str(&uri).await?;
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
    let raw = |batch: usize| {
        let named = |(name, _): &&(&str, f64)| *name == raw_name(batch);
        rates.iter().find(named).map_or(f64::NAN, |(_, rate)| *rate)
    };
    for (name, rate) in &rates {
        let beside = if name.contains("of 1,") { raw(1) } else { raw(10) };
        println!("{name:<48} {rate:>9.0} /s   {:.2}", rate / beside);
    }
    Ok(())
}

fn raw_name(batch: usize) -> &'static str {
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
    let write_concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    let options = CollectionOptions::builder().write_concern(write_concern).build();
    let raw = client.database(DATABASE).collection_with_options::<Document>("raw", options);
    raw.insert_one(doc! {}).await?;
    let mut rates = Vec::new();
    for batch in [1, 10] {
        rates.push((raw_name(batch), raw_inserts(&raw, batch).await?));
    }
    Ok(rates)
}

async fn raw_inserts(raw: &Collection<Document>, batch: usize) -> Result<f64> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (raw, body) = (raw.clone(), body());
        tasks.spawn(async move {
            let mut stored = 0;
            while start.elapsed() < ROUND {
                let row = doc! { "q": 1_i64, "expires": 2_000_000_000_000_i64, "body": &body };
                raw.insert_many(vec![row; batch]).await?;
                stored += batch;
            }
            anyhow::Ok(stored)
        });
    }
    total(tasks, start).await
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
