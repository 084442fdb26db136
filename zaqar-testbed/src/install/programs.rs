//! Where the servers' programs are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::service::build_folder;

/// The variable that names another mongod than the one that is fetched.
const MONGOD: &str = "ZAQAR_TESTBED_MONGOD";
/// Where Debian keeps a folder for each version of PostgreSQL.
const POSTGRES: &str = "/usr/lib/postgresql";

/// A program in the search path, or where servers are that are not for everybody.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders =
        env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let mut candidates = folders.map(|folder| folder.join(name));
    candidates.find(|candidate| candidate.is_file()).with_context(|| lacking(name))
}

/// A program of PostgreSQL, of the newest version that is there.
pub(crate) fn postgres(name: &str) -> Result<PathBuf> {
    let versions = fs::read_dir(POSTGRES).into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let program = entry.path().join("bin").join(name);
        program.is_file().then_some((version, program))
    });
    match versions.max() {
        Some((_, program)) => Ok(program),
        None => find(name),
    }
}

/// mongod: the one that the environment names, or that was fetched, or the machine's.
pub(crate) fn mongod() -> Result<PathBuf> {
    if let Some(named) = env::var_os(MONGOD) {
        return Ok(named.into());
    }
    let fetched = mongod_folder().ok().map(|folder| folder.join("mongod"));
    fetched.filter(|program| program.is_file()).map_or_else(|| find("mongod"), Ok)
}

/// Where a fetched mongod is kept: with what was built, never in the checkout.
pub(super) fn mongod_folder() -> Result<PathBuf> {
    let folder = build_folder().context("this program is in no build folder")?;
    Ok(folder.join("testbed").join("mongod"))
}

fn lacking(name: &str) -> String {
    let name = Path::new(name).display();
    format!("{name} is not installed; `cargo xtask services up`, as root, installs it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_what_to_do() {
        assert!(find("sh").is_ok());
        let error = find("no-such-program").unwrap_err().to_string();
        assert!(error.contains("no-such-program") && error.contains("services up"), "{error}");
    }
}
