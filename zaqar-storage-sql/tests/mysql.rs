//! What is peculiar to MySQL and MariaDB: unsafe settings refused, migrating, names as bytes, sessions
//! that end, many handles on one database.
//!
//! The tests use the shared server that `zaqar_testbed` finds, a database each; those that need other
//! settings start a server of their own.

mod support;

use std::sync::Arc;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tokio::task::JoinSet;
use zaqar_core::{
    Body, ClaimId, CreateClaim, Effect, IdempotencyKey, ListMessages, NewMessage, OpenError,
    PageLimit, PostKey, PostMessages, Retry, Ttl,
};
use zaqar_testbed::{Backend, Options, Service};

use support::passed_over::{LOCK_FIRST, PassedOver};
use support::{TestStore, messages, open, options, post, queue};

/// A database of the shared server, empty; `None`: there is no server.
struct Place {
    server: String,
    database: &'static str,
}

impl Place {
    async fn of(database: &'static str) -> anyhow::Result<Option<Self>> {
        let Some(server) = zaqar_testbed::uri_unless_absent(Service::Mysql)? else {
            return Ok(None);
        };
        let place = Self { server, database };
        run(&mut raw(&place.server).await?, format!("DROP DATABASE IF EXISTS {database}")).await?;
        Ok(Some(place))
    }

    async fn raw(&self) -> anyhow::Result<MySqlConnection> {
        raw(&self.store()).await
    }
}

impl TestStore for Place {
    fn store(&self) -> String {
        within(&self.server, self.database)
    }

    async fn run(&self, text: &str) -> anyhow::Result<()> {
        run(&mut self.raw().await?, text).await
    }

    async fn done(self) -> anyhow::Result<()> {
        run(&mut raw(&self.server).await?, format!("DROP DATABASE {}", self.database)).await
    }
}

/// The URI of another database on the same server.
fn within(server: &str, database: &str) -> String {
    let (base, query) = server.split_once('?').unwrap_or((server, ""));
    let base = base.rsplit_once('/').map_or(base, |(base, _)| base);
    format!("{base}/{database}?{query}")
}

async fn raw(uri: &str) -> anyhow::Result<MySqlConnection> {
    let options: MySqlConnectOptions = uri.parse()?;
    Ok(options.connect().await?)
}

async fn run(connection: &mut MySqlConnection, text: impl Into<String>) -> anyhow::Result<()> {
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
async fn handles_that_open_a_fresh_database_at_once_migrate_it_once() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_migrate").await? else { return Ok(()) };
    support::many_who_open_at_once_migrate_once(place).await
}

#[tokio::test]
async fn a_store_that_is_not_the_one_opened_is_noticed() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_lost").await? else { return Ok(()) };
    let changes = [
        "UPDATE store SET store_id = 'another'",
        "UPDATE store SET epoch = 0",
        "DELETE FROM store",
    ];
    support::another_store_is_noticed(place, &changes).await
}

#[tokio::test]
async fn posts_of_many_callers_on_two_handles_take_dense_positions() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_lanes").await? else { return Ok(()) };
    support::posts_take_dense_positions(place).await
}

#[tokio::test]
async fn a_part_that_was_frozen_amid_changes_stays_as_it_was_read() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_frozen").await? else { return Ok(()) };
    support::moving::a_frozen_part_stays_as_it_was_read(place).await
}

/// Posts leave positions free under a new run of the server; where a moved queue stopped is told.
#[tokio::test]
async fn a_moved_queue_ends_where_it_was_told_to_after_the_server_was_started_anew()
-> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_leap").await? else { return Ok(()) };
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    assert_eq!(post(&drivers, &queue, 3).await?, 3);
    let told = drivers.data.heads().head_move(&queue, 1).await?.sequence_next;
    place.run("UPDATE heads SET run = run + 1").await?;
    let queue = queue.at_epoch(1);
    assert_eq!(drivers.data.moves().move_begin(&queue).await?.start, told);
    let part = drivers.data.moves().move_freeze(&queue, PageLimit::default()).await?;
    assert_eq!((part.from, part.to, part.messages.len()), (1, told, 3));
    drivers.data.close().await;
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
    support::a_refused_post_is_alone(place, "messages").await
}

