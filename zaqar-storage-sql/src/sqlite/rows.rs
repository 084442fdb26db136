//! Message rows, as every read selects them.

use zaqar_core::{Body, ClaimId, Incarnation, Message, MessageMarker, Timestamp};

use crate::error::damaged;
use crate::layout::{count_of, message_id, ttl_of};

use super::statement::Row;

/// The columns of a message, `m` being its small row and `b` its body. [`message`] reads them.
macro_rules! message_columns {
    () => {
        "m.id, m.ttl, m.posted, m.claims, m.claim, m.avail, m.origin, b.body, b.checksum"
    };
}
pub(crate) use message_columns;

/// Reads a message whose columns start at `offset`.
pub(crate) fn message(
    row: &Row,
    offset: usize,
    incarnation: Incarnation,
    now: Timestamp,
) -> Result<Message, sqlx::Error> {
    let id: i64 = row.try_get(offset)?;
    let place = message_id(incarnation, id).map_err(|_| damaged("message id"))?;
    let posted_at = Timestamp::from_millis(row.try_get(offset + 2)?);
    let held_until: i64 = row.try_get(offset + 5)?;
    let claim = match row.try_get::<Option<&[u8]>>(offset + 4)? {
        // A claim that has ended holds nothing, whether or not a sweep has met it.
        Some(bytes) if held_until > now.as_millis() => Some(claim_id(bytes)?),
        _ => None,
    };
    let origin: Option<&str> = row.try_get(offset + 6)?;
    let id = match origin {
        Some(text) => text.parse().map_err(|_| damaged("message origin"))?,
        None => place,
    };
    Ok(Message {
        id,
        marker: MessageMarker::from(place),
        body: Body::from_checked(row.try_get::<&str>(offset + 7)?),
        ttl: ttl_of(row.try_get(offset + 1)?),
        age_s: now.seconds_since(posted_at),
        posted_at,
        claim,
        claim_count: count_of(row.try_get(offset + 3)?),
        checksum: row.try_get(offset + 8)?,
    })
}

/// Reads a claim id.
pub(crate) fn claim_id(bytes: &[u8]) -> Result<ClaimId, sqlx::Error> {
    ClaimId::from_slice(bytes).map_err(|_| damaged("claim id"))
}

/// The unbroken ranges of row ids, first and last, in which sorted ids lie.
pub(crate) fn runs(ids: impl IntoIterator<Item = i64>) -> Vec<(i64, i64)> {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => runs.push((id, id)),
        }
    }
    runs
}

/// A JSON array of row ids, for `json_each`: one statement text for any number of rows.
pub(crate) fn id_list(ids: impl IntoIterator<Item = i64>) -> String {
    use std::fmt::Write;
    let mut list = String::from("[");
    for (index, id) in ids.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let written = write!(list, "{comma}{id}");
        debug_assert!(written.is_ok(), "writing to memory");
    }
    list.push(']');
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_follow_each_other_make_one_run() {
        assert_eq!(runs([]), []);
        assert_eq!(runs([7, 8, 9, 11, i64::MAX]), [(7, 9), (11, 11), (i64::MAX, i64::MAX)]);
    }
}
