//! Claims and pops: each is one statement, and none waits for another.
//!
//! The statement walks the claimable index from the floor (see [`super::memory::Floor`]) and locks
//! what it takes; rows that another claim has locked are passed over. Anything due, a lease that
//! ended or a life, is put right first: the statement looks whether there is any, takes nothing if
//! so, and says it; then [`super::sweep`] releases and retires up to K rows, and the statement runs
//! again.
//!
//! A message past its maximum count of claims is parked instead of taken, and leaves a gap; the
//! statement runs again, adding to the same claim, until the claim is full.

use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{ClaimId, Claimed, CreateClaim, Message, PageLimit, QueueRef, Result, Timestamp};

use crate::codes::counter_code;
use crate::layout::{STEP_ROWS_MAX, row_id_end, ttl_code};

use super::error::{failed, is_duplicate};
use super::heads::check_rows;
use super::memory::Floor;
use super::rows::{message_columns, messages};
use super::server::Server;
use super::step::Statement;
use super::told::Told;

pub(crate) const CLAIM_OPERATION: &str = "claim_create";
pub(crate) const POP_OPERATION: &str = "message_pop";

/// Steps over what is due before a claim answers with nothing.
const STEPS_MAX: usize = 1_000;

/// Something of this queue, `$1`, is due at `$2`, and was not at moment `$8` (see
/// [`super::memory::Memory::clear`]). The literal comparisons show the planner that the partial
/// indexes apply.
macro_rules! due {
    () => {
        "(EXISTS (SELECT 1 FROM messages \
            WHERE queue = $1 AND avail > 0 AND avail > $8 AND avail <= $2) \
          OR EXISTS (SELECT 1 FROM messages \
            WHERE queue = $1 AND expires > 0 AND expires > $8 AND expires <= $2))"
    };
}

/// Locks the first `$3` claimable messages of queue `$1` at moment `$2`, starting after row `$5` if
/// the count of releases still is `$6`, and before row `$7`, or before what is on its way; nothing if
/// anything is due, unless `$4`, if the caller's move `$9` is not the head's latest, or if
/// `$condition` is not met.
macro_rules! taken {
    ($more:expr, $condition:expr) => {
        concat!(
            "WITH head AS MATERIALIZED (SELECT h.state, h.epoch, r.count AS releases, \
               (h.number << 35) | h.purged AS base, h.state < 2 AND h.epoch <= $9 AS takes, \
               CASE WHEN h.frozen_from < h.frozen_to THEN (h.number << 35) | h.frozen_from \
                 ELSE $7 END AS stop, ",
            due!(),
            " AS due",
            $more,
            " FROM heads AS h JOIN releases AS r ON r.queue = h.number WHERE h.number = $1), \
             taken AS MATERIALIZED (SELECT m.id, m.claims, m.expires FROM messages AS m \
               WHERE m.avail = 0 AND m.expires > $2 AND m.frozen IS NULL \
                 AND (m.id + 0) < (SELECT h.stop FROM head AS h) \
                 AND (m.id + 0) > (SELECT greatest(h.base, \
                     CASE WHEN h.releases = $6 THEN $5 ELSE 0 END) FROM head AS h) \
                 AND (SELECT h.takes AND ($4 OR NOT h.due)",
            $condition,
            " FROM head AS h) \
               ORDER BY (m.id + 0) LIMIT $3 FOR UPDATE OF m SKIP LOCKED), "
        )
    };
}

macro_rules! claim {
    ($unless:literal, $parked:literal, $kept:literal, $count:literal, $add:literal) => {
        concat!(
            taken!(
                ", EXISTS (SELECT 1 FROM claims AS c WHERE c.queue = $1 AND c.id = $10) AS known, \
                 pg_try_advisory_xact_lock($15) AS alone",
                concat!(" AND h.alone", $unless)
            ),
            $parked,
            "held AS (UPDATE messages AS m SET avail = $11, claim = $10, claims = m.claims + 1, \
                 ttl = CASE WHEN m.expires < $11 THEN $12 ELSE m.ttl END, \
                 expires = CASE WHEN m.expires < $11 THEN $13 ELSE m.expires END \
               FROM ",
            $kept,
            " AS k WHERE m.id = k.id \
               RETURNING m.id, m.ttl, m.posted, m.claims, m.claim, m.avail, m.origin), \
             made AS (INSERT INTO claims AS c (queue, id, ttl, started, ends, messages) \
               SELECT $1, $10, $14, $2, $11, array_agg(k.id) FROM ",
            $kept,
            " AS k HAVING count(*) > 0",
            $add,
            ") SELECT h.state, h.epoch, h.releases, h.due, h.known, h.alone, ",
            $count,
            " AS parked, ",
            message_columns!(),
            " FROM head AS h LEFT JOIN \
               (held AS m JOIN bodies AS b ON b.id = m.id) ON true ORDER BY m.id"
        )
    };
}

