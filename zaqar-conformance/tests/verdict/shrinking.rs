//! Shrinking keeps the finding, and tells no other story.

use std::collections::BTreeSet;

use proptest::prelude::*;
use zaqar_conformance::loss::history::{Action, Answer, History, Outcome};
use zaqar_conformance::loss::shrink::shrink;
use zaqar_conformance::loss::verdict::{About, Finding, Kind, judge};

use super::synthetic::{Synthetic, claim, id, tag};

/// The shortest history for the finding of this kind about this message.
fn shortest(history: &History, kind: Kind, message: u32) -> History {
    let about = About::Message(tag(message));
    let verdict = judge(history);
    let finding = verdict.findings().find(|f| f.kind == kind && f.about == about);
    let finding = finding.unwrap_or_else(|| panic!("it is not there: {verdict}"));
    let shortest = shrink(history, finding);
    assert_same_story(history, &shortest, finding);
    shortest
}

/// `shortest` is a part of `history`, still shows `finding`, and nothing that is not there.
fn assert_same_story(history: &History, shortest: &History, finding: &Finding) {
    let orders = |history: &History| -> BTreeSet<(u64, u64)> {
        history.calls.iter().map(|c| (c.invoked.order, c.ended.order)).collect()
    };
    assert!(orders(shortest).is_subset(&orders(history)), "a call was made up");
    let whole: BTreeSet<_> = judge(history).findings().map(|f| (f.kind, f.about)).collect();
    let found = judge(shortest);
    let same =
        |f: &&Finding| (f.kind, f.about, &f.calls) == (finding.kind, finding.about, &finding.calls);
    assert!(found.findings().any(|f| same(&f)), "{finding} is not among {found}");
    for other in found.findings() {
        assert!(whole.contains(&(other.kind, other.about)), "{other} was made up");
    }
}

/// Calls on messages with which nothing is wrong.
fn noise(history: &mut Synthetic, from: u32, count: u32) {
    for number in from..from + count {
        history.post(&[number]);
        history.take(number, &[number]);
        history.delete(&[number], Some(number));
    }
}

#[test]
fn a_lost_message_is_shown_by_its_post_and_the_last_look() {
    let mut history = Synthetic::new();
    noise(&mut history, 100, 50);
    history.post(&[1, 2, 3]);
    history.walk(&[1, 2, 3]);
    noise(&mut history, 200, 50);
    history.last_look(&[1, 3]);
    let shortest = shortest(history.history(), Kind::Lost, 2);
    assert_eq!(shortest.calls.len(), 2, "{:#?}", shortest.calls);
    let posted = Synthetic::posting(&[2]);
    assert_eq!(shortest.calls.first().map(|call| &call.action), Some(&posted));
}

#[test]
fn two_holders_are_shown_by_their_claims_alone() {
    let mut history = Synthetic::new();
    noise(&mut history, 100, 20);
    history.post(&[1, 2]);
    history.take(7, &[1]);
    history.call(Action::Release { claim: claim(7) }, Outcome::Ok(Answer::Done));
    history.take(8, &[1, 2]);
    noise(&mut history, 200, 20);
    history.take(9, &[1]);
    history.last_look(&[1, 2]);
    let shortest = shortest(history.history(), Kind::DoubleClaimed, 1);
    let claims = shortest.calls.iter().filter_map(|call| match call.action {
        Action::Claim { claim, .. } => Some(claim),
        _ => None,
    });
    // Without its release, the first claim would be a holder too: another story.
    assert_eq!(claims.collect::<Vec<_>>(), [claim(8), claim(9)]);
    assert_eq!(shortest.calls.len(), 3, "{:#?}", shortest.calls);
}

#[test]
fn a_torn_batch_keeps_one_message_of_each_part() {
    let mut history = Synthetic::new();
    noise(&mut history, 100, 20);
    history.post(&[1, 2, 3, 4]);
    history.walk(&[1, 2, 3]);
    history.last_look(&[1, 2, 3, 4]);
    let shortest = shortest(history.history(), Kind::BatchTorn, 4);
    let Some(Action::Post { tags, .. }) = shortest.calls.first().map(|call| &call.action) else {
        panic!("no post is left: {:#?}", shortest.calls);
    };
    assert_eq!(tags.len(), 2);
}

