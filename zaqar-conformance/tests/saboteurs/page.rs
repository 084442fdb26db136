//! The page on planted bugs, made of the table.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use zaqar_conformance::reference::Quirk;

use crate::RANDOM_SEEDS;
use crate::table::{GROUPS, Plant, Saboteur};

/// Set to write the page instead of comparing it.
const WRITE: &str = "ZAQAR_CONFORMANCE_WRITE_SABOTEURS";
const PAGE: &str = "../docs/saboteurs.md";

fn saboteurs() -> impl Iterator<Item = &'static Saboteur> {
    GROUPS.iter().flat_map(|group| group.saboteurs)
}

fn markdown() -> String {
    let mut page = format!(
        "# Planted bugs\n\n\
         A suite that a broken driver passes is worth nothing, so the suite is shown broken ones: {} drivers, each\n\
         with one bug that real drivers had or could have. Every case and trial under \"found by\" must fail on the driver at the smoke\n\
         budget with the fixed seed, and pass on the sound one; what is under \"does not blame\" must pass on both, so that a report\n\
         tells what is wrong and not just that something is. A trial, which acts by its seed, must also find the bug within\n\
         {RANDOM_SEEDS} seeds drawn at random.\n\n\
         The table is made of `zaqar-conformance/tests/saboteurs/table.rs`, which the tests run. Further planted bugs: clocks\n\
         (`tests/clocks.rs`), calls that are not undone when they are dropped (`tests/registry.rs`), answers before the flush\n\
         (`tests/flushed.rs`), stores that forget with a crash (`tests/amnesia`).\n",
        saboteurs().count(),
    );
    for group in GROUPS {
        // Writing to a text cannot fail.
        let mut line = |text: String| writeln!(page, "{text}").unwrap_or_default();
        line(format!("\n## {}\n", group.title));
        line("| what is wrong | found by | does not blame |".to_owned());
        line("|---|---|---|".to_owned());
        for Saboteur { plant, caught_by, passes } in group.saboteurs {
            let found: Vec<String> = caught_by.iter().map(|id| format!("`{id}`")).collect();
            line(format!("| {} | {} | `{passes}` |", plant.summary(), found.join(", ")));
        }
    }
    page
}

#[test]
fn the_page_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, markdown()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).expect("the page is there");
    let command = format!("{WRITE}=1 cargo test -p zaqar-conformance --test saboteurs page");
    assert!(written == markdown(), "the page is not of this table; `{command}` makes it");
}

#[test]
fn every_bug_of_the_reference_driver_is_in_the_table() {
    let tried: BTreeSet<String> = saboteurs().map(|one| format!("{:?}", one.plant)).collect();
    assert_eq!(tried.len(), saboteurs().count(), "a bug is in the table twice");
    for quirk in Quirk::ALL {
        let plant = Plant::Inside(*quirk);
        assert!(tried.contains(&format!("{plant:?}")), "{plant:?} is shown to nobody");
    }
}
