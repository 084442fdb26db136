//! A history survives being written as JSON lines, and a text that is none is refused by its line.

use proptest::prelude::*;
use zaqar_conformance::loss::body::{Corrupt, Tag};
use zaqar_conformance::loss::history::{
    Action, Answer, Call, History, Moment, Outcome, PageRead, QueueTag, Seen,
};
use zaqar_conformance::loss::lines::Unreadable;
use zaqar_core::{ClaimId, Incarnation, LeaseId, MessageId, Timestamp, Ttl};

#[cfg(test)]
mod any {
    use super::*;

    fn tag() -> impl Strategy<Value = Tag> {
        (any::<u64>(), 0..4_u32, any::<u32>()).prop_map(|(run, producer, sequence)| Tag {
            run,
            producer,
            sequence,
        })
    }

    fn id() -> impl Strategy<Value = MessageId> {
        (1..1_000_u64, 1..1_000_000_u64).prop_map(|(incarnation, sequence)| {
            let incarnation = Incarnation::new(incarnation).expect("a small number");
            MessageId::new(incarnation, sequence).expect("a small number")
        })
    }

    fn ttl() -> impl Strategy<Value = Ttl> {
        (0..2_000_000_u64).prop_map(Ttl::from_secs_clamped)
    }

    fn claim() -> impl Strategy<Value = ClaimId> {
        any::<u128>().prop_map(ClaimId::from_u128)
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            (prop::collection::vec(tag(), 0..4), ttl(), any::<bool>())
                .prop_map(|(tags, ttl, keyed)| Action::Post { tags, ttl, keyed }),
            (claim(), ttl(), ttl()).prop_map(|(claim, ttl, grace)| Action::Claim {
                claim,
                ttl,
                grace
            }),
            (claim(), ttl(), ttl()).prop_map(|(claim, ttl, grace)| Action::Renew {
                claim,
                ttl,
                grace
            }),
            claim().prop_map(|claim| Action::Release { claim }),
            (
                prop::collection::vec(id(), 0..4),
                prop::option::of(prop::collection::vec(claim(), 0..3))
            )
                .prop_map(|(ids, claims)| Action::Delete { ids, claims }),
            (1..20_u32).prop_map(|limit| Action::Pop { limit }),
            (any::<u64>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
                |(walk, first, everything, last_look)| Action::List(PageRead {
                    walk,
                    first,
                    everything,
                    last_look
                })
            ),
            id().prop_map(|id| Action::Get { id }),
            Just(Action::Count),
            Just(Action::Purge),
            Just(Action::DeleteQueue),
            any::<u32>().prop_map(|subscriber| Action::Subscribe { subscriber }),
            (any::<u128>(), ttl(), any::<bool>()).prop_map(|(lease, ttl, last_look)| {
                Action::Deliver { lease: LeaseId::from_u128(lease), ttl, last_look }
            }),
            (any::<u128>(), any::<u32>(), prop::collection::vec(id(), 0..4), any::<bool>())
                .prop_map(|(lease, subscriber, done, release)| Action::Complete {
                    lease: LeaseId::from_u128(lease),
                    subscriber,
                    done,
                    release,
                }),
        ]
    }

    fn seen() -> impl Strategy<Value = Seen> {
        let corrupt = Just(Err(Corrupt { text: String::new() }));
        (id(), prop_oneof![4 => tag().prop_map(Ok), 1 => corrupt])
            .prop_map(|(id, tag)| Seen { id, tag })
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Ok(Answer::Done)),
            prop::collection::vec(id(), 0..4).prop_map(|ids| Outcome::Ok(Answer::Posted(ids))),
            prop::collection::vec(seen(), 0..4)
                .prop_map(|seen| Outcome::Ok(Answer::Messages(seen))),
            (any::<u64>(), any::<u64>())
                .prop_map(|(claimed, free)| Outcome::Ok(Answer::Counted { claimed, free })),
            (prop::option::of(any::<u32>()), prop::collection::vec(seen(), 0..4)).prop_map(
                |(subscriber, messages)| Outcome::Ok(Answer::Handed { subscriber, messages })
            ),
            Just(Outcome::Failed),
            Just(Outcome::Indeterminate),
        ]
    }

    fn queue() -> impl Strategy<Value = QueueTag> {
        (0..3_u32, 0..3_u32).prop_map(|(queue, generation)| QueueTag { queue, generation })
    }

    /// A call, how much later than the one before it began, and how long it took.
    fn call() -> impl Strategy<Value = (Call, u64, u64)> {
        (0..5_u32, queue(), action(), outcome(), 0..4_u64, 0..9_u64).prop_map(
            |(worker, queue, action, outcome, after, took)| {
                let moment = Moment { order: 0, at: Timestamp::from_millis(0) };
                let (invoked, ended) = (moment, moment);
                (Call { worker, queue, action, invoked, ended, outcome }, after, took)
            },
        )
    }

    pub(super) fn history() -> impl Strategy<Value = History> {
        let calls = prop::collection::vec(call(), 0..12);
        let drained = prop::collection::btree_set(queue(), 0..3);
        (any::<u64>(), calls, drained, -5..5_000_i64, any::<bool>()).prop_map(
            |(run, drafts, drained, resolution_ms, fifo)| {
                let (mut order, mut calls) = (0, Vec::new());
                for (mut call, after, took) in drafts {
                    order += after;
                    let at =
                        |order: u64| Timestamp::from_millis(i64::try_from(order).expect("small"));
                    call.invoked = Moment { order, at: at(order) };
                    call.ended = Moment { order: order + took, at: at(order + took) };
                    calls.push(call);
                }
                History { run, calls, drained, resolution_ms, fifo }
            },
        )
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(history in any::history()) {
        let text = history.to_lines();
        prop_assert_eq!(text.lines().count(), history.calls.len() + 1);
        prop_assert_eq!(History::from_lines(&text), Ok(history));
    }

    #[test]
    fn a_text_that_was_cut_or_changed_is_read_or_refused(
        history in any::history(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = history.to_lines();
        text.truncate(cut.index(text.len()));
        if let Err(Unreadable::Line { number, .. }) = History::from_lines(&text) {
            prop_assert_eq!(number, text.lines().count(), "only the last line is cut");
        }
    }
}

#[cfg(test)]
const HEADER: &str = r#"{"schema_version":2,"run":7,"resolution_ms":0,"fifo":true,"drained":[{"queue":0,"generation":1}]}"#;
#[cfg(test)]
const PURGE: &str = r#"{"worker":1,"queue":{"queue":0,"generation":0},"action":"purge","invoked":{"order":5,"at":9},"ended":{"order":6,"at":9},"outcome":{"ok":"done"}}"#;

#[test]
fn the_form_is_as_documented() {
    let history = History::from_lines(&format!("{HEADER}\n\n{PURGE}\n")).expect("it is one");
    assert_eq!(history.calls.len(), 1);
    assert_eq!(history.to_lines(), format!("{HEADER}\n{PURGE}\n"));
}

#[test]
fn what_is_no_history_is_refused_by_its_line() {
    assert_eq!(History::from_lines("\n \n"), Err(Unreadable::Empty));
    let later = HEADER.replace("\"schema_version\":2", "\"schema_version\":9,\"more\":1");
    assert_eq!(History::from_lines(&later), Err(Unreadable::Version { found: 9 }));
    let before = PURGE.replace("\"order\":5", "\"order\":4");
    let backwards = PURGE.replace("\"order\":6", "\"order\":4");
    for (text, number) in [
        ("{}".to_owned(), 1),
        (HEADER.replace("\"run\":7", "\"run\":\"x\""), 1),
        (format!("{HEADER}\n{PURGE}\n\nnonsense"), 4),
        (format!("{HEADER}\n{PURGE}\n{before}"), 3),
        (format!("{HEADER}\n{backwards}"), 2),
        (format!("{HEADER}\n{}", PURGE.replace("purge", "shred")), 2),
    ] {
        match History::from_lines(&text) {
            Err(Unreadable::Line { number: found, .. }) => assert_eq!(found, number, "{text}"),
            other => panic!("{text} is read as {other:?}"),
        }
    }
}

#[test]
fn no_body_is_written() {
    let mut history = History::from_lines(&format!("{HEADER}\n{PURGE}")).expect("it is one");
    let id = MessageId::new(Incarnation::new(1).expect("1"), 1).expect("1");
    let seen = Seen { id, tag: Err(Corrupt { text: "somebody's secret".into() }) };
    history.calls[0].outcome = Outcome::Ok(Answer::Messages(vec![seen]));
    assert!(!history.to_lines().contains("secret"));
    let again = History::from_lines(&history.to_lines()).expect("it is one");
    assert!(again.calls[0].seen()[0].tag.is_err());
}
