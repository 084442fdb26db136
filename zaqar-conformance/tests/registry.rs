//! The suite's lists are whole: nothing twice, nothing unlisted, no method forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use zaqar_conformance::suite;

/// The Rust files of a folder and their texts.
fn files(folder: &str) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            files.push((path, text));
        }
    }
    Ok(files)
}

/// The names of the methods of every trait of the core: all of them, and the async ones.
fn trait_methods() -> anyhow::Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut all, mut asynchronous) = (BTreeSet::new(), BTreeSet::new());
    for (_, text) in files("../zaqar-core/src")? {
        let mut in_trait = false;
        for line in text.lines() {
            // Traits stand at the margin, and so does the brace that ends one.
            if line.starts_with("pub trait ") {
                in_trait = true;
            } else if line.starts_with('}') {
                in_trait = false;
            }
            let declared = line.trim_start().trim_start_matches("async ").strip_prefix("fn ");
            let Some(rest) = declared.filter(|_| in_trait) else { continue };
            let name = rest.split(['(', '<']).next().unwrap_or(rest).to_owned();
            if line.trim_start().starts_with("async ") {
                asynchronous.insert(name.clone());
            }
            all.insert(name);
        }
    }
    Ok((all, asynchronous))
}

#[test]
fn ids_are_unique_and_well_formed() {
    let mut seen = BTreeSet::new();
    let ids = suite::all_cases().map(|case| case.id.to_owned());
    let names = suite::trials().into_iter().map(|trial| trial.name);
    for id in ids.chain(names) {
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        assert!(id.split('.').count() >= 2 && id.split('.').all(part), "{id} is not well formed");
        assert!(seen.insert(id.clone()), "{id} is there twice");
    }
    assert!(seen.len() > 100, "only {} cases and trials were found", seen.len());
}

#[test]
fn every_method_of_every_trait_is_shown_by_a_case() {
    let (all, asynchronous) = trait_methods().expect("the core's sources are readable");
    for known in ["message_post", "pool_delete_all", "gc", "queue_list_deleting"] {
        assert!(asynchronous.contains(known), "the scan of the traits misses {known}");
    }
    let shown: BTreeSet<String> =
        suite::all_cases().flat_map(|case| case.methods).map(|name| (*name).to_owned()).collect();
    let forgotten: Vec<&String> = asynchronous.difference(&shown).collect();
    assert!(forgotten.is_empty(), "no case names {forgotten:?}");
    let unknown: Vec<&String> = shown.difference(&all).collect();
    assert!(unknown.is_empty(), "cases name methods that no trait has: {unknown:?}");
}

/// Methods that change nothing: whoever drops their calls leaves nothing behind.
const READS: [&str; 32] = [
    "catalogue_get",
    "catalogue_list_by_pool",
    "catalogue_list_moving",
    "claim_get",
    "close",
    "delivery_list_exhausted",
    "flavor_get",
    "flavor_list",
    "head_get",
    "health",
    "message_available",
    "message_bulk_get",
    "message_first",
    "message_get",
    "message_list",
    "message_origins",
    "message_stats",
    "move_begin",
    "move_part",
    "move_records",
    "outbox_backlog",
    "pool_get",
    "pool_list",
    "pool_list_by_flavor",
    "queue_count",
    "queue_find",
    "queue_list",
    "queue_list_deleting",
    "subscription_find",
    "subscription_get",
    "subscription_list",
    "volume",
];

/// Whether calls of a method are dropped at each of their polls by some case.
fn is_dropped(method: &str) -> bool {
    suite::all_cases()
        .filter(|case| case.id.starts_with("cancel."))
        .any(|case| case.methods.contains(&method))
}

#[test]
fn calls_of_every_method_that_changes_something_are_dropped_at_every_poll() {
    let (_, asynchronous) = trait_methods().expect("the core's sources are readable");
    let changes = |name: &&String| !READS.contains(&name.as_str());
    let spared: Vec<&String> =
        asynchronous.iter().filter(changes).filter(|name| !is_dropped(name)).collect();
    assert!(spared.is_empty(), "no case drops calls of {spared:?}");
    let unknown: Vec<_> = READS.iter().filter(|name| !asynchronous.contains(**name)).collect();
    assert!(unknown.is_empty(), "no trait has {unknown:?}");
    assert!(!is_dropped("message_list_all"), "a method that is nowhere is dropped");
}

#[test]
fn every_file_of_cases_is_listed() {
    let files = files("src/cases").expect("the cases are readable");
    let listed = files.iter().find(|(path, _)| path.ends_with("mod.rs")).map(|(_, text)| text);
    let listed = listed.expect("src/cases/mod.rs");
    for (path, text) in &files {
        if !text.contains("\ncases! {") {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a file name");
        assert!(listed.contains(&format!("{stem}::CASES")), "{stem} is not listed");
    }
}
