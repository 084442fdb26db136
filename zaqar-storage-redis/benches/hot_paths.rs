//! The driver's hot paths beside a raw loop of scripts, on the same server, in the same run.
//!
//! `cargo bench -p zaqar-storage-redis` starts a server of its own (append-only file, flushed before
//! each answer) and prints a line for each path: what it did, how many messages a second, and the
//! ratio to the raw loop of the same shape. The raw loop keeps messages in a hash and one sorted set
//! and does nothing else: no lives, claims, fences or idempotency. Rounds alternate, so that a busy
//! machine slows both sides; trust the ratios.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use redis::Script;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;
use zaqar_core::{
    Body, ClaimId, CreateClaim, DisciplinedClock, NewMessage, PageLimit, PostMessages, ProjectId,
    QueueKey, QueueName, QueueRef, Ttl,
};
use zaqar_storage_redis::{OpenOptions, RedisDrivers};
use zaqar_testbed::{Backend, Options, Service};

const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const CALLERS: usize = 16;
const BODY_BYTES: usize = 1_024;

const RAW_POST: &str = "
local last = redis.call('INCRBY', KEYS[3], #ARGV)
for i = 1, #ARGV do
  local place = last - #ARGV + i
  redis.call('HSET', KEYS[1], place, ARGV[i])
  redis.call('ZADD', KEYS[2], place, place)
end
return last";
const RAW_CLAIM: &str = "
local places = redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1)
for _, place in ipairs(places) do
  redis.call('ZREM', KEYS[2], place)
  redis.call('ZADD', KEYS[3], ARGV[2], place)
end
if #places == 0 then return {places, places} end
return {places, redis.call('HMGET', KEYS[1], unpack(places))}";
const RAW_DELETE: &str = "
for _, place in ipairs(ARGV) do
  redis.call('ZREM', KEYS[2], place)
  redis.call('HDEL', KEYS[1], place)
end
return #ARGV";

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    // For `cargo xtask bench --backend`: nothing but the raw posts of 1, on the server that is measured.
    if std::env::args().any(|argument| argument == "raw") {
        let uri = zaqar_testbed::uri(Service::Redis).context("no Redis server is known")?;
        return raw_alone(&uri).await;
    }
    let backend = Backend::start(Service::Redis, Options::new())?;
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raw.push(raw_round(&backend.uri()).await?);
        ours.push(driver_round(&backend.uri(), round).await?);
    }
    let names = ["posts of 1", "posts of 10", "claim 10 + bulk delete"];
    println!(
        "{CALLERS} callers, {BODY_BYTES} bytes a message; messages a second, median of {ROUNDS}"
    );
    for (index, name) in names.into_iter().enumerate() {
        let (raw, ours) = (median(&raw, index), median(&ours, index));
        println!("{name:<24} raw {raw:>9.0}   driver {ours:>9.0}   ratio {:.2}", ours / raw);
    }
    Ok(())
}

fn median(rounds: &[[f64; 3]], index: usize) -> f64 {
    let mut rates: Vec<f64> = rounds.iter().filter_map(|round| round.get(index)).copied().collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

fn body() -> String {
    format!("\"{}\"", "x".repeat(BODY_BYTES - 2))
}

/// Runs `step`, which answers how many messages it did, in every caller for a round, or until there
/// are none left.
async fn measure<S, F>(step: S) -> Result<f64>
where
    S: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Result<usize>> + Send,
{
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let step = step.clone();
        tasks.spawn(async move {
            let mut done = 0;
            while start.elapsed() < ROUND {
                let messages = step().await?;
                if messages == 0 {
                    break;
                }
                done += messages;
            }
            anyhow::Ok(done)
        });
    }
    let mut sum = 0;
    while let Some(done) = tasks.join_next().await {
        sum += done??;
    }
    Ok(sum as f64 / start.elapsed().as_secs_f64())
}

async fn raw_round(uri: &str) -> Result<[f64; 3]> {
    let client = redis::Client::open(uri)?;
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
    let post = |batch: usize| {
        let (connection, script) = (connection.clone(), Arc::new(Script::new(RAW_POST)));
        move || raw_post(connection.clone(), Arc::clone(&script), batch)
    };
    let ones = measure(post(1)).await?;
    let tens = measure(post(10)).await?;
    let claims = {
        let scripts = Arc::new((Script::new(RAW_CLAIM), Script::new(RAW_DELETE)));
        let connection = connection.clone();
        measure(move || raw_claim(connection.clone(), Arc::clone(&scripts))).await?
    };
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection.clone()).await?;
    Ok([ones, tens, claims])
}

