//! What the features of the server pull in, and what no build may contain.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::process;
use crate::workspace::Workspace;

/// Clients of backends that the default build does not serve.
const NOT_BY_DEFAULT: [&str; 3] = ["bson", "mongodb", "redis"];
/// TLS comes from rustls with ring: one implementation, no C library to find or to patch.
const NEVER: [&str; 5] = ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"];

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let default = crates(workspace, &["--package", "zaqar-server", "--edges", "normal"])?;
    ensure!(default.contains("zaqar-core"), "`cargo tree` did not list the server's crates");
    refuse("the default build of zaqar-server", &default, &NOT_BY_DEFAULT)?;

    let all = crates(workspace, &["--workspace", "--all-features"])?;
    refuse("the workspace with all features", &all, &NEVER)?;

    // The lints, too, or code that only a backend uses would go unnoticed here.
    process::run(
        workspace
            .cargo()
            .args(["clippy", "--package", "zaqar-server", "--no-default-features"])
            .args(["--", "-D", "warnings"]),
    )
}

fn crates(workspace: &Workspace, selection: &[&str]) -> Result<BTreeSet<String>> {
    let tree = process::capture(
        workspace.cargo().arg("tree").args(selection).args(["--prefix", "none", "--format", "{p}"]),
    )?;
    Ok(names(&tree))
}

fn names(tree: &str) -> BTreeSet<String> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn refuse(what: &str, crates: &BTreeSet<String>, refused: &[&str]) -> Result<()> {
    let found: Vec<&str> = refused.iter().copied().filter(|name| crates.contains(*name)).collect();
    ensure!(found.is_empty(), "{what} contains {}", found.join(", "));
    println!("    {what}: {} crates, none of {}", crates.len(), refused.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_crate_is_named() {
        let crates = names("zaqar-server v0.1.0 (/x)\nredis v1.8.1\nredis v1.8.1 (*)\n");
        let error = refuse("the build", &crates, &NOT_BY_DEFAULT).unwrap_err();
        assert_eq!(error.to_string(), "the build contains redis");
    }

    #[test]
    fn a_crate_whose_name_only_begins_alike_is_not_refused() {
        refuse("the build", &names("redis-protocol v1.0.0\n"), &NOT_BY_DEFAULT).unwrap();
    }
}
