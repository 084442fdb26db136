//! What is peculiar to SQLite: opening, refusing, migrating, and two processes' worth of handles.

mod counts;
mod moves;

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use zaqar_core::{
    Body, Clock, Effect, Error, GcOptions, ManualClock, NewMessage, OpenError, PageLimit,
    PostMessages, ProjectId, QueueKey, QueueName, QueueRef, Retry, Ttl,
};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};
use zaqar_testbed::Disk;

fn uri(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("zaqar.db").display())
}

async fn open(folder: &Path) -> Result<SqlDrivers, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    zaqar_storage_sql::open(&uri(folder), OpenOptions::new(clock)).await
}

async fn queue(drivers: &SqlDrivers, name: &str) -> anyhow::Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new(name)?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

fn messages(count: usize) -> anyhow::Result<Vec<NewMessage>> {
    let body = Body::from_json("{}")?;
    Ok(vec![NewMessage::new(body, Ttl::from_secs(600)?); count])
}

async fn raw(folder: &Path) -> anyhow::Result<sqlx::SqliteConnection> {
    Ok(SqliteConnectOptions::new().filename(folder.join("zaqar.db")).connect().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handles_that_open_a_fresh_file_at_once_migrate_it_once() -> anyhow::Result<()> {
    for _ in 0..10 {
        let folder = tempfile::tempdir()?;
        let path = Arc::new(folder.path().to_owned());
        let opening: Vec<_> = (0..6)
            .map(|_| {
                let path = Arc::clone(&path);
                tokio::spawn(async move { open(&path).await })
            })
            .collect();
        for opened in opening {
            let drivers = opened.await??;
            queue(&drivers, "q").await?;
            drivers.data.close().await;
        }
        let mut file = raw(folder.path()).await?;
        let count =
            "SELECT count(*) = count(DISTINCT version) AND min(success) FROM _sqlx_migrations";
        let once: bool = sqlx::query_scalar(count).fetch_one(&mut file).await?;
        anyhow::ensure!(once, "a step was taken twice");
        file.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    open(folder.path()).await?.data.close().await;
    let mut file = raw(folder.path()).await?;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', 1, x'00', 0)",
    )
    .execute(&mut file)
    .await?;
    file.close().await?;
    let refusal = open(folder.path()).await.err();
    assert!(
        matches!(refusal, Some(OpenError::SchemaTooNew { found: 9999, supported: 10 })),
        "{refusal:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_store_in_memory_and_a_missing_folder_are_refused() -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let memory =
        zaqar_storage_sql::open("sqlite::memory:", OpenOptions::new(Arc::clone(&clock))).await;
    assert!(matches!(memory, Err(OpenError::Unsafe { .. })), "{memory:?}");
    let folder = tempfile::tempdir()?;
    let missing = open(&folder.path().join("missing")).await;
    assert!(matches!(missing, Err(OpenError::Backend { .. })), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn the_file_is_in_wal_mode_and_commits_are_flushed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = open(folder.path()).await?;
    assert!(drivers.data.health().await?.safe);
    let mut file = raw(folder.path()).await?;
    let mode: String = sqlx::query("PRAGMA journal_mode").fetch_one(&mut file).await?.try_get(0)?;
    assert_eq!(mode, "wal");
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn after_close_operations_are_refused_without_effect() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = open(folder.path()).await?;
    let queue = queue(&drivers, "q").await?;
    drivers.data.close().await;
    let refused =
        drivers.data.messages().message_post(&queue, messages(1)?, PostMessages::new()).await;
    let error = refused.expect_err("the store is closed");
    assert_eq!(error.effect(), Effect::None);
    assert_eq!(error.retry(), Retry::AfterReopen);
    let again = open(folder.path()).await?;
    assert_eq!(again.data.messages().message_stats(&queue).await?.total(), 0);
    again.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_write_lock_held_elsewhere_fails_without_effect_and_passes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = open(folder.path()).await?;
    let queue = queue(&drivers, "q").await?;
    let mut other = raw(folder.path()).await?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await?;
    let blocked =
        drivers.data.messages().message_post(&queue, messages(1)?, PostMessages::new()).await;
    let error = blocked.expect_err("another process holds the lock");
    assert_eq!(error.effect(), Effect::None, "{error:?}");
    assert_eq!(error.retry(), Retry::Later, "{error:?}");
    sqlx::query("ROLLBACK").execute(&mut other).await?;
    drivers.data.messages().message_post(&queue, messages(1)?, PostMessages::new()).await?;
    assert_eq!(drivers.data.messages().message_stats(&queue).await?.total(), 1);
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn an_operation_that_fails_in_the_engine_leaves_its_neighbours_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = open(folder.path()).await?;
    let (good, bad) = (queue(&drivers, "good").await?, queue(&drivers, "bad").await?);
    // The planted fault: the engine itself refuses rows of one queue.
    let mut file = raw(folder.path()).await?;
    sqlx::query(
        "CREATE TRIGGER planted BEFORE INSERT ON messages WHEN new.queue = \
         2 BEGIN SELECT RAISE(ABORT, 'planted'); END",
    )
    .execute(&mut file)
    .await?;
    file.close().await?;
    let posts = (0..20).map(|number| {
        let target = if number % 2 == 0 { &good } else { &bad };
        let data = &drivers.data;
        async move {
            data.messages().message_post(target, messages(3)?, PostMessages::new()).await?;
            anyhow::Ok(())
        }
    });
    let results = futures_util::future::join_all(posts).await;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result.is_ok(), number % 2 == 0, "post {number}: {result:?}");
    }
    assert_eq!(drivers.data.messages().message_stats(&good).await?.total(), 30);
    assert_eq!(drivers.data.messages().message_stats(&bad).await?.total(), 0);
    drivers.data.close().await;
    Ok(())
}

/// A batch that fails in the engine is rolled back and run again, one by one. What the first attempt
/// had decided for a delete was once taken for done: it was acknowledged, and the message stayed.
#[tokio::test]
async fn deletes_beside_one_that_fails_in_the_engine_are_really_done() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = open(folder.path()).await?;
    let (good, bad) = (queue(&drivers, "good").await?, queue(&drivers, "bad").await?);
    let mut ids = Vec::new();
    for target in [&good, &bad] {
        let posted =
            drivers.data.messages().message_post(target, messages(10)?, PostMessages::new());
        ids.push(posted.await?.ids);
    }
    let mut file = raw(folder.path()).await?;
    sqlx::query(
        "CREATE TRIGGER planted BEFORE DELETE ON messages WHEN old.queue = 2 \
         BEGIN SELECT RAISE(ABORT, 'planted'); END",
    )
    .execute(&mut file)
    .await?;
    file.close().await?;
    let deletes = ids.iter().zip([&good, &bad]).flat_map(|(ids, target)| {
        let data = &drivers.data;
        ids.iter().map(move |id| data.messages().message_delete(target, *id, None))
    });
    let results = futures_util::future::join_all(deletes).await;
    let acknowledged = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(acknowledged, 10, "{results:?}");
    assert_eq!(drivers.data.messages().message_stats(&good).await?.total(), 0);
    assert_eq!(drivers.data.messages().message_stats(&bad).await?.total(), 10);
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_flooded_project_is_pushed_back_and_the_others_are_served() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = open(folder.path()).await?;
    let queue = queue(&drivers, "q").await?;
    let mut other = raw(folder.path()).await?;
    // While another process holds the lock, everything waits in the intake.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await?;
    let (mut stored, mut refused, mut waiting) = (0, 0, Vec::new());
    for _ in 0..6_000 {
        let one = messages(1)?;
        let post = drivers.data.messages().message_post(&queue, one, PostMessages::new());
        let mut post = Box::pin(post);
        // The first poll hands the operation over, or is told that the lane is full.
        let handed_over = futures_util::poll!(&mut post);
        waiting.push((post, handed_over));
    }
    sqlx::query("ROLLBACK").execute(&mut other).await?;
    for (post, handed_over) in waiting {
        let outcome = match handed_over {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => post.await,
        };
        match outcome {
            Ok(_) => stored += 1,
            Err(Error::Overloaded) => refused += 1,
            Err(error) => anyhow::bail!("unexpected: {error}"),
        }
    }
    assert!(refused > 0, "nothing was pushed back");
    let stats = drivers.data.messages().message_stats(&queue).await?;
    assert_eq!(stats.total(), stored, "what was acknowledged is what is there");
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_deleted_queue_of_many_messages_is_reclaimed_from_the_file() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = open(folder.path()).await?;
    let queue = queue(&drivers, "q").await?;
    for _ in 0..5 {
        drivers.data.messages().message_post(&queue, messages(1_000)?, PostMessages::new()).await?;
    }
    drivers.data.heads().head_close(&queue).await?;
    let gone = drivers.data.messages().message_pop(&queue, PageLimit::new(1)?).await;
    assert!(matches!(gone, Err(Error::QueueGone { .. })), "{gone:?}");
    while drivers.data.gc(GcOptions::new().rows_max(2_000)).await?.more {}
    let mut file = raw(folder.path()).await?;
    for table in ["messages", "bodies"] {
        let count = format!("SELECT count(*) FROM {table}");
        let row = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(&mut file).await?;
        assert_eq!(row.try_get::<i64, _>(0)?, 0, "rows left in {table}");
    }
    drivers.data.close().await;
    Ok(())
}

/// A message too large to fit where there is next to no room.
fn large() -> anyhow::Result<Vec<NewMessage>> {
    let body = Body::from_json(format!("\"{}\"", "x".repeat(100_000)))?;
    Ok(vec![NewMessage::new(body, Ttl::from_secs(600)?)])
}

#[tokio::test]
async fn a_full_disk_refuses_posts_and_keeps_what_was_acknowledged() -> anyhow::Result<()> {
    if !Disk::is_possible() {
        eprintln!("left out: nothing may be mounted here");
        return Ok(());
    }
    let disk = Disk::new(16)?;
    let drivers = open(disk.path()).await?;
    let queue = queue(&drivers, "q").await?;
    let message = large()?;
    let post =
        || drivers.data.messages().message_post(&queue, message.clone(), PostMessages::new());
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        acknowledged.extend(post().await?.ids);
        disk.fill()?;
        // The log may have room left that it was given before.
        let refused = loop {
            match post().await {
                Ok(posted) => acknowledged.extend(posted.ids),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.retry(), Retry::Later, "{refused:?}");
        let found = drivers.data.messages().message_bulk_get(&queue, &acknowledged).await?;
        assert_eq!(found.len(), acknowledged.len(), "reads go on, and show what is stored");
        disk.free()?;
        acknowledged.extend(post().await?.ids);
    }
    drivers.data.close().await;
    let again = open(disk.path()).await?;
    let found = again.data.messages().message_bulk_get(&queue, &acknowledged).await?;
    assert_eq!(found.len(), acknowledged.len());
    let stats = again.data.messages().message_stats(&queue).await?;
    assert_eq!(stats.total(), found.len() as u64, "what was refused is not there");
    again.data.close().await;
    let mut file = raw(disk.path()).await?;
    let found = sqlx::query("PRAGMA integrity_check").fetch_one(&mut file).await?;
    assert_eq!(found.try_get::<String, _>(0)?, "ok");
    Ok(())
}

/// What is written to a file that has no name any more is gone with this process.
#[tokio::test]
async fn a_file_that_was_removed_under_the_store_turns_health_red() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = open(folder.path()).await?;
    let health = drivers.data.health().await?;
    assert!(health.safe, "{health:?}");
    std::fs::remove_file(folder.path().join("zaqar.db"))?;
    let health = drivers.data.health().await?;
    assert!(
        !health.safe && health.warnings.iter().any(|text| text.contains("removed or replaced"))
    );
    drivers.data.close().await;
    Ok(())
}
