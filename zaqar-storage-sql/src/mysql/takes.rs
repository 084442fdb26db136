//! Claims and pops: two round trips each, and none waits for another.
//!
//! The first locks what can be had, in order, and passes over rows that others hold (`SKIP LOCKED`);
//! the second writes and commits. Nothing is locked while a caller thinks.
//!
//! The walk starts at the floor (see [`super::memory::Floor`]) and ends before the position that the
//! head's counter showed: whatever is posted meanwhile is met whole by the next claim, never without
//! its beginning. Anything due, a lease that ended or a life, is put right first: the script looks
//! whether there is any and then takes nothing; [`super::sweep`] releases and retires up to K rows,
//! and the script runs again.
//!
//! A claim's own row is inserted before its messages are taken: of two runs at once under one name the
//! later one waits there, for it would be given other messages. It fails on the key when the first one
//! commits, runs again, and finds the claim. Nothing is inserted where there is nothing to take.
//!
//! A message past its maximum count of claims is parked instead of taken; the walk goes on behind it
//! within the same transaction.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    ClaimId, Claimed, CreateClaim, Error, Message, PageLimit, QueueRef, Redrive, Result, Timestamp,
};

use crate::error::Failure;
use crate::layout::{STEP_ROWS_MAX, count_of, length_code, row_id, ttl_code};

use super::error::failed;
use super::heads::check_state_row;
use super::memory::Floor;
use super::row::SqlRow;
use super::rows::{message, message_columns, unclaimed};
use super::server::Server;
use super::sql::{Script, Sql, sql};
use super::step::{Answers, Step};
use super::task::Task;

pub(crate) const CLAIM_OPERATION: &str = "claim_create";
pub(crate) const POP_OPERATION: &str = "message_pop";

/// Steps over what is due before a claim answers with nothing.
const STEPS_MAX: usize = 1_000;
/// Looks at messages that others hold at that moment, before a claim answers with nothing: two that
/// pass over each other's locks must not both believe that the queue is empty.
const HELD_LOOKS_MAX: usize = 5;

/// What the walk compares with: the head's counter and purge mark, the count of releases, whether
/// anything of queue `$1` is due at `$2` that was not at `$4` (see [`super::memory::Memory::clear`]), and
/// whether claim `$3` is there.
pub(super) const LOOK: &str = "SELECT MAX(h.next), MAX(h.purged), MAX(r.count), \
       EXISTS (SELECT 1 FROM messages AS d FORCE INDEX (claimable) \
         WHERE d.queue = $1 AND d.avail > GREATEST(0, $4) AND d.avail <= $2) \
       OR EXISTS (SELECT 1 FROM messages AS d FORCE INDEX (expiring) \
         WHERE d.queue = $1 AND d.expires > $4 AND d.expires <= $2), \
       EXISTS (SELECT 1 FROM claims AS c WHERE c.queue = $1 AND c.id = $3) \
     INTO @zn, @zp, @zr, @zd, @zk \
     FROM heads AS h JOIN releases AS r ON r.queue = h.number WHERE h.number = $1";

/// What can be had behind row `$5`, or behind row `$6` if the count of releases still is `$7`; `$4`
/// is the queue's row zero. Nothing if the claim is there already, or if anything is due, unless
/// `$8`.
macro_rules! claimable {
    () => {
        concat!(
            " FROM messages AS m FORCE INDEX (claimable) \
             WHERE m.queue = $1 AND m.avail = 0 AND m.claim = ",
            unclaimed!(),
            " AND m.id > GREATEST($4 + @zp, $5, IF(@zr = $7, $6, 0)) AND m.id < $4 + @zn \
               AND m.expires > $2 AND @zk = 0 AND (@zd = 0 OR $8)"
        )
    };
}

/// Makes claim `$3`, of `$9` seconds and up to `$10`, if there is anything for it.
pub(super) const MAKE: &str = concat!(
    "INSERT INTO claims (queue, id, ttl, started, ends) \
     SELECT $1, $3, $9, $2, $10 FROM DUAL WHERE EXISTS (SELECT 1",
    claimable!(),
    ")"
);

/// Locks the first `$3` messages that can be had of queue `$1` at moment `$2`.
pub(super) const TAKE: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.expires",
    claimable!(),
    " ORDER BY m.id LIMIT $3 FOR UPDATE SKIP LOCKED"
);

