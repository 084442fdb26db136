//! Parts of a queue that is moved: how they are read from a script's answer and told to a script.

use zaqar_core::{
    ClientId, Error, Incarnation, MessageMarker, MovePart, MovingHold, MovingMessage, QueueRef,
    Result, Timestamp, Ttl,
};

use crate::codec::{NUMBER_MAX, NewRecord, Record, Reply, State, moment};
use crate::posts::check_checksum;

/// Reads the frozen part as scripts show it.
pub(super) fn read_part(mut reply: Reply, queue: &QueueRef, now: Timestamp) -> Result<MovePart> {
    let (from, to) = (reply.number("part")?, reply.number("part")?);
    let mut messages = Vec::new();
    while !reply.is_empty() {
        messages.push(read_message(&mut reply, queue, now)?);
    }
    Ok(MovePart { from, to, messages })
}

fn read_message(reply: &mut Reply, queue: &QueueRef, now: Timestamp) -> Result<MovingMessage> {
    let what = "message";
    let position = reply.number(what)?;
    let (record, state) = (reply.bytes(what)?, reply.bytes(what)?);
    let held = reply.int(what)? != 0;
    let (ttl, since) = (reply.ttl(what)?, reply.moment(what)?);
    let read = || {
        let marker = MessageMarker::new(queue.incarnation, position).ok()?;
        let record = Record::read(&record)?;
        let state = State::read(&state)?;
        let hold = state.as_ref().filter(|_| held).and_then(|state| {
            let claim = state.claim?;
            Some(MovingHold { claim, ttl, since, ends_at: state.held_until() })
        });
        let client = record.client().map(ClientId::new).transpose().ok()?;
        // What was claimed once was not delayed any more.
        let delayed = state.is_none() && record.delayed_until() > now;
        Some(MovingMessage {
            id: record.id(marker)?,
            position,
            body: record.body(),
            ttl: state.as_ref().map_or_else(|| record.ttl(), State::ttl),
            posted_at: record.posted_at(),
            expires_at: state.as_ref().map_or_else(|| record.expires_at(), State::expires_at),
            delayed_until: delayed.then(|| record.delayed_until()),
            client,
            checksum: record.checksum(),
            claim_count: state.as_ref().map_or(0, |state| state.count),
            hold,
        })
    };
    read().ok_or_else(|| reply.damaged(what))
}

/// Refuses a part whose messages are not within it, one behind the other, or are more than is kept.
pub(super) fn check_part(part: &MovePart) -> Result<()> {
    let misfit = |position: u64| {
        let reason = format!("position {position} does not fit its part");
        Error::Invalid { field: "part", reason }
    };
    if part.to > NUMBER_MAX {
        return Err(misfit(part.to));
    }
    let mut next = part.from.max(1);
    for message in &part.messages {
        if message.position < next || message.position >= part.to {
            return Err(misfit(message.position));
        }
        check_checksum(message.checksum.as_ref())?;
        next = message.position.saturating_add(1);
    }
    Ok(())
}

/// A message is brought by these.
pub(super) fn push_message(
    command: &mut redis::Cmd,
    message: &MovingMessage,
    incarnation: Incarnation,
) {
    let (id, position) = (message.id, message.position);
    // A message that came from another queue, or from elsewhere in this one, keeps its id.
    let own = id.incarnation() == incarnation && id.sequence() == position;
    let origin = if own { String::new() } else { id.to_string() };
    let record = NewRecord {
        body: message.body.as_str(),
        ttl: message.ttl,
        delay: Ttl::ZERO,
        posted_at: message.posted_at,
        client: message.client.as_ref().map_or("", |client| client.as_str()),
        checksum: message.checksum.as_deref(),
        origin: &origin,
    };
    command.arg(position).arg(record.pack_until(message.expires_at, message.delayed_until));
    command.arg(&origin).arg(message.claim_count);
    match &message.hold {
        Some(MovingHold { claim, ttl, since, ends_at }) => {
            command.arg(claim.as_bytes()).arg(ttl.as_secs());
            command.arg(moment(*since)).arg(moment(*ends_at));
        }
        None => {
            command.arg("").arg(0).arg(0).arg(0);
        }
    }
}
