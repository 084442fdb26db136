//! Which cases and trials show which guarantee, as a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::case::{Guarantee, Level};
use crate::suite;

/// Of whom the members of a group ask something.
type Askers = BTreeSet<String>;

/// `docs/conformance-coverage.md`: for each guarantee the groups of cases and trials that show it, and
/// of which drivers they are asked. A group is what shares the first two parts of its ids.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# What the conformance suite shows\n\n\
         Made of the suite itself; a test compares the two. Each line is a guarantee \
         ([in full](guarantees.md)) and the groups of\ncases and trials that show it. A driver that \
         does not declare a capability is asked instead whether it refuses what needs it.\nWhat \
         each of our drivers came to, case by case, is in [reports/](reports/).\n",
    );
    let groups = groups();
    for guarantee in Guarantee::ALL {
        // Writing to a String cannot fail.
        write!(page, "\n## {guarantee} {}\n\n", guarantee.title()).unwrap_or_default();
        page.push_str("| asked of | cases and trials |\n| --- | --- |\n");
        let mut by_asker: BTreeMap<&Askers, Vec<String>> = BTreeMap::new();
        for ((_, group), askers) in groups.iter().filter(|((of, _), _)| *of == guarantee) {
            by_asker.entry(askers).or_default().push(format!("`{group}`"));
        }
        for (askers, groups) in by_asker {
            let askers: Vec<&str> = askers.iter().map(String::as_str).collect();
            let line = format!("| {} | {} |\n", askers.join("; "), groups.join(", "));
            page.push_str(&line);
        }
    }
    page
}

fn groups() -> BTreeMap<(Guarantee, String), Askers> {
    let cases =
        suite::cases().into_iter().map(|case| (case.id.to_owned(), case.guarantees, case.level));
    let trials = suite::trials().into_iter().map(|trial| {
        let level = trial.level();
        (trial.name, trial.guarantees, level)
    });
    let mut groups: BTreeMap<(Guarantee, String), Askers> = BTreeMap::new();
    for (id, guarantees, level) in cases.chain(trials) {
        let group: Vec<&str> = id.split('.').take(2).collect();
        for guarantee in guarantees {
            let place = (*guarantee, group.join("."));
            groups.entry(place).or_default().insert(asked_of(level));
        }
    }
    groups
}

fn asked_of(level: Level) -> String {
    match level {
        Level::Core => "every driver".to_owned(),
        Level::Extended(capability) => format!("drivers with {capability:?}"),
        Level::Refusal(capability) => format!("drivers without {capability:?}"),
        Level::Provisional => "nobody yet".to_owned(),
    }
}
