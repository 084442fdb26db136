//! Messages: posting and reading.

use std::borrow::Cow;

use zaqar_core::{IdempotencyKey, ListMessages, Message, MessageId, MessageMarker};
use zaqar_engine::{PostMessage, PostRequest};

use super::{Call, Outcome};
use crate::rest::errors::{Failure, message_missing};
use crate::rest::idempotency;
use crate::rest::json::walk::Walker;
use crate::rest::json::write::push;
use crate::rest::message_post::{read_array, too_large};
use crate::rest::messages::{exceeds, message_ids};
use crate::websocket::envelope::Reply;
use crate::websocket::refusal::{Doing, Refusal};

pub(super) async fn post(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let client = call.client()?;
    let once = idempotency_key(call)?;
    let doing = Doing::write("message_post", &key);
    let failed = |e| doing.failed(e).summary(|| "No messages could be enqueued.".to_owned());
    let text = call.fields.json("messages").unwrap_or("[]");
    let size = call.engine().message_post_size_max(&key).await.map_err(failed)?;
    if exceeds(text.len(), size.bytes) {
        return Err(too_large(size, call.limits().messages_post_size_max).into());
    }
    let messages = read(text, call.limits().messages_per_post_max)?;
    let rates = &call.shared.config.rates;
    rates.messages(call.project(), messages.len()).map_err(Failure::from)?;
    let request = PostRequest::new(messages).client(client).idempotency_key(once);
    let posted = call.engine().message_post(&key, request).await.map_err(failed)?;
    let mut out = String::with_capacity(32 + 28 * posted.ids.len());
    out.push_str("{\"message_ids\": [");
    for (at, id) in posted.ids.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        push(&mut out, format_args!("\"{id}\""));
    }
    out.push_str("]}");
    Ok(Reply::json(201, out))
}

/// The key under which a repeat of this post is stored once, if it has one.
fn idempotency_key(call: &Call<'_>) -> Result<Option<IdempotencyKey>, Refusal> {
    const FIELD: &str = "idempotency_key";
    if call.fields.json(FIELD).is_none() {
        return Ok(None);
    }
    // A string that is no text must not pass for no key.
    let key = call.fields.text(FIELD).and_then(|text| idempotency::checked(&text));
    key.map(Some).ok_or_else(|| Refusal::invalid(idempotency::requirement("field", FIELD)))
}

fn read(text: &str, count_max: u64) -> Result<Vec<PostMessage>, Refusal> {
    let refused = |failure: Failure| match failure.status().as_u16() {
        400 => Refusal::invalid(format!("Bad request. {}", failure.description())),
        _ => failure.into(),
    };
    read_array(&mut Walker::new(text), count_max).map_err(refused)
}

pub(super) async fn list(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let client = call.client()?;
    let max = call.limits().messages_per_page_max;
    let limit = call.limit(max, || limit_text(max))?;
    let marker = call.fields.text("marker").filter(|marker| !marker.is_empty());
    let Ok(marker) = marker.map(|marker| marker.parse::<MessageMarker>()).transpose() else {
        // No place in any queue: nothing comes after it.
        return Ok(Reply::json(200, "{\"messages\": []}"));
    };
    let options = ListMessages::new()
        .marker(marker)
        .limit(limit)
        .hide_client((!call.fields.flag("echo")).then_some(client))
        .include_claimed(call.fields.flag("include_claimed"))
        .include_delayed(call.fields.flag("include_delayed"));
    let page = call.engine().message_list(&key, options).await.map_err(|e| {
        let doing = Doing::read("message_list", &key);
        doing.failed(e).summary(|| "Messages could not be listed.".to_owned())
    })?;
    let mut out = text_for(&page.items);
    out.push_str("{\"messages\": ");
    push_messages(&mut out, &page.items, Claims::Hidden);
    if let Some(marker) = page.next {
        push(&mut out, format_args!(", \"marker\": \"{marker}\""));
    }
    out.push('}');
    Ok(Reply::json(200, out))
}

pub(super) async fn get(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let id = call.fields.text("message_id").unwrap_or_default();
    let id: MessageId = id.parse().map_err(|_| message_missing(&id, &key))?;
    let found = call.engine().message_get(&key, id).await;
    let found = found.map_err(|e| Doing::read("message_get", &key).failed(e))?;
    let mut out = text_for(std::slice::from_ref(&found));
    out.push_str("{\"messages\": ");
    push_message(&mut out, &found, Claims::Hidden);
    out.push('}');
    Ok(Reply::json(200, out))
}

pub(super) async fn get_many(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let ids = ids(call)?.unwrap_or_default();
    let max = call.limits().messages_per_page_max;
    if ids.is_empty() || exceeds(ids.len(), max) {
        return Err(Refusal::invalid(limit_text(max)));
    }
    let ids = message_ids(ids.iter().map(Cow::as_ref));
    let found = if ids.is_empty() {
        Vec::new()
    } else {
        let found = call.engine().message_bulk_get(&key, &ids).await;
        found.map_err(|e| Doing::read("message_get_many", &key).failed(e))?
    };
    let mut out = text_for(&found);
    out.push_str("{\"messages\": ");
    push_messages(&mut out, &found, Claims::Hidden);
    out.push('}');
    Ok(Reply::json(200, out))
}

fn limit_text(max: u64) -> String {
    format!("Limit must be at least 1 and may not be greater than {max}.")
}

/// The ids that a request names, if it has a list of them.
pub(super) fn ids<'a>(call: &Call<'a>) -> Result<Option<Vec<Cow<'a, str>>>, Refusal> {
    call.fields.texts("message_ids").map(|ids| ids.ok_or_else(Refusal::schema)).transpose()
}

/// An empty text with room for these messages.
pub(super) fn text_for(messages: &[Message]) -> String {
    const MEMBERS_BYTES: usize = 160;
    let bodies: usize = messages.iter().map(|message| message.body.len() + MEMBERS_BYTES).sum();
    String::with_capacity(bodies + MEMBERS_BYTES)
}

/// Whether messages show the claim that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claims {
    Shown,
    Hidden,
}

/// Appends messages as a JSON array.
pub(super) fn push_messages(out: &mut String, messages: &[Message], claims: Claims) {
    out.push('[');
    for (at, message) in messages.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        push_message(out, message, claims);
    }
    out.push(']');
}

fn push_message(out: &mut String, message: &Message, claims: Claims) {
    push(out, format_args!("{{\"id\": \"{}\", \"claim_id\": ", message.id));
    match message.claim.filter(|_| claims == Claims::Shown) {
        Some(claim) => push(out, format_args!("\"{claim}\"")),
        None => out.push_str("null"),
    }
    let (ttl, age) = (message.ttl.as_secs(), message.age_s);
    push(out, format_args!(", \"ttl\": {ttl}, \"age\": {age}, \"body\": "));
    out.push_str(message.body.as_str());
    out.push('}');
}
