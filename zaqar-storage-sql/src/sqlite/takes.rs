//! Claims and pops: all takers of one queue in a batch share one walk of its claimable index.
//!
//! Per queue and batch: release what has matured, retire what has expired (up to K each), read the
//! first claimable messages for all takers, deal them out in order, write. So a claim costs
//! O(limit), and a message claimed, delayed or expired ahead is met once, not by every claim.

use std::collections::VecDeque;
use std::sync::Arc;

use sqlx::Row;
use tokio::sync::oneshot;
use zaqar_core::{
    ClaimId, Claimed, CreateClaim, Effect, Error, Message, PageLimit, QueueRef, Result,
};

use crate::error::{Failure, engine_error};

use super::heads::Head;
use super::intake::{Intake, Operation};
use super::packed::{self, Found, packed_columns};
use super::posts::ttl_code;
use super::rows::id_list;
use super::script::Script;
use super::step::Step;
use super::tables::{PARKED, row_id};
use super::task::{Waiting, answer};

/// Rows that one step may release, and may retire: K of the design.
pub(crate) const STEP_ROWS_MAX: i64 = zaqar_core::limits::ROWS_PER_STEP_MAX as i64;

/// What a taker does with what it takes, and who waits for it.
pub(crate) enum Taker {
    /// A claim.
    Claim(CreateClaim, oneshot::Sender<Result<Claimed>>),
    /// A pop.
    Pop(oneshot::Sender<Result<Vec<Message>>>),
}

/// A claim or a pop.
pub(crate) struct Take {
    pub(crate) queue: QueueRef,
    pub(crate) limit: PageLimit,
    pub(crate) taker: Taker,
    pub(crate) outcome: Outcome,
}

/// What became of a take.
#[derive(Default)]
pub(crate) enum Outcome {
    /// Nothing yet: the step met only what was due; the next one goes on.
    #[default]
    Unfinished,
    /// It took these and parked so many.
    Took(Vec<Message>, u32),
    /// It was refused.
    Refused(Error),
}

impl Take {
    pub(crate) fn is_abandoned(&self) -> bool {
        match &self.taker {
            Taker::Claim(_, reply) => reply.is_closed(),
            Taker::Pop(reply) => reply.is_closed(),
        }
    }

    fn operation(&self) -> &'static str {
        match self.taker {
            Taker::Claim(..) => "claim_create",
            Taker::Pop(_) => "message_pop",
        }
    }

    /// Answers; gives back what nobody waits for any more, and goes on with what is unfinished.
    pub(crate) fn settle(mut self, intake: &Intake) {
        match std::mem::take(&mut self.outcome) {
            Outcome::Unfinished => {
                let lane = Some(self.queue.key.project.clone());
                intake.push_back(lane, Operation::Take(Box::new(self)));
            }
            Outcome::Refused(error) => self.answer_error(error),
            Outcome::Took(messages, parked) => match self.taker {
                Taker::Claim(claim, reply) => {
                    let kept = !messages.is_empty();
                    let unheard = reply.send(Ok(Claimed { messages, parked })).is_err();
                    if unheard && kept {
                        release(intake, self.queue, claim.id);
                    }
                }
                // At most once, by contract (G14).
                Taker::Pop(reply) => answer(reply, Ok(messages)),
            },
        }
    }

    pub(crate) fn fail(self, effect: Effect, error: &Arc<sqlx::Error>) {
        let operation = self.operation();
        self.answer_error(engine_error(operation, effect, error));
    }

    pub(crate) fn refuse(self, make: &dyn Fn(&'static str) -> Error) {
        let operation = self.operation();
        self.answer_error(make(operation));
    }

    fn answer_error(self, error: Error) {
        match self.taker {
            Taker::Claim(_, reply) => answer(reply, Err(error)),
            Taker::Pop(reply) => answer(reply, Err(error)),
        }
    }
}

/// Releases a claim whose caller left before the answer could be handed over.
fn release(intake: &Intake, queue: QueueRef, id: ClaimId) {
    let (reply, answer) = oneshot::channel();
    let task = super::claims::DeleteClaim { queue, id };
    intake.push(None, Operation::Task(Box::new(Waiting::new(task, reply))));
    // A failure is harmless: the lease ends by itself. The receiver must live until then.
    tokio::spawn(async move {
        if let Ok(Err(error)) = answer.await {
            tracing::debug!(%error, "an abandoned claim is left to run out");
        }
    });
}

