//! Queues: making, showing, listing, deleting, statistics, purging.

use http::StatusCode;
use zaqar_core::{FilterValue, ListQueues, MetadataFilter, PageLimit, QueueKey, QueueKind};
use zaqar_engine::{PurgeTargets, QueueView};

use super::answers::{Answer, Outcome};
use super::documents;
use super::errors::{Failure, Operation};
use super::json::walk::Walker;
use super::json::write::{push, push_string, to_text};
use super::names::name_marker;
use super::paging;
use super::payload::{Payload, json_text};
use super::query::{Link, Query, integer};
use super::represent::{push_edge, push_links};
use super::routes::Call;

const LIST_PARAMETERS: [&str; 5] = ["marker", "limit", "detailed", "name", "with_count"];

/// `PUT /v2/queues/{queue}`
pub(crate) async fn create(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read(metadata_size_max(call), || Failure::api(too_large(call))).await?;
    let metadata = if bytes.is_empty() { Default::default() } else { documents::object(&bytes)? };
    let operation = Operation::write(key, "Queue could not be created.");
    let created =
        call.engine().queue_create(key, metadata).await.map_err(|e| operation.failed(e))?;
    let status = if created.is_new() { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    Ok(Answer::empty(status).location(path(key)))
}

/// `GET /v2/queues/{queue}`: a queue that is not there has the defaults.
pub(crate) async fn get(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let operation = Operation::read(key, "Queue metadata could not be retrieved.");
    let metadata = call.engine().queue_get(key).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::ok(to_text(&metadata)))
}

/// `HEAD /v2/queues/{queue}`: clients ask so whether the queue is there.
pub(crate) async fn head(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let operation = Operation::read(key, "Queue metadata could not be retrieved.");
    if call.engine().queue_exists(key).await.map_err(|e| operation.failed(e))? {
        return Ok(Answer::no_content());
    }
    let (name, project) = (&key.name, &key.project);
    Err(Failure::not_found(format!("Queue {name} does not exist for project {project}")))
}

/// `DELETE /v2/queues/{queue}`
pub(crate) async fn delete(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let operation = Operation::write(key, "Queue could not be deleted.");
    call.engine().queue_delete(key).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::no_content())
}

/// `GET /v2/queues`
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    let query = call.query();
    let detailed = query.boolean("detailed")?;
    let with_count = query.boolean("with_count")?;
    let limit = limit(call, &query)?;
    let options = ListQueues::new()
        .marker(query.last("marker").and_then(name_marker))
        .limit(limit)
        .name_contains(query.last("name").map(str::to_owned))
        .filters(query.others(&LIST_PARAMETERS).map(filter).collect());
    let operation = Operation::service("Queues could not be listed.");
    let project = call.project();
    let page = call
        .engine()
        .queue_list(project, QueueKind::Queue, options)
        .await
        .map_err(|e| operation.failed(e))?;
    let mut out = String::with_capacity(1_024);
    out.push_str("{\"queues\": [");
    for (at, queue) in page.items.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        push_queue(&mut out, queue, detailed.unwrap_or(false));
    }
    out.push(']');
    let next = page.next.map(|marker| next_link(&query, detailed, with_count, marker.as_str()));
    push_links(&mut out, next.as_ref().map(Link::as_str));
    if with_count.unwrap_or(false) {
        let count = call.engine().queue_count(project, QueueKind::Queue);
        match count.await.map_err(|e| operation.failed(e))? {
            0 => {}
            count => push(&mut out, format_args!(", \"count\": {count}")),
        }
    }
    out.push('}');
    Ok(Answer::ok(out))
}

fn limit(call: &Call<'_>, query: &Query<'_>) -> Result<PageLimit, Failure> {
    let max = call.limits().queues_per_page_max;
    let refused = || Failure::api(format!("Limit must be at least 1 and no greater than {max}."));
    paging::limit(query, max, refused)
}

fn filter((key, value): (&str, &str)) -> MetadataFilter {
    let value =
        integer(value).map_or_else(|| FilterValue::Text(value.to_owned()), FilterValue::Integer);
    MetadataFilter { path: key.to_owned(), value }
}

fn next_link(
    query: &Query<'_>,
    detailed: Option<bool>,
    with_count: Option<bool>,
    marker: &str,
) -> Link {
    let link = Link::to("/v2/queues".to_owned())
        .with("limit", query.last("limit"))
        .with_boolean("detailed", detailed)
        .with("name", query.last("name"))
        .with_boolean("with_count", with_count);
    let filtered =
        query.others(&LIST_PARAMETERS).fold(link, |link, (key, value)| link.with(key, Some(value)));
    filtered.with("marker", Some(marker))
}

fn push_queue(out: &mut String, queue: &QueueView, detailed: bool) {
    let name = &queue.name;
    push(out, format_args!("{{\"name\": \"{name}\", \"href\": \"/v2/queues/{name}\""));
    if detailed {
        out.push_str(", \"metadata\": ");
        out.push_str(&to_text(&queue.metadata));
    }
    out.push('}');
}

/// `GET /v2/queues/{queue}/stats`
pub(crate) async fn stats(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let operation = Operation::read(key, "Queue stats could not be read.");
    let stats = call.engine().queue_stats(key).await.map_err(|e| operation.failed(e))?;
    let mut out = String::with_capacity(512);
    let (claimed, free, total) = (stats.claimed, stats.free, stats.total());
    push(&mut out, format_args!("{{\"messages\": {{\"claimed\": {claimed}, "));
    push(&mut out, format_args!("\"free\": {free}, \"total\": {total}"));
    for (member, edge) in [("oldest", stats.oldest), ("newest", stats.newest)] {
        if let Some(edge) = edge {
            out.push_str(", ");
            push_string(&mut out, member);
            out.push_str(": ");
            push_edge(&mut out, &edge, key);
        }
    }
    out.push_str("}}");
    Ok(Answer::ok(out))
}

/// `POST /v2/queues/{queue}/purge`
pub(crate) async fn purge(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read_small().await?;
    let targets = if bytes.is_empty() { PurgeTargets::ALL } else { purge_targets(&bytes)? };
    let operation = Operation::write(key, "Queue could not be purged.");
    call.engine().queue_purge(key, targets).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::no_content())
}

fn purge_targets(bytes: &[u8]) -> Result<PurgeTargets, Failure> {
    let missing = || Failure::api("Post body must contain key \"resource_types\".");
    let unknown =
        || Failure::api("Resource types must be a sub set of {'messages', 'subscriptions'}.");
    let mut walker = Walker::new(json_text(bytes)?);
    if walker.first_byte() != Some(b'{') {
        return Err(missing());
    }
    walker.enter();
    let types = documents::member(walker, "resource_types").ok_or_else(missing)?;
    let types: Vec<String> = serde_json::from_str(types).map_err(|_| unknown())?;
    let mut targets = PurgeTargets { messages: false, subscriptions: false };
    for resource in types {
        match resource.as_str() {
            "messages" => targets.messages = true,
            "subscriptions" => targets.subscriptions = true,
            _ => return Err(unknown()),
        }
    }
    Ok(targets)
}

/// How many bytes of metadata a request may carry.
pub(crate) fn metadata_size_max(call: &Call<'_>) -> u64 {
    call.limits().queue_metadata_size_max
}

/// What to say when it carries more.
pub(crate) fn too_large(call: &Call<'_>) -> String {
    format!("Queue metadata is too large. Max size: {}", metadata_size_max(call))
}

fn path(key: &QueueKey) -> String {
    format!("/v2/queues/{}", key.name)
}
