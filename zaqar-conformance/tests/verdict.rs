//! The verdict on synthetic histories: each set is empty on a good history and finds the one thing
//! that is wrong with a bad one.

#[cfg(test)]
#[path = "verdict/history.rs"]
mod synthetic;

#[cfg(test)]
#[path = "verdict/counting.rs"]
mod counting;
#[cfg(test)]
#[path = "verdict/delivering.rs"]
mod delivering;
#[cfg(test)]
#[path = "verdict/explaining.rs"]
mod explaining;
#[cfg(test)]
#[path = "verdict/keyed.rs"]
mod keyed;
#[cfg(test)]
#[path = "verdict/shrinking.rs"]
mod shrinking;
#[cfg(test)]
#[path = "verdict/skewed.rs"]
mod skewed;
#[cfg(test)]
#[path = "verdict/trespassing.rs"]
mod trespassing;

use synthetic::{Synthetic, claim, id, tag};
use zaqar_conformance::loss::history::{Action, Answer, Outcome};
use zaqar_conformance::loss::verdict::{Conclusion, Verdict};

/// Asserts that `set` alone finds something.
#[track_caller]
fn found_by(verdict: &Verdict, set: &str) {
    let found: Vec<&str> =
        verdict.sets().iter().filter(|(_, f)| !f.is_empty()).map(|(name, _)| *name).collect();
    assert_eq!(found, [set], "{verdict}");
    assert_eq!(verdict.conclusion(), Conclusion::Broken);
}

#[track_caller]
fn clean(verdict: &Verdict) {
    assert_eq!(verdict.conclusion(), Conclusion::Clean, "{verdict}");
}

#[test]
fn a_history_without_fault_is_clean() {
    let mut history = Synthetic::new();
    history.post(&[1, 2, 3]);
    history.walk(&[1, 2, 3]);
    history.take(9, &[1, 2]);
    history.delete(&[1], Some(9));
    history.advance(31);
    history.take(10, &[2, 3]);
    history.delete(&[2, 3], Some(10));
    history.last_look(&[]);
    clean(&history.judge());
}

#[test]
fn an_acknowledged_message_that_is_absent_in_the_end_is_lost() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.post(&[2]);
    history.last_look(&[2]);
    found_by(&history.judge(), "lost");
}

#[test]
fn an_absent_message_is_not_lost_if_its_delete_has_no_answer() {
    let mut history = Synthetic::new();
    history.post(&[1, 2]);
    history.call(Action::Delete { ids: vec![id(1)], claims: None }, Outcome::Indeterminate);
    history.last_look(&[2]);
    clean(&history.judge());
}

#[test]
fn an_absent_message_is_lost_if_it_was_deleted_through_another_queue_alone() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.post(&[2]);
    history.in_generation(1, |other| other.delete(&[1], None));
    let mut sound = history.clone();
    sound.last_look(&[1, 2]);
    clean(&sound.judge());
    history.last_look(&[2]);
    found_by(&history.judge(), "lost");
}

#[test]
fn an_absent_message_is_lost_if_its_delete_was_refused() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.post(&[2]);
    history.call(Action::Delete { ids: vec![id(1)], claims: None }, Outcome::Failed);
    history.last_look(&[2]);
    found_by(&history.judge(), "lost");
}

#[test]
fn an_absent_message_is_not_lost_if_its_life_is_over() {
    let mut history = Synthetic::new();
    history.post(&[1, 2]);
    history.advance(Synthetic::TTL_S);
    history.last_look(&[]);
    let verdict = history.judge();
    assert!(verdict.lost.is_empty(), "{verdict}");
}

#[test]
fn a_pop_without_an_answer_explains_no_more_than_it_asked_for() {
    let mut history = Synthetic::new();
    history.post(&[1, 2, 3]);
    history.call(Action::Pop { limit: 2 }, Outcome::Indeterminate);
    let mut worse = history.clone();
    history.last_look(&[3]);
    clean(&history.judge());
    worse.last_look(&[]);
    worse.deliver_elsewhere();
    found_by(&worse.judge(), "lost");
}

#[test]
fn a_post_acknowledged_by_a_deleted_queue_is_lost() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    history.call(Action::DeleteQueue, Outcome::Ok(Answer::Done));
    clean(&history.judge());
    history.post(&[2]);
    found_by(&history.judge(), "lost");
}

#[test]
fn a_message_absent_before_its_time_and_back_later_is_early() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.post(&[2]);
    history.walk(&[2]);
    history.last_look(&[1, 2]);
    found_by(&history.judge(), "early");
}

