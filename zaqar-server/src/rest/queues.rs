//! Queues and topics: making, showing, listing, deleting, statistics, purging.

use http::StatusCode;
use zaqar_core::{
    FilterValue, ListQueues, MetadataFilter, Page, PageLimit, QueueKey, QueueKind, QueueName,
};
use zaqar_engine::{PurgeTargets, QueueView};

use super::answers::{Answer, Outcome};
use super::documents;
use super::errors::{Failure, Operation, queue_missing};
use super::json::walk::Walker;
use super::json::write::{push, push_string, to_text};
use super::names::{by_kind, collection_path, name_marker, path};
use super::paging;
use super::payload::{Payload, json_text};
use super::query::{Link, Query, integer};
use super::represent::{push_edge, push_links};
use super::routes::Call;

/// The parameters of a listing; any other is a filter. Topics are not counted.
const LIST_PARAMETERS: [&str; 5] = ["marker", "limit", "detailed", "name", "with_count"];
const TOPIC_LIST_PARAMETERS: [&str; 4] = ["marker", "limit", "detailed", "name"];

/// `PUT /v2/queues/{queue}`, `PUT /v2/topics/{topic}`
pub(crate) async fn create(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read(metadata_size_max(call), || Failure::api(too_large(call))).await?;
    let metadata = if bytes.is_empty() { Default::default() } else { documents::object(&bytes)? };
    let stem = by_kind(key.kind, "Queue could not be created.", "Topic could not be created.");
    let operation = Operation::write(key, stem);
    let created =
        call.engine().queue_create(key, metadata).await.map_err(|e| operation.failed(e))?;
    let status = if created.is_new() { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    Ok(Answer::empty(status).location(path(key)))
}

/// `GET` of a queue or topic: one that is not there has the defaults.
pub(crate) async fn get(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let operation = Operation::read(key, unreadable(key.kind));
    let metadata = call.engine().queue_get(key).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::ok(to_text(&metadata)))
}

/// `HEAD` of a queue or topic: clients ask so whether it is there.
pub(crate) async fn head(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let operation = Operation::read(key, unreadable(key.kind));
    if call.engine().queue_exists(key).await.map_err(|e| operation.failed(e))? {
        return Ok(Answer::no_content());
    }
    Err(queue_missing(key))
}

fn unreadable(kind: QueueKind) -> &'static str {
    let topic = "Topic metadata could not be retrieved.";
    by_kind(kind, "Queue metadata could not be retrieved.", topic)
}

/// `DELETE /v2/queues/{queue}`, `DELETE /v2/topics/{topic}`
pub(crate) async fn delete(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let stem = by_kind(key.kind, "Queue could not be deleted.", "Topic could not be deleted.");
    let operation = Operation::write(key, stem);
    call.engine().queue_delete(key).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::no_content())
}

/// `GET /v2/queues`
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    list_of(call, QueueKind::Queue).await
}

/// `GET /v2/topics`
pub(crate) async fn list_topics(call: &Call<'_>) -> Outcome {
    list_of(call, QueueKind::Topic).await
}

async fn list_of(call: &Call<'_>, kind: QueueKind) -> Outcome {
    let query = call.query();
    let known = by_kind(kind, &LIST_PARAMETERS[..], &TOPIC_LIST_PARAMETERS);
    let counted = by_kind(kind, query.boolean("with_count")?, None);
    let listing = Listing { query: &query, kind, known, detailed: query.boolean("detailed")? };
    let options = ListQueues::new()
        .marker(query.last("marker").and_then(name_marker))
        .limit(limit(call, &query)?)
        .name_contains(query.last("name").map(str::to_owned))
        .filters(query.others(known).map(filter).collect());
    let stem = by_kind(kind, "Queues could not be listed.", "Topics could not be listed.");
    let operation = Operation::service(stem);
    let project = call.project();
    let page = call.engine().queue_list(project, kind, options);
    let page = page.await.map_err(|e| operation.failed(e))?;
    let mut out = listing.text(&page, counted);
    if counted.unwrap_or(false) {
        let count = call.engine().queue_count(project, kind);
        match count.await.map_err(|e| operation.failed(e))? {
            0 => {}
            count => push(&mut out, format_args!(", \"count\": {count}")),
        }
    }
    out.push('}');
    Ok(Answer::ok(out))
}

/// What a listing was asked for.
struct Listing<'r> {
    query: &'r Query<'r>,
    kind: QueueKind,
    /// The parameters that are no filters.
    known: &'r [&'r str],
    detailed: Option<bool>,
}

impl Listing<'_> {
    /// The document up to its last brace.
    fn text(&self, page: &Page<QueueView, QueueName>, counted: Option<bool>) -> String {
        let mut out = String::with_capacity(1_024);
        push(&mut out, format_args!("{{\"{}\": [", by_kind(self.kind, "queues", "topics")));
        for (at, queue) in page.items.iter().enumerate() {
            out.push_str(if at > 0 { ", " } else { "" });
            self.push_queue(&mut out, queue);
        }
        out.push(']');
        let next = page.next.as_ref().map(|marker| self.next_link(counted, marker.as_str()));
        push_links(&mut out, next.as_ref().map(Link::as_str));
        out
    }

    fn push_queue(&self, out: &mut String, queue: &QueueView) {
        let (name, collection) = (&queue.name, collection_path(self.kind));
        push(out, format_args!("{{\"name\": \"{name}\", \"href\": \"{collection}/{name}\""));
        if self.detailed.unwrap_or(false) {
            out.push_str(", \"metadata\": ");
            out.push_str(&to_text(&queue.metadata));
        }
        out.push('}');
    }

    fn next_link(&self, counted: Option<bool>, marker: &str) -> Link {
        let query = self.query;
        let link = Link::to(collection_path(self.kind).to_owned())
            .with("limit", query.last("limit"))
            .with_boolean("detailed", self.detailed)
            .with("name", query.last("name"))
            .with_boolean("with_count", counted);
        let others = query.others(self.known);
        let filtered = others.fold(link, |link, (key, value)| link.with(key, Some(value)));
        filtered.with("marker", Some(marker))
    }
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

/// `GET …/stats`: what a topic holds cannot be claimed, so there it is only counted.
pub(crate) async fn stats(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let stem =
        by_kind(key.kind, "Queue stats could not be read.", "Topic stats could not be read.");
    let operation = Operation::read(key, stem);
    let stats = call.engine().queue_stats(key).await.map_err(|e| operation.failed(e))?;
    let mut out = String::with_capacity(512);
    let (claimed, free, total) = (stats.claimed, stats.free, stats.total());
    // A topic that is not there is shown as a queue that is not.
    let only_total = key.kind == QueueKind::Topic
        && (total > 0 || call.engine().queue_exists(key).await.map_err(|e| operation.failed(e))?);
    out.push_str("{\"messages\": {");
    if !only_total {
        push(&mut out, format_args!("\"claimed\": {claimed}, \"free\": {free}, "));
    }
    push(&mut out, format_args!("\"total\": {total}"));
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

/// `POST …/purge`
pub(crate) async fn purge(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read_small().await?;
    let targets = if bytes.is_empty() { PurgeTargets::ALL } else { purge_targets(&bytes)? };
    let stem = by_kind(key.kind, "Queue could not be purged.", "Topic could not be purged.");
    let operation = Operation::write(key, stem);
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
