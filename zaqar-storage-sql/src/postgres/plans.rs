//! Which way the hot statements go through the data: by the indexes made for them, whatever the
//! statistics say. Needs a server; see `tests/postgres.rs` for how one is found.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use zaqar_core::ManualClock;
use zaqar_testbed::Service;

use crate::OpenOptions;

use super::config::PostgresConfig;
use super::session::PgDial;
use super::{claims, messages, removals, stats, sweep, takes};

const SCHEMA: &str = "zaqar_test_plans";

/// A statement, values of its parameters, and the indexes that its way over messages may take.
const STATEMENTS: &[(&str, &str, &[&str])] = &[
    (
        takes::CLAIM,
        r"1, 5, 10, false, 0, -1, 99, 0, 0, '\x01', 60, 6, 60, 6, 1",
        &["claimable", "messages_pkey", "maturing", "expiring"],
    ),
    (
        takes::CLAIM_OR_PARK,
        r"1, 5, 10, false, 0, -1, 99, 0, 0, '\x01', 60, 6, 60, 6, 1, 3, 't', 6, 99",
        &["claimable", "messages_pkey", "maturing", "expiring"],
    ),
    (
        takes::POP,
        "1, 5, 10, false, 0, -1, 99, 0, 0",
        &["claimable", "messages_pkey", "maturing", "expiring"],
    ),
    (
        messages::LIST_CLAIMABLE,
        "1, 5, 0, 99, 10000, false, false, NULL, 10",
        &["claimable", "maturing"],
    ),
    (removals::DELETE_ALL_HELD, r"1, '{1,2}', 5, 0, '{\\x01}'", &["messages_pkey"]),
    (claims::HELD, r"1, '\x01', 5", &["messages_pkey"]),
    (sweep::SETTLE, "1, 5, 1000", &["maturing", "expiring", "messages_pkey"]),
    (stats::COUNT, "1, 5, 99", &["expiring", "maturing", "messages_pkey"]),
];

async fn run(connection: &mut PgConnection, text: impl Into<String>) -> anyhow::Result<()> {
    let text: Arc<str> = text.into().into();
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}

/// The plan of a prepared statement, as the driver's own sessions make it.
async fn plan(
    connection: &mut PgConnection,
    statement: &str,
    values: &str,
) -> anyhow::Result<Vec<String>> {
    run(connection, format!("PREPARE looked_at AS {statement}")).await?;
    let explain: Arc<str> = format!("EXPLAIN (COSTS OFF) EXECUTE looked_at({values})").into();
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await?;
    run(connection, "DEALLOCATE looked_at").await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Every scan of `messages` in a plan: the line that names it.
fn scans(plan: &[String]) -> impl Iterator<Item = &String> {
    plan.iter().filter(|line| line.contains("Scan") && line.contains(" on messages"))
}

async fn check_plans(connection: &mut PgConnection, state: &str) -> anyhow::Result<()> {
    for (statement, values, indexes) in STATEMENTS {
        let plan = plan(connection, statement, values).await?;
        let shown = plan.join("\n");
        assert!(scans(&plan).count() > 0, "{state}: no scan of messages in\n{shown}");
        for line in scans(&plan) {
            let known = indexes.iter().any(|index| line.contains(&format!("using {index} on")));
            assert!(known, "{state}: {line} in\n{shown}");
        }
        let first = indexes.first().copied().unwrap_or_default();
        assert!(shown.contains(&format!("using {first} on")), "{state}: not {first}\n{shown}");
        assert!(!shown.contains("Seq Scan on bodies"), "{state}:\n{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn hot_statements_use_their_indexes_whatever_the_statistics_say() -> anyhow::Result<()> {
    let Some(uri) = zaqar_testbed::uri_unless_absent(Service::Postgres)? else {
        return Ok(());
    };
    let mark = if uri.contains('?') { '&' } else { '?' };
    let uri = format!("{uri}{mark}schema={SCHEMA}");
    let config = PostgresConfig::parse(&uri)?;
    let dial = PgDial { options: config.options, unreliable: false };
    let (mut connection, _) = dial.open().await?;
    run(&mut connection, format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")).await?;
    let options = OpenOptions::new(Arc::new(ManualClock::default()));
    super::open(&uri, options).await?.data.close().await;

    check_plans(&mut connection, "empty").await?;
    let fill = |avail: i64| {
        format!(
            "TRUNCATE messages, bodies; \
             INSERT INTO messages (id, queue, avail, expires, ttl, posted, claims) \
               SELECT i, i >> 35, {avail}, 99, 1, 1, 0 FROM generate_series(1, 20000) AS i; \
             INSERT INTO bodies (id, body) SELECT id, '1' FROM messages; \
             ANALYZE messages, bodies"
        )
    };
    for (avail, state) in [(0, "all claimable"), (7, "all claimed")] {
        run(&mut connection, fill(avail)).await?;
        check_plans(&mut connection, state).await?;
    }
    run(&mut connection, format!("DROP SCHEMA {SCHEMA} CASCADE")).await?;
    connection.close().await?;
    Ok(())
}
