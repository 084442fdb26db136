//! How messages and stored things look in answers.

use time::OffsetDateTime;
use zaqar_core::{DeadLetterOrigin, Message, MessageEdge, QueueKey, Timestamp};
use zaqar_engine::DeadLetter;

use super::json::write::{push, push_string};
use super::names::collection_path;

/// Room for a message's members besides its body and its queue's name, in bytes.
const MEMBERS_BYTES: usize = 224;

/// An empty text with room for these messages.
pub(crate) fn text_for(messages: &[Message], key: &QueueKey) -> String {
    let members = MEMBERS_BYTES + key.name.as_str().len();
    let bodies: usize = messages.iter().map(|message| message.body.len() + members).sum();
    String::with_capacity(bodies + MEMBERS_BYTES)
}

/// Appends messages as a JSON array.
pub(crate) fn push_messages(out: &mut String, messages: &[Message], key: &QueueKey) {
    out.push('[');
    for (at, message) in messages.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        push_message(out, message, key);
    }
    out.push(']');
}

/// Appends a message. It has these members and no others: clients pass them on as arguments.
pub(crate) fn push_message(out: &mut String, message: &Message, key: &QueueKey) {
    push_message_members(out, message, key);
    out.push('}');
}

/// Appends messages of a dead-letter queue as a JSON array: they have further members.
pub(crate) fn push_dead_letters(out: &mut String, letters: &[DeadLetter], key: &QueueKey) {
    out.push('[');
    for (at, letter) in letters.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        push_message_members(out, &letter.message, key);
        push_origin(out, letter.origin.as_ref());
        out.push('}');
    }
    out.push(']');
}

/// Appends where a message came from.
fn push_origin(out: &mut String, origin: Option<&DeadLetterOrigin>) {
    let Some(origin) = origin else {
        let unknown =
            ", \"origin\": null, \"claim_count\": null, \"last_claim\": null, \"died_at\": null";
        return out.push_str(unknown);
    };
    let DeadLetterOrigin { queue, claim_count, last_claim, died_at } = origin;
    push(out, format_args!(", \"origin\": \"{queue}\", \"claim_count\": {claim_count}"));
    match last_claim {
        Some(claim) => push(out, format_args!(", \"last_claim\": \"{claim}\"")),
        None => out.push_str(", \"last_claim\": null"),
    }
    push(out, format_args!(", \"died_at\": \"{}\"", iso_8601(*died_at)));
}

/// Appends a message up to its last brace.
fn push_message_members(out: &mut String, message: &Message, key: &QueueKey) {
    push(out, format_args!("{{\"id\": \"{0}\", \"href\": \"", message.id));
    push_message_path(out, message.id, key);
    // An href without claim holds no '=': clients take what follows the last one for a claim id.
    if let Some(claim) = message.claim {
        push(out, format_args!("?claim_id={claim}"));
    }
    let (ttl, age) = (message.ttl.as_secs(), message.age_s);
    push(out, format_args!("\", \"ttl\": {ttl}, \"age\": {age}, \"body\": "));
    out.push_str(message.body.as_str());
    if let Some(checksum) = &message.checksum {
        out.push_str(", \"checksum\": ");
        push_string(out, checksum);
    }
}

/// Appends a popped message, which is nowhere any more and so has no href.
pub(crate) fn push_popped(out: &mut String, message: &Message) {
    let Message { id, age_s, ttl, claim_count, body, .. } = message;
    let ttl = ttl.as_secs();
    push(out, format_args!("{{\"id\": \"{id}\", \"age\": {age_s}, \"ttl\": {ttl}, "));
    push(out, format_args!("\"claim_count\": {claim_count}, \"body\": "));
    out.push_str(body.as_str());
    out.push_str(", \"claim_id\": null}");
}

/// Appends the path of a message.
pub(crate) fn push_message_path(out: &mut String, id: zaqar_core::MessageId, key: &QueueKey) {
    push(out, format_args!("{}/{}/messages/{id}", collection_path(key.kind), key.name));
}

/// Appends the oldest or newest message of a queue as its statistics show it.
pub(crate) fn push_edge(out: &mut String, edge: &MessageEdge, key: &QueueKey) {
    let created = iso_8601(edge.posted_at);
    let age = edge.age_s;
    push(out, format_args!("{{\"age\": {age}, \"created\": \"{created}\", \"href\": \""));
    push_message_path(out, edge.id, key);
    out.push_str("\"}");
}

/// Appends the end of a listing document: its links. Only an empty page has none.
pub(crate) fn push_links(out: &mut String, next: Option<&str>) {
    out.push_str(", \"links\": [");
    if let Some(href) = next {
        out.push_str("{\"rel\": \"next\", \"href\": ");
        push_string(out, href);
        out.push('}');
    }
    out.push(']');
}

/// `2033-05-18T03:33:20Z`.
pub(crate) fn iso_8601(at: Timestamp) -> String {
    let moment =
        OffsetDateTime::from_unix_timestamp(at.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (moment.date(), moment.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc_to_the_second() {
        let at = |millis| iso_8601(Timestamp::from_millis(millis));
        assert_eq!(at(2_000_000_000_999), "2033-05-18T03:33:20Z");
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
    }
}
