//! One transaction of claims and pops: two round trips, however many takers there are.
//!
//! The first locks what can be had, in order, and passes over rows that others hold (`SKIP LOCKED`);
//! the second writes and commits. Nothing is locked while a caller thinks.
//!
//! The walk starts at the floor (see [`super::memory::Floor`]) and ends before the position that the
//! head's counter showed: whatever is posted meanwhile is met whole by the next claim, never without
//! its beginning. If anything is due, a lease that ended or a life, nothing is taken: that is to be
//! put right first.
//!
//! A claim's own row is inserted before its messages are locked: of two runs at once under one name
//! the later one waits there, for it would be given other messages. It fails on the key when the
//! first one commits, runs again, and finds the claim. Nothing is inserted where there is nothing to
//! take.
//!
//! A message past its maximum count of claims is parked instead of taken; the walk goes on behind it
//! within the same transaction.

use async_trait::async_trait;
use zaqar_core::{ClaimId, CreateClaim, Message, PageLimit, QueueRef, Redrive, Timestamp};

use crate::error::Failure;
use crate::layout::{STEP_ROWS_MAX, length_code, row_id, ttl_code};

use super::heads::check_state_row;
use super::memory::Floor;
use super::row::SqlRow;
use super::rows::{claim_id, message, message_columns, unclaimed};
use super::sql::{Script, Sql, sql};
use super::step::{Answers, Step};
use super::task::Task;

/// What the walk compares with: the head's counter, or where what is on its way begins, and its purge
/// mark, the count of releases, whether
/// anything of queue `$1` is due at `$2` that was not at `$3` (see
/// [`super::memory::Memory::clear`]), and how many of the claims `$4` are there.
pub(super) const LOOK: &str = "SELECT \
       MAX(IF(h.frozen_from < h.frozen_to, LEAST(h.next, h.frozen_from), h.next)), MAX(h.purged), MAX(r.count), \
       EXISTS (SELECT 1 FROM messages AS d FORCE INDEX (claimable) \
         WHERE d.queue = $1 AND d.avail > GREATEST(0, $3) AND d.avail <= $2) \
       OR EXISTS (SELECT 1 FROM messages AS d FORCE INDEX (expiring) \
         WHERE d.queue = $1 AND d.expires > $3 AND d.expires <= $2), \
       (SELECT COUNT(*) FROM claims AS c WHERE c.queue = $1 AND c.id IN ($4)) \
     INTO @zn, @zp, @zr, @zd, @zk \
     FROM heads AS h JOIN releases AS r ON r.queue = h.number WHERE h.number = $1";

/// What can be had of queue `$1` at moment `$2`: behind row `$4`, or behind row `$5` if the count of
/// releases still is `$6`; `$3` is the queue's row zero. Nothing if anything is due, unless `$7`, or if
/// as many as `$8` claims are there already.
macro_rules! claimable {
    () => {
        concat!(
            " FROM messages AS m FORCE INDEX (claimable) \
             WHERE m.queue = $1 AND m.avail = 0 AND m.claim = ",
            unclaimed!(),
            " AND m.id > GREATEST($3 + @zp, $4, IF(@zr = $6, $5, 0)) AND m.id < $3 + @zn \
               AND m.expires > $2 AND (@zd = 0 OR $7) AND @zk < $8"
        )
    };
}

/// Whether there is anything for a claim.
pub(super) const ANY: &str = concat!("SELECT EXISTS (SELECT 1", claimable!(), ") INTO @ze");

/// Makes claim `$2` of queue `$1`, of `$3` seconds from `$4` to `$5`, if there is anything for it and
/// nobody has made it.
pub(super) const MAKE: &str = "INSERT INTO claims (queue, id, ttl, started, ends) \
     SELECT $1, $2, $3, $4, $5 FROM DUAL WHERE @ze = 1 \
       AND NOT EXISTS (SELECT 1 FROM claims AS c WHERE c.queue = $1 AND c.id = $2)";

const UNMAKE: &str = "DELETE FROM claims WHERE queue = $1 AND id = $2";

/// Which of the claims `$2` are there, whoever made them.
pub(super) const KNOWN: &str = "SELECT id FROM claims WHERE queue = $1 AND id IN ($2)";

/// Locks the first `$9` messages that can be had.
pub(super) const TAKE: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.expires",
    claimable!(),
    " ORDER BY m.id LIMIT $9 FOR UPDATE SKIP LOCKED"
);

