//! Claims that are named to a queue which they are none of.

use zaqar_conformance::loss::history::{Action, Answer, Outcome};

use super::synthetic::{Synthetic, claim};
use super::{clean, found_by};

/// A claim on a message.
fn taken() -> Synthetic {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    history
}

fn release() -> Action {
    Action::Release { claim: claim(9) }
}

#[test]
fn what_another_queue_answers_changes_nothing() {
    let mut history = taken();
    history.in_generation(1, |other| {
        other.call(release(), Outcome::Ok(Answer::Done));
        other.delete(&[1], Some(9));
    });
    history.delete(&[1], Some(9));
    history.last_look(&[]);
    clean(&history.judge());
}

#[test]
fn a_message_freed_by_a_release_through_another_queue_is_double_claimed() {
    let mut history = taken();
    history.in_generation(1, |other| other.call(release(), Outcome::Ok(Answer::Done)));
    history.take(10, &[1]);
    history.last_look(&[1]);
    found_by(&history.judge(), "double-claimed");
}

#[test]
fn a_message_removed_through_another_queue_under_its_own_claim_is_lost() {
    let mut history = taken();
    history.in_generation(1, |other| other.delete(&[1], Some(9)));
    history.last_look(&[]);
    found_by(&history.judge(), "lost");
}

#[test]
fn a_renewal_through_another_queue_is_unfenced() {
    let mut history = taken();
    history.in_generation(1, |other| other.renew(9));
    history.last_look(&[1]);
    found_by(&history.judge(), "unfenced");
}
