//! The report in its forms: what a driver answers stays text in all of them.

use zaqar_conformance::Guarantee::{G1, G3, G5};
use zaqar_conformance::report::Entry;
use zaqar_conformance::suite::Budget;
use zaqar_conformance::{Counts, Guarantee, Level, Outcome, Report, Subject, Verdict};
use zaqar_core::{Capabilities, Capability};

const HOSTILE: &str = "</pre><script>alert(1)</script> \" ' & \0 ]]> \u{1b}[31m";

#[cfg(test)]
fn entry(id: &str, guarantees: &[Guarantee], outcome: Outcome) -> Entry {
    let guarantees = guarantees.to_vec();
    Entry {
        id: id.into(),
        level: Level::Core,
        guarantees,
        outcome,
        elapsed_ms: 1_234,
        exhibit: None,
        seed: None,
    }
}

#[cfg(test)]
fn report(entries: Vec<Entry>) -> Report {
    let subject = Subject {
        driver: "log".into(),
        version: "1".into(),
        backend: HOSTILE.into(),
        mode: "file".into(),
    };
    let capabilities: Capabilities = [Capability::Claims].into_iter().collect();
    Report::new(subject, capabilities, 7, Budget::Smoke, entries, "cargo test 'x' <y>".into())
}

#[cfg(test)]
fn mixed() -> Report {
    report(vec![
        entry("message.get.x", &[G1], Outcome::Passed { counts: Counts::none() }),
        entry(
            "loss.x.y",
            &[G1],
            Outcome::Passed {
                counts: Counts::none()
                    .saw(&format!("messages_acknowledged{HOSTILE}"), 3_u32)
                    .struck("answers_lost", 17_u32),
            },
        ),
        entry("claim.x.y", &[G5], Outcome::Failed { evidence: HOSTILE.into() }),
        entry("fault.x.y", &[G3], Outcome::Inconclusive { reason: "nothing struck".into() }),
        entry("pop.x.y", &[], Outcome::Skipped { by: "waiver".into(), reason: HOSTILE.into() }),
        entry("delay.x.y", &[G1], Outcome::Undeclared { capability: Capability::Delay }),
    ])
}

#[test]
fn an_answer_of_a_driver_is_text_in_the_page_and_in_the_xml() {
    let report = mixed();
    for form in [report.html(), report.junit()] {
        assert!(form.contains("&lt;script&gt;alert(1)"), "the evidence is not shown");
        assert!(!form.contains("<script") && !form.contains("</pre><s"), "{form}");
        assert!(!form.contains(['\0', '\u{1b}']), "a control character is left");
    }
}

#[test]
fn the_page_loads_nothing_and_shows_verdicts_counts_times_and_how_to_repeat_it() {
    let page = mixed().html();
    for outside in ["http://", "https://", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "the page refers to {outside}");
    }
    let wanted = [
        "<td>Core</td><td class=\"bad\">NonConformant</td>",
        "G5 exclusive lease</td><td class=\"bad\">NonConformant",
        "G1 durable acknowledgement</td><td class=\"good\">Conformant",
        "messages acknowledged",
        "<td>3</td>",
        "answers lost</text>",
        ">17</text>",
        "<svg ",
        "1234 ms",
        "cargo test &#39;x&#39; &lt;y&gt;",
    ];
    for text in wanted {
        assert!(page.contains(text), "{text} is missing: {page}");
    }
}

#[test]
fn the_xml_counts_failures_errors_and_skips_apart() {
    let xml = mixed().junit();
    let counts = "tests=\"6\" failures=\"1\" errors=\"1\" skipped=\"2\" time=\"7.404\"";
    assert!(xml.contains(counts), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), 6, "{xml}");
    assert!(xml.contains("<failure message=\"claim.x.y is broken\">&lt;/pre&gt;"), "{xml}");
}

#[test]
fn the_blueprint_tells_of_the_run_and_what_is_not_shown() {
    let page = mixed().licensed("Apache-2.0").blueprint();
    let wanted = [
        "2 of 5 cases and trials passed, budget smoke, seed 7",
        "| G1 durable acknowledgement | conformant | 3 | `delay` `loss` `message` |",
        "| G5 exclusive lease | **broken** | 1 | `claim` |",
        "| G17 moving queues | not asked | 0 |  |",
        "| answers lost (fault) | 17 |",
        "- `claim.x.y`: FAILED",
        "- `fault.x.y`: inconclusive",
        "- `pop.x.y`: skipped",
        "| declares | Claims |",
        "| does not declare | Delay |",
        "Licence of the driver: Apache-2.0.",
    ];
    for text in wanted {
        assert!(page.contains(text), "{text} is missing: {page}");
    }
    for heading in ["Reliability", "Scalability", "Interoperability", "Openness"] {
        assert!(page.contains(&format!("\n## {heading}\n")), "{heading}");
    }
    assert!(!page.contains("<script") && !page.contains(['\0', '\u{1b}']), "{page}");
}

#[test]
fn a_guarantee_is_judged_by_what_was_asked_of_the_driver() {
    let verdicts = mixed().guarantees();
    assert_eq!(verdicts.get(&G1), Some(&Verdict::Conformant));
    assert_eq!(verdicts.get(&G3), Some(&Verdict::Inconclusive));
    assert_eq!(verdicts.get(&G5), Some(&Verdict::NonConformant));
}

#[test]
fn all_forms_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = mixed().write(folder.path()).expect("the folder can be written to");
    for kind in ["json", "txt", "html", "xml", "md"] {
        let file = json.with_extension(kind);
        let length = std::fs::metadata(&file).map(|file| file.len());
        assert!(length.is_ok_and(|length| length > 100), "{}", file.display());
    }
}
