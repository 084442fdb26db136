//! What the benchmarks of the server databases share: the driver's rounds, and how they are shown
//! beside the raw loop's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use zaqar_core::{
    Body, ClaimId, CreateClaim, DisciplinedClock, NewMessage, PageLimit, PostMessages, ProjectId,
    QueueKey, QueueName, QueueRef, Ttl,
};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};

pub(crate) const ROUND: Duration = Duration::from_secs(2);
pub(crate) const CALLERS: usize = 16;
/// Messages or rows in a batch.
pub(crate) const TENS: usize = 10;
const ROUNDS: usize = 3;
const BODY_BYTES: usize = 1_024;

pub(crate) const RAW_ONE: &str = "raw inserts of 1, 16 connections: rows";
pub(crate) const RAW_TENS: &str = "raw inserts of 10, 16 connections: rows";
pub(crate) const RAW_CLAIMS: &str = "raw claim 10 + delete, 16 connections: rows";
/// How long a raw claim holds, in milliseconds.
pub(crate) const LEASE_MS: i64 = 300_000;

/// A server database under measurement.
pub(crate) trait Raw {
    /// Removes what a round left.
    async fn clear(&self) -> Result<()>;
    /// What the server can do with a table that has a key and nothing else: rows a second, so many
    /// in a statement and commit.
    async fn inserts(&self, batch: usize) -> Result<f64>;
    /// What the server can do with that table, as the inserts left it, when callers lease ten rows
    /// at a time, passing over rows that others lock, and then delete them if they still hold them:
    /// rows a second, until the time is over or none is left.
    async fn claims(&self) -> Result<f64>;
    /// The driver's URI.
    fn uri(&self) -> String;
}

/// The whole comparison; with the argument `raw` nothing but the raw inserts of 1, their rate alone on
/// a line, for `cargo xtask bench --backend`.
pub(crate) async fn run(raw: &impl Raw) -> Result<()> {
    if !std::env::args().any(|argument| argument == "raw") {
        return compare(raw).await;
    }
    raw.clear().await?;
    let rate = raw.inserts(1).await?;
    raw.clear().await?;
    println!("{rate:.0}");
    Ok(())
}

/// Alternates raw and driver's rounds and prints the medians; the ratio is to the raw loop that does
/// the same, as many at a time.
async fn compare(raw: &impl Raw) -> Result<()> {
    let mut rates: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut round = Vec::new();
        for (name, batch) in [(RAW_ONE, 1), (RAW_TENS, TENS)] {
            raw.clear().await?;
            round.push((name, raw.inserts(batch).await?));
        }
        round.push((RAW_CLAIMS, raw.claims().await?));
        raw.clear().await?;
        round.extend(driver_round(&raw.uri()).await?);
        for (index, (name, rate)) in round.into_iter().enumerate() {
            rates.entry((index, name)).or_default().push(rate);
        }
    }
    raw.clear().await?;
    let rates: Vec<_> =
        rates.into_iter().map(|((_, name), mut all)| (name, median(&mut all))).collect();
    let raw = |wanted: &str| {
        rates.iter().find(|(name, _)| *name == wanted).map_or(f64::NAN, |(_, rate)| *rate)
    };
    for (name, rate) in &rates {
        let beside = match name {
            name if name.contains("claim") => RAW_CLAIMS,
            name if name.contains("of 1,") => RAW_ONE,
            _ => RAW_TENS,
        };
        let beside = raw(beside);
        println!("{name:<48} {rate:>9.0} /s   {:.2}", rate / beside);
    }
    Ok(())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn driver_round(uri: &str) -> Result<Vec<(&'static str, f64)>> {
    let clock = Arc::new(DisciplinedClock::from_system());
    let drivers = zaqar_storage_sql::open(uri, OpenOptions::new(clock)).await?;
    let one = [make_queue(&drivers, "one").await?];
    let mut many = Vec::new();
    for number in 0..CALLERS {
        many.push(make_queue(&drivers, &format!("many{number}")).await?);
    }
    let rates = vec![
        ("posts of 1, 16 callers, one queue: messages", posts(&drivers, &one, 1).await?),
        ("posts of 10, 16 callers, one queue: messages", posts(&drivers, &one, TENS).await?),
        ("claim 10 + delete, 16 callers, one queue", claims(&drivers, &one).await?),
        ("posts of 10, 16 callers, a queue each: messages", posts(&drivers, &many, TENS).await?),
        ("claim 10 + delete, 16 callers, a queue each", claims(&drivers, &many).await?),
    ];
    drivers.data.close().await;
    Ok(rates)
}

async fn make_queue(drivers: &SqlDrivers, name: &str) -> Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("bench")?, QueueName::new(name)?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

pub(crate) fn body() -> String {
    format!("\"{}\"", "x".repeat(BODY_BYTES - 2))
}

async fn posts(drivers: &SqlDrivers, queues: &[QueueRef], batch: usize) -> Result<f64> {
    let message = NewMessage::new(Body::from_json(body())?, Ttl::from_secs(3_600)?);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for queue in queues.iter().cycle().take(CALLERS) {
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

/// Until the time is over or nothing is left.
async fn claims(drivers: &SqlDrivers, queues: &[QueueRef]) -> Result<f64> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for queue in queues.iter().cycle().take(CALLERS) {
        let (data, queue) = (Arc::clone(&drivers.data), queue.clone());
        tasks.spawn(async move {
            let mut done = 0;
            while start.elapsed() < ROUND {
                let ttl = Ttl::from_secs(300)?;
                let id = ClaimId::random();
                let claim = CreateClaim::new(id, ttl, Ttl::from_secs(60)?);
                let claim = claim.limit(PageLimit::new(10)?);
                let messages = data.claims().claim_create(&queue, claim).await?.messages;
                let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
                if ids.is_empty() {
                    break;
                }
                data.messages().message_bulk_delete(&queue, &ids, Some(&[id])).await?;
                done += ids.len();
            }
            anyhow::Ok(done)
        });
    }
    total(tasks, start).await
}

/// What all callers did a second.
pub(crate) async fn total(mut tasks: JoinSet<Result<usize>>, start: Instant) -> Result<f64> {
    let mut sum = 0;
    while let Some(done) = tasks.join_next().await {
        sum += done??;
    }
    Ok(sum as f64 / start.elapsed().as_secs_f64())
}