/// The head, after the rows were locked; and whether, held or not, there is anything at moment `$2`
/// behind row `$3` of queue `$1`, whose row zero is `$4`.
pub(super) const HEAD: &str = concat!(
    "SELECT h.state, h.epoch, h.purged, @zr, @zd, @zk, \
       EXISTS (SELECT 1 FROM messages AS m FORCE INDEX (claimable) \
         WHERE m.queue = $1 AND m.avail = 0 AND m.claim = ",
    unclaimed!(),
    " AND m.id > GREATEST($4 + @zp, $3) AND m.id < $4 + @zn AND m.expires > $2) \
     FROM heads AS h WHERE h.number = $1"
);

/// What a run of the scripts did.
#[derive(Debug, Default)]
struct Took {
    messages: Vec<Message>,
    parked: u32,
    due: bool,
    /// The claim was there already.
    known: bool,
    /// Something is there, though perhaps in others' hands.
    left: bool,
    /// The last row that was taken, at which count of releases.
    floor: Option<Floor>,
}

/// What is done with what can be had.
#[derive(Debug, Clone)]
enum Purpose {
    Claim(CreateClaim),
    Pop(PageLimit),
}

/// One transaction of a claim or a pop.
#[derive(Debug)]
struct Take {
    queue: QueueRef,
    number: i64,
    purpose: Purpose,
    /// Where the walk starts.
    floor: Floor,
    /// Where the look for what is due starts.
    clear: i64,
    /// Take even though something is due: a step over it was made.
    regardless: bool,
}

/// A message that can be had, and the end of its life.
struct Found {
    row: i64,
    expires: i64,
    message: Message,
}

#[async_trait]
impl Task for Take {
    type Output = Took;
    const OPERATION: &'static str = "claim_create or message_pop";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Took, Failure> {
        let mut took = Took::default();
        let (mut kept, mut parked) = (Vec::new(), Vec::new());
        let mut after = 0;
        if let Purpose::Claim(claim) = &self.purpose {
            self.make(step, claim)?;
        }
        loop {
            let room = self.limit().saturating_sub(kept.len());
            let answers = step.script(self.script(step.now, room, after)?).await?;
            let found = self.read(&answers, step.now, &mut took)?;
            after = found.last().map_or(after, |last| last.row);
            let full = found.len() >= room;
            for one in found {
                match self.redrive() {
                    Some(redrive) if one.message.claim_count >= redrive.claims_max => {
                        parked.push(one.row);
                    }
                    _ => kept.push(one),
                }
            }
            // A step parks up to K; what is left for the next claim is met by the next claim.
            let most = length_code(parked.len()) >= STEP_ROWS_MAX;
            if !full || kept.len() >= self.limit() || most {
                break;
            }
        }
        if let Some(floor) = took.floor.as_mut() {
            floor.row = after;
        }
        took.parked = count_of(length_code(parked.len()));
        if kept.is_empty() && parked.is_empty() {
            step.abandon();
            return Ok(took);
        }
        self.park(step, parked)?;
        took.messages = self.keep(step, kept)?;
        Ok(took)
    }
}

impl Take {
    fn limit(&self) -> usize {
        match &self.purpose {
            Purpose::Claim(claim) => claim.limit.as_usize(),
            Purpose::Pop(limit) => limit.as_usize(),
        }
    }

    fn redrive(&self) -> Option<&Redrive> {
        match &self.purpose {
            Purpose::Claim(claim) => claim.redrive.as_ref(),
            Purpose::Pop(_) => None,
        }
    }

    /// Looks, and makes the claim's row.
    fn make(&self, step: &mut Step<'_>, claim: &CreateClaim) -> Result<(), sqlx::Error> {
        let (now, id) = (step.now, claim.id.as_bytes().as_slice());
        step.later(self.look(now))?;
        let make = self.bind(sql(MAKE).bind(self.number).bind(now.as_millis()).bind(id), 0);
        step.later(make.bind(ttl_code(claim.ttl)).bind(now.after(claim.ttl).as_millis()))
    }

