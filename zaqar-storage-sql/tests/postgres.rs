//! What is peculiar to PostgreSQL: unsafe settings refused, migrating, sessions that end, many
//! handles on one schema.
//!
//! The tests use the shared server that `zaqar_testbed` finds, a schema each; those that need other
//! settings start a server of their own.

mod support;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tokio::task::JoinSet;
use zaqar_core::{ClaimId, Effect, Error, MessageId, OpenError, PageLimit, QueueRef, Retry};
use zaqar_storage_sql::SqlDrivers;
use zaqar_testbed::{Backend, Options, Service};

use support::passed_over::{LOCK_FIRST, PassedOver};
use support::{TestStore, open, options, post, queue};

/// A schema of the shared server, empty; `None`: there is no server.
struct Place {
    server: String,
    schema: &'static str,
}

impl Place {
    async fn of(schema: &'static str) -> anyhow::Result<Option<Self>> {
        let Some(server) = zaqar_testbed::uri_unless_absent(Service::Postgres)? else {
            return Ok(None);
        };
        let place = Self { server, schema };
        let mut raw = place.raw().await?;
        run(&mut raw, format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await?;
        Ok(Some(place))
    }

    fn uri(&self, more: &str) -> String {
        let mark = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{mark}schema={}{more}", self.server, self.schema)
    }

    async fn raw(&self) -> anyhow::Result<PgConnection> {
        let options: PgConnectOptions = self.server.parse()?;
        let options = options.options([("search_path", self.schema)]);
        Ok(options.options([("client_min_messages", "error")]).connect().await?)
    }
}

impl TestStore for Place {
    fn store(&self) -> String {
        self.uri("")
    }

    async fn run(&self, text: &str) -> anyhow::Result<()> {
        run(&mut self.raw().await?, text).await
    }

    async fn done(self) -> anyhow::Result<()> {
        run(&mut self.raw().await?, format!("DROP SCHEMA {} CASCADE", self.schema)).await
    }
}

async fn run(connection: &mut PgConnection, text: impl Into<String>) -> anyhow::Result<()> {
    let text: Arc<str> = text.into().into();
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused_and_left_alone() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_newer").await? else { return Ok(()) };
    support::a_newer_schema_is_refused(place).await
}

#[tokio::test]
async fn handles_that_open_a_fresh_schema_at_once_migrate_it_once() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_migrate").await? else { return Ok(()) };
    support::many_who_open_at_once_migrate_once(place).await
}

#[tokio::test]
async fn a_session_that_would_not_flush_or_not_write_is_refused() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_flush").await? else { return Ok(()) };
    let weak = place.uri("&options[synchronous_commit]=off");
    let refusal = open(&weak).await.err();
    let Some(OpenError::Unsafe { setting, value, .. }) = refusal else {
        anyhow::bail!("opened, or refused for another reason: {refusal:?}");
    };
    assert!(setting.starts_with("synchronous_commit"), "{setting}");
    assert_eq!(value, "off (source client)");
    let read_only = place.uri("&options[default_transaction_read_only]=on");
    let refusal = open(&read_only).await.err();
    let Some(OpenError::Unsafe { setting, .. }) = refusal else {
        anyhow::bail!("opened, or refused for another reason: {refusal:?}");
    };
    assert_eq!(setting, "transaction_read_only");
    let drivers = zaqar_storage_sql::open(&weak, options().unreliable(true)).await?;
    let health = drivers.data.health().await?;
    assert!(!health.safe && !health.warnings.is_empty(), "{health:?}");
    drivers.data.close().await;
    place.done().await
}

/// The role's own setting is weak: sessions of ours flush all the same.
#[tokio::test]
async fn a_roles_setting_does_not_weaken_our_sessions() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_role").await? else { return Ok(()) };
    let mut raw = place.raw().await?;
    run(
        &mut raw,
        "DROP ROLE IF EXISTS zaqar_test_weak; \
         CREATE ROLE zaqar_test_weak SUPERUSER LOGIN; \
         ALTER ROLE zaqar_test_weak SET synchronous_commit = off; \
         ALTER ROLE zaqar_test_weak SET default_transaction_isolation = 'serializable'",
    )
    .await?;
    let drivers = open(&place.uri("&user=zaqar_test_weak")).await?;
    let queue = queue(&drivers, "q").await?;
    assert_eq!(post(&drivers, &queue, 3).await?, 3);
    assert!(drivers.data.health().await?.safe);
    drivers.data.close().await;
    place.done().await?;
    run(&mut raw, "DROP ROLE zaqar_test_weak").await
}

