//! Deletes: each is one statement, which locks what it finds, decides for all, and removes all that
//! may go or nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{ClaimId, Error, MessageId, QueueRef, Result};

use crate::codes::counter_code;
use crate::layout::{moving, row_of};

use super::error::failed;
use super::heads::{check_rows, fence_head, is_still};
use super::rows::claim_id;
use super::server::Server;
use super::step::Statement;
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

/// Deletes rows `$2` of queue `$1` at moment `$3`, for a caller that knows of the move `$4`, unless
/// one of them is on its way or meets `$forbidden`: those are returned instead. Locked in the order
/// of rows, so that deletes wait for each other and never in a circle. Expired rows are not there,
/// which shows once they are locked: a claim that is about to commit may have prolonged the life of
/// a row whose end this statement's snapshot has passed. A parked row (`avail = -2`) belongs to the
/// dead-letter queue already and is skipped where it is not forbidden.
macro_rules! delete {
    ($forbidden:literal) => {
        concat!(
            "WITH ",
            fence_head!("$4"),
            ", locked AS MATERIALIZED (SELECT m.id, m.avail, m.claim, m.expires, ",
            is_still!(),
            " AS still FROM messages AS m \
               WHERE m.id = ANY ($2) AND m.id > (SELECT h.base FROM head AS h) \
                 AND (SELECT h.takes FROM head AS h) \
               ORDER BY m.id FOR UPDATE OF m), \
             found AS (SELECT l.id, l.avail, l.claim, l.still, \
                 l.avail > $3 AND l.claim IS NOT NULL AS held FROM locked AS l \
               WHERE l.expires > $3 OR l.avail = -2), \
             wrong AS MATERIALIZED (SELECT f.* FROM found AS f WHERE f.still OR ",
            $forbidden,
            "), doomed AS MATERIALIZED (SELECT f.id FROM found AS f \
               WHERE f.avail <> -2 AND NOT EXISTS (SELECT 1 FROM wrong)), \
             gone AS (DELETE FROM messages AS m USING doomed AS d WHERE m.id = d.id), \
             bare AS (DELETE FROM bodies AS b USING doomed AS d WHERE b.id = d.id) \
             SELECT h.state, h.epoch, w.id, w.held, w.claim, w.still \
             FROM head AS h LEFT JOIN wrong AS w ON true"
        )
    };
}

const DELETE_FREE: &str = delete!("f.held OR f.avail = -2");
const DELETE_HELD: &str = delete!("NOT (f.held AND f.claim = ANY ($5))");
const DELETE_ANY: &str = delete!("false");
pub(crate) const DELETE_ALL_HELD: &str =
    delete!("f.avail <> -2 AND NOT (f.held AND f.claim = ANY ($5))");

impl Rule {
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Free | Self::HeldBy(_) => "message_delete",
            Self::Any | Self::AllHeldBy(_) => "message_bulk_delete",
        }
    }

    fn statement(&self, number: i64, rows: &[i64], now: i64, epoch: i64) -> Statement {
        let text = match self {
            Self::Free => DELETE_FREE,
            Self::HeldBy(_) => DELETE_HELD,
            Self::Any => DELETE_ANY,
            Self::AllHeldBy(_) => DELETE_ALL_HELD,
        };
        let statement = sqlx::query(text).bind(number).bind(rows).bind(now).bind(epoch);
        let bytes = |claim: &ClaimId| claim.as_bytes().to_vec();
        match self {
            Self::Free | Self::Any => statement,
            Self::HeldBy(claim) => statement.bind(vec![bytes(claim)]),
            Self::AllHeldBy(claims) => statement.bind(claims.iter().map(bytes).collect::<Vec<_>>()),
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
    let epoch = counter_code(queue.epoch);
    let answer = server.write(operation, || rule.statement(number, &rows, now, epoch)).await?;
    check_rows(&answer, queue).told(operation)?;
    let wrong = read_wrong(&answer).map_err(|error| failed(operation, error))?;
    // The first in the order in which the caller named them.
    match places.iter().find_map(|(row, id)| wrong.get(row).map(|why| (*id, *why))) {
        Some((_, Wrong::Still)) => Err(moving(queue)),
        Some((id, Wrong::Held(holder))) => Err(rule.refusal(id, holder)),
        None => Ok(()),
    }
}

/// What is wrong with a message that was to go.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// It is on its way to another store, or from one.
    Still,
    /// It broke the rule, and is held by that claim.
    Held(Option<ClaimId>),
}

/// The rows that may not go, and why.
fn read_wrong(rows: &[PgRow]) -> Result<HashMap<i64, Wrong>, sqlx::Error> {
    let mut wrong = HashMap::new();
    for row in rows {
        let Some(id) = row.try_get::<Option<i64>, _>(2)? else { continue };
        let why = match row.try_get::<Option<&[u8]>, _>(4)? {
            _ if row.try_get(5)? => Wrong::Still,
            Some(bytes) if row.try_get(3)? => Wrong::Held(Some(claim_id(bytes)?)),
            _ => Wrong::Held(None),
        };
        wrong.insert(id, why);
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
    let select =
        sqlx::query("SELECT origin, id FROM arrivals WHERE queue = $1 AND origin = ANY ($2)")
            .bind(number)
            .bind(origins);
    let rows = server.read(operation, select).await?;
    let read = |row: &PgRow| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect::<Result<_, _>>().told(operation)
}
