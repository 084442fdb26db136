//! What claims write: the claims themselves, the messages they hold, and those they park.

use std::sync::Arc;

use zaqar_core::{CreateClaim, Message, Timestamp};

use super::heads::Head;
use super::packed::Found;
use super::posts::ttl_code;
use super::rows::{id_list, runs};
use super::script::Script;
use super::step::Step;
use super::tables::PARKED;

/// Writes all claims of a batch and hands their messages over, run by run (see the view in
/// `migrations/sqlite/0005_steps.sql`).
const LEASE: &str = "INSERT INTO leasing \
       (queue, claim, ttl, started, ends, messages, first, last) \
     SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
       value ->> 6, value ->> 7 \
     FROM json_each(?)";

/// Extends the lives of messages that would end before their claim.
pub(crate) const EXTEND: &str =
    "UPDATE messages SET ttl = ?, expires = ? WHERE id IN (SELECT value FROM json_each(?))";

/// The claims of a batch, gathered to be written together: each statement wakes the writer once.
#[derive(Default)]
pub(crate) struct Leases {
    /// For each run `[number, claim, ttl, started, ends, messages or null, first, last]`.
    runs: Vec<String>,
}

impl Leases {
    /// Gives these messages to the claim; they are as its caller is shown them.
    pub(crate) fn add(
        &mut self,
        step: &mut Step<'_>,
        head: &Head,
        claim: &CreateClaim,
        taken: Vec<Found>,
    ) -> Vec<Message> {
        let ends_at = step.now.after(claim.ttl);
        let ends = ends_at.as_millis();
        self.record(head, claim, step.now, ends, &taken);
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

    fn record(
        &mut self,
        head: &Head,
        claim: &CreateClaim,
        now: Timestamp,
        ends: i64,
        taken: &[Found],
    ) {
        let (id, number) = (claim.id, head.number);
        let (ttl, started) = (ttl_code(claim.ttl), now.as_millis());
        let mut list = format!("\"{}\"", id_list(taken.iter().map(|found| found.row)));
        for (first, last) in runs(taken.iter().map(|found| found.row)) {
            let run = format!("[{number},\"{id}\",{ttl},{started},{ends},{list},{first},{last}]");
            self.runs.push(run);
            "null".clone_into(&mut list);
        }
    }

    /// Writes them at the end of the step.
    pub(crate) fn write(self, step: &mut Step<'_>) {
        if !self.runs.is_empty() {
            step.defer(Script::of(LEASE).text(format!("[{}]", self.runs.join(","))));
        }
    }
}

/// Takes messages out of circulation and records that they are on their way (G10).
pub(crate) fn park(step: &mut Step<'_>, head: &Head, claim: &CreateClaim, rows: &[i64]) {
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
        .integer(Timestamp::MAX.as_millis())
        .text(list),
    );
}
