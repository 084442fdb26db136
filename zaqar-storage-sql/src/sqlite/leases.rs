//! What claims write: the claims themselves, the messages they hold, and those they park.

use std::sync::Arc;

use rusqlite::params;
use zaqar_core::{CreateClaim, Message, Timestamp};

use crate::layout::ttl_code;

use super::deal::Found;
use super::engine::native;
use super::heads::Head;
use super::rows::{id_list, runs};
use super::statement::query;
use super::step::Step;
use super::tables::PARKED;

const INSERT_CLAIM: &str =
    "INSERT INTO claims (queue, id, ttl, started, ends, messages) VALUES (?, ?, ?, ?, ?, ?)";

/// Messages that a claim takes nearly always follow each other.
const HOLD_RUN: &str =
    "UPDATE messages SET avail = ?, claim = ?, claims = claims + 1 WHERE id BETWEEN ? AND ?";

/// Extends the lives of messages that would end before their claim.
pub(crate) const EXTEND: &str =
    "UPDATE messages SET ttl = ?, expires = ? WHERE id IN (SELECT value FROM json_each(?))";

/// Writes a claim and gives it these messages.
pub(crate) async fn write(
    step: &mut Step<'_>,
    head: &Head,
    claim: &CreateClaim,
    taken: &[Found],
) -> Result<(), sqlx::Error> {
    if taken.is_empty() {
        return Ok(());
    }
    let ends_at = step.now.after(claim.ttl);
    let ends = ends_at.as_millis();
    hold(step, head, claim, taken, ends)?;
    let short_lived = |found: &&Found| found.expires < ends;
    let extended: Vec<i64> = taken.iter().filter(short_lived).map(|found| found.row).collect();
    if !extended.is_empty() {
        let extend = query(EXTEND)
            .bind(ttl_code(claim.ttl.plus(claim.grace)))
            .bind(ends_at.after(claim.grace).as_millis())
            .bind(id_list(extended));
        step.execute(extend).await?;
    }
    Ok(())
}

fn hold(
    step: &Step<'_>,
    head: &Head,
    claim: &CreateClaim,
    taken: &[Found],
    ends: i64,
) -> Result<(), sqlx::Error> {
    let rows = || taken.iter().map(|found| found.row);
    let id = claim.id.as_bytes().as_slice();
    let (ttl, started) = (ttl_code(claim.ttl), step.now.as_millis());
    let values = params![head.number, id, ttl, started, ends, id_list(rows())];
    step.prepare(INSERT_CLAIM)?.execute(values).map_err(native)?;
    let mut hold_run = step.prepare(HOLD_RUN)?;
    for (first, last) in runs(rows()) {
        hold_run.execute(params![ends, id, first, last]).map_err(native)?;
    }
    Ok(())
}

/// The messages as the caller of their new claim is shown them.
pub(crate) fn hand_over(step: &Step<'_>, claim: &CreateClaim, taken: Vec<Found>) -> Vec<Message> {
    let ends = step.now.after(claim.ttl).as_millis();
    let hand_out = |found: Found| {
        let mut message = found.message;
        message.claim = Some(claim.id);
        message.claim_count = message.claim_count.saturating_add(1);
        if found.expires < ends {
            message.ttl = claim.ttl.plus(claim.grace);
        }
        message
    };
    taken.into_iter().map(hand_out).collect()
}

/// Takes messages out of circulation and records that they are on their way (G10).
pub(crate) async fn park(
    step: &mut Step<'_>,
    head: &Head,
    claim: &CreateClaim,
    rows: &[i64],
) -> Result<(), sqlx::Error> {
    let Some(redrive) = claim.redrive.as_ref().filter(|_| !rows.is_empty()) else { return Ok(()) };
    let list: Arc<str> = id_list(rows.iter().copied()).into();
    let park = query(
        "INSERT INTO transfers (id, queue, target, ttl) \
         SELECT value, ?, ?, ? FROM json_each(?);\
         UPDATE messages SET avail = ?, expires = ? \
         WHERE id IN (SELECT value FROM json_each(?))",
    )
    .bind(head.number)
    .bind(redrive.target.as_str())
    .bind(ttl_code(redrive.ttl))
    .bind(Arc::clone(&list))
    .bind(PARKED)
    .bind(Timestamp::MAX.as_millis())
    .bind(list);
    step.execute(park).await?;
    Ok(())
}
