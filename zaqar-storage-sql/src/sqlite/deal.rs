//! How claims and pops are served: all takers of one queue in a batch share one walk of its
//! claimable index.
//!
//! Per queue and batch: look at the first claimable messages and at whether anything is due; if so,
//! release what has matured, retire what has expired (up to K each) and look again; deal the
//! messages out in order; write. So a claim costs O(limit), and a message claimed, delayed or
//! expired ahead is met once, not by every claim.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use zaqar_core::{ClaimId, Message, QueueRef};

use super::heads::Head;
use super::leases::Leases;
use super::packed::{self, Found, packed_columns};
use super::script::Script;
use super::step::{Statement, Step, assembled};
use super::tables::row_id;
use super::takes::{Outcome, Take, Taker};

/// Rows that one step may release, and may retire: K of the design.
pub(crate) const STEP_ROWS_MAX: i64 = zaqar_core::limits::ROWS_PER_STEP_MAX as i64;

/// Releases what has matured.
pub(crate) const RELEASE: &str = "UPDATE messages SET avail = 0, claim = NULL WHERE id IN \
     (SELECT id FROM messages INDEXED BY maturing \
      WHERE queue = ? AND avail > 0 AND avail <= ? ORDER BY avail LIMIT ?)";

/// Retires what has expired.
pub(crate) const RETIRE: &str = "UPDATE messages SET avail = -1, claim = NULL, expires = -expires WHERE id IN \
     (SELECT id FROM messages INDEXED BY expiring \
      WHERE queue = ? AND expires > 0 AND expires <= ? ORDER BY expires LIMIT ?)";

/// Whether there is anything to release or to retire.
const DUE: &str = "EXISTS (SELECT 1 FROM messages INDEXED BY maturing \
       WHERE queue = ? AND avail > 0 AND avail <= ?) \
     OR EXISTS (SELECT 1 FROM messages INDEXED BY expiring \
       WHERE queue = ? AND expires > 0 AND expires <= ?)";

/// Which of these claims exist already.
const REPEATS: &str = "(SELECT group_concat(lower(hex(c.id))) FROM json_each(?) AS j \
     CROSS JOIN claims AS c ON c.queue = ? AND c.id = unhex(j.value))";

/// All claimable messages in one value (see [`super::packed`]).
const CLAIMABLE: &str = concat!(
    "(SELECT group_concat(packed, char(30)) FROM (SELECT ",
    packed_columns!(),
    // The window bounds the walk over expired messages that are still to be retired. The joins keep
    // the window's order: they are loops, outermost first.
    " AS packed \
       FROM (SELECT id FROM messages INDEXED BY claimable \
             WHERE queue = ? AND avail = 0 AND id > ? ORDER BY id LIMIT ?) AS w \
       CROSS JOIN messages AS m ON m.id = w.id \
       CROSS JOIN bodies AS b ON b.id = m.id \
       WHERE m.expires > ? LIMIT ?))"
);

/// Deals the claimable messages of one queue out to its takers.
pub(crate) struct Dealer<'b> {
    queue: QueueRef,
    head: Head,
    takes: Vec<&'b mut Take>,
    found: VecDeque<Found>,
    /// Whether the walk reached the end of the claimable index.
    end: bool,
    /// The last row that the walk examined.
    after: i64,
    /// Whether more is due than one step may release or retire: then the next step goes on.
    due: bool,
    leases: Leases,
    popped: Vec<i64>,
}

impl<'b> Dealer<'b> {
    /// How many expressions a look has.
    pub(crate) const COLUMNS: usize = 3;

    pub(crate) fn new(queue: QueueRef, head: Head, takes: Vec<&'b mut Take>) -> Self {
        Self {
            queue,
            head,
            takes,
            found: VecDeque::new(),
            end: false,
            after: row_id(head.number, head.purged),
            due: false,
            leases: Leases::default(),
            popped: Vec::new(),
        }
    }

    /// The expressions that tell what the takers can get.
    pub(crate) fn look(&self, step: &Step<'_>) -> Script {
        let (number, now) = (self.head.number, step.now.as_millis());
        let wanted = i64::try_from(self.wanted()).unwrap_or(i64::MAX);
        static TEXT: OnceLock<String> = OnceLock::new();
        let text = TEXT.get_or_init(|| format!("{DUE}, {REPEATS}, {CLAIMABLE}"));
        Script::of(text)
            .integer(number)
            .integer(now)
            .integer(number)
            .integer(now)
            .text(self.claim_list())
            .integer(number)
            .integer(number)
            .integer(self.after)
            .integer(wanted.saturating_add(STEP_ROWS_MAX))
            .integer(now)
            .integer(wanted)
    }