/// A claim that is there already takes nothing, and neither does one that is being made at this very
/// moment: its name is locked (`$15`). Should two get past both all the same, they collide at the
/// claim's key, and the later one is undone.
pub(crate) const CLAIM: &str = claim!(" AND NOT h.known", "", "taken", "0::bigint", "");

/// `$16`: how often a message may be claimed; `$17`, `$18`: where it goes, for how long; `$19`: the
/// end of time, for a parked message's life restarts when it arrives.
macro_rules! claim_or_park {
    ($unless:literal, $add:literal) => {
        claim!(
            $unless,
            "kept AS (SELECT id FROM taken WHERE claims < $16), \
             over AS (SELECT id FROM taken WHERE claims >= $16), \
             parked AS (UPDATE messages AS m SET avail = -2, expires = $19 \
               FROM over AS o WHERE m.id = o.id), \
             moving AS (INSERT INTO transfers (id, queue, target, ttl) \
               SELECT o.id, $1, $17, $18 FROM over AS o), ",
            "kept",
            "(SELECT count(*) FROM over)",
            $add
        )
    };
}

pub(crate) const CLAIM_OR_PARK: &str = claim_or_park!(" AND NOT h.known", "");

/// Goes on with a claim that this call has made.
const ADD_OR_PARK: &str = claim_or_park!(
    "",
    " ON CONFLICT (queue, id) DO UPDATE SET messages = c.messages || excluded.messages"
);

/// The bodies are read as they were before the statement removed them.
pub(crate) const POP: &str = concat!(
    taken!("", ""),
    "gone AS (DELETE FROM messages AS m USING taken AS t WHERE m.id = t.id \
       RETURNING m.id, m.ttl, m.posted, m.claims, m.claim, m.avail, m.origin), \
     bare AS (DELETE FROM bodies AS b USING taken AS t WHERE b.id = t.id) \
     SELECT h.state, h.epoch, h.releases, h.due, false AS known, true AS alone, \
       0::bigint AS parked, ",
    message_columns!(),
    " FROM head AS h LEFT JOIN \
       (gone AS m JOIN bodies AS b ON b.id = m.id) ON true ORDER BY m.id"
);

/// What one run of the statement did.
struct Ran {
    messages: Vec<Message>,
    parked: u32,
    due: bool,
    /// The claim was there already.
    known: bool,
}

/// A claim or a pop under way.
struct Taking<'t> {
    server: &'t Arc<Server>,
    queue: &'t QueueRef,
    number: i64,
    operation: &'static str,
    now: Timestamp,
    /// Take even though something is due: a step over it was made.
    regardless: bool,
    /// Where the walk starts.
    floor: Floor,
    /// Nothing was due up to this moment.
    clear: i64,
}

/// Claims messages.
pub(crate) async fn claim(
    server: &Arc<Server>,
    queue: &QueueRef,
    claim: &CreateClaim,
) -> Result<Claimed> {
    let mut taking = Taking::of(server, queue, CLAIM_OPERATION).await?;
    let mut claimed = Claimed::default();
    // Once part of it is made, the claim's being there is no news.
    let mut adding = false;
    let limit = claim.limit.as_usize();
    loop {
        let room = limit.saturating_sub(claimed.messages.len());
        let parked_before = claimed.parked;
        let ran = taking.run(|taking| bind_claim(taking, room, claim, adding)).await?;
        if ran.known && !adding {
            claimed.messages = super::claims::held(server, queue, taking.number, claim.id).await?;
            return Ok(claimed);
        }
        adding |= !ran.messages.is_empty();
        claimed.messages.extend(ran.messages);
        claimed.parked = claimed.parked.saturating_add(ran.parked);
        let done = claimed.parked == parked_before || claimed.messages.len() >= limit;
        // A step parks up to K; what is left for the next claim is met by the next claim.
        if done || i64::from(claimed.parked) >= STEP_ROWS_MAX {
            return Ok(claimed);
        }
    }
}

/// Pops messages.
pub(crate) async fn pop(
    server: &Arc<Server>,
    queue: &QueueRef,
    limit: PageLimit,
) -> Result<Vec<Message>> {
    let mut taking = Taking::of(server, queue, POP_OPERATION).await?;
    let ran = taking.run(|taking| taking.bind(sqlx::query(POP), limit.as_usize())).await?;
    Ok(ran.messages)
}

