//! How much of the data the hot statements read: what they return, whatever lies ahead and whatever
//! the statistics say. The server counts the reads of a session. Needs a server; see `tests/mysql.rs`
//! for how one is found.

use std::sync::Arc;

use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use zaqar_core::{ClaimId, ManualClock};
use zaqar_testbed::Service;

use crate::OpenOptions;
use crate::layout::{WINDOW, row_id, row_id_end};

use super::config::MySqlConfig;
use super::session::MyDial;
use super::sql::{Script, Sql, sql};
use super::step::{Answers, run};
use super::{claims, heads, messages, removal_step, stats, sweep, take_step};

const DATABASE: &str = "zaqar_test_plans";
/// Messages of the queue at hand.
const MESSAGES: i64 = 10_000;
/// More than any statement here may read that returns ten messages.
const FEW: i64 = 80;
const NOW: i64 = 5;

async fn script(connection: &mut MySqlConnection, text: Vec<Sql>) -> anyhow::Result<Answers> {
    Ok(run(connection, Script::of(text)?).await?)
}

/// How many rows and index entries this session has read.
async fn reads(connection: &mut MySqlConnection) -> anyhow::Result<i64> {
    let answers = script(connection, vec![sql("SHOW SESSION STATUS LIKE 'Handler_read%'")]).await?;
    let mut sum = 0;
    for row in answers.rows(0) {
        sum += row.try_get::<&str>(1)?.parse::<i64>()?;
    }
    Ok(sum)
}

/// How many of them some statements read.
async fn reads_of(connection: &mut MySqlConnection, text: Vec<Sql>) -> anyhow::Result<i64> {
    let before = reads(connection).await?;
    let asking = reads(connection).await? - before;
    let before = before + asking;
    script(connection, text).await?;
    Ok(reads(connection).await? - before - asking)
}

fn claim_statements() -> Vec<Sql> {
    let id = ClaimId::from_u128(1).as_bytes().to_vec();
    let walk = |text| {
        let walk = sql(text).bind(1_i64).bind(NOW).bind(row_id(1, 0)).bind(0_i64).bind(0_i64);
        walk.bind(-1_i64).bind(false).bind(1_i64)
    };
    vec![
        sql("START TRANSACTION"),
        sql(take_step::LOOK).bind(1_i64).bind(NOW).bind(0_i64).bind(vec![id.clone()]),
        walk(take_step::ANY),
        sql(take_step::MAKE).bind(1_i64).bind(id.as_slice()).bind(60_i64).bind(NOW).bind(99_i64),
        sql(take_step::KNOWN).bind(1_i64).bind(vec![id]),
        walk(take_step::TAKE).bind(10_i64),
        sql(take_step::HEAD).bind(1_i64),
        sql(take_step::LEFT).bind(1_i64).bind(NOW).bind(0_i64).bind(row_id(1, 0)),
        sql("ROLLBACK"),
    ]
}

fn list_statements() -> Vec<Sql> {
    let bind = |text| {
        let list = sql(text).bind(1_i64).bind(NOW).bind(0_i64).bind(row_id_end(1));
        let list = list.bind(row_id(1, 0)).bind(false).bind(false).bind(None::<&str>);
        list.bind(10_i64).bind(WINDOW)
    };
    let parts = [messages::FIRST_CLAIMABLE, messages::LIST_CLAIMABLE, messages::MATURED];
    let mut all = vec![heads::look(1), sql("SET @zf = NULL")];
    all.extend(parts.map(bind));
    all
}

fn sweep_statements() -> Vec<Sql> {
    let step = |text| sql(text).bind(1_i64).bind(NOW).bind(1_000_i64);
    vec![
        sql(sweep::QUEUES_MATURED).bind(NOW),
        sql(sweep::QUEUES_EXPIRED).bind(NOW),
        step(sweep::MATURED),
        step(sweep::EXPIRED),
    ]
}

