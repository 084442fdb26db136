//! HAProxy, from Debian's package.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{apt, programs};

const PACKAGE: &str = "haproxy";

/// The load balancer's program, which is installed if the machine has none.
///
/// # Errors
/// If there is none and we are not root, or it cannot be fetched.
pub fn install_haproxy() -> Result<PathBuf> {
    if let Ok(program) = programs::find(PACKAGE) {
        return Ok(program);
    }
    apt::install(&[PACKAGE])?;
    programs::find(PACKAGE).context("the package brought no program")
}
