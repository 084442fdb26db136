//! Reading messages: a page, several by id, one.

use zaqar_core::{ListMessages, MessageId, MessageMarker, QueueKey};

use super::answers::{Answer, Outcome};
use super::documents::to_unsigned;
use super::errors::{Failure, Operation, message_missing};
use super::names::{self, by_kind};
use super::paging;
use super::payload::Payload;
use super::query::{Link, Query};
use super::represent::{push_links, push_message, push_messages, text_for};
use super::routes::Call;

/// `GET …/messages`
pub(crate) async fn list(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let query = call.query();
    if query.has("ids") { by_ids(call, key, &query).await } else { page(call, key, &query).await }
}

async fn page(call: &Call<'_>, key: &QueueKey, query: &Query<'_>) -> Outcome {
    let echo = query.boolean("echo")?;
    let include_claimed = query.boolean("include_claimed")?;
    let include_delayed = query.boolean("include_delayed")?;
    let max = call.limits().messages_per_page_max;
    let limit = paging::limit(query, max, || limit_refused(max))?;
    let wait = query.integer("wait")?.map_or(0, to_unsigned);
    let marker = match query.last("marker").map(str::parse::<MessageMarker>).transpose() {
        Ok(marker) => marker,
        // No place in any queue: nothing comes after it.
        Err(_) => return Ok(Answer::ok("{\"messages\": [], \"links\": []}")),
    };
    let echo_on = echo.unwrap_or(false);
    let options = ListMessages::new()
        .marker(marker)
        .limit(limit)
        .hide_client((!echo_on).then(|| call.client().clone()))
        .include_claimed(include_claimed.unwrap_or(false))
        .include_delayed(include_delayed.unwrap_or(false));
    let operation = Operation::read(key, "Messages could not be listed.");
    let page = call.engine().message_list_waiting(key, options, wait).await;
    let page = page.map_err(|e| operation.failed(e))?;
    let next = page.next.map(|marker| {
        Link::to(format!("{}/messages", names::path(key)))
            .with("limit", query.last("limit"))
            .with_boolean("echo", echo)
            .with_boolean("include_claimed", include_claimed)
            .with_boolean("include_delayed", include_delayed)
            .with("wait", query.last("wait"))
            .with("marker", Some(marker.to_string()))
    });
    let mut out = text_for(&page.items, key);
    out.push_str("{\"messages\": ");
    push_messages(&mut out, &page.items, key);
    push_links(&mut out, next.as_ref().map(Link::as_str));
    out.push('}');
    Ok(Answer::ok(out).after_wait(wait))
}

/// Own, claimed and delayed messages too; what is not there is left out.
async fn by_ids(call: &Call<'_>, key: &QueueKey, query: &Query<'_>) -> Outcome {
    let asked: Vec<&str> = query.list("ids").collect();
    let max = call.limits().messages_per_page_max;
    if exceeds(asked.len(), max) {
        return Err(limit_refused(max));
    }
    let operation = Operation::read(key, "Message could not be retrieved.");
    let ids = message_ids(asked.iter().copied());
    let found = if ids.is_empty() {
        Vec::new()
    } else {
        call.engine().message_bulk_get(key, &ids).await.map_err(|e| operation.failed(e))?
    };
    if found.is_empty() {
        let (queue, project) = (&key.name, &key.project);
        let kind = by_kind(key.kind, "queue", "topic");
        return Err(Failure::not_found(format!(
            "No messages with IDs: {} found in the {kind} {queue} for project {project}.",
            python_list(asked.iter().copied())
        )));
    }
    let mut out = text_for(&found, key);
    out.push_str("{\"messages\": ");
    push_messages(&mut out, &found, key);
    out.push('}');
    Ok(Answer::ok(out))
}

/// `GET …/messages/{id}`
pub(crate) async fn get(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let operation = Operation::read(key, "Message could not be retrieved.");
    let id: MessageId = call.id.parse().map_err(|_| message_missing(call.id, key))?;
    let found = call.engine().message_get(key, id).await.map_err(|e| operation.failed(e))?;
    let mut out = text_for(std::slice::from_ref(&found), key);
    push_message(&mut out, &found, key);
    Ok(Answer::ok(out))
}

/// The ids that can be one; the others name nothing.
pub(crate) fn message_ids<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<MessageId> {
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// Whether `count` is more than `max`.
pub(crate) fn exceeds(count: usize, max: u64) -> bool {
    u64::try_from(count).is_ok_and(|count| count > max)
}

pub(crate) fn limit_refused(max: u64) -> Failure {
    Failure::api(format!("Limit must be at least 1 and may not be greater than {max}."))
}

/// `['a', 'b']`, as this text has always shown a list.
pub(crate) fn python_list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let quoted = |item: &str| format!("'{}'", item.replace('\\', "\\\\").replace('\'', "\\'"));
    format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
}
