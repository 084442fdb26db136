//! Posts under an idempotency key and their repeats.

use zaqar_conformance::loss::history::{Answer, Outcome};

use super::synthetic::{Synthetic, id, tag};
use super::{clean, found_by};

#[test]
fn attempts_under_one_key_are_one_post() {
    let mut history = Synthetic::new();
    let ids = || Outcome::Ok(Answer::Posted(vec![id(1), id(2)]));
    history.call(Synthetic::posting_keyed(&[1, 2]), Outcome::Indeterminate);
    history.walk(&[1, 2]);
    history.call(Synthetic::posting_keyed(&[1, 2]), Outcome::Failed);
    history.take(9, &[1]);
    history.delete(&[1], Some(9));
    history.call(Synthetic::posting_keyed(&[1, 2]), ids());
    history.call(Synthetic::posting_keyed(&[1, 2]), ids());
    history.last_look(&[2]);
    let verdict = history.judge();
    clean(&verdict);
    assert_eq!((verdict.acknowledged, verdict.repeats), (2, 3), "{verdict}");
}

#[test]
fn a_message_that_its_repeat_acknowledged_and_that_is_absent_is_lost() {
    let mut history = Synthetic::new();
    history.call(Synthetic::posting_keyed(&[1]), Outcome::Indeterminate);
    history.post(&[2]);
    history.call(Synthetic::posting_keyed(&[1]), Outcome::Ok(Answer::Posted(vec![id(1)])));
    history.last_look(&[2]);
    found_by(&history.judge(), "lost");
}

#[test]
fn a_message_that_a_repeat_stored_again_is_duplicated() {
    let mut history = Synthetic::new();
    history.call(Synthetic::posting_keyed(&[1]), Outcome::Indeterminate);
    history.call(Synthetic::posting_keyed(&[1]), Outcome::Ok(Answer::Posted(vec![id(2)])));
    history.last_look_as(&[(1, tag(1)), (2, tag(1))]);
    found_by(&history.judge(), "duplicated");
}

#[test]
fn a_repeat_that_is_answered_with_other_ids_contradicts() {
    let mut history = Synthetic::new();
    history.call(Synthetic::posting_keyed(&[1]), Outcome::Ok(Answer::Posted(vec![id(1)])));
    history.call(Synthetic::posting_keyed(&[1]), Outcome::Ok(Answer::Posted(vec![id(2)])));
    history.last_look(&[1]);
    found_by(&history.judge(), "contradicted");
}
