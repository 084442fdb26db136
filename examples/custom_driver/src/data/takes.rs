//! Taking messages away: deletes and pops.

use std::collections::BTreeSet;

use zaqar_core::{ClaimId, Error, Message, MessageId, PageLimit, QueueRef, Result, Timestamp};

use crate::head::Head;
use crate::message::Stored;
use crate::record::{Change, Record};
use crate::store::Decision;

/// The ids in their order, each once.
pub(super) fn distinct(ids: &[MessageId]) -> impl Iterator<Item = MessageId> {
    let mut seen = BTreeSet::new();
    ids.iter().copied().filter(move |id| seen.insert(*id))
}

/// Messages at these positions go.
pub(super) fn removal(positions: Vec<u64>, queue: &QueueRef) -> Decision<()> {
    if positions.is_empty() {
        return Ok((Vec::new(), ()));
    }
    Ok((vec![Record::Head(queue.incarnation, Change::Removed(positions))], ()))
}

/// The position of one message to delete, if it is there: the claim is tested in the step that
/// removes it (G6).
pub(super) fn one(
    head: &Head,
    id: MessageId,
    claim: Option<ClaimId>,
    now: Timestamp,
) -> Result<Vec<u64>> {
    let Some((position, message)) = head.find(id, now) else { return Ok(Vec::new()) };
    match (claim, message.held_by(now)) {
        (None, None) => {}
        (None, Some(_)) => return Err(Error::MessageClaimed { id }),
        (Some(claim), _) => check_held(message, id, &[claim], now)?,
    }
    Ok(vec![position])
}

/// The positions of messages to delete: every one is looked at before any goes (G2).
pub(super) fn many(
    head: &Head,
    ids: &[MessageId],
    claims: Option<&[ClaimId]>,
    now: Timestamp,
) -> Result<Vec<u64>> {
    let mut positions = Vec::new();
    for id in distinct(ids) {
        let Some((position, message)) = head.find(id, now) else { continue };
        if let Some(claims) = claims {
            check_held(message, id, claims, now)?;
        }
        positions.push(position);
    }
    Ok(positions)
}

/// Whether one of `claims` holds the message, in the words of a refusal.
fn check_held(message: &Stored, id: MessageId, claims: &[ClaimId], now: Timestamp) -> Result<()> {
    match (message.held_by(now), claims.first()) {
        (None, _) | (_, None) => Err(Error::MessageNotClaimed { id }),
        (Some(hold), _) if claims.contains(&hold.claim) => Ok(()),
        (Some(_), Some(claim)) => Err(Error::MessageNotClaimedBy { id, claim: *claim }),
    }
}

/// Removed and returned in one record: nobody else gets them (G14).
pub(super) fn pop(
    head: &Head,
    queue: &QueueRef,
    limit: PageLimit,
    now: Timestamp,
) -> Decision<Vec<Message>> {
    let claimable = head.live(now).filter(|(_, message)| message.is_claimable(now));
    let popped: Result<Vec<Message>> = claimable
        .take(limit.as_usize())
        .map(|(at, message)| message.show(head.incarnation, at, now))
        .collect();
    let popped = popped?;
    let positions = popped.iter().map(|message| message.marker.sequence()).collect();
    let (records, ()) = removal(positions, queue)?;
    Ok((records, popped))
}