#[tokio::test]
async fn an_unlogged_table_turns_health_red_and_is_refused_at_the_next_opening()
-> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_unlogged").await? else { return Ok(()) };
    let drivers = place.open().await?;
    assert!(drivers.data.health().await?.safe);
    run(&mut place.raw().await?, "ALTER TABLE bodies SET UNLOGGED").await?;
    let health = drivers.data.health().await?;
    assert!(!health.safe, "{health:?}");
    assert!(health.warnings.iter().any(|text| text.contains("table bodies")), "{health:?}");
    drivers.data.close().await;
    let refusal = place.open().await.err();
    let Some(OpenError::Unsafe { setting, value, safe }) = refusal else {
        anyhow::bail!("opened, or refused for another reason: {refusal:?}");
    };
    assert_eq!((setting.as_str(), value.as_str()), ("table bodies", "unlogged"));
    assert_eq!(safe, "logged");
    // Who wants it all the same has it; the ring shows that it then does lose messages.
    let drivers = zaqar_storage_sql::open(&place.uri(""), options().unreliable(true)).await?;
    assert!(!drivers.data.health().await?.safe);
    drivers.data.close().await;
    place.done().await
}

#[tokio::test]
async fn a_server_that_does_not_sync_is_refused_unless_unreliable() -> anyhow::Result<()> {
    if zaqar_testbed::uri_unless_absent(Service::Postgres)?.is_none() {
        return Ok(());
    }
    let server = Backend::start(Service::Postgres, Options::new().arguments(["-c", "fsync=off"]))?;
    let refusal = open(&server.uri()).await.err();
    let Some(OpenError::Unsafe { setting, value, safe }) = refusal else {
        anyhow::bail!("opened, or refused for another reason: {refusal:?}");
    };
    assert_eq!((setting.as_str(), value.as_str(), safe.as_str()), ("fsync", "off", "on"));
    let drivers = zaqar_storage_sql::open(&server.uri(), options().unreliable(true)).await?;
    assert!(!drivers.data.health().await?.safe);
    drivers.data.close().await;
    server.stop()
}

#[tokio::test]
async fn a_store_that_is_not_the_one_opened_is_noticed() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_lost").await? else { return Ok(()) };
    let changes = [
        "BEGIN; SAVEPOINT s; UPDATE store SET uuid = 'another'; COMMIT",
        "BEGIN; SAVEPOINT s; UPDATE store SET epoch = 0; COMMIT",
        "BEGIN; SAVEPOINT s; DELETE FROM store; COMMIT",
    ];
    support::another_store_is_noticed(place, &changes).await
}

#[tokio::test]
async fn posts_of_many_callers_on_two_handles_take_dense_positions() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_lanes").await? else { return Ok(()) };
    support::posts_take_dense_positions(place).await
}

/// A session that the server ended is found out by the operation that uses it: whether that one was
/// done is unknown, and no other session of that time is used again.
#[tokio::test]
async fn one_operation_at_most_suffers_when_the_server_ends_all_sessions() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_ended").await? else { return Ok(()) };
    let drivers = open(&place.uri("&application_name=zaqar_test_ended")).await?;
    let queue = queue(&drivers, "q").await?;
    // Several sessions at rest.
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (drivers, queue) = (drivers.clone(), queue.clone());
        tasks.spawn(async move { drivers.data.messages().message_stats(&queue).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let mut raw = place.raw().await?;
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
               WHERE application_name = 'zaqar_test_ended'";
    let ended = sqlx::query(end).fetch_all(&mut raw).await?;
    assert!(!ended.is_empty() && ended.iter().all(|row| row.try_get(0).unwrap_or(false)));
    if let Err(error) = post(&drivers, &queue, 1).await {
        assert_eq!((error.effect(), error.retry()), (Effect::Unknown, Retry::Later), "{error:?}");
    }
    for _ in 0..10 {
        post(&drivers, &queue, 1).await?;
    }
    drivers.data.close().await;
    place.done().await
}

#[tokio::test]
async fn a_part_that_was_frozen_amid_changes_stays_as_it_was_read() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_frozen").await? else { return Ok(()) };
    support::moving::a_frozen_part_stays_as_it_was_read(place).await
}

/// Whoever waits for the row that `holder` has locked, and whoever waits behind that one.
const FIRST_WAITS: &str = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity AS a \
     WHERE $1 = ANY (pg_blocking_pids(a.pid)))";
const SECOND_WAITS: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks AS l WHERE NOT l.granted \
     AND l.locktype = 'tuple' AND l.relation = 'messages'::regclass) AND $1 > 0";