#[tokio::test]
async fn a_table_of_another_engine_turns_health_red_and_is_refused_at_the_next_opening()
-> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_engine").await? else { return Ok(()) };
    let drivers = place.open().await?;
    let health = drivers.data.health().await?;
    assert!(health.safe && health.backend_now.is_some(), "{health:?}");
    run(&mut place.raw().await?, "ALTER TABLE releases ENGINE = MyISAM").await?;
    let health = drivers.data.health().await?;
    assert!(!health.safe, "{health:?}");
    assert!(health.warnings.iter().any(|text| text.contains("table releases")), "{health:?}");
    drivers.data.close().await;
    let refusal = place.open().await.err();
    assert!(matches!(refusal, Some(OpenError::Unsafe { .. })), "{refusal:?}");
    place.done().await
}

#[tokio::test]
async fn tables_are_of_the_safe_engine_whatever_the_servers_default_is() -> anyhow::Result<()> {
    if zaqar_testbed::uri_unless_absent(Service::Mysql)?.is_none() {
        return Ok(());
    }
    let arguments = ["--default-storage-engine=MyISAM", "--transaction-isolation=SERIALIZABLE"];
    let server = Backend::start(Service::Mysql, Options::new().arguments(arguments))?;
    let drivers = open(&server.uri()).await?;
    assert!(drivers.data.health().await?.safe);
    let queue = queue(&drivers, "q").await?;
    assert_eq!(post(&drivers, &queue, 3).await?, 3);
    drivers.data.close().await;
    server.stop()
}

#[tokio::test]
async fn a_server_that_does_not_flush_is_refused_unless_unreliable() -> anyhow::Result<()> {
    if zaqar_testbed::uri_unless_absent(Service::Mysql)?.is_none() {
        return Ok(());
    }
    let lazy = ["--innodb-flush-log-at-trx-commit=2"];
    let server = Backend::start(Service::Mysql, Options::new().arguments(lazy))?;
    let refusal = open(&server.uri()).await.err();
    let Some(OpenError::Unsafe { setting, value, safe }) = refusal else {
        anyhow::bail!("opened, or refused for another reason: {refusal:?}");
    };
    assert_eq!(setting, "innodb_flush_log_at_trx_commit");
    assert_eq!((value.as_str(), safe.as_str()), ("2", "1 or 3"));
    let drivers = zaqar_storage_sql::open(&server.uri(), options().unreliable(true)).await?;
    assert!(!drivers.data.health().await?.safe);
    run(&mut raw(&server.uri()).await?, "SET GLOBAL innodb_flush_log_at_trx_commit = 1").await?;
    assert!(drivers.data.health().await?.safe);
    // A replica that was a primary: nothing is stored, and that is certain.
    let queue = queue(&drivers, "q").await?;
    let root = server.uri().replace("zaqar:zaqar@", "root@");
    for user in ["plain@127.0.0.1", "plain@localhost"] {
        let make = format!("CREATE USER {user} IDENTIFIED BY 'x'; GRANT ALL ON zaqar.* TO {user}");
        run(&mut raw(&root).await?, make).await?;
    }
    let plain = server.uri().replace("zaqar:zaqar@", "plain:x@");
    let plain = open(&plain).await?;
    run(&mut raw(&server.uri()).await?, "SET GLOBAL read_only = ON").await?;
    assert!(!plain.data.health().await?.safe);
    let error = post(&plain, &queue, 1).await.expect_err("the server is read-only");
    assert_eq!((error.effect(), error.retry()), (Effect::None, Retry::Later), "{error:?}");
    plain.data.close().await;
    drivers.data.close().await;
    server.stop()
}

#[tokio::test]
async fn a_server_that_takes_only_small_statements_is_refused_by_name() -> anyhow::Result<()> {
    if zaqar_testbed::uri_unless_absent(Service::Mysql)?.is_none() {
        return Ok(());
    }
    let small = ["--max-allowed-packet=4M"];
    let server = Backend::start(Service::Mysql, Options::new().arguments(small))?;
    let refusal = open(&server.uri()).await.err();
    let Some(OpenError::Unsafe { setting, value, .. }) = refusal else {
        anyhow::bail!("opened, or refused for another reason: {refusal:?}");
    };
    assert_eq!((setting.as_str(), value.as_str()), ("max_allowed_packet", "4194304"));
    server.stop()
}

/// Where texts compare by a collation, `a` is `A`, and `a` with a space behind it.
#[tokio::test]
async fn keys_that_differ_in_case_or_a_trailing_space_are_different() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_bytes").await? else { return Ok(()) };
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    let mut positions = Vec::new();
    for key in ["a", "A", "a ", "ä", "a"] {
        let keep = Ttl::from_secs(600)?;
        let key = PostKey { key: IdempotencyKey::new(key)?, digest: [1; 32], keep };
        let posting = PostMessages::new().key(key);
        let posted = drivers.data.messages().message_post(&queue, messages(1)?, posting).await?;
        positions.extend(posted.ids.iter().map(|id| id.sequence()));
    }
    assert_eq!(positions, [1, 2, 3, 4, 1]);
    drivers.data.close().await;
    place.done().await
}