/// The head, after the rows were locked.
pub(super) const HEAD: &str = "SELECT state, epoch, purged, @zr, @zd, \
       IF(frozen_from < frozen_to, frozen_from, next) FROM heads WHERE number = $1";

/// Whether, in whoever's hands, there is anything at moment `$2` behind row `$3` of queue `$1`, whose
/// row zero is `$4`.
pub(super) const LEFT: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM messages AS m FORCE INDEX (claimable) \
       WHERE m.queue = $1 AND m.avail = 0 AND m.claim = ",
    unclaimed!(),
    " AND m.id > GREATEST($4 + @zp, $3) AND m.id < $4 + @zn AND m.expires > $2)"
);

// Assigned from left to right: the ttl compares with the life as it was.
const HOLD: &str = "UPDATE messages FORCE INDEX (PRIMARY) SET avail = $2, claim = $3, \
       claims = claims + 1, ttl = IF(expires < $2, $4, ttl), \
       expires = IF(expires < $2, $5, expires) WHERE id IN ($1)";

// A parked message's life restarts when it arrives.
const PARK: &str =
    "UPDATE messages FORCE INDEX (PRIMARY) SET avail = -2, expires = $2 WHERE id IN ($1)";

const MOVE_ON: &str = "INSERT INTO transfers (id, queue, target, ttl) \
     SELECT m.id, $2, $3, $4 FROM messages AS m FORCE INDEX (PRIMARY) WHERE m.id IN ($1)";

/// What is done with what can be had.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// It is held.
    Claim(CreateClaim),
    /// It is removed.
    Pop(PageLimit),
}

impl Purpose {
    pub(crate) fn limit(&self) -> usize {
        match self {
            Self::Claim(claim) => claim.limit.as_usize(),
            Self::Pop(limit) => limit.as_usize(),
        }
    }

    fn claim(&self) -> Option<ClaimId> {
        match self {
            Self::Claim(claim) => Some(claim.id),
            Self::Pop(_) => None,
        }
    }

    fn redrive(&self) -> Option<&Redrive> {
        match self {
            Self::Claim(claim) => claim.redrive.as_ref(),
            Self::Pop(_) => None,
        }
    }
}

/// What a taker got.
#[derive(Debug, Default)]
pub(crate) struct Took {
    pub(crate) messages: Vec<Message>,
    pub(crate) parked: u32,
    /// The claim was there already.
    pub(crate) known: bool,
}

impl Took {
    pub(crate) fn is_nothing(&self) -> bool {
        self.messages.is_empty() && self.parked == 0 && !self.known
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// For each taker, in their order.
    pub(crate) took: Vec<Took>,
    /// Something is due.
    pub(crate) due: bool,
    /// A taker got nothing though something is there, perhaps in others' hands.
    pub(crate) left: bool,
    /// The last row that was taken, at which count of releases.
    pub(crate) floor: Option<Floor>,
}

/// One transaction of claims and pops.
#[derive(Debug)]
pub(crate) struct TakeStep {
    pub(crate) queue: QueueRef,
    pub(crate) number: i64,
    pub(crate) takers: Vec<Purpose>,
    /// Where the walk starts.
    pub(crate) floor: Floor,
    /// Where the look for what is due starts.
    pub(crate) clear: i64,
    /// Take even though something is due: a step over it was made.
    pub(crate) regardless: bool,
}

/// A message that can be had, and the end of its life.
struct Found {
    row: i64,
    expires: i64,
    message: Message,
}

/// What is dealt to a taker.
#[derive(Default)]
struct Dealt {
    kept: Vec<Found>,
    parked: Vec<i64>,
    /// The claim's row was made here.
    made: bool,
    /// Somebody else made it, or a taker before this one.
    known: bool,
}

impl Dealt {
    fn room(&self, taker: &Purpose) -> usize {
        if self.known { 0 } else { taker.limit().saturating_sub(self.kept.len()) }
    }

