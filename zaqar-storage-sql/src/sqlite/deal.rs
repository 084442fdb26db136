//! How claims and pops are served: all takers of one queue in a batch share one walk of its
//! claimable index.
//!
//! Per queue and batch: look at the first claimable messages and at whether anything is due; if so,
//! release what has matured, retire what has expired (up to K each) and look again; deal the
//! messages out in order; write. So a claim costs O(limit), and a message claimed, delayed or
//! expired ahead is met once, not by every claim.

use std::collections::VecDeque;

use rusqlite::params;
use zaqar_core::{Body, ClaimId, Incarnation, Message, MessageMarker, QueueRef, Timestamp, limits};

use crate::error::damaged;
use crate::layout::{STEP_ROWS_MAX, count_of, message_id, row_id, ttl_of};

use super::engine::{native, text};
use super::gone::{self, Gone};
use super::heads::Head;
use super::leases;
use super::statement::query;
use super::step::Step;
use super::takes::{Outcome, Take, Taker};

/// Releases what has matured. Its last claim stays known: a dead letter tells it.
pub(crate) const RELEASE: &str = "UPDATE messages SET avail = 0 WHERE id IN \
     (SELECT id FROM messages INDEXED BY maturing \
      WHERE queue = ? AND avail > 0 AND avail <= ? ORDER BY avail LIMIT ?)";

/// Whether there is anything to release or to retire.
const DUE: &str = "SELECT EXISTS (SELECT 1 FROM messages INDEXED BY maturing \
       WHERE queue = ?1 AND avail > 0 AND avail <= ?2) \
     OR EXISTS (SELECT 1 FROM messages INDEXED BY expiring \
       WHERE queue = ?1 AND expires > 0 AND expires <= ?2)";

/// Whether a claim exists already.
const REPEATED: &str = "SELECT 1 FROM claims WHERE queue = ? AND id = ?";

/// The first claimable messages between two rows. The window bounds the walk over expired messages that
/// are still to be retired. The joins keep its order: they are loops, outermost first.
const CLAIMABLE: &str = "SELECT m.id, m.expires, m.ttl, m.posted, m.claims, m.origin, b.checksum, \
       b.body \
     FROM (SELECT id FROM messages INDEXED BY claimable \
           WHERE queue = ? AND avail = 0 AND id > ? AND id < ? ORDER BY id LIMIT ?) AS w \
     CROSS JOIN messages AS m ON m.id = w.id \
     CROSS JOIN bodies AS b ON b.id = m.id \
     WHERE m.expires > ? LIMIT ?";

/// A claimable message that was found.
pub(crate) struct Found {
    pub(crate) row: i64,
    pub(crate) expires: i64,
    pub(crate) message: Message,
}

/// Deals the claimable messages of one queue out to its takers.
pub(crate) struct Dealer {
    queue: QueueRef,
    head: Head,
    found: VecDeque<Found>,
    /// Whether the walk reached the end of the claimable index.
    end: bool,
    /// The last row that the walk examined.
    after: i64,
    /// Whether more is due than one step may release or retire: then the next step goes on.
    due: bool,
}

impl Dealer {
    pub(crate) fn new(queue: QueueRef, head: Head) -> Self {
        let after = row_id(head.number, head.purged);
        Self { queue, head, found: VecDeque::new(), end: false, after, due: false }
    }

    /// Serves all takers.
    pub(crate) async fn deal(
        mut self,
        step: &mut Step<'_>,
        takes: Vec<&mut Take>,
    ) -> Result<(), sqlx::Error> {
        if self.is_due(step)? {
            self.tidy(step).await?;
        }
        let wanted = takes.iter().map(|take| take.limit.as_usize()).sum();
        self.read_on(step, wanted)?;
        for take in takes {
            match &take.taker {
                Taker::Claim(claim, _) if self.is_repeated(step, claim.id)? => {
                    let id = claim.id;
                    let held = super::claims::held(step, &self.queue, &self.head, id).await?;
                    take.outcome = Outcome::Took(held, 0);
                }
                _ => self.serve(step, take).await?,
            }
        }
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
                if self.end || parked.len() >= limits::ROWS_PER_STEP_MAX as usize {
                    break;
                }
                self.read_on(step, wanted - taken.len())?;
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
                leases::park(step, &self.head, claim, &parked).await?;
                leases::write(step, &self.head, claim, &taken).await?;
                leases::hand_over(step, claim, taken)
            }
            Taker::Pop(_) => {
                let rows: Vec<i64> = taken.iter().map(|found| found.row).collect();
                super::removals::delete_rows(step, &rows)?;
                Gone::of(&rows).record(step)?;
                taken.into_iter().map(|found| found.message).collect()
            }
        };
        take.outcome = Outcome::Took(messages, count);
        Ok(())
    }

    fn is_due(&self, step: &Step<'_>) -> Result<bool, sqlx::Error> {
        let values = [self.head.number, step.now.as_millis()];
        step.prepare(DUE)?.query_row(values, |row| row.get(0)).map_err(native)
    }

    fn is_repeated(&self, step: &Step<'_>, id: ClaimId) -> Result<bool, sqlx::Error> {
        let values = params![self.head.number, id.as_bytes().as_slice()];
        step.prepare(REPEATED)?.exists(values).map_err(native)
    }

    /// Releases and retires what is due, a step of it.
    async fn tidy(&mut self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        let (number, now) = (self.head.number, step.now.as_millis());
        step.execute(query(RELEASE).bind(number).bind(now).bind(STEP_ROWS_MAX)).await?;
        gone::retire(step, number).await?;
        self.due = self.is_due(step)?;
        Ok(())
    }

    /// Reads on from where the walk stopped.
    fn read_on(&mut self, step: &Step<'_>, wanted: usize) -> Result<(), sqlx::Error> {
        let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        let mut select = step.prepare(CLAIMABLE)?;
        let values = [
            self.head.number,
            self.after,
            self.head.takeable_end(),
            limit.saturating_add(STEP_ROWS_MAX),
            step.now.as_millis(),
            limit,
        ];
        let mut rows = select.query(values).map_err(native)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(native)? {
            let found = found(row, self.queue.incarnation, step.now)?;
            count += 1;
            self.after = found.row;
            self.found.push_back(found);
        }
        self.end = count < wanted;
        Ok(())
    }
}

fn found(
    row: &rusqlite::Row<'_>,
    incarnation: Incarnation,
    now: Timestamp,
) -> Result<Found, sqlx::Error> {
    let integer = |column: usize| row.get::<_, i64>(column).map_err(native);
    let place = message_id(incarnation, integer(0)?).map_err(|_| damaged("message id"))?;
    let posted_at = Timestamp::from_millis(integer(3)?);
    let origin: Option<String> = row.get(5).map_err(native)?;
    let message = Message {
        id: match origin {
            Some(origin) => origin.parse().map_err(|_| damaged("message origin"))?,
            None => place,
        },
        marker: MessageMarker::from(place),
        body: Body::from_checked(text(row.get_ref(7).map_err(native)?)?),
        ttl: ttl_of(integer(2)?),
        age_s: now.seconds_since(posted_at),
        posted_at,
        claim: None,
        claim_count: count_of(integer(4)?),
        checksum: row.get(6).map_err(native)?,
    };
    Ok(Found { row: integer(0)?, expires: integer(1)?, message })
}
