//! The question that is asked for all who wait: what it costs, and whose places it knows.

use std::sync::Arc;

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use zaqar_core::{
    Body, Clock, Incarnation, ManualClock, MessageId, MessageMarker, MessageWatch, MovedMessage,
    NewMessage, PostMessages, ProjectId, QueueKey, QueueName, QueueRef, Timestamp, Ttl,
};
use zaqar_storage_redis::{OpenOptions, RedisDrivers};
use zaqar_testbed::{Backend, Options, Service};

async fn open(backend: &Backend) -> anyhow::Result<RedisDrivers> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    Ok(zaqar_storage_redis::open(&backend.uri(), OpenOptions::new(clock)).await?)
}

async fn queue(drivers: &RedisDrivers, number: usize) -> anyhow::Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new(format!("q{number}"))?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

async fn post(drivers: &RedisDrivers, queue: &QueueRef) -> anyhow::Result<MessageId> {
    let message = NewMessage::new(Body::from_json("{}")?, Ttl::from_secs(600)?);
    let posted =
        drivers.data.messages().message_post(queue, vec![message], PostMessages::new()).await?;
    posted.ids.first().copied().context("an id")
}

fn behind(queue: &QueueRef, after: Option<MessageId>) -> MessageWatch {
    MessageWatch { queue: queue.clone(), after: after.map(MessageMarker::from) }
}

/// Scripts that the server ran so far.
async fn scripts_run(raw: &mut MultiplexedConnection) -> anyhow::Result<u64> {
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(raw).await?;
    let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = line.and_then(|line| line.split(',').next()).context("no script ran")?;
    Ok(calls.parse()?)
}

#[tokio::test]
async fn a_poll_costs_one_script_for_each_queue_however_many_wait() -> anyhow::Result<()> {
    let backend = Backend::start(Service::Redis, Options::new())?;
    let drivers = open(&backend).await?;
    let (mut watches, mut wanted) = (Vec::new(), Vec::new());
    for number in 0..10 {
        let queue = queue(&drivers, number).await?;
        let (first, last) = (post(&drivers, &queue).await?, post(&drivers, &queue).await?);
        watches.extend([None, Some(first), Some(last)].map(|after| behind(&queue, after)));
        wanted.extend([true, true, false]);
    }
    let messages = drivers.data.messages();
    // The server knows the script from here on.
    assert_eq!(messages.message_available(&watches).await?, wanted);
    let mut raw = redis::Client::open(backend.uri())?.get_multiplexed_async_connection().await?;
    let before = scripts_run(&mut raw).await?;
    assert_eq!(messages.message_available(&watches).await?, wanted);
    assert_eq!(scripts_run(&mut raw).await? - before, 10);
    Ok(())
}

#[tokio::test]
async fn the_id_of_a_dead_letter_stands_for_its_place() -> anyhow::Result<()> {
    let backend = Backend::start(Service::Redis, Options::new())?;
    let drivers = open(&backend).await?;
    let queue = queue(&drivers, 0).await?;
    post(&drivers, &queue).await?;
    let id = MessageId::new(Incarnation::new(900)?, 77)?;
    let letter = MovedMessage {
        id,
        body: Body::from_json("{}")?,
        ttl: Ttl::from_secs(600)?,
        claim_count: 1,
        posted_at: Timestamp::from_millis(0),
        checksum: None,
        source: queue.key.name.clone(),
        last_claim: None,
    };
    let messages = drivers.data.messages();
    messages.message_insert_moved(&queue, letter).await?;
    let unknown = MessageId::new(Incarnation::new(900)?, 78)?;
    let watches = [behind(&queue, Some(id)), behind(&queue, Some(unknown))];
    assert_eq!(messages.message_available(&watches).await?, [false, true], "nothing is behind it");
    post(&drivers, &queue).await?;
    assert_eq!(messages.message_available(&watches).await?, [true, true], "something is");
    Ok(())
}
