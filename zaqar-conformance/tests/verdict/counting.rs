//! What becomes of messages adds up, among themselves and with what a driver counts.

use zaqar_conformance::Guarantee;
use zaqar_conformance::loss::history::{Action, Outcome};
use zaqar_conformance::loss::shrink::shrink;
use zaqar_conformance::loss::verdict::{Fates, Losses, judge};

use super::synthetic::{Synthetic, id};
use super::{clean, found_by};

/// Three messages posted, one of them deleted, a while ago.
fn two_left() -> Synthetic {
    let mut history = Synthetic::new();
    history.post(&[1, 2, 3]);
    history.delete(&[1], None);
    history.advance(2);
    history
}

#[test]
fn a_count_of_what_is_there_is_right_however_it_is_divided() {
    for (claimed, free) in [(0, 2), (2, 0), (1, 1)] {
        let mut history = two_left();
        history.count(claimed, free);
        history.last_look(&[2, 3]);
        clean(&history.judge());
    }
}

#[test]
fn a_count_of_more_or_less_than_there_is_is_miscounted() {
    for (free, broken) in [(3, Guarantee::G4), (1, Guarantee::G1)] {
        let mut history = two_left();
        history.count(0, free);
        history.last_look(&[2, 3]);
        let verdict = history.judge();
        found_by(&verdict, "miscounted");
        let finding = verdict.miscounted.first().expect("it was found");
        assert_eq!(finding.guarantee, broken);
        let shortest = shrink(history.history(), finding);
        assert_eq!(judge(&shortest).miscounted, verdict.miscounted);
    }
}

#[test]
fn a_count_may_be_as_old_as_a_second() {
    for counted in 2..=4 {
        let mut history = two_left();
        history.post(&[4]);
        history.delete(&[4], None);
        history.post(&[5]);
        history.count(0, counted);
        history.last_look(&[2, 3, 5]);
        clean(&history.judge());
    }
}

#[test]
fn a_count_may_miss_what_calls_without_an_answer_may_have_taken_or_brought() {
    for counted in 1..=4 {
        let mut history = two_left();
        history.call(Synthetic::posting(&[4, 5]), Outcome::Indeterminate);
        history.call(Action::Pop { limit: 1 }, Outcome::Indeterminate);
        history.advance(2);
        history.count(0, counted);
        history.last_look(&[2, 3]);
        clean(&history.judge());
    }
}

#[test]
fn every_acknowledged_message_has_one_fate() {
    let mut history = Synthetic::new();
    history.post(&[1, 2, 3, 4, 5]);
    history.delete(&[1, 2], None);
    history.pop(&[3]);
    history.call(Action::Delete { ids: vec![id(4)], claims: None }, Outcome::Indeterminate);
    history.last_look(&[5]);
    let verdict = history.judge();
    clean(&verdict);
    let fates = Fates { left: 1, deleted: 2, popped: 1, in_doubt: 1, ..Fates::default() };
    assert_eq!(verdict.fates, fates);
}

#[test]
fn losses_are_told_by_their_place_among_a_producers_posts() {
    for (left, losses) in [
        (vec![3, 4, 5], Losses { first: 2, between: 0, last: 0 }),
        (vec![1, 3, 5], Losses { first: 0, between: 2, last: 0 }),
        (vec![1, 2, 3], Losses { first: 0, between: 0, last: 2 }),
        (vec![2, 4], Losses { first: 1, between: 1, last: 1 }),
        (vec![], Losses { first: 5, between: 0, last: 0 }),
    ] {
        let mut history = Synthetic::new();
        for number in 1..=5 {
            history.post(&[number]);
        }
        history.last_look(&left);
        let verdict = history.judge();
        assert_eq!(verdict.losses.get(&0), Some(&losses), "{left:?}");
        assert!(verdict.to_string().contains("producer 0 lost its first"), "{verdict}");
    }
}
