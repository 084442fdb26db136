//! Page sizes.

use zaqar_core::PageLimit;

use super::errors::Failure;
use super::query::Query;

/// The page size that a request asks for. The default is a constant, whatever the maximum.
pub(crate) fn limit(
    query: &Query<'_>,
    max: u64,
    refused: impl FnOnce() -> Failure,
) -> Result<PageLimit, Failure> {
    let Some(limit) = query.integer("limit")? else { return Ok(PageLimit::default()) };
    let limit = u32::try_from(limit).ok().filter(|limit| u64::from(*limit) <= max);
    limit.and_then(|limit| PageLimit::new(limit).ok()).ok_or_else(refused)
}
