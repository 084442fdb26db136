//! Building the workspace's programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// Builds all binaries and examples, as the tests use them; name → path.
///
/// The whole workspace with all features, because then every dependency has the features it has in
/// the test build, and none is built twice.
pub(crate) fn executables(workspace: &Workspace) -> Result<BTreeMap<String, PathBuf>> {
    build(workspace, &["--workspace", "--all-features", "--bins", "--examples"])
}

/// Builds the server and its load generator as they are released; name → path.
pub(crate) fn released(workspace: &Workspace) -> Result<BTreeMap<String, PathBuf>> {
    build(workspace, &["--release", "--package", "zaqar-server", "--package", "zaqar-bench"])
}

/// The same with every backend; name → path.
pub(crate) fn released_whole(workspace: &Workspace) -> Result<BTreeMap<String, PathBuf>> {
    let packages = ["--package", "zaqar-server", "--package", "zaqar-bench"];
    build(workspace, &[&["--release", "--all-features"][..], &packages].concat())
}

/// Builds a package's benchmark; name → path.
pub(crate) fn bench(
    workspace: &Workspace,
    package: &str,
    bench: &str,
) -> Result<BTreeMap<String, PathBuf>> {
    let selection = ["--package", package, "--all-features", "--bench", bench, "--no-run"];
    run(workspace, "bench", &selection)
}

fn build(workspace: &Workspace, selection: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    run(workspace, "build", selection)
}

fn run(
    workspace: &Workspace,
    command: &str,
    selection: &[&str],
) -> Result<BTreeMap<String, PathBuf>> {
    println!("    $ cargo {command} {}", selection.join(" "));
    let messages = process::capture(
        workspace
            .cargo()
            .arg(command)
            .args(selection)
            .arg("--message-format=json-render-diagnostics"),
    )?;
    Ok(messages.lines().filter_map(executable).collect())
}

fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_is_read_from_the_message_that_names_it() {
        let line =
            r#"{"reason":"compiler-artifact","target":{"name":"tool"},"executable":"/x/tool"}"#;
        assert_eq!(executable(line), Some(("tool".to_owned(), "/x/tool".into())));
    }

    #[test]
    fn a_library_is_no_executable() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"lib"},"executable":null}"#;
        assert_eq!(executable(line), None);
        assert_eq!(executable("not JSON"), None);
    }
}