/// Prints the rate of raw posts of 1, alone on a line.
async fn raw_alone(uri: &str) -> Result<()> {
    let client = redis::Client::open(uri)?;
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
    let (to, script) = (connection.clone(), Arc::new(Script::new(RAW_POST)));
    let rate = measure(move || raw_post(to.clone(), Arc::clone(&script), 1)).await?;
    let keys = ["{raw}m", "{raw}c", "{raw}l", "{raw}n"];
    redis::cmd("DEL").arg(&keys).query_async::<()>(&mut connection.clone()).await?;
    println!("{rate:.0}");
    Ok(())
}

async fn raw_post(
    mut connection: MultiplexedConnection,
    script: Arc<Script>,
    batch: usize,
) -> Result<usize> {
    let body = body();
    let mut call = script.key("{raw}m");
    call.key("{raw}c").key("{raw}n");
    for _ in 0..batch {
        call.arg(&body);
    }
    call.invoke_async::<u64>(&mut connection).await?;
    Ok(batch)
}

async fn raw_claim(
    mut connection: MultiplexedConnection,
    scripts: Arc<(Script, Script)>,
) -> Result<usize> {
    let (claim, delete) = &*scripts;
    let mut call = claim.key("{raw}m");
    call.key("{raw}c").key("{raw}l").arg(10).arg(2_000_000_000_000_i64);
    let (places, bodies): (Vec<String>, Vec<String>) = call.invoke_async(&mut connection).await?;
    if bodies.is_empty() {
        return Ok(0);
    }
    let mut call = delete.key("{raw}m");
    call.key("{raw}l").arg(&places);
    call.invoke_async::<u64>(&mut connection).await?;
    Ok(places.len())
}

async fn driver_round(uri: &str, round: usize) -> Result<[f64; 3]> {
    let clock = Arc::new(DisciplinedClock::from_system());
    let drivers = zaqar_storage_redis::open(uri, OpenOptions::new(clock)).await?;
    let queue = make_queue(&drivers, round).await?;
    let ones = measure(post(&drivers, &queue, 1)?).await?;
    let tens = measure(post(&drivers, &queue, 10)?).await?;
    let claims = {
        let (drivers, queue) = (drivers.clone(), queue.clone());
        measure(move || claim(drivers.clone(), queue.clone())).await?
    };
    drivers.data.close().await;
    let client = redis::Client::open(uri)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await?;
    Ok([ones, tens, claims])
}

async fn make_queue(drivers: &RedisDrivers, round: usize) -> Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("bench")?, QueueName::new(format!("bench{round}"))?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

fn post(
    drivers: &RedisDrivers,
    queue: &QueueRef,
    batch: usize,
) -> Result<impl Fn() -> futures_util::future::BoxFuture<'static, Result<usize>> + Clone + use<>> {
    let message = NewMessage::new(Body::from_json(body())?, Ttl::from_secs(3_600)?);
    let (data, queue) = (Arc::clone(&drivers.data), queue.clone());
    Ok(move || -> futures_util::future::BoxFuture<'static, Result<usize>> {
        let (data, queue) = (Arc::clone(&data), queue.clone());
        let messages = vec![message.clone(); batch];
        Box::pin(async move {
            data.messages().message_post(&queue, messages, PostMessages::new()).await?;
            Ok(batch)
        })
    })
}

async fn claim(drivers: RedisDrivers, queue: QueueRef) -> Result<usize> {
    let ttl = Ttl::from_secs(300)?;
    let claim = CreateClaim::new(ClaimId::random(), ttl, Ttl::from_secs(60)?);
    let (id, claim) = (claim.id, claim.limit(PageLimit::new(10)?));
    let messages = drivers.data.claims().claim_create(&queue, claim).await?.messages;
    let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    drivers.data.messages().message_bulk_delete(&queue, &ids, Some(&[id])).await?;
    Ok(ids.len())
}
