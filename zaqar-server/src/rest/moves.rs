//! Moves of queues between pools: what an administrator sees and begins, with `admin_mode` and
//! `pooling`. The servers carry on what was begun.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use zaqar_core::{
    Error, Incarnation, PageLimit, PoolName, ProjectId, QueueKey, QueueKind, QueueName,
};
use zaqar_engine::{EngineError, MovingQueue, QueuePlace};

use super::answers::{Answer, Outcome};
use super::errors::{Failure, Operation};
use super::json::write::to_text;
use super::listed::{Collection, small_document};
use super::payload::Payload;
use super::pools::required;
use super::routes::Call;

/// What is to be moved: one queue, or some of those of a pool that is to be emptied.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    queue: Option<String>,
    project: Option<String>,
    topic: Option<bool>,
    to: Option<String>,
    from: Option<String>,
    limit: Option<u32>,
}

/// `GET /v2/moves`
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    required(call)?;
    let collection = Collection::new(call, "/v2/moves", call.limits().pools_per_page_max)?;
    let marker = collection.marker::<u64>().and_then(|number| Incarnation::new(number).ok());
    let page = call.engine().moves_list(marker, collection.limit).await;
    let page = page.map_err(|e| Operation::service("Moves could not be listed.").failed(e))?;
    let moves: Vec<Value> = page.items.iter().map(listed).collect();
    let links = collection.links(page.next.map(|next| next.get().to_string()).as_deref());
    Ok(Answer::ok(to_text(&json!({"links": links, "moves": moves}))))
}

/// `POST /v2/moves`
pub(crate) async fn begin(call: &Call<'_>, payload: &mut Payload) -> Outcome {
    required(call)?;
    let begun = match small_document(payload).await? {
        Wanted { queue: Some(queue), to: Some(to), project, topic, from: None, limit: None } => {
            let project = match project {
                Some(project) => ProjectId::new(&project).map_err(|e| unnamed("project", e))?,
                None => call.project().clone(),
            };
            let kind = if topic == Some(true) { QueueKind::Topic } else { QueueKind::Queue };
            let name = QueueName::new(&queue).map_err(|e| unnamed("queue", e))?;
            move_queue(call, QueueKey { project, kind, name }, &pool("to", &to)?).await?
        }
        Wanted { from: Some(from), limit, queue: None, project: None, topic: None, to: None } => {
            empty_pool(call, &pool("from", &from)?, limit).await?
        }
        _ => {
            let text = "Either `queue` and `to` need to be specified, with `project` and `topic` if \
                        they differ from yours, or `from`, with `limit`";
            return Err(Failure::body(text));
        }
    };
    Ok(Answer::json(StatusCode::ACCEPTED, to_text(&begun)))
}

async fn move_queue(call: &Call<'_>, key: QueueKey, to: &PoolName) -> Result<Value, Failure> {
    let place = call.engine().queue_move(&key, to).await;
    let place = place.map_err(|error| failed("Queue could not be moved.", error))?;
    Ok(shown(&key, &place))
}

async fn empty_pool(
    call: &Call<'_>,
    from: &PoolName,
    limit: Option<u32>,
) -> Result<Value, Failure> {
    let limit_max = call.limits().pools_per_page_max;
    let limit = match limit {
        None => PageLimit::default(),
        Some(limit) => PageLimit::new(limit)
            .ok()
            .filter(|limit| u64::from(limit.get()) <= limit_max)
            .ok_or_else(|| {
                Failure::body(format!("limit must be at least 1 and no greater than {limit_max}."))
            })?,
    };
    let report = call.engine().pool_drain(from, limit).await;
    let report = report.map_err(|error| failed("Pool could not be emptied.", error))?;
    Ok(json!({"begun": report.begun, "more": report.more}))
}

fn pool(member: &str, name: &str) -> Result<PoolName, Failure> {
    PoolName::new(name).map_err(|error| unnamed(member, error))
}

fn unnamed(member: &str, error: zaqar_core::InvalidId) -> Failure {
    Failure::body(format!("{member}: {error}"))
}

fn listed(moving: &MovingQueue) -> Value {
    shown(&moving.key, &moving.place)
}

fn shown(key: &QueueKey, place: &QueuePlace) -> Value {
    json!({
        "project": key.project.as_str(),
        "queue": key.name.as_str(),
        "topic": key.kind == QueueKind::Topic,
        "pool": place.pool.as_ref().map(PoolName::as_str),
        "from": place.source.as_ref().map(PoolName::as_str),
        "left": place.left,
    })
}

fn failed(stem: &'static str, error: EngineError) -> Failure {
    match error {
        EngineError::Store(Error::PoolNotFound { name }) => {
            Failure::not_found(format!("Pool {name} does not exist"))
        }
        EngineError::Store(Error::QueueNotFound { name, .. }) => {
            Failure::not_found(format!("Queue {name} does not exist"))
        }
        other => Operation { queue: None, stem, writes: true }.failed(other),
    }
}