    /// Serves all takers, given what the look found from this column of the row on. What a delete
    /// of the same batch has doomed is not dealt out; those ids are sorted.
    pub(crate) async fn deal(
        mut self,
        step: &mut Step<'_>,
        row: &SqliteRow,
        column: usize,
        doomed: &[i64],
    ) -> Result<(), sqlx::Error> {
        let repeats = claim_ids(row.try_get(column + 1)?)?;
        if row.try_get(column)? {
            self.tidy(step).await?;
        } else {
            let wanted = self.wanted();
            self.keep(row.try_get(column + 2)?, wanted, step, doomed)?;
        }
        for take in std::mem::take(&mut self.takes) {
            match &take.taker {
                Taker::Claim(claim, _) if repeats.contains(&claim.id) => {
                    let id = claim.id;
                    let held = super::claims::held(step, &self.queue, &self.head, id).await?;
                    take.outcome = Outcome::Took(held, 0);
                }
                _ => self.serve(step, take).await?,
            }
        }
        self.leases.write(step);
        super::removals::delete_rows(step, &self.popped);
        Ok(())
    }

    /// Serves one taker.
    async fn serve(&mut self, step: &mut Step<'_>, take: &mut Take) -> Result<(), sqlx::Error> {
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
        if taken.is_empty() && parked.is_empty() && self.due {
            take.outcome = Outcome::Unfinished;
            return Ok(());
        }
        let count = u32::try_from(parked.len()).unwrap_or(u32::MAX);
        let messages = match &take.taker {
            Taker::Claim(claim, _) => {
                super::leases::park(step, &self.head, claim, &parked);
                self.leases.add(step, &self.head, claim, taken)
            }
            Taker::Pop(_) => self.pop(taken),
        };
        take.outcome = Outcome::Took(messages, count);
        Ok(())
    }

    fn pop(&mut self, taken: Vec<Found>) -> Vec<Message> {
        self.popped.extend(taken.iter().map(|found| found.row));
        taken.into_iter().map(|found| found.message).collect()
    }

    /// Releases and retires what is due, and looks again.
    async fn tidy(&mut self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        static TEXT: OnceLock<Arc<str>> = OnceLock::new();
        let text =
            TEXT.get_or_init(|| Arc::from(format!("{RELEASE};{RETIRE};SELECT {DUE}, {CLAIMABLE}")));
        let (number, now) = (self.head.number, step.now.as_millis());
        let statement = assembled(text)
            .bind(number)
            .bind(now)
            .bind(STEP_ROWS_MAX)
            .bind(number)
            .bind(now)
            .bind(STEP_ROWS_MAX)
            .bind(number)
            .bind(now)
            .bind(number)
            .bind(now);
        let wanted = self.wanted();
        let row = self.window(step, statement, wanted).await?;
        self.due = row.try_get(0)?;
        self.keep(row.try_get(1)?, wanted, step, &[])
    }

    /// Reads on from where the walk stopped.
    async fn refill(&mut self, step: &mut Step<'_>, wanted: usize) -> Result<(), sqlx::Error> {
        static TEXT: OnceLock<Arc<str>> = OnceLock::new();
        let text = TEXT.get_or_init(|| Arc::from(format!("SELECT {CLAIMABLE}")));
        let row = self.window(step, assembled(text), wanted).await?;
        self.keep(row.try_get(0)?, wanted, step, &[])
    }

    /// Runs a statement that ends in [`CLAIMABLE`].
    async fn window(
        &self,
        step: &mut Step<'_>,
        statement: Statement,
        wanted: usize,
    ) -> Result<SqliteRow, sqlx::Error> {
        let (now, wanted) = (step.now.as_millis(), i64::try_from(wanted).unwrap_or(i64::MAX));
        let statement = statement
            .bind(self.head.number)
            .bind(self.after)
            .bind(wanted.saturating_add(STEP_ROWS_MAX))
            .bind(now)
            .bind(wanted);
        step.row(statement).await?.ok_or(sqlx::Error::RowNotFound)
    }

    fn keep(
        &mut self,
        packed: Option<&str>,
        wanted: usize,
        step: &Step<'_>,
        doomed: &[i64],
    ) -> Result<(), sqlx::Error> {
        let mut count = 0;
        if let Some(packed) = packed {
            for found in packed::read(packed, self.queue.incarnation, step.now) {
                let found = found?;
                count += 1;
                self.after = self.after.max(found.row);
                if doomed.binary_search(&found.row).is_err() {
                    self.found.push_back(found);
                }
            }
        }
        self.end = count < wanted;
        Ok(())
    }

    /// How many messages the takers want together.
    fn wanted(&self) -> usize {
        self.takes.iter().map(|take| take.limit.as_usize()).sum()
    }

    /// The ids of the claims among the takers, as a JSON array of hexadecimal texts.
    fn claim_list(&self) -> String {
        let ids: Vec<String> = self
            .takes
            .iter()
            .filter_map(|take| match &take.taker {
                Taker::Claim(claim, _) => Some(format!("\"{}\"", claim.id)),
                Taker::Pop(_) => None,
            })
            .collect();
        format!("[{}]", ids.join(","))
    }
}

fn claim_ids(list: Option<&str>) -> Result<Vec<ClaimId>, sqlx::Error> {
    let read = |id: &str| id.parse().map_err(|_| crate::error::damaged("claim id"));
    list.map_or(Ok(Vec::new()), |ids| ids.split(',').map(read).collect())
}
