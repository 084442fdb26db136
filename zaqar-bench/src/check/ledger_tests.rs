//! Planted faults: each must be named, and nothing else.

use super::*;

const QUEUES: u32 = 2;

/// Producer 1 posts ten messages to queue 1.
fn posted() -> Ledger {
    let mut ledger = Ledger::new(QUEUES, 4);
    assert_eq!(ledger.post_begin(1, 4), 0);
    assert_eq!(ledger.post_begin(1, 6), 4);
    ledger
}

fn stamp(sequence: u64) -> Stamp {
    Stamp { producer: 1, sequence, sent_us: 0 }
}

fn claim(ledger: &mut Ledger, sequences: impl IntoIterator<Item = u64>) {
    let mut order = Order::default();
    for sequence in sequences {
        ledger.claimed(1, Some(stamp(sequence)), &mut order);
    }
}

/// Walks both queues, the second holding `sequences` of producer 1, and judges.
fn close(mut ledger: Ledger, sequences: impl IntoIterator<Item = u64>) -> Verdict {
    ledger.settle_last(Walk::new(QUEUES, 0));
    let mut walk = Walk::new(QUEUES, 1);
    for sequence in sequences {
        walk.meet(Some(stamp(sequence)));
    }
    ledger.settle_last(walk);
    ledger.verdict()
}

#[test]
fn all_messages_listed_once_in_order_pass() {
    let verdict = close(posted(), 0..10);
    assert!(verdict.passed(true), "{verdict:?}");
    assert_eq!((verdict.acked, verdict.left), (10, 10));
}

#[test]
fn messages_claimed_deleted_and_absent_pass() {
    let mut ledger = posted();
    claim(&mut ledger, 0..10);
    (0..10).for_each(|sequence| ledger.delete_acked(stamp(sequence)));
    let verdict = close(ledger, []);
    assert!(verdict.passed(true), "{verdict:?}");
    assert_eq!((verdict.claimed, verdict.deleted, verdict.left), (10, 10, 0));
}

#[test]
fn a_message_missing_from_the_last_walk_is_lost() {
    let verdict = close(posted(), (0..10).filter(|sequence| *sequence != 6));
    assert_eq!(verdict.failures(true), [Fault::Lost]);
    assert_eq!(verdict.faults.examples, ["lost: queue 1, producer 1, sequence 6"]);
}

#[test]
fn a_message_claimed_but_neither_deleted_nor_listed_is_lost() {
    let mut ledger = posted();
    claim(&mut ledger, 0..1);
    assert_eq!(close(ledger, 1..10).failures(true), [Fault::Lost]);
}

#[test]
fn a_message_claimed_twice_is_doubled() {
    let mut ledger = posted();
    claim(&mut ledger, 0..5);
    claim(&mut ledger, 4..10);
    let verdict = close(ledger, 0..10);
    assert_eq!(verdict.failures(true), [Fault::Doubled]);
    assert_eq!(verdict.faults.doubled, 1);
}

#[test]
fn a_message_listed_twice_is_doubled() {
    assert_eq!(close(posted(), (0..10).chain([9])).failures(true), [Fault::Doubled]);
}

#[test]
fn messages_that_change_places_are_misordered_unless_order_is_not_asked() {
    let mut ledger = posted();
    claim(&mut ledger, [0, 2, 1, 3]);
    let claimed = close(ledger, 0..10);
    let listed = close(posted(), [1, 0].into_iter().chain(2..10));
    for verdict in [claimed, listed] {
        assert_eq!(verdict.failures(true), [Fault::Misordered]);
        assert_eq!(verdict.faults.misordered, 1);
        assert!(verdict.passed(false));
    }
}

#[test]
fn a_deleted_message_that_is_seen_again_is_resurrected() {
    let mut ledger = posted();
    claim(&mut ledger, 0..10);
    ledger.delete_acked(stamp(3));
    let mut again = posted();
    claim(&mut again, 0..10);
    again.delete_acked(stamp(9));
    claim(&mut again, [9]);
    for verdict in [close(ledger, 0..10), close(again, 0..9)] {
        assert_eq!(verdict.failures(true), [Fault::Resurrected]);
    }
}

#[test]
fn a_message_never_posted_is_unexpected() {
    assert_eq!(close(posted(), 0..11).failures(true), [Fault::Unexpected]);
    let mut ledger = posted();
    claim(&mut ledger, [10]);
    assert_eq!(close(ledger, 0..10).failures(true), [Fault::Unexpected]);
}

#[test]
fn a_refused_message_that_appears_is_unexpected() {
    let mut ledger = posted();
    ledger.post_refused(1, 9, 1);
    assert!(close(ledger, 0..9).passed(true));
    let mut ledger = posted();
    ledger.post_refused(1, 9, 1);
    assert_eq!(close(ledger, 0..10).failures(true), [Fault::Unexpected]);
}

#[test]
fn a_message_in_another_queue_is_unexpected_there_and_lost_here() {
    let mut ledger = posted();
    let mut other = Walk::new(QUEUES, 0);
    other.meet(Some(stamp(0)));
    ledger.settle_last(other);
    let mut walk = Walk::new(QUEUES, 1);
    (1..10).for_each(|sequence| walk.meet(Some(stamp(sequence))));
    ledger.settle_last(walk);
    assert_eq!(ledger.verdict().failures(true), [Fault::Lost, Fault::Unexpected]);
}

#[test]
fn an_unreadable_body_is_corrupt() {
    let mut ledger = posted();
    ledger.claimed(1, None, &mut Order::default());
    assert_eq!(close(ledger, 0..10).failures(true), [Fault::Corrupt]);
}

#[test]
fn unsure_posts_may_be_there_or_not_and_in_any_place() {
    let unsure = || {
        let mut ledger = posted();
        ledger.post_unsure(1, 3, 2);
        ledger
    };
    let absent = close(unsure(), [0, 1, 2, 5, 6, 7, 8, 9]);
    let late = close(unsure(), [0, 1, 2, 5, 6, 7, 8, 9, 3, 4]);
    assert!(absent.passed(true) && late.passed(true), "{absent:?} {late:?}");
    assert_eq!((absent.recovered, late.recovered), (0, 2));
    assert_eq!((late.acked, late.unsure), (8, 2));
}

#[test]
fn unsure_deletes_may_have_happened_or_not() {
    let deleted = || {
        let mut ledger = posted();
        claim(&mut ledger, 0..10);
        (0..10).for_each(|sequence| ledger.delete_unsure(stamp(sequence)));
        ledger
    };
    assert!(close(deleted(), []).passed(true));
    assert!(close(deleted(), 4..6).passed(true));
}

#[test]
fn nothing_acknowledged_or_a_queue_not_walked_is_not_a_pass() {
    assert!(!close(Ledger::new(QUEUES, 4), []).passed(true));
    let mut ledger = posted();
    ledger.settle_last(Walk::new(QUEUES, 0));
    let verdict = ledger.verdict();
    assert!(verdict.failures(true).is_empty() && !verdict.passed(true));
}
