//! Deletes: each is one round trip, which locks what it finds, decides for all, and removes all that
//! may go or nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use zaqar_core::{ClaimId, Error, MessageId, QueueRef, Result};

use crate::layout::{row_id, row_of};

use super::error::failed;
use super::heads::{check_rows, look, state};
use super::row::SqlRow;
use super::rows::{claim_id, unclaimed};
use super::server::Server;
use super::sql::{Sql, sql};
use super::told::Told;

/// Under which condition messages may go.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// One message, free.
    Free,
    /// One message, under this live claim.
    HeldBy(ClaimId),
    /// Any messages, claimed ones too.
    Any,
    /// Messages that are all under one of these live claims.
    AllHeldBy(Vec<ClaimId>),
}

/// What is there of rows `$1` at moment `$2`, behind `$3` and the purge mark. Expired rows are not.
macro_rules! there {
    () => {
        "m.id IN ($1) AND m.id > $3 + @zp AND (m.expires > $2 OR m.avail = -2)"
    };
}

/// Whether a live claim holds it.
macro_rules! held {
    () => {
        concat!("(m.avail > $2 AND m.claim <> ", unclaimed!(), ")")
    };
}

/// Locks what is there, in the order of rows, so that deletes wait for each other and never in a
/// circle.
pub(super) const LOCK: &str = concat!(
    "SELECT m.id FROM messages AS m FORCE INDEX (PRIMARY) WHERE ",
    there!(),
    " ORDER BY m.id FOR UPDATE"
);

/// What is there and breaks the rule. A parked message (`avail = -2`) belongs to the dead-letter
/// queue already and is skipped where it is not forbidden. To be in an empty list is `NULL`, hence
/// `COALESCE`.
macro_rules! wrong {
    ($forbidden:expr) => {
        concat!(
            "SELECT m.id, ",
            held!(),
            ", m.claim FROM messages AS m FORCE INDEX (PRIMARY) WHERE ",
            there!(),
            " AND (",
            $forbidden,
            ") FOR UPDATE"
        )
    };
}

const WRONG_FREE: &str = wrong!(concat!(held!(), " OR m.avail = -2"));
const WRONG_HELD: &str =
    wrong!(concat!("NOT (", held!(), " AND COALESCE(m.claim IN ($4), FALSE))"));
const WRONG_ANY: &str = wrong!("FALSE");
pub(super) const WRONG_ALL_HELD: &str =
    wrong!(concat!("m.avail <> -2 AND NOT (", held!(), " AND COALESCE(m.claim IN ($4), FALSE))"));

/// Removes what is there, if the statement before found nothing wrong.
pub(super) const REMOVE: &str = concat!(
    "DELETE m FROM messages AS m FORCE INDEX (PRIMARY) WHERE ",
    there!(),
    " AND m.avail <> -2 AND @zw = 0 AND @zs < 2"
);

impl Rule {
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Free | Self::HeldBy(_) => "message_delete",
            Self::Any | Self::AllHeldBy(_) => "message_bulk_delete",
        }
    }

    /// What finds rows that break it.
    fn wrong(&self, bind: impl Fn(Sql) -> Sql) -> Sql {
        let bytes = |claim: &ClaimId| claim.as_bytes().to_vec();
        match self {
            Self::Free => bind(sql(WRONG_FREE)),
            Self::HeldBy(claim) => bind(sql(WRONG_HELD)).bind(vec![bytes(claim)]),
            Self::Any => bind(sql(WRONG_ANY)),
            Self::AllHeldBy(claims) => {
                bind(sql(WRONG_ALL_HELD)).bind(claims.iter().map(bytes).collect::<Vec<_>>())
            }
        }
    }

    /// Why a message that broke the rule may not go.
    fn refusal(&self, id: MessageId, holder: Option<ClaimId>) -> Error {
        let named = match self {
            Self::HeldBy(claim) => Some(*claim),
            Self::AllHeldBy(claims) => claims.first().copied(),
            Self::Free | Self::Any => return Error::MessageClaimed { id },
        };
        match (holder, named) {
            (Some(_), Some(claim)) => Error::MessageNotClaimedBy { id, claim },
            _ => Error::MessageNotClaimed { id },
        }
    }
}

/// Removes messages, all or none.
pub(crate) async fn remove(
    server: &Arc<Server>,
    queue: &QueueRef,
    ids: &[MessageId],
    rule: &Rule,
) -> Result<()> {
    let operation = rule.operation();
    let number = server.number(operation, queue).await?;
    let places = rows_of_messages(server, operation, queue, number, ids).await?;
    let rows: Vec<i64> = places.iter().map(|(row, _)| *row).collect();
    let now = server.clock.now().as_millis();
    let bind = |text: Sql| text.bind(rows.as_slice()).bind(now).bind(row_id(number, 0));
    let script = vec![
        look(number),
        bind(sql(LOCK)),
        rule.wrong(bind),
        // The number of rows that the statement before returned.
        sql("SET @zw = FOUND_ROWS()"),
        bind(sql(REMOVE)),
        state(number),
    ];
    let answers = server.write(operation, script).await?;
    check_rows(answers.rows(5), queue).told(operation)?;
    let wrong = read_wrong(answers.rows(2)).map_err(|error| failed(operation, error))?;
    // The first in the order in which the caller named them.
    match places.iter().find_map(|(row, id)| wrong.get(row).map(|holder| (*id, *holder))) {
        Some((id, holder)) => Err(rule.refusal(id, holder)),
        None => Ok(()),
    }
}

/// The rows that broke the rule, and who holds each.
fn read_wrong(rows: &[SqlRow]) -> Result<HashMap<i64, Option<ClaimId>>, sqlx::Error> {
    let mut wrong = HashMap::new();
    for row in rows {
        let held: bool = row.try_get(1)?;
        let holder = if held { Some(claim_id(row.try_get(2)?)?) } else { None };
        wrong.insert(row.try_get(0)?, holder);
    }
    Ok(wrong)
}

/// The rows that hold, or held, messages, in the order asked, each once; without those that this
/// queue never held.
pub(crate) async fn rows_of_messages(
    server: &Server,
    operation: &'static str,
    queue: &QueueRef,
    number: i64,
    ids: &[MessageId],
) -> Result<Vec<(i64, MessageId)>> {
    let own = |id: &MessageId| id.incarnation() == queue.incarnation;
    let foreign: Vec<String> = ids.iter().filter(|id| !own(id)).map(ToString::to_string).collect();
    let arrived = match foreign.is_empty() {
        true => HashMap::new(),
        false => arrivals(server, operation, number, foreign).await?,
    };
    let mut seen = HashSet::with_capacity(ids.len());
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let row = match own(id) {
            true => row_of(number, id.sequence()),
            false => arrived.get(&id.to_string()).copied(),
        };
        rows.extend(row.filter(|row| seen.insert(*row)).map(|row| (row, *id)));
    }
    Ok(rows)
}

/// Where messages of other queues stand in this one. A place is given once and never changes.
async fn arrivals(
    server: &Server,
    operation: &'static str,
    number: i64,
    origins: Vec<String>,
) -> Result<HashMap<String, i64>> {
    let select = sql("SELECT origin, id FROM arrivals WHERE queue = $1 AND origin IN ($2)")
        .bind(number)
        .bind(origins);
    let rows = server.read(operation, select).await?;
    let read = |row: &SqlRow| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect::<Result<_, _>>().told(operation)
}