/// Executes all claims and pops of a batch, queue by queue.
pub(crate) async fn execute(step: &mut Step<'_>, takes: &mut [Take]) -> Result<(), sqlx::Error> {
    let mut served = vec![false; takes.len()];
    for first in 0..takes.len() {
        if served.get(first).copied().unwrap_or(true) {
            continue;
        }
        let mut group = Vec::new();
        let queue = takes.get(first).map(|take| take.queue.clone());
        for (take, served) in takes.iter_mut().zip(&mut served) {
            if Some(&take.queue) == queue.as_ref() {
                *served = true;
                group.push(take);
            }
        }
        if let Some(queue) = queue {
            execute_queue(step, &queue, group).await?;
        }
    }
    Ok(())
}

async fn execute_queue(
    step: &mut Step<'_>,
    queue: &QueueRef,
    takes: Vec<&mut Take>,
) -> Result<(), sqlx::Error> {
    let head = match step.head(queue).await {
        Ok(head) => head,
        Err(Failure::Engine(error)) => return Err(error),
        Err(Failure::Refused(error)) => {
            // Each caller gets a refusal of its own; the first one's is as good for all.
            let mut first = Some(error);
            for take in takes {
                let error = first.take().unwrap_or_else(|| super::heads::gone(queue));
                take.outcome = Outcome::Refused(error);
            }
            return Ok(());
        }
    };
    let mut dealer = Dealer {
        queue,
        head,
        found: VecDeque::new(),
        end: false,
        after: 0,
        claims: Claims::default(),
    };
    let wanted: usize = takes.iter().map(|take| take.limit.as_usize()).sum();
    let repeats = dealer.start(step, &takes, wanted).await?;
    let mut popped = Vec::new();
    for take in takes {
        if let Taker::Claim(claim, _) = &take.taker
            && repeats.contains(&claim.id)
        {
            let messages = super::claims::held(step, queue, &head, claim.id).await?;
            take.outcome = Outcome::Took(messages, 0);
            continue;
        }
        dealer.deal(step, take, &mut popped).await?;
    }
    dealer.claims.write(step);
    super::removals::delete_rows(step, &popped);
    Ok(())
}

/// Deals the claimable messages of one queue out to its takers.
struct Dealer<'q> {
    queue: &'q QueueRef,
    head: Head,
    found: VecDeque<Found>,
    /// Whether the walk reached the end of the claimable index.
    end: bool,
    /// The last row that the walk examined.
    after: i64,
    /// What is to be written.
    claims: Claims,
}

/// All claimable messages in one row (see [`super::packed`]).
const SELECT_CLAIMABLE: &str = concat!(
    "SELECT group_concat(",
    packed_columns!(),
    // The window bounds the walk over expired messages that are still to be retired. The joins keep
    // the window's order: they are loops, outermost first.
    ", char(30)) FROM (SELECT m.*, b.body, b.checksum \
       FROM (SELECT id FROM messages INDEXED BY claimable \
             WHERE queue = ? AND avail = 0 AND id > ? ORDER BY id LIMIT ?) AS w \
       CROSS JOIN messages AS m ON m.id = w.id \
       CROSS JOIN bodies AS b ON b.id = m.id \
       WHERE m.expires > ? LIMIT ?)"
);

/// Releases what has matured.
pub(crate) const RELEASE: &str = "UPDATE messages SET avail = 0, claim = NULL WHERE id IN \
     (SELECT id FROM messages INDEXED BY maturing \
      WHERE queue = ? AND avail > 0 AND avail <= ? ORDER BY avail LIMIT ?)";

/// Retires what has expired.
pub(crate) const RETIRE: &str = "UPDATE messages SET avail = -1, claim = NULL, expires = -expires WHERE id IN \
     (SELECT id FROM messages INDEXED BY expiring \
      WHERE queue = ? AND expires > 0 AND expires <= ? ORDER BY expires LIMIT ?)";