fn bind_claim(taking: &Taking<'_>, room: usize, claim: &CreateClaim, adding: bool) -> Statement {
    let text = match &claim.redrive {
        None => CLAIM,
        Some(_) if adding => ADD_OR_PARK,
        Some(_) => CLAIM_OR_PARK,
    };
    let ends_at = taking.now.after(claim.ttl);
    let statement = taking
        .bind(sqlx::query(text), room)
        .bind(claim.id.as_bytes().as_slice())
        .bind(ends_at.as_millis())
        .bind(ttl_code(claim.ttl.plus(claim.grace)))
        .bind(ends_at.after(claim.grace).as_millis())
        .bind(ttl_code(claim.ttl))
        .bind(lock_of(claim.id));
    match &claim.redrive {
        None => statement,
        Some(redrive) => statement
            .bind(i64::from(redrive.claims_max))
            .bind(redrive.target.as_str())
            .bind(ttl_code(redrive.ttl))
            .bind(Timestamp::MAX.as_millis()),
    }
}

/// The number under which a claim's name is locked; two that share one wait for each other.
fn lock_of(id: ClaimId) -> i64 {
    let (half, _) = id.as_bytes().split_at(8);
    half.iter().fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

impl<'t> Taking<'t> {
    async fn of(
        server: &'t Arc<Server>,
        queue: &'t QueueRef,
        operation: &'static str,
    ) -> Result<Self> {
        let number = server.number(operation, queue).await?;
        let now = server.clock.now();
        let floor = Floor::NONE;
        Ok(Self { server, queue, number, operation, now, regardless: false, floor, clear: 0 })
    }

    fn bind(&self, statement: Statement, limit: usize) -> Statement {
        statement
            .bind(self.number)
            .bind(self.now.as_millis())
            .bind(crate::layout::length_code(limit))
            .bind(self.regardless)
            .bind(self.floor.row)
            .bind(self.floor.releases)
            .bind(row_id_end(self.number))
            .bind(self.clear)
            .bind(counter_code(self.queue.epoch))
    }

    /// Runs the statement, with as many steps over what is due as it takes to find something.
    async fn run(&mut self, make: impl Fn(&Self) -> Statement + Send + Sync) -> Result<Ran> {
        for _ in 0..STEPS_MAX {
            self.now = self.server.clock.now();
            self.floor = self.server.memory.floor(self.number);
            self.clear = self.server.memory.clear(self.number);
            let ran = self.run_once(&make).await?;
            let took = !ran.messages.is_empty() || ran.parked > 0 || ran.known;
            if took || !ran.due {
                return Ok(ran);
            }
            let stepped = super::sweep::settle_due(self.server, self.number, self.operation);
            let rows = stepped.await?;
            if rows == 0 && self.regardless {
                // Somebody else has them in hand at this moment.
                return Ok(ran);
            }
            self.regardless = true;
        }
        Ok(Ran { messages: Vec::new(), parked: 0, due: true, known: false })
    }

    async fn run_once(&self, make: &(impl Fn(&Self) -> Statement + Send + Sync)) -> Result<Ran> {
        let rows = loop {
            let rows = match self.server.write_raw(|| make(self)).await {
                // The same claim was made a moment ago: this run changed nothing, the next finds it.
                Err(error) if is_duplicate(&error) => continue,
                done => done.map_err(|error| failed(self.operation, error))?,
            };
            check_rows(&rows, self.queue).told(self.operation)?;
            let alone = rows.first().map_or(Ok(true), |row| row.try_get(5));
            if alone.map_err(|error| failed(self.operation, error))? {
                break rows;
            }
            // The same claim is being made: what it took is the answer to this one too.
            tokio::task::yield_now().await;
        };
        self.read(&rows).map_err(|error| failed(self.operation, error))
    }

    fn read(&self, rows: &[PgRow]) -> Result<Ran, sqlx::Error> {
        let Some(head) = rows.first() else { return Err(sqlx::Error::RowNotFound) };
        let releases: i64 = head.try_get(2)?;
        let messages = messages(rows, 7, self.queue.incarnation, self.now)?;
        let last = rows.last().map(|row| row.try_get::<Option<i64>, _>(7)).transpose()?.flatten();
        if let Some(row) = last {
            self.server.memory.raise_floor(self.number, self.floor, Floor { row, releases });
        }
        let due: bool = head.try_get(3)?;
        if !due {
            self.server.memory.keep_clear(self.number, self.clear, self.now.as_millis());
        }
        Ok(Ran {
            messages,
            parked: crate::layout::count_of(head.try_get(6)?),
            due,
            known: head.try_get(4)?,
        })
    }
}

/// Releases a claim whose caller left before the answer could be handed over.
pub(crate) async fn release_unheard(server: Arc<Server>, queue: QueueRef, id: ClaimId) {
    // A failure is harmless: the lease ends by itself.
    if let Err(error) = super::claims::release(&server, &queue, id).await {
        tracing::debug!(%error, "an abandoned claim is left to run out");
    }
}