#[test]
fn a_walk_that_was_not_read_to_its_end_does_not_look_as_if_it_had_been() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.post(&[2]);
    let walk = history.begin_walk();
    history.page(walk, true, &[2]);
    history.call(Action::Get { id: id(1) }, Outcome::Ok(Answer::Messages(Vec::new())));
    history.last_look(&[1, 2]);
    let shortest = shortest(history.history(), Kind::Early, 1);
    assert_eq!(shortest.calls.len(), 2, "{:#?}", shortest.calls);
}

#[test]
fn ten_thousand_calls_shrink_to_a_few() {
    let mut history = Synthetic::new();
    for number in 0..3_333 {
        noise(&mut history, 100 + number, 1);
    }
    history.post(&[1]);
    history.delete(&[1], None);
    history.last_look(&[1]);
    let shortest = shortest(history.history(), Kind::Resurrected, 1);
    assert!(shortest.calls.len() <= 3, "{:#?}", shortest.calls);
}

/// One call of a history that nobody vouches for.
#[derive(Debug, Clone)]
enum Step {
    Post(Vec<u32>),
    Refused(u32),
    Take(u32, Vec<u32>),
    Renew(u32),
    Release(u32),
    Delete(u32, Option<u32>),
    Pop(Vec<u32>),
    Walk(Vec<u32>),
    Half(Vec<u32>),
    Free(Vec<u32>),
    Advance(u64),
}

fn messages() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::btree_set(0..8_u32, 0..4).prop_map(|set| set.into_iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        messages().prop_map(Step::Post),
        (0..8_u32).prop_map(Step::Refused),
        (0..5_u32, messages()).prop_map(|(claim, taken)| Step::Take(claim, taken)),
        (0..5_u32).prop_map(Step::Renew),
        (0..5_u32).prop_map(Step::Release),
        (0..8_u32, prop::option::of(0..5_u32)).prop_map(|(id, claim)| Step::Delete(id, claim)),
        messages().prop_map(Step::Pop),
        messages().prop_map(Step::Walk),
        messages().prop_map(Step::Half),
        messages().prop_map(Step::Free),
        (0..40_u64).prop_map(Step::Advance),
    ]
}

fn history_of(steps: Vec<Step>, left: &[u32]) -> Synthetic {
    let mut history = Synthetic::new();
    let mut posted = BTreeSet::new();
    for step in steps {
        match step {
            // A message is posted once: a producer numbers what it posts.
            Step::Post(mut numbers) => {
                numbers.retain(|number| posted.insert(*number));
                history.post(&numbers);
            }
            Step::Refused(number) if posted.insert(number) => {
                history.call(Synthetic::posting(&[number]), Outcome::Failed);
            }
            Step::Refused(_) => {}
            Step::Take(claim, taken) => history.take(claim, &taken),
            Step::Renew(claim) => history.renew(claim),
            Step::Release(number) => {
                let answer = Answer::Done;
                history.call(Action::Release { claim: claim(number) }, Outcome::Ok(answer));
            }
            Step::Delete(number, claim) => history.delete(&[number], claim),
            Step::Pop(taken) => history.pop(&taken),
            Step::Walk(met) => history.walk(&met),
            Step::Half(met) => {
                let walk = history.begin_walk();
                history.page(walk, true, &met);
            }
            Step::Free(met) => history.list_free(&met),
            Step::Advance(seconds) => history.advance(seconds),
        }
    }
    history.drained();
    history.last_look(left);
    history
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_found_is_found_in_the_shortest_history_and_nothing_else(
        steps in prop::collection::vec(step(), 1..24),
        left in messages(),
    ) {
        let history = history_of(steps, &left);
        let history = history.history();
        for finding in judge(history).findings() {
            let shortest = shrink(history, finding);
            assert_same_story(history, &shortest, finding);
            prop_assert_eq!(&shrink(&shortest, finding), &shortest, "it could be shorter");
        }
    }
}
