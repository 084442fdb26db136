//! HAProxy, from Debian's package, and curl, with which its example makes requests.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{apt, programs};

const PROGRAMS: [&str; 2] = ["haproxy", "curl"];

/// The load balancer's program, which is installed if the machine has none, and curl with it.
///
/// # Errors
/// If one is not there and we are not root, or it cannot be fetched.
pub fn install_haproxy() -> Result<PathBuf> {
    let missing: Vec<&str> =
        PROGRAMS.into_iter().filter(|program| programs::find(program).is_err()).collect();
    if !missing.is_empty() {
        apt::install(&missing)?;
    }
    programs::find("haproxy").context("the package brought no program")
}
