//! What the tests of PostgreSQL and MariaDB share: opening and posting, and the tests that are the same
//! on either server.

pub(crate) mod moving;
pub(crate) mod passed_over;

use std::sync::Arc;

use tokio::task::JoinSet;
use zaqar_core::{
    Body, Clock, Effect, Error, ManualClock, MessageMarker, NewMessage, OpenError, PostMessages,
    ProjectId, QueueKey, QueueName, QueueRef, Retry, Ttl,
};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};

/// A part of a shared server that belongs to one test.
pub(crate) trait TestStore: Sized {
    /// Where a store in it is.
    fn store(&self) -> String;

    /// Runs statements in it.
    async fn run(&self, text: &str) -> anyhow::Result<()>;

    /// Removes it.
    async fn done(self) -> anyhow::Result<()>;

    async fn open(&self) -> Result<SqlDrivers, OpenError> {
        open(&self.store()).await
    }
}

pub(crate) fn options() -> OpenOptions {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    OpenOptions::new(clock)
}

pub(crate) async fn open(uri: &str) -> Result<SqlDrivers, OpenError> {
    zaqar_storage_sql::open(uri, options()).await
}

pub(crate) async fn queue(drivers: &SqlDrivers, name: &str) -> anyhow::Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new(name)?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

pub(crate) fn messages(count: usize) -> anyhow::Result<Vec<NewMessage>> {
    let body = Body::from_json("{}")?;
    Ok(vec![NewMessage::new(body, Ttl::from_secs(600)?); count])
}

/// Posts, and returns the last position that was taken.
pub(crate) async fn post(
    drivers: &SqlDrivers,
    queue: &QueueRef,
    count: usize,
) -> zaqar_core::Result<u64> {
    let messages = messages(count).map_err(|_| Error::Overloaded)?;
    let posted = drivers.data.messages().message_post(queue, messages, PostMessages::new()).await?;
    Ok(posted.ids.iter().map(|id| id.sequence()).max().unwrap_or(0))
}

pub(crate) async fn a_newer_schema_is_refused(place: impl TestStore) -> anyhow::Result<()> {
    place.open().await?.data.close().await;
    place.run("UPDATE schema_version SET version = 9999").await?;
    let refusal = place.open().await.err();
    assert!(
        matches!(refusal, Some(OpenError::SchemaTooNew { found: 9999, supported: 1.. })),
        "{refusal:?}"
    );
    place.done().await
}

pub(crate) async fn many_who_open_at_once_migrate_once(
    place: impl TestStore,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let uri = place.store();
        tasks.spawn(async move { open(&uri).await });
    }
    while let Some(opened) = tasks.join_next().await {
        let drivers = opened??;
        assert!(drivers.data.health().await?.safe);
        drivers.data.close().await;
    }
    place.done().await
}

/// `changes` each make the store another one.
pub(crate) async fn another_store_is_noticed(
    place: impl TestStore,
    changes: &[&str],
) -> anyhow::Result<()> {
    let drivers = place.open().await?;
    for change in changes {
        place.run(change).await?;
        let health = drivers.data.health().await?;
        assert!(!health.safe, "{change}: {health:?}");
        assert!(health.warnings.iter().any(|text| text.contains("store lost data")), "{health:?}");
    }
    drivers.data.close().await;
    // One that does not say who it is, though it holds data, stays suspect.
    let again = place.open().await?;
    queue(&again, "q").await?;
    assert!(!again.data.health().await?.safe);
    again.data.close().await;
    place.done().await
}

pub(crate) async fn posts_take_dense_positions(place: impl TestStore) -> anyhow::Result<()> {
    let (here, there) = (place.open().await?, place.open().await?);
    let one = queue(&here, "one").await?;
    let two = queue(&here, "two").await?;
    let mut tasks = JoinSet::new();
    for caller in 0..40 {
        let drivers = if caller % 2 == 0 { here.clone() } else { there.clone() };
        let queue = if caller % 4 < 2 { one.clone() } else { two.clone() };
        tasks.spawn(async move {
            for size in [1, 7, 3] {
                post(&drivers, &queue, size).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    for queue in [&one, &two] {
        let stats = there.data.messages().message_stats(queue).await?;
        assert_eq!(stats.total(), 20 * 11);
        let newest = stats.newest.map(|edge| MessageMarker::from(edge.id).sequence());
        assert_eq!(newest, Some(20 * 11), "a position was left out or used twice");
    }
    for drivers in [here, there] {
        drivers.data.close().await;
    }
    place.done().await
}

pub(crate) async fn a_closed_store_refuses(place: impl TestStore) -> anyhow::Result<()> {
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    drivers.data.close().await;
    let refused = post(&drivers, &queue, 1).await.err();
    let refused = refused.map(|error| (error.effect(), error.retry()));
    assert_eq!(refused, Some((Effect::None, Retry::AfterReopen)), "the store is closed");
    let again = place.open().await?;
    assert_eq!(again.data.messages().message_stats(&queue).await?.total(), 0);
    again.data.close().await;
    place.done().await
}

/// The planted fault: the server itself refuses some bodies, which are in that table.
pub(crate) async fn a_refused_post_is_alone(
    place: impl TestStore,
    table: &str,
) -> anyhow::Result<()> {
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    let plant = format!("ALTER TABLE {table} ADD CONSTRAINT planted CHECK (body <> '[666]')");
    place.run(&plant).await?;
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let (drivers, queue) = (drivers.clone(), queue.clone());
        let text = if number % 2 == 0 { "[1]" } else { "[666]" };
        let message = NewMessage::new(Body::from_json(text)?, Ttl::from_secs(600)?);
        tasks.spawn(async move {
            let messages = drivers.data.messages();
            (number, messages.message_post(&queue, vec![message], PostMessages::new()).await)
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (number, result) = done?;
        assert_eq!(result.is_ok(), number % 2 == 0, "post {number}: {result:?}");
        if let Err(error) = result {
            assert_eq!(error.effect(), Effect::None, "{error:?}");
        }
    }
    assert_eq!(drivers.data.messages().message_stats(&queue).await?.total(), 10);
    drivers.data.close().await;
    place.done().await
}
