//! The stored form of an outbox entry: what one post posted.

use serde_json::{Value, json};
use zaqar_core::{Body, NewMessage, OutboxMessage, QueueRef, Timestamp, Ttl};

use crate::error::damaged;
use crate::layout::message_id;

/// Writes the entry of a post whose messages begin at position `first`. It keeps the bodies, for a
/// consumer may delete the messages at once (G13).
pub(crate) fn write(first: i64, messages: &[NewMessage], now: Timestamp) -> String {
    let entry = |(position, message): (i64, &NewMessage)| {
        json!([
            position,
            message.ttl.as_secs(),
            message.delay.as_secs(),
            now.as_millis(),
            message.body.as_str(),
        ])
    };
    Value::Array((first..).zip(messages).map(entry).collect()).to_string()
}

/// Reads the messages of an entry, with their positions.
pub(crate) fn read(
    queue: &QueueRef,
    payload: &str,
) -> Result<Vec<(i64, OutboxMessage)>, sqlx::Error> {
    type Entry = (i64, u64, u64, i64, String);
    let entries: Vec<Entry> = serde_json::from_str(payload).map_err(|_| damaged("outbox entry"))?;
    let read = |(position, ttl, delay, posted, body): Entry| {
        let id = message_id(queue.incarnation, position).map_err(|_| damaged("outbox entry"))?;
        let message = OutboxMessage {
            id,
            body: Body::from_checked(body),
            ttl: Ttl::from_secs_clamped(ttl),
            delay: Ttl::from_secs_clamped(delay),
            posted_at: Timestamp::from_millis(posted),
            attempts: 0,
        };
        Ok((position, message))
    };
    entries.into_iter().map(read).collect()
}
