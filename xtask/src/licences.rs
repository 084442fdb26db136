//! Every crate that is built must come under a licence that permits use in an Apache-2.0 program.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let metadata = process::capture(workspace.cargo().args([
        "metadata",
        "--all-features",
        "--format-version=1",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo printed no JSON")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("`cargo metadata` lists no packages")?;
    let refused: Vec<String> = packages.iter().filter_map(refusal).collect();
    ensure!(refused.is_empty(), "licences that are not allowed: {}", refused.join(", "));
    println!("    {} crates, all under allowed licences", packages.len());
    Ok(())
}

/// The package's name and licence, if that is not allowed.
fn refusal(package: &Value) -> Option<String> {
    let text = |key| package.get(key).and_then(Value::as_str);
    let name = text("name").unwrap_or("?");
    match text("license") {
        Some(licence) if is_allowed(licence) => None,
        licence => Some(format!("{name} ({})", licence.unwrap_or("none declared"))),
    }
}

/// Whether an SPDX expression offers a choice of licences that all are allowed.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    any_of(&mut rest) == Some(true) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = all_of(rest)?;
    while take(rest, "OR") {
        allowed |= all_of(rest)?;
    }
    Some(allowed)
}

fn all_of(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(rest)?;
    while take(rest, "AND") {
        allowed &= one(rest)?;
    }
    Some(allowed)
}

fn one(rest: &mut &[&str]) -> Option<bool> {
    if take(rest, "(") {
        let allowed = any_of(rest)?;
        return take(rest, ")").then_some(allowed);
    }
    let (name, tail) = rest.split_first()?;
    *rest = tail;
    // An exception only ever permits more.
    if take(rest, "WITH") {
        *rest = rest.split_first()?.1;
    }
    Some(ALLOWED.contains(name))
}

fn take(rest: &mut &[&str], token: &str) -> bool {
    match rest.split_first() {
        Some((first, tail)) if *first == token => {
            *rest = tail;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_that_is_not_allowed_is_refused_with_its_crate() {
        let package = serde_json::json!({"name": "a", "license": "GPL-3.0-only"});
        assert_eq!(refusal(&package), Some("a (GPL-3.0-only)".to_owned()));
        let package = serde_json::json!({"name": "b", "license": null});
        assert_eq!(refusal(&package), Some("b (none declared)".to_owned()));
    }

    #[test]
    fn one_allowed_choice_is_enough() {
        for expression in ["MIT", "MIT/Apache-2.0", "GPL-2.0 OR MIT", "(GPL-2.0 OR MIT) AND ISC"] {
            assert!(is_allowed(expression), "{expression}");
        }
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-2.0"));
    }

    #[test]
    fn all_licences_that_apply_together_must_be_allowed() {
        for expression in ["MIT AND GPL-2.0", "(MIT OR ISC) AND SSPL-1.0", "MIT OR", "", "(MIT"] {
            assert!(!is_allowed(expression), "{expression}");
        }
    }
}