#[test]
fn a_message_not_found_by_id_before_its_time_is_early() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.call(Action::Get { id: id(1) }, Outcome::Ok(Answer::Messages(Vec::new())));
    history.last_look(&[1]);
    found_by(&history.judge(), "early");
}

#[test]
fn a_message_returned_after_its_life_is_late() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.advance(Synthetic::TTL_S + 1);
    history.last_look(&[1]);
    found_by(&history.judge(), "late");
}

#[test]
fn a_claim_prolongs_a_life_and_what_it_prolonged_is_not_late() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.advance(Synthetic::TTL_S - 1);
    history.take(9, &[1]);
    history.advance(20);
    history.last_look(&[1]);
    clean(&history.judge());
}

#[test]
fn a_claim_that_was_over_before_its_answer_may_have_prolonged_what_that_does_not_show() {
    let lease_s = Synthetic::LEASE_S;
    for (answered_after_s, seen_after_s, is_late) in
        [(lease_s - 1, 0, true), (lease_s, 0, false), (lease_s, lease_s + 1, true)]
    {
        let mut history = Synthetic::new();
        history.post(&[1]);
        history.advance(Synthetic::TTL_S - 1);
        history.at_once(|meanwhile| {
            meanwhile.take(9, &[]);
            meanwhile.advance(answered_after_s);
        });
        history.advance(seen_after_s);
        history.last_look(&[1]);
        if is_late {
            found_by(&history.judge(), "late");
        } else {
            clean(&history.judge());
        }
    }
}

#[test]
fn a_message_that_nobody_posted_is_unexpected() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.last_look(&[1, 7]);
    found_by(&history.judge(), "unexpected");
}

#[test]
fn a_message_of_a_refused_post_is_unexpected() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.call(Synthetic::posting(&[2]), Outcome::Failed);
    history.last_look(&[1, 2]);
    found_by(&history.judge(), "unexpected");
}

#[test]
fn a_message_of_another_life_of_the_queue_is_unexpected() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.last_look(&[1]);
    history.in_generation(1, |next| {
        next.walk(&[1]);
    });
    found_by(&history.judge(), "unexpected");
}

#[test]
fn a_changed_body_is_corrupt() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.corrupted(1);
    history.last_look(&[1]);
    found_by(&history.judge(), "corrupt");
}

#[test]
fn a_message_in_two_live_claims_is_double_claimed() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    history.take(10, &[1]);
    history.last_look(&[1]);
    found_by(&history.judge(), "double-claimed");
}

#[test]
fn two_claims_that_overlapped_may_not_share_a_message_either() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.at_once(|both| {
        both.take(9, &[1]);
        both.take(10, &[1]);
    });
    history.last_look(&[1]);
    found_by(&history.judge(), "double-claimed");
}

#[test]
fn a_claim_may_take_what_another_released_renewed_or_let_lapse() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    history.call(Action::Release { claim: claim(9) }, Outcome::Indeterminate);
    history.take(10, &[1]);
    history.renew(10);
    history.advance(Synthetic::LEASE_S);
    history.take(11, &[1]);
    history.last_look(&[1]);
    clean(&history.judge());
}

#[test]
fn a_renewed_claim_still_holds_its_messages() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    history.advance(Synthetic::LEASE_S - 1);
    history.renew(9);
    history.advance(Synthetic::LEASE_S - 1);
    history.take(10, &[1]);
    history.last_look(&[1]);
    found_by(&history.judge(), "double-claimed");
}

#[test]
fn a_claimed_message_shown_as_free_is_double_claimed() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    history.list_free(&[1]);
    history.last_look(&[1]);
    found_by(&history.judge(), "double-claimed");
}

#[test]
fn a_message_popped_twice_is_double_claimed() {
    let mut history = Synthetic::new();
    history.post(&[1, 2]);
    history.at_once(|both| {
        both.pop(&[1]);
        both.pop(&[1]);
    });
    history.last_look(&[2]);
    found_by(&history.judge(), "double-claimed");
}

#[test]
fn a_message_seen_after_its_delete_is_resurrected() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    history.delete(&[1], Some(9));
    history.last_look(&[1]);
    found_by(&history.judge(), "resurrected");
}

#[test]
fn a_message_seen_while_it_is_deleted_is_not_resurrected() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.at_once(|both| {
        both.delete(&[1], None);
        both.list_free(&[1]);
    });
    history.last_look(&[]);
    clean(&history.judge());
}

