//! `cargo xtask bench`.

use anyhow::{Result, bail};
use clap::Args;

use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct BenchArgs {}

pub(crate) fn bench(_workspace: &Workspace, _args: &BenchArgs) -> Result<()> {
    bail!("later")
}