    fn is_nothing(&self) -> bool {
        self.kept.is_empty() && self.parked.is_empty() && !self.known
    }
}

#[async_trait]
impl Task for TakeStep {
    type Output = Taken;
    const OPERATION: &'static str = "claim_create or message_pop";
    // Whoever finds nothing is told nothing about what was there.
    const FENCED: bool = false;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Taken, Failure> {
        let mut taken = Taken::default();
        let mut dealt = self.nothing_dealt();
        let (mut after, mut room) = (0, self.room(&dealt));
        let opening = self.opening(step.now, &dealt).into_iter();
        let walk = self.walk(step.now, room, after);
        let mut answers = step.script(Script::of(opening.chain(walk))?).await?;
        self.read_made(&answers, &mut dealt)?;
        loop {
            let found = self.read(&answers, step.now, &mut taken)?;
            let full = found.len() >= room;
            let met = self.deal(found, &mut dealt);
            after = met.unwrap_or(after);
            let parked: usize = dealt.iter().map(|one| one.parked.len()).sum();
            room = self.room(&dealt);
            // A step parks up to K; what is left for the next claim is met by the next claim.
            if !full || met.is_none() || room == 0 || length_code(parked) >= STEP_ROWS_MAX {
                break;
            }
            answers = step.script(Script::of(self.walk(step.now, room, after))?).await?;
        }
        if let Some(floor) = taken.floor.as_mut() {
            floor.row = after;
        }
        if !taken.due && dealt.iter().any(Dealt::is_nothing) {
            taken.left = self.is_left(step, after).await?;
        }
        if dealt.iter().all(|one| one.kept.is_empty() && one.parked.is_empty()) {
            step.abandon();
        }
        for (taker, dealt) in self.takers.iter().zip(dealt) {
            taken.took.push(self.settle(step, taker, dealt)?);
        }
        Ok(taken)
    }
}

impl TakeStep {
    /// Two takers under one claim are one: the first stands for the others.
    fn nothing_dealt(&self) -> Vec<Dealt> {
        let mut met = Vec::with_capacity(self.takers.len());
        let dealt = |taker: &Purpose| {
            let known = taker.claim().is_some_and(|claim| met.contains(&claim));
            met.extend(taker.claim());
            Dealt { known, ..Dealt::default() }
        };
        self.takers.iter().map(dealt).collect()
    }

    fn room(&self, dealt: &[Dealt]) -> usize {
        self.takers.iter().zip(dealt).map(|(taker, dealt)| dealt.room(taker)).sum()
    }

    /// The claims that are to be made.
    fn claims<'a>(&'a self, dealt: &'a [Dealt]) -> impl Iterator<Item = &'a CreateClaim> {
        let takers = self.takers.iter().zip(dealt).filter(|(_, dealt)| !dealt.known);
        takers.filter_map(|(taker, _)| match taker {
            Purpose::Claim(claim) => Some(claim),
            Purpose::Pop(_) => None,
        })
    }

    /// Looks, and makes the claims' rows.
    fn opening(&self, now: Timestamp, dealt: &[Dealt]) -> Vec<Sql> {
        let claims: Vec<_> = self.claims(dealt).collect();
        let ids: Vec<Vec<u8>> = claims.iter().map(|claim| claim.id.as_bytes().to_vec()).collect();
        let look = sql(LOOK).bind(self.number).bind(now.as_millis()).bind(self.clear);
        let mut opening = vec![look.bind(ids.clone()), self.bind(ANY, now, 0)];
        opening.extend(claims.into_iter().map(|claim| {
            sql(MAKE)
                .bind(self.number)
                .bind(claim.id.as_bytes().as_slice())
                .bind(ttl_code(claim.ttl))
                .bind(now.as_millis())
                .bind(now.after(claim.ttl).as_millis())
        }));
        opening.push(sql(KNOWN).bind(self.number).bind(ids));
        opening
    }

    /// Binds `$1` to `$8`.
    fn bind(&self, text: &'static str, now: Timestamp, after: i64) -> Sql {
        sql(text)
            .bind(self.number)
            .bind(now.as_millis())
            .bind(row_id(self.number, 0))
            .bind(after)
            .bind(self.floor.row)
            .bind(self.floor.releases)
            .bind(self.regardless)
            .bind(length_code(self.nothing_dealt().iter().filter(|one| !one.known).count()))
    }

    fn walk(&self, now: Timestamp, room: usize, after: i64) -> [Sql; 2] {
        let take = self.bind(TAKE, now, after).bind(length_code(room));
        [take, sql(HEAD).bind(self.number)]
    }

    /// Which claims were made, and which were there.
    fn read_made(&self, answers: &Answers, dealt: &mut [Dealt]) -> Result<(), sqlx::Error> {
        // Behind the look and the question whether there is anything.
        let mut place = 2;
        let mut fresh = Vec::new();
        for (taker, dealt) in self.takers.iter().zip(dealt) {
            if let Some(claim) = taker.claim().filter(|_| !dealt.known) {
                dealt.made = answers.affected(place) > 0;
                place += 1;
                fresh.push((claim, dealt));
            }
        }
        let there = answers.rows(place).iter().map(|row| claim_id(row.try_get(0)?));
        let there: Vec<ClaimId> = there.collect::<Result<_, sqlx::Error>>()?;
        for (claim, dealt) in fresh {
            dealt.known = !dealt.made && there.contains(&claim);
        }
        Ok(())
    }

