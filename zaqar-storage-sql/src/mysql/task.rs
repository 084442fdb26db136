//! Tasks: every write that needs more than one statement. Each runs in a transaction of its own.

use async_trait::async_trait;
use zaqar_core::Result;

use crate::error::Failure;

use super::step::Step;

/// A write.
#[async_trait]
pub(crate) trait Task: Send + 'static {
    /// What it returns.
    type Output: Send + 'static;
    /// Its name in errors.
    const OPERATION: &'static str;
    /// Whether an answer for which nothing was changed rests on what others changed, which must be
    /// durable then (see [`super::durable`]). Housekeeping that finds nothing to do says nothing.
    const FENCED: bool = true;

    /// Does the work. Called once for each attempt; an attempt whose transaction was rolled back
    /// left nothing.
    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure>;
}
