//! `POST …/messages`: the path that every accepted message takes.
//!
//! The body is checked in one pass and walked in another; what a message says is never parsed, only
//! cut out of the text.

use http::StatusCode;
use zaqar_core::{Body, QueueKey};
use zaqar_engine::{PostMessage, PostRequest, PostSizeMax};

use super::answers::{Answer, Outcome};
use super::documents::{integer, to_unsigned};
use super::errors::{Failure, Operation};
use super::idempotency;
use super::json::walk::Walker;
use super::json::write::push;
use super::names;
use super::payload::{Payload, json_text};
use super::represent::push_message_path;
use super::routes::Call;

/// `POST …/messages`
pub(crate) async fn post(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let operation = Operation::write(key, "Messages could not be enqueued.");
    let engine = call.engine();
    let once = idempotency::from_headers(call.headers)?;
    let size = engine.message_post_size_max(key).await.map_err(|e| operation.failed(e))?;
    let configured = call.limits().messages_post_size_max;
    let bytes = payload.read(size.bytes, || too_large(size, configured)).await?;
    if bytes.is_empty() {
        let empty = payload.is_declared_empty();
        return Err(if empty { Failure::unparsable() } else { Failure::empty_body() });
    }
    let messages = read_messages(&bytes, call.limits().messages_per_post_max)?;
    drop(bytes);
    call.config().rates.messages(call.project(), messages.len())?;
    let request = PostRequest::new(messages).client(call.client().clone()).idempotency_key(once);
    let posted = engine.message_post(key, request).await.map_err(|e| operation.failed(e))?;

    let path = 64 + key.name.as_str().len();
    let mut location = String::with_capacity(path + 25 * posted.ids.len());
    let mut body = String::with_capacity(path + (path + 2) * posted.ids.len());
    push(&mut location, format_args!("{}/messages?ids=", names::path(key)));
    body.push_str("{\"resources\": [");
    for (at, id) in posted.ids.iter().enumerate() {
        if at > 0 {
            location.push(',');
            body.push_str(", ");
        }
        push(&mut location, id);
        body.push('"');
        push_message_path(&mut body, *id, key);
        body.push('"');
    }
    body.push_str("]}");
    Ok(Answer::json(StatusCode::CREATED, body).location(location))
}

/// 400: more bytes than the queue takes.
pub(crate) fn too_large(size: PostSizeMax, configured: u64) -> Failure {
    let text = "Message collection size is too large.";
    let Some(own) = size.queue else {
        return Failure::api(format!("{text} Max size {configured}"));
    };
    let effective = size.bytes;
    Failure::api(format!(
        "{text} The max size for current queue is {effective}. It is calculated by max size = \
         min(max_messages_post_size_config: {configured}, max_messages_post_size_queue: {own})."
    ))
}

/// Reads the messages of a post, at most one more than `count_max`: enough to be refused.
fn read_messages(bytes: &[u8], count_max: u64) -> Result<Vec<PostMessage>, Failure> {
    let missing = || Failure::api("No messages were found in the request body.");
    let mut walker = Walker::new(json_text(bytes)?);
    if walker.first_byte() != Some(b'{') {
        return Err(missing());
    }
    walker.enter();
    let mut messages = None;
    while let Some(key) = walker.next_member() {
        // Of several members with this name the last one counts, so the others may be anything.
        if key == "messages" {
            messages = Some(read_array(&mut walker, count_max));
        } else {
            walker.value();
        }
    }
    messages.ok_or_else(missing)?
}

/// Reads the array of messages ahead, at most one more than `count_max`.
pub(crate) fn read_array(
    walker: &mut Walker<'_>,
    count_max: u64,
) -> Result<Vec<PostMessage>, Failure> {
    let start = walker.clone();
    let read = if walker.first_byte() == Some(b'[') {
        read_elements(walker, usize::try_from(count_max).unwrap_or(usize::MAX))
    } else {
        Err(Failure::document_type())
    };
    if !matches!(read, Ok((_, true))) {
        *walker = start;
        walker.value();
    }
    read.map(|(messages, _)| messages)
}

/// The messages, and whether the walk reached the end of the array.
fn read_elements(
    walker: &mut Walker<'_>,
    count_max: usize,
) -> Result<(Vec<PostMessage>, bool), Failure> {
    let mut messages = Vec::new();
    walker.enter();
    while walker.next_element() {
        if walker.first_byte() != Some(b'{') {
            return Err(Failure::document_type());
        }
        messages.push(read_message(walker)?);
        if messages.len() > count_max {
            return Ok((messages, false));
        }
    }
    Ok((messages, true))
}

fn read_message(walker: &mut Walker<'_>) -> Result<PostMessage, Failure> {
    let (mut body, mut ttl, mut delay) = (None, None, None);
    walker.enter();
    while let Some(key) = walker.next_member() {
        let value = Some(walker.value());
        match key.as_ref() {
            "body" => body = value,
            "ttl" => ttl = value,
            "delay" => delay = value,
            _ => {}
        }
    }
    let body = body.ok_or_else(|| Failure::missing("body"))?;
    let seconds = |text: Option<&str>, field| {
        text.map(|text| integer(text, field).map(to_unsigned)).transpose()
    };
    let (ttl, delay) = (seconds(ttl, "ttl")?, seconds(delay, "delay")?);
    Ok(PostMessage::new(Body::from_checked(body)).ttl(ttl).delay(delay))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (String, Option<u64>, Option<u64>);

    fn read(text: &str) -> Result<Vec<Row>, String> {
        let messages = read_messages(text.as_bytes(), 3);
        let row = |m: PostMessage| (m.body.as_str().to_owned(), m.ttl, m.delay);
        messages
            .map(|messages| messages.into_iter().map(row).collect())
            .map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn bodies_are_cut_out_of_the_text_as_they_stand() {
        let text = r#"{"x": [1], "messages": [
            {"body": {"b" : 1e2,"a":[ ]}, "ttl": 60},
            {"delay":5,"body" :null, "other": {"body": 1}},
            {"b\u006fdy": "\u00e9", "ttl": true, "ttl": -1}
        ], "y": {}}"#;
        let expected = [
            (r#"{"b" : 1e2,"a":[ ]}"#.to_owned(), Some(60), None),
            ("null".to_owned(), None, Some(5)),
            (r#""\u00e9""#.to_owned(), Some(u64::MAX), None),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn of_several_lists_the_last_one_counts() {
        let text = r#"{"messages": [{"no": 1}, 5], "messages": [{"body": 1}], "z": 0}"#;
        assert_eq!(read(text).unwrap(), [("1".to_owned(), None, None)]);
        assert!(read(r#"{"messages": [{"body": 1}], "messages": 5}"#).is_err());
    }

    #[test]
    fn reading_stops_one_message_past_the_bound() {
        let many = [r#"{"body": 1}"#; 9].join(",");
        assert_eq!(read(&format!(r#"{{"messages": [{many}], "z": 1}}"#)).unwrap().len(), 4);
    }
}