    fn look(&self, now: Timestamp) -> Sql {
        let claim = match &self.purpose {
            Purpose::Claim(claim) => Some(claim.id.as_bytes().as_slice()),
            Purpose::Pop(_) => None,
        };
        sql(LOOK).bind(self.number).bind(now.as_millis()).bind(claim).bind(self.clear)
    }

    /// Binds `$4` to `$8`.
    fn bind(&self, statement: Sql, after: i64) -> Sql {
        statement
            .bind(row_id(self.number, 0))
            .bind(after)
            .bind(self.floor.row)
            .bind(self.floor.releases)
            .bind(self.regardless)
    }

    fn script(&self, now: Timestamp, room: usize, after: i64) -> Result<Script, sqlx::Error> {
        let take = sql(TAKE).bind(self.number).bind(now.as_millis()).bind(length_code(room));
        let mut script = Script::new();
        // A claim has looked before it made its row.
        if matches!(self.purpose, Purpose::Pop(_)) {
            script.add(&self.look(now))?;
        }
        script.add(&self.bind(take, after))?;
        let head = sql(HEAD).bind(self.number).bind(now.as_millis());
        script.add(&head.bind(after).bind(row_id(self.number, 0)))?;
        Ok(script)
    }

    fn read(
        &self,
        answers: &Answers,
        now: Timestamp,
        took: &mut Took,
    ) -> Result<Vec<Found>, Failure> {
        let head = check_state_row(answers.last_rows(), &self.queue)?;
        let base = row_id(self.number, head.try_get(2)?);
        let releases: i64 = head.try_get(3)?;
        took.due = head.try_get(4)?;
        took.known = head.try_get(5)?;
        took.left = head.try_get(6)?;
        let mut found = Vec::new();
        for row in answers.rows_before_last() {
            found.extend(self.found(row, now)?.filter(|found| found.row > base));
        }
        if !found.is_empty() {
            took.floor = Some(Floor { row: 0, releases });
        }
        Ok(found)
    }

    fn found(&self, row: &SqlRow, now: Timestamp) -> Result<Option<Found>, sqlx::Error> {
        let Some(message) = message(row, 0, self.queue.incarnation, now)? else { return Ok(None) };
        Ok(Some(Found { row: row.try_get(0)?, expires: row.try_get(9)?, message }))
    }

    fn park(&self, step: &mut Step<'_>, rows: Vec<i64>) -> Result<(), sqlx::Error> {
        let Some(redrive) = self.redrive().filter(|_| !rows.is_empty()) else { return Ok(()) };
        // A parked message's life restarts when it arrives.
        let park = sql(
            "UPDATE messages FORCE INDEX (PRIMARY) SET avail = -2, expires = $2 WHERE id IN ($1)",
        );
        step.later(park.bind(rows.as_slice()).bind(Timestamp::MAX.as_millis()))?;
        let move_on = sql("INSERT INTO transfers (id, queue, target, ttl) \
             SELECT m.id, $2, $3, $4 FROM messages AS m FORCE INDEX (PRIMARY) WHERE m.id IN ($1)")
        .bind(rows)
        .bind(self.number)
        .bind(redrive.target.as_str())
        .bind(ttl_code(redrive.ttl));
        step.later(move_on)
    }

    /// Takes what was found for the caller.
    fn keep(&self, step: &mut Step<'_>, kept: Vec<Found>) -> Result<Vec<Message>, sqlx::Error> {
        if kept.is_empty() {
            if let Purpose::Claim(claim) = &self.purpose {
                // All were parked: there is no claim.
                let unmake = sql("DELETE FROM claims WHERE queue = $1 AND id = $2");
                step.later(unmake.bind(self.number).bind(claim.id.as_bytes().as_slice()))?;
            }
            return Ok(Vec::new());
        }
        let rows: Vec<i64> = kept.iter().map(|found| found.row).collect();
        let claim = match &self.purpose {
            Purpose::Pop(_) => {
                step.later(delete_rows(rows))?;
                return Ok(kept.into_iter().map(|found| found.message).collect());
            }
            Purpose::Claim(claim) => claim,
        };
        // As in the claim's row, which was made at the same moment.
        let ends_at = step.now.after(claim.ttl);
        let lengthened = claim.ttl.plus(claim.grace);
        // Assigned from left to right: the ttl compares with the life as it was.
        let hold = sql("UPDATE messages FORCE INDEX (PRIMARY) SET avail = $2, claim = $3, \
               claims = claims + 1, ttl = IF(expires < $2, $4, ttl), \
               expires = IF(expires < $2, $5, expires) WHERE id IN ($1)")
        .bind(rows)
        .bind(ends_at.as_millis())
        .bind(claim.id.as_bytes().as_slice())
        .bind(ttl_code(lengthened))
        .bind(ends_at.after(claim.grace).as_millis());
        step.later(hold)?;
        let hold = |found: Found| {
            let mut message = found.message;
            message.claim = Some(claim.id);
            message.claim_count = message.claim_count.saturating_add(1);
            if found.expires < ends_at.as_millis() {
                message.ttl = lengthened;
            }
            message
        };
        Ok(kept.into_iter().map(hold).collect())
    }
}

