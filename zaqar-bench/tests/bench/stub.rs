//! A queue in memory behind just enough of REST v2, honest or with a planted fault.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde_json::value::RawValue;

/// What the stub does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// Nothing.
    Honest,
    /// One message in a hundred is acknowledged and dropped.
    Loses,
    /// One message in a hundred is stored twice.
    Doubles,
    /// One post in a hundred goes to the front.
    Misorders,
    /// One message in a hundred survives its deletion.
    Resurrects,
    /// One body in a hundred is damaged.
    Corrupts,
    /// One post in ten is stored, but answered with 503.
    FailsAfter,
    /// One post in ten is refused with 503 before anything happens.
    FailsBefore,
}

impl std::str::FromStr for Plant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "honest" => Self::Honest,
            "loses" => Self::Loses,
            "doubles" => Self::Doubles,
            "misorders" => Self::Misorders,
            "resurrects" => Self::Resurrects,
            "corrupts" => Self::Corrupts,
            "fails-after" => Self::FailsAfter,
            "fails-before" => Self::FailsBefore,
            other => return Err(format!("{other} is no fault to plant")),
        })
    }
}

#[derive(Debug, Clone)]
struct Message {
    id: u64,
    body: Arc<str>,
    claim: Option<u64>,
}

#[derive(Debug, Default)]
struct Store {
    queues: HashMap<String, Vec<Message>>,
    next: u64,
    requests: u64,
}

struct Stub {
    plant: Plant,
    store: Mutex<Store>,
}

impl Stub {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Shared = Arc<Stub>;
type Parameters = Query<HashMap<String, String>>;

#[derive(serde::Deserialize)]
struct Posted<'a> {
    #[serde(borrow)]
    messages: Vec<PostedMessage<'a>>,
}

#[derive(serde::Deserialize)]
struct PostedMessage<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The stub's routes.
pub(crate) fn router(plant: Plant) -> Router {
    let stub = Arc::new(Stub { plant, store: Mutex::default() });
    Router::new()
        .route("/", get(|| async { StatusCode::MULTIPLE_CHOICES }))
        .route("/v2/queues/{queue}", put(create).delete(remove))
        .route("/v2/queues/{queue}/messages", post(append).get(list).delete(delete_bulk))
        .route("/v2/queues/{queue}/messages/{id}", delete(delete_one))
        .route("/v2/queues/{queue}/claims", post(claim))
        .route("/v2/ping", get(|| async { StatusCode::NO_CONTENT }))
        .with_state(stub)
}

async fn create(State(stub): State<Shared>, Path(queue): Path<String>) -> StatusCode {
    stub.store().queues.entry(queue).or_default();
    StatusCode::CREATED
}

async fn remove(State(stub): State<Shared>, Path(queue): Path<String>) -> StatusCode {
    stub.store().queues.remove(&queue);
    StatusCode::NO_CONTENT
}

async fn append(State(stub): State<Shared>, Path(queue): Path<String>, body: Bytes) -> Response {
    let Ok(posted) = serde_json::from_slice::<Posted<'_>>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut store = stub.store();
    store.requests += 1;
    let request = store.requests;
    if stub.plant == Plant::FailsBefore && request % 10 == 0 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let mut hrefs = Vec::new();
    for message in posted.messages {
        store.next += 1;
        let id = store.next;
        hrefs.push(format!("\"/v2/queues/{queue}/messages/{id}\""));
        let faulty = id % 100 == 50;
        let body: Arc<str> = match stub.plant {
            Plant::Corrupts if faulty => message.body.get().replacen("zb1.", "zb1.x", 1).into(),
            _ => message.body.get().into(),
        };
        let message = Message { id, body, claim: None };
        let messages = store.queues.entry(queue.clone()).or_default();
        match stub.plant {
            Plant::Loses if faulty => {}
            Plant::Misorders if faulty => messages.insert(0, message),
            Plant::Doubles if faulty => messages.extend([message.clone(), message]),
            _ => messages.push(message),
        }
    }
    if stub.plant == Plant::FailsAfter && request % 10 == 0 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    json(StatusCode::CREATED, format!("{{\"resources\": [{}]}}", hrefs.join(", ")))
}

async fn list(
    State(stub): State<Shared>,
    Path(queue): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    let number = |name: &str| parameters.get(name).and_then(|text| text.parse::<usize>().ok());
    let (marker, limit) = (number("marker").unwrap_or(0), number("limit").unwrap_or(10));
    let store = stub.store();
    let messages = store.queues.get(&queue).map(Vec::as_slice).unwrap_or_default();
    // Positions serve as markers: the stub is listed only while nothing changes.
    let page: Vec<String> =
        messages.iter().skip(marker).take(limit).map(|m| item(&queue, m, None)).collect();
    let next = format!(
        "{{\"rel\": \"next\", \"href\": \"/v2/queues/{queue}/messages?limit={limit}&marker={}\"}}",
        marker + page.len()
    );
    let links = if page.is_empty() { String::new() } else { next };
    let text = format!("{{\"messages\": [{}], \"links\": [{links}]}}", page.join(", "));
    json(StatusCode::OK, text)
}

async fn claim(
    State(stub): State<Shared>,
    Path(queue): Path<String>,
    Query(parameters): Parameters,
) -> Response {
    let limit = parameters.get("limit").and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut store = stub.store();
    store.next += 1;
    let claim = store.next;
    let messages = store.queues.entry(queue.clone()).or_default();
    let page: Vec<String> = messages
        .iter_mut()
        .filter(|message| message.claim.is_none())
        .take(limit)
        .map(|message| {
            message.claim = Some(claim);
            item(&queue, message, Some(claim))
        })
        .collect();
    if page.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    json(StatusCode::CREATED, format!("{{\"messages\": [{}]}}", page.join(", ")))
}

async fn delete_bulk(
    State(stub): State<Shared>,
    Path(queue): Path<String>,
    Query(parameters): Parameters,
) -> StatusCode {
    let ids = parameters.get("ids").map(String::as_str).unwrap_or_default();
    drop_messages(
        &stub,
        &queue,
        &ids.split(',').filter_map(|id| id.parse().ok()).collect::<Vec<_>>(),
    );
    StatusCode::NO_CONTENT
}

async fn delete_one(
    State(stub): State<Shared>,
    Path((queue, id)): Path<(String, u64)>,
) -> StatusCode {
    drop_messages(&stub, &queue, &[id]);
    StatusCode::NO_CONTENT
}

fn drop_messages(stub: &Stub, queue: &str, ids: &[u64]) {
    let mut store = stub.store();
    if let Some(messages) = store.queues.get_mut(queue) {
        for id in ids {
            if stub.plant == Plant::Resurrects && id % 100 == 50 {
                continue;
            }
            // Deletions come from the front, so this looks at few messages.
            if let Some(at) = messages.iter().position(|message| message.id == *id) {
                messages.remove(at);
            }
        }
    }
}

fn item(queue: &str, message: &Message, claim: Option<u64>) -> String {
    let Message { id, body, .. } = message;
    let query = claim.map(|claim| format!("?claim_id={claim}")).unwrap_or_default();
    format!(
        "{{\"id\": \"{id}\", \"href\": \"/v2/queues/{queue}/messages/{id}{query}\", \"ttl\": 60, \
         \"age\": 0, \"body\": {body}}}"
    )
}

fn json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}
