//! What the features of the server pull in, and what no build may contain.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::process;
use crate::workspace::Workspace;

/// Each backend's feature, and the crates that are its client.
const BACKENDS: [(&str, &[&str]); 5] = [
    ("sqlite", &["libsqlite3-sys", "sqlx-sqlite"]),
    ("postgres", &["sqlx-postgres"]),
    ("mysql", &["sqlx-mysql"]),
    ("redis", &["redis"]),
    ("mongo", &["bson", "mongodb"]),
];
/// The backend that is built in unless something else is asked for.
const DEFAULT: &str = "sqlite";
/// TLS comes from rustls with ring: one implementation, no C library to find or to patch.
const NEVER: [&str; 5] = ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"];

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let server = ["--package", "zaqar-server", "--edges", "normal"];
    let default = crates(workspace, &server)?;
    only("the default build of zaqar-server", &default, DEFAULT)?;
    for (feature, _) in BACKENDS {
        let selection = ["--no-default-features", "--features", feature];
        let build = crates(workspace, &[server.as_slice(), &selection].concat())?;
        only(&format!("zaqar-server with `{feature}` alone"), &build, feature)?;
    }

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

/// Refuses a build that lacks its backend's client, or has another backend's.
fn only(what: &str, crates: &BTreeSet<String>, feature: &str) -> Result<()> {
    let (own, others): (Vec<_>, Vec<_>) =
        BACKENDS.into_iter().partition(|(name, _)| *name == feature);
    let own: Vec<&str> = own.into_iter().flat_map(|(_, clients)| clients).copied().collect();
    let missing: Vec<&str> = own.into_iter().filter(|name| !crates.contains(*name)).collect();
    ensure!(missing.is_empty(), "{what} lacks {}", missing.join(", "));
    let others: Vec<&str> = others.into_iter().flat_map(|(_, clients)| clients).copied().collect();
    refuse(what, crates, &others)
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
    fn another_backends_client_is_named() {
        let crates = names("zaqar-server v0.1.0 (/x)\nsqlx-mysql v0.9.0\nredis v1.8.1 (*)\n");
        let error = only("the build", &crates, "mysql").unwrap_err();
        assert_eq!(error.to_string(), "the build contains redis");
        let error = only("the build", &crates, "mongo").unwrap_err();
        assert_eq!(error.to_string(), "the build lacks bson, mongodb");
    }

    #[test]
    fn a_crate_whose_name_only_begins_alike_is_not_refused() {
        let crates = names("sqlx-postgres v0.9.0\nredis-protocol v1.0.0\n");
        only("the build", &crates, "postgres").unwrap();
    }
}