fn delete_statements() -> Vec<Sql> {
    let rows = vec![row_id(1, 7), row_id(1, 9)];
    vec![
        sql("START TRANSACTION"),
        sql(removal_step::LOCK).bind(rows.clone()),
        heads::state(1),
        take_step::delete_rows(rows),
        sql("ROLLBACK"),
    ]
}

fn held_statements() -> Vec<Sql> {
    let id = vec![2_u8; 16];
    vec![sql(claims::HELD).bind(1_i64).bind(id).bind(NOW).bind(row_id(1, 0))]
}

async fn check(connection: &mut MySqlConnection, state: &str) -> anyhow::Result<()> {
    for (name, statements) in [
        ("claim", claim_statements()),
        ("list", list_statements()),
        ("sweep", sweep_statements()),
        ("delete", delete_statements()),
        ("held", held_statements()),
    ] {
        let read = reads_of(connection, statements).await?;
        assert!(read <= FEW, "{state}: {name} read {read}");
    }
    // A count reads each entry once, and no row for it.
    let count = sql(stats::COUNT).bind(1_i64).bind(NOW).bind(row_id(1, 0));
    let read = reads_of(connection, vec![heads::look(1), count]).await?;
    assert!(read <= 2 * MESSAGES + FEW, "{state}: count read {read}");
    Ok(())
}

/// All messages in one state: `avail` and `claim`.
async fn fill(connection: &mut MySqlConnection, avail: i64, claim: u8) -> anyhow::Result<()> {
    const DIGITS: &str = "(SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION \
         SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    let claim = format!("{claim:02x}").repeat(16);
    let text = format!(
        "DELETE FROM messages; \
         INSERT INTO messages (id, queue, avail, expires, ttl, posted, claim, body) \
         SELECT {row_zero} + 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d, 1, {avail}, 99, 1, 1, \
           x'{claim}', '1' FROM {DIGITS} AS a, {DIGITS} AS b, {DIGITS} AS c, {DIGITS} AS e; \
         ANALYZE TABLE messages",
        row_zero = row_id(1, 0),
    );
    let text: Arc<str> = text.into();
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}

#[tokio::test]
async fn hot_statements_read_what_they_return_whatever_lies_ahead() -> anyhow::Result<()> {
    let Some(uri) = zaqar_testbed::uri_unless_absent(Service::Mysql)? else {
        return Ok(());
    };
    let base = uri.rsplit_once('/').map_or(uri.as_str(), |(base, _)| base);
    let uri = format!("{base}/{DATABASE}");
    let config = MySqlConfig::parse(&uri)?;
    let dial = MyDial { options: config.options };
    let (mut connection, _) = dial.first(DATABASE).await?;
    script(&mut connection, vec![sql("DROP DATABASE zaqar_test_plans")]).await?;
    let options = OpenOptions::new(Arc::new(ManualClock::default()));
    super::open(&uri, options).await?.data.close().await;
    let head = "INSERT INTO heads (incarnation, kind, next, project, name) \
         VALUES (1, 0, 10001, 'p', 'q'); INSERT INTO releases (queue) VALUES (1)";
    script(&mut connection, vec![sql("USE zaqar_test_plans"), sql(head)]).await?;

    check(&mut connection, "empty").await?;
    fill(&mut connection, 0, 0).await?;
    check(&mut connection, "all claimable").await?;
    // As many as one claim and one moment can hold; another claim that ends then holds three.
    fill(&mut connection, 50, 1).await?;
    let other = "UPDATE messages SET claim = x'02020202020202020202020202020202' \
         WHERE id IN ($1); \
         INSERT INTO claims (queue, id, ttl, started, ends) \
         VALUES (1, x'02020202020202020202020202020202', 60, 1, 50)";
    let three = vec![row_id(1, 5_000), row_id(1, 6_000), row_id(1, 9_999)];
    script(&mut connection, vec![sql(other).bind(three)]).await?;
    check(&mut connection, "all claimed").await?;
    let held = script(&mut connection, held_statements()).await?;
    assert_eq!(held.rows(0).len(), 3);
    script(&mut connection, vec![sql("DROP DATABASE zaqar_test_plans")]).await?;
    connection.close().await?;
    Ok(())
}
