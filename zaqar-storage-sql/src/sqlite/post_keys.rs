//! Idempotency keys: recorded in the post's own step, so that a repeat stores nothing (G3).

use zaqar_core::{Error, PostKey, Posted, QueueRef};

use crate::error::Failure;
use crate::layout::{length_code, posted, row_id};

use super::heads::Head;
use super::statement::query;
use super::step::Step;

/// What an earlier post under the key stored; `None` if the key is new or forgotten.
pub(crate) async fn find(
    step: &mut Step<'_>,
    queue: &QueueRef,
    head: &Head,
    key: &PostKey,
) -> Result<Option<Posted>, Failure> {
    let select = query(
        "SELECT digest, first, count FROM post_keys WHERE queue = ? AND key = ? AND expires > ?",
    )
    .bind(head.number)
    .bind(key.key.to_string())
    .bind(step.now.as_millis());
    let Some(row) = step.row(select).await? else { return Ok(None) };
    if row.try_get::<&[u8]>(0)? != key.digest {
        return Err(Error::IdempotencyConflict.into());
    }
    let count = usize::try_from(row.try_get::<i64>(2)?).unwrap_or(0);
    let mut posted = posted(queue, row_id(head.number, row.try_get(1)?), count)?;
    posted.repeated = true;
    Ok(Some(posted))
}

/// Remembers what this post stores, in place of a key that was forgotten.
pub(crate) async fn record(
    step: &mut Step<'_>,
    head: &Head,
    key: &PostKey,
    first: i64,
    count: usize,
) -> Result<(), sqlx::Error> {
    let insert = query(
        "INSERT OR REPLACE INTO post_keys (queue, key, digest, first, count, expires) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(head.number)
    .bind(key.key.to_string())
    .bind(key.digest.to_vec())
    .bind(first)
    .bind(length_code(count))
    .bind(step.now.after(key.keep).as_millis());
    step.execute(insert).await?;
    Ok(())
}
