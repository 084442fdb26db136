//! The repository's own rules: what neither compiler nor clippy checks.
//!
//! A rule is a function from the tree of tracked files to what it found; [`RULES`] lists them all.

mod clock;
mod leftovers;
mod length;
mod links;
mod lints;
mod paths;
mod sleeps;
mod source;
mod trait_docs;
mod tree;

use anyhow::{Result, ensure};
use clap::Args;

use crate::report_table;
use crate::workspace::Workspace;
use tree::{Finding, Tree};

#[derive(Args)]
pub(crate) struct TidyArgs {
    /// Check only these rules, also such as are not on by default
    #[arg(long, value_name = "RULE", value_parser = rule_names())]
    rule: Vec<String>,
    /// List the rules and do nothing
    #[arg(long)]
    list: bool,
}

struct Rule {
    name: &'static str,
    about: &'static str,
    /// Whether `cargo xtask test` checks it.
    on: bool,
    check: fn(&Tree) -> Vec<Finding>,
}

const RULES: [Rule; 8] = [
    Rule {
        name: "machine-paths",
        about: "no file names a path of the machine it was written on",
        on: true,
        check: paths::check,
    },
    Rule {
        name: "leftovers",
        about: "no unfinished code, no test that is switched off or passes by panicking",
        on: true,
        check: leftovers::check,
    },
    Rule {
        name: "sleeps",
        about: "no test sleeps: it polls for the state it waits for",
        on: true,
        check: sleeps::check,
    },
    Rule {
        name: "clock",
        about: "only zaqar-core/src/clock.rs reads the system time",
        on: true,
        check: clock::check,
    },
    Rule {
        name: "file-length",
        about: "no Rust file is longer than 500 lines",
        on: true,
        check: length::check,
    },
    Rule {
        name: "links",
        about: "links between the documents lead somewhere",
        on: true,
        check: links::check,
    },
    Rule {
        name: "lints",
        about: "every crate inherits the workspace's lints",
        on: true,
        check: lints::check,
    },
    Rule {
        name: "trait-docs",
        about: "every operation of a controller trait documents its guarantees, errors, \
                cancellation and conformance cases",
        on: true,
        check: trait_docs::check,
    },
];

fn rule_names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}

/// The step of the test gate: the rules that are on.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    report(workspace, &RULES.iter().filter(|rule| rule.on).collect::<Vec<_>>())?;
    report_table::check(&workspace.root)
}

pub(crate) fn tidy(workspace: &Workspace, args: &TidyArgs) -> Result<()> {
    if args.list {
        for rule in &RULES {
            let state = if rule.on { "" } else { " (off)" };
            println!("{:<14} {}{state}", rule.name, rule.about);
        }
        return Ok(());
    }
    if args.rule.is_empty() {
        return check(workspace);
    }
    let chosen = RULES.iter().filter(|rule| args.rule.iter().any(|name| name == rule.name));
    report(workspace, &chosen.collect::<Vec<_>>())
}

fn report(workspace: &Workspace, rules: &[&Rule]) -> Result<()> {
    let tree = Tree::load(&workspace.root)?;
    let mut count = 0;
    for rule in rules {
        for finding in (rule.check)(&tree) {
            println!("{}:{}: {} [{}]", finding.path, finding.line, finding.message, rule.name);
            count += 1;
        }
    }
    ensure!(count == 0, "{count} finding{}", if count == 1 { "" } else { "s" });
    println!("    {} files keep {} rules", tree.files().len(), rules.len());
    Ok(())
}