/// Removes rows by their ids. In a form that takes a hint: in a small table the planner would read,
/// and wait for, every row.
pub(crate) fn delete_rows(rows: Vec<i64>) -> Sql {
    sql("DELETE m FROM messages AS m FORCE INDEX (PRIMARY) WHERE m.id IN ($1)").bind(rows)
}

/// Claims messages.
pub(crate) async fn claim(
    server: &Arc<Server>,
    queue: &QueueRef,
    claim: CreateClaim,
) -> Result<Claimed> {
    if claim.id == ClaimId::from_u128(0) {
        // It stands for "no claim" in the rows.
        let reason = "must not be nil".to_owned();
        return Err(Error::Invalid { field: "claim id", reason });
    }
    let (id, purpose) = (claim.id, Purpose::Claim(claim));
    let took = take(server, queue, purpose, CLAIM_OPERATION).await?;
    if took.known {
        let number = server.number(CLAIM_OPERATION, queue).await?;
        let messages = super::claims::held(server, queue, number, id).await?;
        // Another run made it, and may not have flushed it yet.
        server.pass_fence().await.map_err(|error| failed(CLAIM_OPERATION, error))?;
        return Ok(Claimed { messages, parked: 0 });
    }
    Ok(Claimed { messages: took.messages, parked: took.parked })
}

/// Pops messages.
pub(crate) async fn pop(
    server: &Arc<Server>,
    queue: &QueueRef,
    limit: PageLimit,
) -> Result<Vec<Message>> {
    Ok(take(server, queue, Purpose::Pop(limit), POP_OPERATION).await?.messages)
}

/// Runs the transaction, with as many steps over what is due as it takes to find something.
async fn take(
    server: &Arc<Server>,
    queue: &QueueRef,
    purpose: Purpose,
    operation: &'static str,
) -> Result<Took> {
    let number = server.number(operation, queue).await?;
    let queue = queue.clone();
    let floor = Floor::NONE;
    let mut take = Take { queue, number, purpose, floor, clear: 0, regardless: false };
    let mut held_looks = 0;
    for _ in 0..STEPS_MAX {
        take.floor = if held_looks == 0 { server.memory.floor(number) } else { Floor::NONE };
        take.clear = server.memory.clear(number);
        let looked_at = server.clock.now().as_millis();
        let took = server.transact_as(&mut take, operation).await?;
        if let Some(floor) = took.floor {
            server.memory.raise_floor(number, take.floor, floor);
        }
        if !took.due {
            server.memory.keep_clear(number, take.clear, looked_at);
        }
        let nothing = took.messages.is_empty() && took.parked == 0 && !took.known;
        if nothing && !took.due && took.left && held_looks < HELD_LOOKS_MAX {
            held_looks += 1;
            tokio::task::yield_now().await;
            continue;
        }
        if !nothing || !took.due {
            return Ok(took);
        }
        let rows = super::sweep::settle_due(server, number, operation).await?;
        if rows == 0 && take.regardless {
            // Somebody else has them in hand at this moment.
            return Ok(took);
        }
        take.regardless = true;
    }
    Ok(Took::default())
}

/// Releases a claim whose caller left before the answer could be handed over.
pub(crate) async fn release_unheard(server: Arc<Server>, queue: QueueRef, id: ClaimId) {
    // A failure is harmless: the lease ends by itself.
    if let Err(error) = super::claims::release(&server, &queue, id).await {
        tracing::debug!(%error, "an abandoned claim is left to run out");
    }
}