async fn until(place: &Place, asked: &'static str, holder: i32) -> anyhow::Result<()> {
    let mut raw = place.raw().await?;
    let wait = async {
        while !sqlx::query_scalar::<_, bool>(asked).bind(holder).fetch_one(&mut raw).await? {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await?
}

/// Its snapshot shows a head of which nothing is frozen; the row that it locks tells it.
#[tokio::test]
async fn a_delete_older_than_the_freeze_that_comes_to_its_message_later_is_refused()
-> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_older").await? else { return Ok(()) };
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    assert_eq!(post(&drivers, &queue, 3).await?, 3);
    drivers.data.heads().head_move(&queue, 1).await?;
    let queue = queue.at_epoch(1);
    let mut raw = place.raw().await?;
    run(&mut raw, "BEGIN; SELECT 1 FROM messages WHERE id & 34359738367 = 3 FOR UPDATE").await?;
    let holder: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut raw).await?;

    let (data, of) = (Arc::clone(&drivers.data), queue.clone());
    let freeze =
        tokio::spawn(async move { data.moves().move_freeze(&of, PageLimit::new(2)?).await });
    until(&place, FIRST_WAITS, holder).await?;
    let (data, of) = (Arc::clone(&drivers.data), queue.clone());
    let last = MessageId::new(queue.incarnation, 3)?;
    let delete = tokio::spawn(async move { data.messages().message_delete(&of, last, None).await });
    until(&place, SECOND_WAITS, holder).await?;
    run(&mut raw, "COMMIT").await?;

    let part = freeze.await??;
    assert_eq!(part.messages.len(), 2);
    let refused = delete.await?;
    assert!(matches!(refused, Err(Error::QueueMoving { .. })), "{refused:?}");
    assert_eq!(drivers.data.moves().move_part(&queue).await?, part);
    drivers.data.close().await;
    place.done().await
}

/// Somebody is about to commit a claim that prolongs the lives of messages whose ends have passed:
/// does `ask` of that queue meanwhile, and answers what came of it.
async fn while_lives_are_prolonged<F, T>(
    place: &Place,
    ask: impl FnOnce(SqlDrivers, QueueRef) -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    assert_eq!(post(&drivers, &queue, 3).await?, 3);
    drivers.data.heads().head_move(&queue, 1).await?;
    place.run("UPDATE messages SET expires = 1").await?;
    let mut raw = place.raw().await?;
    run(&mut raw, "BEGIN; UPDATE messages SET expires = 9223372036854775807").await?;
    let holder: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut raw).await?;
    let asked = tokio::spawn(ask(drivers.clone(), queue.at_epoch(1)));
    until(place, FIRST_WAITS, holder).await?;
    run(&mut raw, "COMMIT").await?;
    let answer = asked.await??;
    drivers.data.close().await;
    Ok(answer)
}

#[tokio::test]
async fn a_part_holds_what_a_claim_prolonged_while_it_was_frozen() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_prolonged").await? else { return Ok(()) };
    let part = while_lives_are_prolonged(&place, async |drivers, queue| {
        Ok(drivers.data.moves().move_freeze(&queue, PageLimit::default()).await?)
    });
    assert_eq!(part.await?.messages.len(), 3);
    place.done().await
}

#[tokio::test]
async fn a_delete_under_a_claim_that_is_over_waits_for_who_prolongs_the_life() -> anyhow::Result<()>
{
    let Some(place) = Place::of("zaqar_test_outlived").await? else { return Ok(()) };
    let refused = while_lives_are_prolonged(&place, async |drivers, queue| {
        let id = MessageId::new(queue.incarnation, 2)?;
        let over = Some(ClaimId::random());
        Ok(drivers.data.messages().message_delete(&queue, id, over).await)
    });
    let refused = refused.await?;
    assert!(matches!(refused, Err(Error::MessageNotClaimed { .. })), "{refused:?}");
    place.done().await
}

#[tokio::test]
async fn after_close_operations_are_refused_without_effect() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_closed").await? else { return Ok(()) };
    support::a_closed_store_refuses(place).await
}

#[tokio::test]
async fn a_post_that_the_server_refuses_leaves_its_neighbours_alone() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_fault").await? else { return Ok(()) };
    support::a_refused_post_is_alone(place, "bodies").await
}

#[tokio::test]
async fn a_message_that_somebody_had_locked_is_claimed_a_second_later() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_passed").await? else { return Ok(()) };
    let three = PassedOver::of(&place).await?;
    let mut raw = place.raw().await?;
    run(&mut raw, format!("BEGIN; {LOCK_FIRST}")).await?;
    assert_eq!(three.claim(1).await?, [2]);
    run(&mut raw, "ROLLBACK").await?;
    three.are_met_again().await?;
    place.done().await
}

/// While the lives of messages are prolonged, as their post took long, claims pass over them.
#[tokio::test]
async fn a_post_that_took_long_has_claims_start_over() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_late").await? else { return Ok(()) };
    let three = PassedOver::of(&place).await?;
    let mut raw = place.raw().await?;
    let count = "SELECT count FROM releases";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut raw).await?;
    let mut holding = place.raw().await?;
    run(&mut holding, "BEGIN; SELECT 1 FROM heads FOR UPDATE").await?;
    let holder: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut holding).await?;
    let (drivers, queue) = (three.drivers.clone(), three.queue.clone());
    let late = tokio::spawn(async move { post(&drivers, &queue, 1).await });
    until(&place, FIRST_WAITS, holder).await?;
    three.clock.advance(Duration::from_secs(1));
    run(&mut holding, "COMMIT").await?;
    assert_eq!(late.await??, 4);
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut raw).await?;
    assert_eq!(after, before + 1);
    three.drivers.data.close().await;
    place.done().await
}
