//! A Chromium without windows, from Debian's packages.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{apt, programs};

/// What Chromium is called, the smallest first.
const NAMES: [&str; 3] = ["chromium-headless-shell", "chromium", "chromium-browser"];
/// The package that brings the first of these: the browser without what draws windows.
const PACKAGE: &str = NAMES[0];

/// The browser of this machine; `None` if it has none.
#[must_use]
pub fn find_browser() -> Option<PathBuf> {
    NAMES.iter().find_map(|name| programs::find(name).ok())
}

/// The browser of this machine, which is installed if it has none.
///
/// # Errors
/// If there is none and we are not root, or it cannot be fetched.
pub fn install_browser() -> Result<PathBuf> {
    if let Some(browser) = find_browser() {
        return Ok(browser);
    }
    apt::install(&[PACKAGE])?;
    find_browser().with_context(|| format!("the package {PACKAGE} brought no browser"))
}
