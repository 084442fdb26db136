//! Queues: making, showing, listing, deleting, statistics, purging.

use zaqar_core::{JsonObject, ListQueues, MessageEdge, QueueKind};
use zaqar_engine::PurgeTargets;

use super::{Call, Outcome};
use crate::rest::json::write::{push, push_string, to_text};
use crate::rest::names::name_marker;
use crate::rest::represent::iso_8601;
use crate::websocket::envelope::Reply;
use crate::websocket::refusal::{Doing, Refusal};

pub(super) async fn list(call: &Call<'_>) -> Outcome {
    let max = call.limits().queues_per_page_max;
    let limit =
        call.limit(max, || format!("Limit must be at least 1 and no greater than {max}."))?;
    let marker = call.fields.text("marker").filter(|marker| !marker.is_empty());
    let options =
        ListQueues::new().marker(marker.and_then(|marker| name_marker(&marker))).limit(limit);
    let doing = Doing::service("queue_list");
    let listed = call.engine().queue_list_stored(call.project(), QueueKind::Queue, options).await;
    let page =
        listed.map_err(|e| doing.failed(e).summary(|| "Queues could not be listed.".to_owned()))?;
    let detailed = call.fields.flag("detailed");
    let mut out = String::with_capacity(1_024);
    out.push_str("{\"queues\": [");
    for (at, queue) in page.items.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        push(&mut out, format_args!("{{\"name\": \"{}\"", queue.name));
        if detailed {
            out.push_str(", \"metadata\": ");
            out.push_str(&to_text(&queue.metadata));
        }
        out.push('}');
    }
    out.push(']');
    if let Some(marker) = page.next {
        push(&mut out, format_args!(", \"marker\": \"{marker}\""));
    }
    out.push('}');
    Ok(Reply::json(200, out))
}

pub(super) async fn create(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let text = call.fields.json("metadata").unwrap_or("{}");
    let max = call.limits().queue_metadata_size_max;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > max {
        let text = format!("Queue metadata is too large. Max size: {max}");
        return Err(Refusal::invalid(text));
    }
    let metadata: JsonObject = serde_json::from_str(text).map_err(|_| Refusal::schema())?;
    let created = call.engine().queue_create(&key, metadata).await.map_err(|e| {
        let doing = Doing::write("queue_create", &key);
        doing.failed(e).summary(|| format!("Queue {} could not be created.", key.name))
    })?;
    let status = if created.is_new() { 201 } else { 204 };
    Ok(Reply::text(status, &format!("Queue {} created.", key.name)))
}

/// A queue that is not there has no metadata.
pub(super) async fn get(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let stored = call.engine().queue_get_stored(&key).await.map_err(|e| {
        let doing = Doing::read("queue_get", &key);
        doing.failed(e).summary(|| format!("Cannot retrieve queue {}.", key.name))
    })?;
    Ok(Reply::json(200, to_text(&stored.unwrap_or_default())))
}

pub(super) async fn delete(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    call.engine().queue_delete(&key).await.map_err(|e| {
        let doing = Doing::write("queue_delete", &key);
        doing.failed(e).summary(|| format!("Queue {} could not be deleted.", key.name))
    })?;
    Ok(Reply::text(204, &format!("Queue {} removed.", key.name)))
}

pub(super) async fn stats(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let failed = |e| {
        let doing = Doing::read("queue_get_stats", &key);
        doing.failed(e).summary(|| format!("Cannot retrieve queue {} stats.", key.name))
    };
    let stats = call.engine().queue_stats(&key).await.map_err(failed)?;
    // Only an empty queue may be none at all.
    let there = stats.total() > 0 || call.engine().queue_exists(&key).await.map_err(failed)?;
    let mut out = String::with_capacity(256);
    let (claimed, free, total) = (stats.claimed, stats.free, stats.total());
    push(&mut out, format_args!("{{\"messages\": {{\"claimed\": {claimed}, "));
    push(&mut out, format_args!("\"free\": {free}, \"total\": {total}"));
    for (member, edge) in [("oldest", stats.oldest), ("newest", stats.newest)] {
        if let Some(edge) = edge {
            out.push_str(", ");
            push_edge(&mut out, member, &edge);
        }
    }
    out.push_str("}}");
    Ok(Reply::json(if there { 200 } else { 404 }, out))
}

fn push_edge(out: &mut String, member: &str, edge: &MessageEdge) {
    push_string(out, member);
    let (id, age, created) = (edge.id, edge.age_s, iso_8601(edge.posted_at));
    push(out, format_args!(": {{\"id\": \"{id}\", \"age\": {age}, \"created\": \"{created}\"}}"));
}

pub(super) async fn purge(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let targets = match call.fields.texts("resource_types") {
        None => PurgeTargets::ALL,
        Some(None) => return Err(Refusal::schema()),
        Some(Some(types)) => PurgeTargets {
            messages: types.iter().any(|kind| kind == "messages"),
            subscriptions: types.iter().any(|kind| kind == "subscriptions"),
        },
    };
    call.engine().queue_purge(&key, targets).await.map_err(|e| {
        let doing = Doing::write("queue_purge", &key);
        doing.failed(e).summary(|| format!("Queue {} could not be purged.", key.name))
    })?;
    Ok(Reply::json(204, "{}"))
}