#[tokio::test]
async fn a_batch_larger_than_a_statement_may_be_is_stored_whole() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_large").await? else { return Ok(()) };
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    let text = format!("\"{}\"", "x".repeat(1 << 20));
    let large = NewMessage::new(Body::from_json(text.as_str())?, Ttl::from_secs(600)?);
    let posted =
        drivers.data.messages().message_post(&queue, vec![large; 24], PostMessages::new()).await?;
    assert_eq!(posted.ids.len(), 24);
    let found = drivers.data.messages().message_bulk_get(&queue, &posted.ids).await?;
    assert!(found.len() == 24 && found.iter().all(|message| message.body.as_str() == text));
    drivers.data.close().await;
    place.done().await
}

/// A session that the server ended is found out by the operation that uses it: whether that one was
/// done is unknown, and no other session of that time is used again.
#[tokio::test]
async fn one_operation_at_most_suffers_when_the_server_ends_all_sessions() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_ended").await? else { return Ok(()) };
    let drivers = place.open().await?;
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
    let mut raw = raw(&place.server).await?;
    let ours = "SELECT id FROM information_schema.processlist WHERE db = 'zaqar_test_ended'";
    let sessions = sqlx::raw_sql(ours).fetch_all(&mut raw).await?;
    assert!(!sessions.is_empty());
    for session in &sessions {
        let id: i64 = session.try_get_unchecked(0)?;
        run(&mut raw, format!("KILL {id}")).await?;
    }
    while !sqlx::raw_sql(ours).fetch_all(&mut raw).await?.is_empty() {
        tokio::task::yield_now().await;
    }
    if let Err(error) = post(&drivers, &queue, 1).await {
        assert_eq!(error.retry(), Retry::Later, "{error:?}");
    }
    for _ in 0..10 {
        post(&drivers, &queue, 1).await?;
    }
    drivers.data.close().await;
    place.done().await
}

/// What somebody else holds locked is waited for; then the transaction is rolled back whole and its
/// session is used again, with nothing left open in it.
#[tokio::test]
async fn a_lock_that_is_never_let_go_ends_a_post_without_effect() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_locked").await? else { return Ok(()) };
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    let mut other = place.raw().await?;
    run(&mut other, "START TRANSACTION; UPDATE heads SET next = next").await?;
    let error = post(&drivers, &queue, 1).await.expect_err("the head is locked");
    assert_eq!((error.effect(), error.retry()), (Effect::None, Retry::Later), "{error:?}");
    run(&mut other, "ROLLBACK").await?;
    assert_eq!(post(&drivers, &queue, 1).await?, 1);
    let open = "SELECT COUNT(*) FROM information_schema.innodb_trx AS t \
         JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id \
         WHERE p.db = 'zaqar_test_locked'";
    let row = sqlx::raw_sql(open).fetch_one(&mut other).await?;
    assert_eq!(row.try_get::<i64, _>(0)?, 0, "a session keeps a transaction open");
    drivers.data.close().await;
    place.done().await
}

/// What a reader that follows its marker meets, after a crash took back the post that it read last
/// and another post was made; `restarted`: the server notices that it was started again.
async fn met_behind_a_lost_post(restarted: bool) -> anyhow::Result<Option<usize>> {
    let Some(place) = Place::of("zaqar_test_taken_back").await? else { return Ok(None) };
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    post(&drivers, &queue, 3).await?;
    let page = drivers.data.messages().message_list(&queue, ListMessages::new()).await?;
    drivers.data.close().await;
    // As InnoDB leaves it when the commit was shown, but not flushed.
    place.run("DELETE FROM messages; UPDATE heads SET next = 1").await?;
    if restarted {
        place.run("DELETE FROM runs").await?;
    }
    let drivers = place.open().await?;
    post(&drivers, &queue, 1).await?;
    let from = ListMessages::new().marker(page.next);
    let met = drivers.data.messages().message_list(&queue, from).await?.items.len();
    drivers.data.close().await;
    place.done().await?;
    Ok(Some(met))
}

