//! What subscribers are owed, and what is handed out to be delivered to them.

use zaqar_conformance::loss::history::{Action, Answer, Outcome};
use zaqar_conformance::loss::shrink::shrink;
use zaqar_conformance::loss::verdict::judge;

use super::synthetic::{Synthetic, completing, id};
use super::{clean, found_by};

/// Two subscribers and three messages.
fn posted() -> Synthetic {
    let mut history = Synthetic::new();
    history.subscribe(1);
    history.subscribe(2);
    history.post(&[1, 2, 3]);
    history
}

fn served(history: &mut Synthetic) {
    for subscriber in [1, 2] {
        history.lease(subscriber, subscriber, &[1, 2, 3]);
        history.complete(subscriber, subscriber, &[1, 2, 3]);
    }
}

fn ended(history: &mut Synthetic) {
    history.last_lease();
    history.last_look(&[1, 2, 3]);
}

#[test]
fn subscribers_that_are_given_everything_once_are_served() {
    let mut history = posted();
    served(&mut history);
    ended(&mut history);
    let verdict = history.judge();
    clean(&verdict);
    assert_eq!(verdict.completed, 6);
}

#[test]
fn what_a_subscriber_is_never_given_is_undelivered() {
    let mut history = posted();
    history.lease(1, 1, &[1, 2, 3]);
    history.complete(1, 1, &[1, 2, 3]);
    history.lease(2, 2, &[1, 2, 3]);
    history.complete(2, 2, &[1, 3]);
    ended(&mut history);
    let verdict = history.judge();
    found_by(&verdict, "undelivered");
    let finding = verdict.undelivered.first().expect("it was found");
    let shortest = shrink(history.history(), finding);
    assert_eq!(judge(&shortest).undelivered, verdict.undelivered);
    assert!(shortest.calls.len() <= 3, "{:?}", shortest.calls);
}

#[test]
fn nothing_is_owed_before_a_subscription_nor_judged_before_the_last_look() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.subscribe(1);
    history.post(&[2]);
    history.last_look(&[1, 2]);
    clean(&history.judge());
    history.lease(1, 1, &[2]);
    history.complete(1, 1, &[2]);
    history.last_lease();
    clean(&history.judge());
}

#[test]
fn a_completion_without_an_answer_may_have_delivered() {
    let mut history = posted();
    history.lease(1, 1, &[1, 2, 3]);
    history.complete(1, 1, &[1, 2, 3]);
    history.lease(2, 2, &[1, 2, 3]);
    history.call(completing(2, 2, &[1, 2, 3]), Outcome::Indeterminate);
    ended(&mut history);
    clean(&history.judge());
    history.lease(3, 2, &[1, 2, 3]);
    clean(&history.judge());
}

#[test]
fn what_is_leased_before_its_post_or_without_one_is_premature() {
    let mut history = Synthetic::new();
    history.subscribe(1);
    history.lease(1, 1, &[1]);
    history.post(&[1]);
    history.last_look(&[1]);
    found_by(&history.judge(), "premature");

    let mut history = posted();
    history.lease(1, 1, &[9]);
    history.last_look(&[1, 2, 3]);
    found_by(&history.judge(), "premature");
    // Who knows what a post without an answer stored?
    history.call(Synthetic::posting(&[9]), Outcome::Indeterminate);
    clean(&history.judge());
}

#[test]
fn what_is_leased_and_cannot_be_read_is_premature() {
    let mut history = Synthetic::new();
    history.subscribe(1);
    history.at_once(|history| {
        history.post(&[1]);
    });
    history.lease(1, 1, &[1]);
    let absent = Outcome::Ok(Answer::Messages(Vec::new()));
    history.call(Action::Get { id: id(1) }, absent.clone());
    history.last_look(&[1]);
    let found = history.judge();
    assert!(!found.premature.is_empty(), "{found}");
    // What was deleted is delivered all the same.
    let mut history = Synthetic::new();
    history.subscribe(1);
    history.post(&[1, 2]);
    history.delete(&[1], None);
    history.lease(1, 1, &[1]);
    history.call(Action::Get { id: id(1) }, absent);
    history.last_look(&[2]);
    clean(&history.judge());
}

#[test]
fn what_was_delivered_or_is_being_delivered_is_not_leased_again() {
    let mut history = posted();
    served(&mut history);
    history.lease(3, 1, &[2]);
    history.last_look(&[1, 2, 3]);
    found_by(&history.judge(), "redelivered");

    let mut history = posted();
    history.lease(1, 1, &[1, 2, 3]);
    history.lease(2, 1, &[1]);
    history.last_look(&[1, 2, 3]);
    found_by(&history.judge(), "redelivered");
}

#[test]
fn a_lease_that_ended_or_was_given_up_is_no_hindrance() {
    let mut history = posted();
    history.lease(1, 1, &[1, 2, 3]);
    history.advance(Synthetic::LEASE_S);
    history.lease(2, 1, &[1, 2, 3]);
    history.complete(2, 1, &[1]);
    history.lease(3, 1, &[2, 3]);
    history.last_look(&[1, 2, 3]);
    clean(&history.judge());
}
