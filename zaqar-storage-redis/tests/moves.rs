//! Moves of queues, as far as they are peculiar to Redis: its memory, its copies, its parked messages.
//! Each test has servers of its own.

use std::sync::Arc;

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use zaqar_core::{
    Body, ClaimId, Clock, CreateClaim, DataDriver, Effect, LeaseId, ManualClock, NewMessage,
    PageLimit, PostMessages, ProjectId, QueueKey, QueueName, QueueRef, Redrive, Ttl,
};
use zaqar_storage_redis::{OpenOptions, RedisDrivers};
use zaqar_testbed::{Backend, Options, Service};

async fn open(uri: &str) -> anyhow::Result<RedisDrivers> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    Ok(zaqar_storage_redis::open(uri, OpenOptions::new(clock)).await?)
}

async fn connect(uri: String) -> anyhow::Result<MultiplexedConnection> {
    Ok(redis::Client::open(uri)?.get_multiplexed_async_connection().await?)
}

async fn limit_memory(raw: &mut MultiplexedConnection, bytes: u64) -> anyhow::Result<()> {
    let mut set = redis::cmd("CONFIG");
    Ok(set.arg("SET").arg("maxmemory").arg(bytes).exec_async(raw).await?)
}

/// A queue of so many messages.
async fn queue(drivers: &RedisDrivers, messages: usize) -> anyhow::Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new("q")?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    let message = NewMessage::new(Body::from_json("{}")?, Ttl::from_secs(600)?);
    let post = drivers.data.messages();
    post.message_post(&queue, vec![message; messages], PostMessages::new()).await?;
    Ok(queue)
}

/// Moves the head; the queue as those know it who know of that.
async fn depart(data: &dyn DataDriver, queue: &QueueRef) -> anyhow::Result<QueueRef> {
    data.heads().head_move(queue, 1).await?;
    Ok(queue.at_epoch(1))
}

#[tokio::test]
async fn a_full_server_can_be_moved_out_of_and_takes_no_part() -> anyhow::Result<()> {
    let options = Options::new;
    let (full, other) =
        (Backend::start(Service::Redis, options())?, Backend::start(Service::Redis, options())?);
    let (from, to) = (open(&full.uri()).await?, open(&other.uri()).await?);
    let (mut full, mut other) = (connect(full.uri()).await?, connect(other.uri()).await?);
    let queue = queue(&from, 20).await?;
    limit_memory(&mut full, 1).await?;
    let queue = depart(&*from.data, &queue).await?;
    let (source, target) = (from.data.moves(), to.data.moves());
    assert!(target.move_open(&queue, &source.move_begin(&queue).await?).await?);
    for size in [15, 5] {
        let part = source.move_freeze(&queue, PageLimit::new(15)?).await?;
        assert_eq!(part.messages.len(), size);
        limit_memory(&mut other, 1).await?;
        let error = target.move_insert(&queue, &part).await.expect_err("there is no memory");
        assert_eq!(error.effect(), Effect::None, "{error:?}");
        assert!(target.move_part(&queue).await?.is_empty(), "half a part was taken");
        limit_memory(&mut other, 0).await?;
        target.move_insert(&queue, &part).await?;
        limit_memory(&mut other, 1).await?;
        source.move_remove(&queue, part.from).await?;
        target.move_reveal(&queue, part.from).await?;
        limit_memory(&mut other, 0).await?;
    }
    assert!(source.move_freeze(&queue, PageLimit::new(15)?).await?.is_empty());
    assert!(source.move_leave(&queue).await?, "the full server is not left");
    let arrived = to.data.messages().message_pop(&queue, PageLimit::new(100)?).await?;
    let places: Vec<u64> = arrived.iter().map(|message| message.id.sequence()).collect();
    assert_eq!(places, (1..=20).collect::<Vec<u64>>());
    Ok(())
}

#[tokio::test]
async fn dead_letters_on_their_way_stay_until_they_have_arrived() -> anyhow::Result<()> {
    let backend = Backend::start(Service::Redis, Options::new())?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, 3).await?;
    let minute = Ttl::from_secs(60)?;
    let claims = drivers.data.claims();
    let two = CreateClaim::new(ClaimId::random(), minute, Ttl::ZERO).limit(PageLimit::new(2)?);
    let first = two.id;
    claims.claim_create(&queue, two).await?;
    claims.claim_delete(&queue, first).await?;
    let redrive = Redrive { claims_max: 1, target: QueueName::new("dead")?, ttl: minute };
    let rest = CreateClaim::new(ClaimId::random(), minute, Ttl::ZERO).redrive(redrive);
    assert_eq!(claims.claim_create(&queue, rest).await?.parked, 2);

    let queue = depart(&*drivers.data, &queue).await?;
    let moves = drivers.data.moves();
    let part = moves.move_freeze(&queue, PageLimit::new(10)?).await?;
    let places: Vec<u64> = part.messages.iter().map(|message| message.position).collect();
    assert_eq!((part.from, places), (3, vec![3]));
    moves.move_remove(&queue, part.from).await?;
    assert!(moves.move_freeze(&queue, PageLimit::new(10)?).await?.is_empty());
    assert!(!moves.move_leave(&queue).await?, "left with dead letters on their way");
    let outbox = drivers.data.outbox();
    let leased =
        outbox.transfer_lease(None, LeaseId::random(), minute, PageLimit::new(10)?).await?;
    assert_eq!(leased.len(), 2);
    for transfer in &leased {
        assert_eq!(transfer.source, queue, "who knows of the move");
        outbox.transfer_complete(transfer).await?;
    }
    assert!(moves.move_leave(&queue).await?, "not left with nothing to wait for");
    Ok(())
}

#[tokio::test]
async fn what_a_step_tells_has_its_copies() -> anyhow::Result<()> {
    let backend = Backend::start(Service::RedisSentinel, Options::new())?;
    let drivers = open(&format!("{}?wait_replicas=1", backend.uri())).await?;
    let queue = queue(&drivers, 1).await?;
    let queue = depart(&*drivers.data, &queue).await?;
    let primary = backend.ports().first().copied().context("a primary")?;
    let mut raw = connect(format!("redis://127.0.0.1:{primary}/")).await?;
    let fences: Vec<String> = redis::cmd("KEYS").arg("*{b*}:fence").query_async(&mut raw).await?;
    let fence = fences.first().context("a fence")?;
    let moves = drivers.data.moves();
    for step in ["begin", "part"] {
        redis::cmd("DEL").arg(fence).exec_async(&mut raw).await?;
        if step == "begin" {
            moves.move_begin(&queue).await?;
        } else {
            moves.move_part(&queue).await?;
        }
        let run: Option<String> = redis::cmd("GET").arg(fence).query_async(&mut raw).await?;
        assert!(run.is_some(), "{step} did not wait");
    }
    Ok(())
}
