//! A producer and three workers: claim, renew while the work takes long, delete when it is done.
//!
//! One worker dies with its messages in hand. Its claim runs out, and others do them: in the end
//! every order is done, and the program says whether any was done twice.
//!
//! ```text
//! cargo run -p zaqar-engine --example worker_with_claims
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use zaqar_core::{Body, ClaimId, Clock, ManualClock, Message, ProjectId, QueueKey, QueueName};
use zaqar_engine::{
    ClaimRequest, Engine, EngineConfig, PostMessage, PostRequest, StoreOptions, registry,
};

const ORDERS: u32 = 60;
const CLAIM_TTL_S: u64 = 60;

/// How often each order was done.
type Done = Arc<Mutex<BTreeMap<String, u32>>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Claims last a minute at least. This clock is turned by hand, so that the demonstration does
    // not; a program of yours uses `DisciplinedClock::from_system()`.
    let clock = Arc::new(ManualClock::default());
    let options = StoreOptions::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let dir = tempfile::tempdir()?;
    let uri = format!("sqlite:{}", dir.path().join("orders.db").display());
    let stores = registry::open(&uri, &options).await?;
    let engine = Engine::new(stores, Arc::clone(&clock) as Arc<dyn Clock>, EngineConfig::default());
    let queue = QueueKey::queue(ProjectId::new("demo")?, QueueName::new("orders")?);

    produce(&engine, &queue).await?;
    let lost = die_at_work(&engine, &queue).await?;
    println!("a worker died with {lost} orders in hand");

    let done = Done::default();
    work_off(&engine, &queue, &done).await?;
    println!(
        "{} of {ORDERS} orders are done; the rest is under the dead worker's claim",
        count(&done)
    );

    clock.advance(Duration::from_secs(CLAIM_TTL_S));
    work_off(&engine, &queue, &done).await?;
    let twice =
        done.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|n| **n > 1).count();
    println!(
        "its claim ran out: {} of {ORDERS} orders are done, {twice} of them twice",
        count(&done)
    );
    engine.shutdown().await;
    Ok(())
}

/// Posts all orders, ten at a time; each ten are stored together or not at all.
async fn produce(engine: &Engine, queue: &QueueKey) -> anyhow::Result<()> {
    let orders: Vec<u32> = (1..=ORDERS).collect();
    for ten in orders.chunks(10) {
        let message = |order: &u32| -> anyhow::Result<PostMessage> {
            Ok(PostMessage::new(Body::from_json(format!("{{\"order\": {order}}}"))?).ttl(3_600))
        };
        let messages = ten.iter().map(message).collect::<anyhow::Result<_>>()?;
        engine.message_post(queue, PostRequest::new(messages)).await?;
    }
    Ok(())
}

/// A worker that claims and is never heard of again.
async fn die_at_work(engine: &Engine, queue: &QueueKey) -> anyhow::Result<usize> {
    let request = ClaimRequest::new().ttl(CLAIM_TTL_S).limit(7);
    let claimed = engine.claim_create(queue, request).await?.context("nothing to claim")?;
    Ok(claimed.messages.len())
}

/// Three workers at once, until nothing is left to claim.
async fn work_off(engine: &Engine, queue: &QueueKey, done: &Done) -> anyhow::Result<()> {
    let workers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(work(engine.clone(), queue.clone(), Arc::clone(done))))
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

async fn work(engine: Engine, queue: QueueKey, done: Done) -> anyhow::Result<()> {
    loop {
        // The name is the worker's own: a claim whose answer was lost can be asked for again.
        let request = ClaimRequest::new().id(ClaimId::random()).ttl(CLAIM_TTL_S).limit(5);
        let Some(claimed) = engine.claim_create(&queue, request).await? else { return Ok(()) };
        for message in &claimed.messages {
            // Work that takes long renews its claim in time.
            engine.claim_update(&queue, claimed.id, Some(CLAIM_TTL_S), None).await?;
            perform(message, &done);
            // Refused once the claim is over: then another worker has the order.
            engine.message_delete(&queue, message.id, Some(claimed.id)).await?;
        }
    }
}

fn perform(message: &Message, done: &Done) {
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
    *done.entry(message.body.as_str().to_owned()).or_default() += 1;
}

fn count(done: &Done) -> usize {
    done.lock().unwrap_or_else(PoisonError::into_inner).len()
}