impl Dealer<'_> {
    /// Releases, retires, and reads the first messages; returns the claims that exist already.
    async fn start(
        &mut self,
        step: &mut Step<'_>,
        takes: &[&mut Take],
        wanted: usize,
    ) -> Result<Vec<ClaimId>, sqlx::Error> {
        static TEXT: std::sync::OnceLock<Arc<str>> = std::sync::OnceLock::new();
        let text = TEXT.get_or_init(|| {
            Arc::from(format!(
                "{RELEASE};{RETIRE};\
                 SELECT (SELECT group_concat(lower(hex(id))) FROM claims \
                   WHERE queue = ? AND id IN (SELECT unhex(value) FROM json_each(?))), \
                   ({SELECT_CLAIMABLE})"
            ))
        });
        let now = step.now.as_millis();
        self.after = row_id(self.head.number, self.head.purged);
        let statement = super::step::assembled(text)
            .bind(self.head.number)
            .bind(now)
            .bind(STEP_ROWS_MAX)
            .bind(self.head.number)
            .bind(now)
            .bind(STEP_ROWS_MAX)
            .bind(self.head.number)
            .bind(claim_list(takes));
        let rows = step.rows(self.bind_window(statement, now, wanted)).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        self.keep(row.try_get(1)?, step)?;
        self.end = self.found.len() < wanted;
        let repeats = row.try_get::<Option<&str>, _>(0)?;
        let read = |id: &str| id.parse().map_err(|_| crate::error::damaged("claim id"));
        repeats.map_or(Ok(Vec::new()), |ids| ids.split(',').map(read).collect())
    }

    /// Reads on from where the walk stopped.
    async fn refill(&mut self, step: &mut Step<'_>, wanted: usize) -> Result<(), sqlx::Error> {
        let now = step.now.as_millis();
        let statement = self.bind_window(sqlx::query(SELECT_CLAIMABLE), now, wanted);
        let rows = step.rows(statement).await?;
        let before = self.found.len();
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        self.keep(row.try_get(0)?, step)?;
        self.end = self.found.len() - before < wanted;
        Ok(())
    }

    /// Whether more is due than one step may release or retire: then the next step goes on.
    async fn is_more_due(&self, step: &mut Step<'_>) -> Result<bool, sqlx::Error> {
        let (number, now) = (self.head.number, step.now.as_millis());
        let select = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM messages INDEXED BY maturing \
                 WHERE queue = ? AND avail > 0 AND avail <= ?) \
               OR EXISTS (SELECT 1 FROM messages INDEXED BY expiring \
                 WHERE queue = ? AND expires > 0 AND expires <= ?)",
        );
        let select = select.bind(number).bind(now).bind(number).bind(now);
        step.row(select).await?.ok_or(sqlx::Error::RowNotFound)?.try_get(0)
    }

    fn bind_window(
        &self,
        statement: super::step::Statement,
        now: i64,
        wanted: usize,
    ) -> super::step::Statement {
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        statement
            .bind(self.head.number)
            .bind(self.after)
            .bind(wanted.saturating_add(STEP_ROWS_MAX))
            .bind(now)
            .bind(wanted)
    }

    fn keep(&mut self, packed: Option<&str>, step: &Step<'_>) -> Result<(), sqlx::Error> {
        let Some(packed) = packed else { return Ok(()) };
        for found in packed::read(packed, self.queue.incarnation, step.now) {
            let found = found?;
            self.after = self.after.max(found.row);
            self.found.push_back(found);
        }
        Ok(())
    }

    /// Serves one taker.
    async fn deal(
        &mut self,
        step: &mut Step<'_>,
        take: &mut Take,
        popped: &mut Vec<i64>,
    ) -> Result<(), sqlx::Error> {
        let claims_max = match &take.taker {
            Taker::Claim(claim, _) => claim.redrive.as_ref().map(|redrive| redrive.claims_max),
            Taker::Pop(_) => None,
        };
        let wanted = take.limit.as_usize();
        let (mut taken, mut parked) = (Vec::new(), Vec::new());
        while taken.len() < wanted {
            let Some(found) = self.found.pop_front() else {
                // Parked messages left a gap: fill it, but touch no more than K rows in a step.
                if self.end || parked.len() >= zaqar_core::limits::ROWS_PER_STEP_MAX as usize {
                    break;
                }
                self.refill(step, wanted - taken.len()).await?;
                continue;
            };
            if claims_max.is_some_and(|max| found.message.claim_count >= max) {
                parked.push(found.row);
            } else {
                taken.push(found);
            }
        }
        if taken.is_empty() && parked.is_empty() && self.is_more_due(step).await? {
            take.outcome = Outcome::Unfinished;
            return Ok(());
        }
        let count = u32::try_from(parked.len()).unwrap_or(u32::MAX);
        let messages = match &take.taker {
            Taker::Claim(claim, _) => {
                park(step, &self.head, claim, &parked);
                write_claim(step, &mut self.claims, &self.head, claim, taken)
            }
            Taker::Pop(_) => {
                popped.extend(taken.iter().map(|found| found.row));
                taken.into_iter().map(|found| found.message).collect()
            }
        };
        take.outcome = Outcome::Took(messages, count);
        Ok(())
    }
}