    fn read(
        &self,
        answers: &Answers,
        now: Timestamp,
        taken: &mut Taken,
    ) -> Result<Vec<Found>, Failure> {
        let head = check_state_row(answers.last_rows(), &self.queue)?;
        let base = row_id(self.number, head.try_get(2)?);
        // What was frozen since the look stands still.
        let end = row_id(self.number, head.try_get(5)?);
        let releases: i64 = head.try_get(3)?;
        taken.due = head.try_get(4)?;
        let mut found = Vec::new();
        for row in answers.rows_before_last() {
            found.extend(self.found(row, now)?.filter(|found| found.row > base && found.row < end));
        }
        if !found.is_empty() {
            taken.floor = Some(Floor { row: 0, releases });
        }
        Ok(found)
    }

    fn found(&self, row: &SqlRow, now: Timestamp) -> Result<Option<Found>, sqlx::Error> {
        let Some(message) = message(row, 0, self.queue.incarnation, now)? else { return Ok(None) };
        Ok(Some(Found { row: row.try_get(0)?, expires: row.try_get(9)?, message }))
    }

    /// Deals out what was found, oldest first, to the takers in their order; returns the last row
    /// that was dealt.
    fn deal(&self, found: Vec<Found>, dealt: &mut [Dealt]) -> Option<i64> {
        let mut met = None;
        let mut found = found.into_iter().peekable();
        for (taker, dealt) in self.takers.iter().zip(dealt) {
            let too_often = |one: &Found| {
                let redrive = taker.redrive();
                redrive.is_some_and(|redrive| one.message.claim_count >= redrive.claims_max)
            };
            while dealt.room(taker) > 0 && found.peek().is_some() {
                let Some(one) = found.next() else { break };
                met = Some(one.row);
                if too_often(&one) {
                    dealt.parked.push(one.row);
                } else {
                    dealt.kept.push(one);
                }
            }
        }
        met
    }

    async fn is_left(&self, step: &mut Step<'_>, after: i64) -> Result<bool, sqlx::Error> {
        let left = sql(LEFT)
            .bind(self.number)
            .bind(step.now.as_millis())
            .bind(after)
            .bind(row_id(self.number, 0));
        step.row(left).await?.map_or(Ok(false), |row| row.try_get(0))
    }

    /// Writes down what a taker got.
    fn settle(
        &self,
        step: &mut Step<'_>,
        taker: &Purpose,
        dealt: Dealt,
    ) -> Result<Took, sqlx::Error> {
        let Dealt { kept, parked, made, known } = dealt;
        let parks = u32::try_from(parked.len()).unwrap_or(u32::MAX);
        if let Some(redrive) = taker.redrive().filter(|_| !parked.is_empty()) {
            let park = sql(PARK).bind(parked.as_slice()).bind(Timestamp::MAX.as_millis());
            step.later(park)?;
            let move_on = sql(MOVE_ON).bind(parked).bind(self.number);
            step.later(move_on.bind(redrive.target.as_str()).bind(ttl_code(redrive.ttl)))?;
        }
        let messages = match taker {
            Purpose::Claim(claim) if kept.is_empty() => {
                if made {
                    let id = claim.id.as_bytes().as_slice();
                    step.later(sql(UNMAKE).bind(self.number).bind(id))?;
                }
                Vec::new()
            }
            Purpose::Pop(_) if kept.is_empty() => Vec::new(),
            Purpose::Claim(claim) => self.hold(step, claim, kept)?,
            Purpose::Pop(_) => {
                step.later(delete_rows(kept.iter().map(|found| found.row).collect()))?;
                kept.into_iter().map(|found| found.message).collect()
            }
        };
        Ok(Took { messages, parked: parks, known })
    }

    /// Makes a claim of what was found.
    fn hold(
        &self,
        step: &mut Step<'_>,
        claim: &CreateClaim,
        kept: Vec<Found>,
    ) -> Result<Vec<Message>, sqlx::Error> {
        // As in the claim's row, which was made at the same moment.
        let (id, ends_at) = (claim.id.as_bytes().as_slice(), step.now.after(claim.ttl));
        let lengthened = claim.ttl.plus(claim.grace);
        let rows: Vec<i64> = kept.iter().map(|found| found.row).collect();
        let hold = sql(HOLD)
            .bind(rows)
            .bind(ends_at.as_millis())
            .bind(id)
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
