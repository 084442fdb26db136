//! A primary is lost and its replica takes over: what waits for a replica keeps what it acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use zaqar_core::{
    Body, Clock, DisciplinedClock, Error, IdempotencyKey, ListMessages, MessageId, NewMessage,
    OpenError, PageLimit, PostKey, PostMessages, ProjectId, QueueKey, QueueName, QueueRef, Ttl,
};
use zaqar_storage_redis::{OpenOptions, RedisDrivers};
use zaqar_testbed::{Backend, Options, Service};

/// How long a failover may take on a busy machine.
const FAILOVER_MAX: Duration = Duration::from_secs(90);

async fn open(uri: &str) -> Result<RedisDrivers, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(DisciplinedClock::from_system());
    zaqar_storage_redis::open(uri, OpenOptions::new(clock)).await
}

async fn queue(drivers: &RedisDrivers) -> anyhow::Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new("q")?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

/// Posts under a key, so that it may be repeated.
async fn post(
    drivers: &RedisDrivers,
    queue: &QueueRef,
    number: usize,
) -> anyhow::Result<Result<Vec<MessageId>, Error>> {
    let messages =
        vec![NewMessage::new(Body::from_json(number.to_string())?, Ttl::from_secs(3_600)?)];
    let key = IdempotencyKey::new(format!("post-{number}"))?;
    let keep = Ttl::from_secs(600)?;
    let options = PostMessages::new().key(PostKey { key, digest: [7; 32], keep });
    let posted = drivers.data.messages().message_post(queue, messages, options).await;
    Ok(posted.map(|posted| posted.ids))
}

/// The port of the primary, as the Sentinel has it.
async fn primary(backend: &Backend) -> anyhow::Result<u16> {
    let port = backend.ports().get(2).copied().context("a Sentinel")?;
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    // A Sentinel on a busy machine is slow to answer.
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(FAILOVER_MAX))
        .set_response_timeout(Some(FAILOVER_MAX));
    let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg("zaqar");
    let (_, port): (String, u16) = ask.query_async(&mut connection).await?;
    Ok(port)
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_loss_of_the_primary() -> anyhow::Result<()> {
    let mut backend = Backend::start(Service::RedisSentinel, Options::new())?;
    let drivers = open(&format!("{}?wait_replicas=1", backend.uri())).await?;
    let queue = queue(&drivers).await?;
    let mut acknowledged = BTreeSet::new();
    for number in 0..200 {
        acknowledged.extend(post(&drivers, &queue, number).await??);
    }
    let before = primary(&backend).await?;
    let start = Instant::now();
    backend.kill_one(0)?;
    while primary(&backend).await? == before {
        anyhow::ensure!(start.elapsed() < FAILOVER_MAX, "there was no failover");
        tokio::task::yield_now().await;
    }
    // The promoted replica takes no writes before it has a replica itself.
    backend.restart_one(0)?;
    for number in 200..210 {
        let ids = loop {
            match post(&drivers, &queue, number).await? {
                Ok(ids) => break ids,
                Err(error) if start.elapsed() > FAILOVER_MAX => return Err(error.into()),
                Err(_) => {}
            }
        };
        // The lost primary may have shown messages that nobody else has, at the positions in between.
        assert!(ids.iter().all(|id| id.sequence() > 1 << 20), "{ids:?}");
        acknowledged.extend(ids);
    }
    let page = ListMessages::new().limit(PageLimit::new(1_000)?);
    let found = drivers.data.messages().message_list(&queue, page).await?.items;
    let found: BTreeSet<MessageId> = found.iter().map(|message| message.id).collect();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "lost by the failover: {lost:?}");
    assert_eq!(found.len(), 210, "each key was stored once");
    Ok(())
}

/// `WAIT` waits for what its own connection wrote.
#[tokio::test]
async fn what_changes_nothing_waits_for_copies_of_what_others_changed() -> anyhow::Result<()> {
    let backend = Backend::start(Service::RedisSentinel, Options::new())?;
    let drivers = open(&format!("{}?wait_replicas=1", backend.uri())).await?;
    let queue = queue(&drivers).await?;
    let ids = post(&drivers, &queue, 0).await??;
    assert_eq!(
        ids.iter().map(|id| id.sequence()).collect::<Vec<_>>(),
        [1],
        "no leap without cause"
    );
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", primary(&backend).await?))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let fences: Vec<String> =
        redis::cmd("KEYS").arg("*{b*}:fence").query_async(&mut connection).await?;
    let fence = fences.first().context("a fence")?;
    for number in [0, 0] {
        redis::cmd("DEL").arg(fence).exec_async(&mut connection).await?;
        post(&drivers, &queue, number).await??;
        let run: Option<String> = redis::cmd("GET").arg(fence).query_async(&mut connection).await?;
        let run = run.context("the repeat of a post did not write")?;
        assert!(info.contains(&format!("run_id:{run}\r")), "{run}");
    }
    Ok(())
}

#[tokio::test]
async fn a_primary_that_would_write_without_its_replica_is_noticed() -> anyhow::Result<()> {
    let backend = Backend::start(Service::RedisSentinel, Options::new())?;
    let drivers = open(&format!("{}?wait_replicas=1", backend.uri())).await?;
    let health = drivers.data.health().await?;
    assert!(health.safe && health.warnings.is_empty(), "{health:?}");
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", primary(&backend).await?))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("min-replicas-to-write").arg(0);
    set.query_async::<()>(&mut connection).await?;
    let health = drivers.data.health().await?;
    let named = "min-replicas-to-write is 0, must be 1 or more";
    let named = health.warnings.iter().any(|text| text.contains(named));
    assert!(!health.safe && named, "{health:?}");
    Ok(())
}

#[tokio::test]
async fn without_waiting_health_says_that_a_failover_may_lose() -> anyhow::Result<()> {
    let backend = Backend::start(Service::RedisSentinel, Options::new())?;
    let drivers = open(&backend.uri()).await?;
    let health = drivers.data.health().await?;
    assert!(health.safe, "{health:?}");
    assert!(health.warnings.iter().any(|text| text.contains("failover")), "{health:?}");
    Ok(())
}