#[test]
fn a_message_that_a_following_reader_never_met_is_stepped_over() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    let walk = history.begin_walk();
    history.page(walk, true, &[1]);
    history.post(&[2]);
    history.post(&[3]);
    let mut worse = history.clone();
    history.page(walk, false, &[2, 3]);
    history.page(walk, false, &[]);
    history.last_look(&[1, 2, 3]);
    clean(&history.judge());
    worse.page(walk, false, &[3]);
    worse.page(walk, false, &[]);
    worse.last_look(&[1, 2, 3]);
    found_by(&worse.judge(), "stepped-over");
}

#[test]
fn a_message_met_twice_by_one_reader_is_repeated() {
    let mut history = Synthetic::new();
    history.post(&[1, 2]);
    let walk = history.begin_walk();
    history.page(walk, true, &[1, 2]);
    history.page(walk, false, &[2]);
    history.page(walk, false, &[]);
    history.last_look(&[1, 2]);
    found_by(&history.judge(), "repeated");
}

#[test]
fn a_producers_messages_out_of_order_are_misordered_if_order_is_promised() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.post(&[2]);
    history.last_look(&[2, 1]);
    found_by(&history.judge(), "misordered");
    history.without_order();
    clean(&history.judge());
}

#[test]
fn a_batch_of_which_a_walk_shows_a_part_is_torn() {
    let mut history = Synthetic::new();
    history.at_once(|both| {
        both.post(&[1, 2]);
        both.walk(&[1]);
    });
    history.last_look(&[1, 2]);
    found_by(&history.judge(), "batch-torn");
}

#[test]
fn a_batch_that_was_stored_in_part_is_torn() {
    let mut history = Synthetic::new();
    history.post(&[5]);
    history.call(Synthetic::posting(&[1, 2]), Outcome::Indeterminate);
    let mut whole = history.clone();
    history.last_look(&[5, 1]);
    found_by(&history.judge(), "batch-torn");
    whole.last_look(&[5, 1, 2]);
    let verdict = whole.judge();
    clean(&verdict);
    assert_eq!(verdict.recovered, 2);
}

#[test]
fn a_post_that_answers_too_few_ids_is_torn() {
    let mut history = Synthetic::new();
    history.call(Synthetic::posting(&[1, 2]), Outcome::Ok(Answer::Posted(vec![id(1)])));
    history.last_look(&[1, 2]);
    found_by(&history.judge(), "batch-torn");
}

#[test]
fn a_message_with_two_ids_is_duplicated() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.last_look_as(&[(1, tag(1)), (50, tag(1))]);
    found_by(&history.judge(), "duplicated");
}

#[test]
fn a_delete_under_an_ended_claim_is_unfenced() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    let mut in_time = history.clone();
    history.advance(Synthetic::LEASE_S);
    history.delete(&[1], Some(9));
    history.last_look(&[]);
    found_by(&history.judge(), "unfenced");
    in_time.advance(Synthetic::LEASE_S - 1);
    in_time.delete(&[1], Some(9));
    in_time.last_look(&[]);
    clean(&in_time.judge());
}

#[test]
fn a_renewal_of_a_released_claim_is_unfenced() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(9, &[1]);
    history.call(Action::Release { claim: claim(9) }, Outcome::Ok(Answer::Done));
    history.renew(9);
    history.last_look(&[1]);
    found_by(&history.judge(), "unfenced");
}

#[test]
fn a_message_that_a_drain_leaves_is_stuck() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.last_look(&[1]);
    clean(&history.judge());
    history.drained();
    found_by(&history.judge(), "stuck");
}

#[test]
fn nothing_acknowledged_nothing_delivered_or_nobody_looking_is_inconclusive() {
    let inconclusive = |history: &Synthetic| {
        let verdict = history.judge();
        assert!(matches!(verdict.conclusion(), Conclusion::Inconclusive(_)), "{verdict}");
    };
    inconclusive(&Synthetic::new());
    let mut unread = Synthetic::new();
    unread.post(&[1]);
    inconclusive(&unread);
    let mut unlisted = Synthetic::new();
    unlisted.post(&[1]);
    unlisted.take(9, &[1]);
    inconclusive(&unlisted);
    let mut unposted = Synthetic::new();
    unposted.call(Synthetic::posting(&[1]), Outcome::Indeterminate);
    unposted.last_look(&[1]);
    inconclusive(&unposted);
}