#[tokio::test]
async fn positions_that_a_crash_took_back_are_not_given_again() -> anyhow::Result<()> {
    if let Some(met) = met_behind_a_lost_post(true).await? {
        assert_eq!(met, 1, "the reader steps over the message behind the lost ones");
        // The test sees what it is about.
        assert_eq!(met_behind_a_lost_post(false).await?, Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_rests_on_what_others_did_waits_for_the_disk() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_fences").await? else { return Ok(()) };
    let drivers = place.open().await?;
    let queue = queue(&drivers, "q").await?;
    let (messages, claims) = (drivers.data.messages(), drivers.data.claims());
    let key =
        PostKey { key: IdempotencyKey::new("k")?, digest: [1; 32], keep: Ttl::from_secs(600)? };
    let keyed = || PostMessages::new().key(key.clone());
    let id = messages.message_post(&queue, support::messages(1)?, keyed()).await?.ids[0];
    post(&drivers, &queue, 1).await?;
    let claim = || CreateClaim::new(ClaimId::from_u128(7), Ttl::from_secs_clamped(60), Ttl::ZERO);
    claims.claim_create(&queue, claim()).await?;
    messages.message_delete(&queue, id, Some(ClaimId::from_u128(7))).await?;
    let mut raw = place.raw().await?;
    let mut passed = async || {
        let sum = "SELECT CAST(COALESCE(SUM(passed), 0) AS SIGNED) FROM fences";
        anyhow::Ok(sqlx::raw_sql(sum).fetch_one(&mut raw).await?.try_get::<i64, _>(0)?)
    };
    let before = passed().await?;
    post(&drivers, &queue, 1).await?;
    assert_eq!(passed().await?, before, "a post flushes by itself");
    let posted = messages.message_post(&queue, support::messages(1)?, keyed()).await?;
    assert!(posted.repeated && passed().await? == before + 1, "the repeat of a post");
    assert!(!claims.claim_create(&queue, claim()).await?.messages.is_empty());
    assert_eq!(passed().await?, before + 2, "the repeat of a claim");
    messages.message_delete(&queue, id, None).await?;
    assert_eq!(passed().await?, before + 3, "the deletion of what is deleted");
    claims.claim_delete(&queue, ClaimId::from_u128(8)).await?;
    assert_eq!(passed().await?, before + 4, "the release of a claim that is over");
    drivers.data.sweep().await?;
    messages.message_list(&queue, ListMessages::new()).await?;
    assert_eq!(passed().await?, before + 4, "what promises nothing waits for nothing");
    drivers.data.close().await;
    place.done().await
}

#[tokio::test]
async fn what_another_posted_is_shown_once_it_is_on_the_disk() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_shown").await? else { return Ok(()) };
    let (poster, reader) = (place.open().await?, place.open().await?);
    let queue = queue(&poster, "q").await?;
    let mut raw = place.raw().await?;
    let mut passed = async || {
        let sum = "SELECT CAST(COALESCE(SUM(passed), 0) AS SIGNED) FROM fences";
        anyhow::Ok(sqlx::raw_sql(sum).fetch_one(&mut raw).await?.try_get::<i64, _>(0)?)
    };
    let list = async |drivers: &zaqar_storage_sql::SqlDrivers| {
        let page = drivers.data.messages().message_list(&queue, ListMessages::new()).await?;
        anyhow::Ok(page.items.len())
    };
    // The first look at the queue passes one too, for its number.
    assert_eq!((list(&reader).await?, list(&poster).await?), (0, 0));
    let before = passed().await?;
    assert_eq!(list(&reader).await?, 0);
    post(&poster, &queue, 2).await?;
    assert_eq!(list(&poster).await?, 2);
    assert_eq!(passed().await?, before, "nothing was shown, and the poster knows what it posted");
    assert_eq!(list(&reader).await?, 2);
    assert_eq!(passed().await?, before + 1, "the reader does not know who was told what");
    assert_eq!(list(&reader).await?, 2);
    assert_eq!(passed().await?, before + 1, "what was on the disk stays there");
    let ids =
        poster.data.messages().message_post(&queue, support::messages(2)?, PostMessages::new());
    let ids = ids.await?.ids;
    assert_eq!(reader.data.messages().message_bulk_get(&queue, &ids).await?.len(), 2);
    assert_eq!(passed().await?, before + 2, "a get by id");
    reader.data.close().await;
    poster.data.close().await;
    place.done().await
}

#[tokio::test]
async fn a_message_that_somebody_had_locked_is_claimed_a_second_later() -> anyhow::Result<()> {
    let Some(place) = Place::of("zaqar_test_passed").await? else { return Ok(()) };
    let three = PassedOver::of(&place).await?;
    let mut raw = place.raw().await?;
    run(&mut raw, format!("START TRANSACTION; {LOCK_FIRST}")).await?;
    assert_eq!(three.claim(1).await?, [2]);
    run(&mut raw, "ROLLBACK").await?;
    three.are_met_again().await?;
    place.done().await
}
