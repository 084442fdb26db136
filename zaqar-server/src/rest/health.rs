//! `GET /v2/health`: does the service really work? It tries, on a queue of its own; with pools, on
//! one in each of them.

use std::future::Future;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;
use zaqar_core::{
    Body, Effect, Error, ListMessages, MessageId, PoolName, ProjectId, QueueKey, QueueName, Retry,
    StoreVolume,
};
use zaqar_engine::{ClaimRequest, Engine, EngineResult, PostMessage, PostRequest};

use super::answers::{Answer, Outcome};
use super::errors::{Failure, Operation};
use super::json::write::to_text;
use super::routes::Call;

const STEM: &str = "Health status could not be read.";
const MESSAGES: u64 = 100;
const MESSAGE_TTL_S: u64 = 600;

/// `GET /v2/health`
pub(crate) async fn get(call: &Call<'_>) -> Outcome {
    let engine = call.engine();
    let deadline = Instant::now() + engine.config().operation_timeout;
    if engine.has_pools() {
        let pools = pooled(engine, deadline).await;
        return Ok(Answer::ok(to_text(&Value::Object(pools))));
    }
    let state = engine.health().await;
    if !state.control.reachable || !state.data.reachable {
        return Err(Failure::unavailable(STEM));
    }
    let status = Box::pin(probe(engine, deadline)).await.ok_or_else(Failure::internal)?;
    let volume = engine.volume().await.map_err(|e| Operation::service(STEM).failed(e))?;
    Ok(Answer::ok(to_text(&reachable(status, volume))))
}

/// Whether the pools are known, and each of them by its name. All are tried at once: one that is
/// down hides none of the others, and delays the answer until the deadline at most.
async fn pooled(engine: &Engine, deadline: Instant) -> Map<String, Value> {
    let names = engine.pool_names().await;
    let mut answer = Map::new();
    answer.insert("catalog_reachable".to_owned(), names.is_ok().into());
    let names = names.unwrap_or_else(|error| {
        tracing::error!(%error, "the pools are not known");
        Vec::new()
    });
    let tried = join_all(names.iter().map(|name| Box::pin(pool(engine, name, deadline)))).await;
    for (name, entry) in names.iter().zip(tried) {
        // A pool may have any name, even that of the member above.
        answer.entry(name.as_str()).or_insert(entry);
    }
    answer
}

/// How one pool is.
async fn pool(engine: &Engine, name: &PoolName, deadline: Instant) -> Value {
    let opened = timeout_at(deadline, engine.in_pool(name)).await;
    let Ok(Ok(pool)) = opened else {
        return json!({"storage_reachable": false, "operation_status": {}});
    };
    let status = probe(&pool, deadline).await.unwrap_or_default();
    match timeout_at(deadline, pool.volume()).await {
        Ok(Ok(volume)) => return reachable(status, volume),
        Ok(Err(error)) => tracing::error!(%error, pool = %name, "the messages are not counted"),
        Err(_elapsed) => tracing::error!(pool = %name, "the messages are not counted in time"),
    }
    json!({"storage_reachable": true, "operation_status": status})
}

fn reachable(status: Map<String, Value>, volume: StoreVolume) -> Value {
    let StoreVolume { free, claimed } = volume;
    json!({
        "storage_reachable": true,
        "operation_status": status,
        "message_volume": {
            "free": free,
            "claimed": claimed,
            "total": free.saturating_add(claimed),
        },
    })
}

/// Tries the operations in order. What needs one that failed is left out, and what is not done by
/// the deadline has failed; `None` if no queue can be named.
async fn probe(engine: &Engine, deadline: Instant) -> Option<Map<String, Value>> {
    let name = |prefix: &str| format!("{prefix}-{}", Uuid::new_v4().simple());
    let project = ProjectId::new(name("health")).ok()?;
    let queue = QueueName::new(name("health")).ok()?;
    let key = QueueKey::queue(project, queue);
    let mut probe = Probe { engine, deadline, done: Map::new() };
    if probe.step("create_queue", engine.queue_create(&key, Default::default())).await.is_some() {
        Box::pin(probe.messages(&key)).await;
        // Begun after the deadline too, and then finished without us.
        probe.step("delete_queue", engine.queue_delete(&key)).await;
    }
    Some(probe.done)
}

struct Probe<'e> {
    engine: &'e Engine,
    deadline: Instant,
    done: Map<String, Value>,
}

impl Probe<'_> {
    async fn messages(&mut self, key: &QueueKey) -> Option<()> {
        let engine = self.engine;
        let limits = &engine.config().limits;
        let count = MESSAGES.min(limits.messages_per_post_max);
        let message = |number| {
            let body = Body::from_checked(format!("{{\"number\": {number}}}"));
            PostMessage::new(body).ttl(MESSAGE_TTL_S.min(limits.message_ttl_max))
        };
        let request = PostRequest::new((0..count).map(message).collect());
        let posted = self.step("post_messages", engine.message_post(key, request)).await?;
        let request = ClaimRequest::new();
        let claim = Box::pin(engine.claim_create(key, request));
        let claimed = self.step("claim_messages", claim).await;
        let options = ListMessages::new().include_claimed(true);
        self.step("list_messages", engine.message_list(key, options)).await;
        let mut rest = posted.ids;
        if let Some(Some(claimed)) = claimed {
            let ids: Vec<MessageId> = claimed.messages.iter().map(|m| m.id).collect();
            rest.retain(|id| !ids.contains(id));
            let delete = async {
                for id in ids {
                    engine.message_delete(key, id, Some(claimed.id)).await?;
                }
                Ok(())
            };
            self.step("delete_messages", delete).await;
            self.step("delete_claim", engine.claim_delete(key, claimed.id)).await;
        }
        self.step("bulk_delete_messages", engine.message_bulk_delete(key, &rest, None)).await;
        Some(())
    }

    async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = EngineResult<T>>,
    ) -> Option<T> {
        let clock = self.engine.clock();
        let start = clock.now().as_millis();
        let late = |late| Error::backend(name, Effect::Unknown, Retry::Later, late).into();
        let answer = timeout_at(self.deadline, work).await;
        let answer = answer.unwrap_or_else(|elapsed| Err(late(elapsed)));
        let millis = clock.now().as_millis().saturating_sub(start);
        // Exact: a probe that took 2^53 ms would have been given up long before.
        let seconds = u32::try_from(millis).map_or(f64::MAX, f64::from) / 1_000.0;
        let (answer, reference) = match answer {
            Ok(value) => (Some(value), Value::Null),
            Err(error) => {
                let reference = Uuid::new_v4().to_string();
                tracing::error!(%error, step = name, reference, "the health probe failed");
                (None, reference.into())
            }
        };
        let status = json!({"succeeded": answer.is_some(), "seconds": seconds, "ref": reference});
        self.done.insert(name.to_owned(), status);
        answer
    }
}
