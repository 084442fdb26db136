//! The driver's hot paths beside the raw engine, at the same durability, in the same run.
//!
//! `cargo bench -p zaqar-storage-sql` prints a line for each: what it did, how many a second, and
//! the ratio to the raw loop with a hundred rows a commit. Rounds alternate, so that a busy machine
//! slows both sides; trust the ratios.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use zaqar_core::{
    Body, ClaimId, CreateClaim, DisciplinedClock, NewMessage, PageLimit, PostMessages, ProjectId,
    QueueKey, QueueName, QueueRef, Ttl,
};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};

const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const BODY_BYTES: usize = 1_024;

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut raw = Vec::new();
    let mut ours: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        raw.push(raw_inserts(100).await?);
        for (index, (name, rate)) in driver_round().await?.into_iter().enumerate() {
            ours.entry((index, name)).or_default().push(rate);
        }
    }
    let raw = median(&mut raw);
    println!("{:<44} {raw:>9.0} /s   1.00", "raw inserts, 100 rows a commit");
    for ((_, name), mut rates) in ours {
        let rate = median(&mut rates);
        println!("{name:<44} {rate:>9.0} /s   {:.2}", rate / raw);
    }
    Ok(())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What the engine can do: one connection, one statement and one commit for each hundred rows.
async fn raw_inserts(rows: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.path().join("raw.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await?;
    let table =
        "CREATE TABLE m (id INTEGER PRIMARY KEY, queue INTEGER, expires INTEGER, body TEXT)";
    sqlx::query(table).execute(&mut connection).await?;
    let values = vec!["(?, ?, ?)"; rows].join(", ");
    let insert: Arc<str> = format!("INSERT INTO m (queue, expires, body) VALUES {values}").into();
    let body: Arc<str> = body().into();
    let (start, mut stored) = (Instant::now(), 0);
    while start.elapsed() < ROUND {
        let mut statement = sqlx::query(AssertSqlSafe(Arc::clone(&insert)));
        for _ in 0..rows {
            statement = statement.bind(1_i64).bind(2_000_000_000_000_i64).bind(Arc::clone(&body));
        }
        statement.execute(&mut connection).await?;
        stored += rows;
    }
    let rate = stored as f64 / start.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(rate)
}

async fn driver_round() -> Result<Vec<(&'static str, f64)>> {
    let folder = tempfile::tempdir()?;
    let uri = format!("sqlite://{}", folder.path().join("driver.db").display());
    let clock = Arc::new(DisciplinedClock::from_system());
    let drivers = zaqar_storage_sql::open(&uri, OpenOptions::new(clock)).await?;
    let queue = make_queue(&drivers).await?;
    let rates = vec![
        ("posts of 1, 16 callers: messages", posts(&drivers, &queue, 16, 1).await?),
        ("posts of 1, 64 callers: messages", posts(&drivers, &queue, 64, 1).await?),
        ("posts of 10, 16 callers: messages", posts(&drivers, &queue, 16, 10).await?),
        ("posts of 10, 64 callers: messages", posts(&drivers, &queue, 64, 10).await?),
        ("claim 10 + bulk delete, 16 callers: messages", claims(&drivers, &queue).await?),
    ];
    drivers.data.close().await;
    Ok(rates)
}

async fn make_queue(drivers: &SqlDrivers) -> Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("bench")?, QueueName::new("bench")?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

fn body() -> String {
    format!("\"{}\"", "x".repeat(BODY_BYTES - 2))
}

async fn posts(
    drivers: &SqlDrivers,
    queue: &QueueRef,
    callers: usize,
    batch: usize,
) -> Result<f64> {
    let message = NewMessage::new(Body::from_json(body())?, Ttl::from_secs(3_600)?);
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
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

async fn claims(drivers: &SqlDrivers, queue: &QueueRef) -> Result<f64> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (data, queue) = (Arc::clone(&drivers.data), queue.clone());
        tasks.spawn(async move {
            let mut done = 0;
            while start.elapsed() < ROUND {
                let ttl = Ttl::from_secs(300)?;
                let claim = CreateClaim::new(ClaimId::random(), ttl, Ttl::from_secs(60)?);
                let claim = claim.limit(PageLimit::new(10)?);
                let messages = data.claims().claim_create(&queue, claim).await?.messages;
                let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
                anyhow::ensure!(!ids.is_empty(), "the queue ran out of messages to claim");
                data.messages().message_bulk_delete(&queue, &ids, None).await?;
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
