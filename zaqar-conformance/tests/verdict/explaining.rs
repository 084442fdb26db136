//! What people are told of a finding.

use zaqar_conformance::loss::explain::{Exhibit, examine};
use zaqar_conformance::loss::history::{Action, Answer, History, Outcome};
use zaqar_conformance::loss::verdict::judge;

use super::synthetic::{Synthetic, claim, id};

fn exhibit(history: &Synthetic) -> Exhibit {
    let (verdict, exhibit) = examine(history.history());
    exhibit.unwrap_or_else(|| panic!("nothing is wrong: {verdict}"))
}

#[track_caller]
fn tells(exhibit: &Exhibit, told: &[&str]) {
    for text in told {
        assert!(exhibit.explanation.contains(text), "{text:?} is not in\n{}", exhibit.explanation);
    }
}

#[test]
fn a_lost_message_is_told_from_its_post_to_the_last_look() {
    let mut history = Synthetic::new();
    history.post(&[1, 2]);
    history.advance(2);
    history.take(7, &[2]);
    history.call(Action::Release { claim: claim(7) }, Outcome::Ok(Answer::Done));
    history.advance(3);
    history.call(Action::Delete { ids: vec![id(2)], claims: None }, Outcome::Failed);
    history.last_look(&[1]);
    let exhibit = exhibit(&history);
    tells(
        &exhibit,
        &[
            "lost: message p0#2 breaks G1, durable acknowledgement",
            "acknowledged by worker 0's post on q0.0, call [1..2]",
            "last seen by worker 0's claim on q0.0, call [3..4], begun at +2.000 s",
            "releases claim",
            "deletes it under no claim: refused, without effect",
            "reads on, and it is not among what was met",
            "The shortest history that shows it, 2 of 6 calls",
        ],
    );
    let summary = exhibit.summary();
    assert!(summary.starts_with("lost: ") && summary.contains("last seen"), "{summary}");
}

#[test]
fn a_claim_that_was_over_is_told_by_its_name() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.take(7, &[1]);
    history.call(Action::Release { claim: claim(7) }, Outcome::Ok(Answer::Done));
    history.renew(7);
    history.last_look(&[1]);
    let name = format!("unfenced: claim {} breaks G6, fenced acknowledgement", claim(7));
    tells(
        &exhibit(&history),
        &[&name, "renews claim", "is made", "releases claim", "3 of 6 calls"],
    );
}

#[test]
fn what_a_history_file_holds_is_judged_as_the_run_was() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.post(&[2]);
    history.last_look(&[2]);
    let exhibit = exhibit(&history);
    for text in [&exhibit.history, &exhibit.shortest] {
        let again = History::from_lines(text).expect("it was written by us");
        let verdict = judge(&again);
        assert_eq!(verdict.lost, judge(history.history()).lost);
    }
}

#[test]
fn the_picture_has_a_bar_for_each_call_and_is_no_script() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    history.corrupted(1);
    history.last_look(&[1]);
    let Exhibit { picture, .. } = exhibit(&history);
    assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"));
    assert_eq!(picture.matches("<rect").count(), 3, "{picture}");
    assert!(picture.contains("stroke:#cf222e"), "no call is marked");
    assert!(!picture.contains("<script") && !picture.contains("href"));
}

#[test]
fn a_long_story_is_abridged_and_keeps_what_shows_the_finding() {
    let mut history = Synthetic::new();
    history.post(&[1]);
    for _ in 0..300 {
        history.walk(&[1]);
    }
    history.last_look(&[]);
    let exhibit = exhibit(&history);
    tells(&exhibit, &["calls between these", "* ", "lost: message p0#1"]);
    assert!(exhibit.explanation.lines().count() < 70, "{}", exhibit.explanation);
}
