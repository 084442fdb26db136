//! The hot paths on PostgreSQL beside the raw server, at the same durability, in the same run.
//!
//! `ZAQAR_TEST_POSTGRES_URI=… cargo bench -p zaqar-storage-sql --features postgres --bench postgres`
//! prints a line for each: what it did, how many messages a second, and the ratio to the raw loop,
//! which inserts tens on sixteen connections. Rounds alternate, so that a busy machine slows both
//! sides; trust the ratios.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::task::JoinSet;
use zaqar_core::{
    Body, ClaimId, CreateClaim, DisciplinedClock, NewMessage, PageLimit, PostMessages, ProjectId,
    QueueKey, QueueName, QueueRef, Ttl,
};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};
use zaqar_testbed::Service;

const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const CALLERS: usize = 16;
const TENS: usize = 10;
const BODY_BYTES: usize = 1_024;
const SCHEMA: &str = "zaqar_bench";

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let uri = zaqar_testbed::uri(Service::Postgres).context("no PostgreSQL server is known")?;
    let mut raw = Vec::new();
    let mut ours: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        clear(&uri).await?;
        raw.push(raw_inserts(&uri).await?);
        clear(&uri).await?;
        for (index, (name, rate)) in driver_round(&uri).await?.into_iter().enumerate() {
            ours.entry((index, name)).or_default().push(rate);
        }
    }
    clear(&uri).await?;
    let raw = median(&mut raw);
    println!("{:<48} {raw:>9.0} /s   1.00", "raw inserts of 10, 16 connections: messages");
    for ((_, name), mut rates) in ours {
        let rate = median(&mut rates);
        println!("{name:<48} {rate:>9.0} /s   {:.2}", rate / raw);
    }
    Ok(())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn connect(uri: &str) -> Result<PgConnection> {
    let options: PgConnectOptions = uri.parse()?;
    Ok(options.options([("search_path", SCHEMA), ("synchronous_commit", "on")]).connect().await?)
}

async fn run(connection: &mut PgConnection, text: impl Into<String>) -> Result<()> {
    let text: Arc<str> = text.into().into();
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}

async fn clear(uri: &str) -> Result<()> {
    let mut connection = connect(uri).await?;
    let text = format!(
        "SET client_min_messages = error; DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CHECKPOINT"
    );
    run(&mut connection, text).await?;
    Ok(connection.close().await?)
}

/// What the server can do: a table with a key and nothing else, tens in one statement and commit.
async fn raw_inserts(uri: &str) -> Result<f64> {
    let mut connection = connect(uri).await?;
    let make = format!(
        "CREATE SCHEMA {SCHEMA}; CREATE TABLE m (id bigint GENERATED ALWAYS AS IDENTITY \
         PRIMARY KEY, queue bigint, expires bigint, body text)"
    );
    run(&mut connection, make).await?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let mut connection = connect(uri).await?;
        tasks.spawn(async move {
            let (body, mut stored) = (body(), 0);
            while start.elapsed() < ROUND {
                sqlx::query(
                    "INSERT INTO m (queue, expires, body) SELECT 1, 2000000000000, * \
                     FROM unnest($1::text[])",
                )
                .bind(vec![body.as_str(); TENS])
                .execute(&mut connection)
                .await?;
                stored += TENS;
            }
            connection.close().await?;
            anyhow::Ok(stored)
        });
    }
    total(tasks, start).await
}

async fn driver_round(uri: &str) -> Result<Vec<(&'static str, f64)>> {
    let mark = if uri.contains('?') { '&' } else { '?' };
    let clock = Arc::new(DisciplinedClock::from_system());
    let uri = format!("{uri}{mark}schema={SCHEMA}");
    let drivers = zaqar_storage_sql::open(&uri, OpenOptions::new(clock)).await?;
    let one = [make_queue(&drivers, "one").await?];
    let mut many = Vec::new();
    for number in 0..CALLERS {
        many.push(make_queue(&drivers, &format!("many{number}")).await?);
    }
    let rates = vec![
        ("posts of 1, 16 callers, one queue: messages", posts(&drivers, &one, 1).await?),
        ("posts of 10, 16 callers, one queue: messages", posts(&drivers, &one, TENS).await?),
        ("posts of 10, 16 callers, a queue each: messages", posts(&drivers, &many, TENS).await?),
        ("claim 10 + delete, 16 callers, one queue", claims(&drivers, &one).await?),
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

fn body() -> String {
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

async fn total(mut tasks: JoinSet<Result<usize>>, start: Instant) -> Result<f64> {
    let mut sum = 0;
    while let Some(done) = tasks.join_next().await {
        sum += done??;
    }
    Ok(sum as f64 / start.elapsed().as_secs_f64())
}