/// The ids of the claims among the takers, as a JSON array of hexadecimal texts.
fn claim_list(takes: &[&mut Take]) -> String {
    let ids: Vec<String> = takes
        .iter()
        .filter_map(|take| match &take.taker {
            Taker::Claim(claim, _) => Some(format!("\"{}\"", claim.id)),
            Taker::Pop(_) => None,
        })
        .collect();
    format!("[{}]", ids.join(","))
}

/// Writes all claims of a batch: `[number, id, ttl, started, ends, messages]` each.
const INSERT_CLAIMS: &str = "INSERT INTO claims (queue, id, ttl, started, ends, messages) \
     SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5 \
     FROM json_each(?)";

/// Hands all messages of those claims over: `[row, ends, claim]` each.
const HOLD: &str = "UPDATE messages \
     SET avail = j.value ->> 1, claim = unhex(j.value ->> 2), claims = claims + 1 \
     FROM json_each(?) AS j WHERE messages.id = j.value ->> 0";

/// The claims of a batch, gathered to be written together: each statement wakes the writer once.
#[derive(Default)]
struct Claims {
    made: Vec<String>,
    held: Vec<String>,
}

impl Claims {
    fn write(self, step: &mut Step<'_>) {
        if self.made.is_empty() {
            return;
        }
        step.defer(Script::of(INSERT_CLAIMS).text(format!("[{}]", self.made.join(","))));
        step.defer(Script::of(HOLD).text(format!("[{}]", self.held.join(","))));
    }
}

/// Extends the lives of messages that would end before their claim.
pub(crate) const EXTEND: &str =
    "UPDATE messages SET ttl = ?, expires = ? WHERE id IN (SELECT value FROM json_each(?))";

fn write_claim(
    step: &mut Step<'_>,
    claims: &mut Claims,
    head: &Head,
    claim: &CreateClaim,
    taken: Vec<Found>,
) -> Vec<Message> {
    if taken.is_empty() {
        return Vec::new();
    }
    let ends_at = step.now.after(claim.ttl);
    let ends = ends_at.as_millis();
    let (id, number) = (claim.id, head.number);
    let (ttl, started) = (ttl_code(claim.ttl), step.now.as_millis());
    let list = id_list(taken.iter().map(|found| found.row));
    claims.made.push(format!("[{number},\"{id}\",{ttl},{started},{ends},\"{list}\"]"));
    let held = taken.iter().map(|found| format!("[{},{ends},\"{id}\"]", found.row));
    claims.held.extend(held);
    let short_lived = |found: &&Found| found.expires < ends;
    let extended: Vec<i64> = taken.iter().filter(short_lived).map(|found| found.row).collect();
    let raised = claim.ttl.plus(claim.grace);
    if !extended.is_empty() {
        step.defer(
            Script::of(EXTEND)
                .integer(ttl_code(raised))
                .integer(ends_at.after(claim.grace).as_millis())
                .text(id_list(extended)),
        );
    }
    let hand_out = |found: Found| {
        let mut message = found.message;
        message.claim = Some(claim.id);
        message.claim_count = message.claim_count.saturating_add(1);
        if found.expires < ends {
            message.ttl = raised;
        }
        message
    };
    taken.into_iter().map(hand_out).collect()
}

/// Takes messages out of circulation and records that they are on their way (G10).
fn park(step: &mut Step<'_>, head: &Head, claim: &CreateClaim, rows: &[i64]) {
    let Some(redrive) = claim.redrive.as_ref().filter(|_| !rows.is_empty()) else { return };
    let list: Arc<str> = id_list(rows.iter().copied()).into();
    step.defer(
        Script::of(
            "INSERT INTO transfers (id, queue, target, ttl) \
             SELECT value, ?, ?, ? FROM json_each(?);\
             UPDATE messages SET avail = ?, claim = NULL, expires = ? \
             WHERE id IN (SELECT value FROM json_each(?))",
        )
        .integer(head.number)
        .text(redrive.target.as_str())
        .integer(ttl_code(redrive.ttl))
        .text(Arc::clone(&list))
        .integer(PARKED)
        .integer(zaqar_core::Timestamp::MAX.as_millis())
        .text(list),
    );
}
