//! Clocks that are apart: what a store may do a little early or late.

use super::synthetic::Synthetic;
use super::{clean, found_by};

/// A message that is deleted so many seconds before its end, and seen afterwards.
fn deleted_before_its_end(seconds: u64) -> Synthetic {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.advance(Synthetic::TTL_S - seconds);
    history.delete(&[1], None);
    history.last_look(&[1]);
    history
}

#[test]
fn a_delete_by_a_clock_that_is_ahead_may_have_found_the_message_expired() {
    let mut history = deleted_before_its_end(3);
    found_by(&history.judge(), "resurrected");
    history.clocks_apart(3);
    clean(&history.judge());
    let mut sooner = deleted_before_its_end(4);
    sooner.clocks_apart(3);
    found_by(&sooner.judge(), "resurrected");
}

#[test]
fn what_a_claim_prolonged_cannot_have_been_found_expired() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.advance(Synthetic::TTL_S - 3);
    history.take(9, &[1]);
    history.delete(&[1], Some(9));
    history.last_look(&[1]);
    history.clocks_apart(3);
    found_by(&history.judge(), "resurrected");
}
