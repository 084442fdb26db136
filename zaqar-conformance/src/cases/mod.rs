//! The cases, one file for each subject.
//!
//! A file lists its cases in one slice through [`cases!`](crate::case::cases); the functions that
//! run them are private, so one that no slice names is dead code and the compiler says so. What
//! several files need is in `support`; `operations` calls everything once.

mod operations;
mod support;

mod available;
mod batch;
mod cancel;
mod cancel_control;
mod cancel_moves;
mod cancel_notify;
mod catalogue;
mod claim;
mod claim_life;
mod claim_race;
mod clock;
mod dead_letter;
mod dead_letter_origin;
mod delay;
mod delete;
mod delivery;
mod delivery_repeat;
mod expiry;
mod head;
mod idempotency;
mod incarnation;
mod isolation;
mod message;
mod move_source;
mod move_target;
mod move_whole;
mod moved;
mod outbox;
mod outbox_race;
mod paging;
mod pool;
mod pop;
mod purge;
mod queue;
mod queue_list;
mod refusal;
mod reopen;
mod stats_race;
mod subscription;

use crate::case::Case;

/// Every list of cases, each once.
pub(crate) fn groups() -> Vec<&'static [Case]> {
    vec![
        queue::CASES,
        queue_list::CASES,
        head::CASES,
        message::CASES,
        delete::CASES,
        batch::CASES,
        paging::CASES,
        expiry::CASES,
        clock::CASES,
        delay::CASES,
        claim::CASES,
        claim_life::CASES,
        claim_race::CASES,
        pop::CASES,
        available::CASES,
        dead_letter::CASES,
        dead_letter_origin::CASES,
        moved::CASES,
        move_source::CASES,
        move_target::CASES,
        move_whole::CASES,
        isolation::CASES,
        incarnation::CASES,
        idempotency::CASES,
        purge::CASES,
        subscription::CASES,
        outbox::CASES,
        outbox_race::CASES,
        delivery::CASES,
        delivery_repeat::CASES,
        pool::CASES,
        catalogue::CASES,
        stats_race::CASES,
        reopen::CASES,
        cancel::CASES,
        cancel_control::CASES,
        cancel_notify::CASES,
        cancel_moves::CASES,
        refusal::CASES,
    ]
}
