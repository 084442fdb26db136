//! Claims: taking messages for a while, renewing, giving back.

use http::StatusCode;
use zaqar_core::{ClaimId, QueueKey};
use zaqar_engine::ClaimRequest;

use super::answers::{Answer, Outcome};
use super::documents::{integer, object_walker, to_unsigned};
use super::errors::{Failure, Operation, claim_missing};
use super::json::write::push;
use super::names;
use super::payload::Payload;
use super::represent::{push_messages, text_for};
use super::routes::Call;

/// `POST /v2/queues/{queue}/claims`
pub(crate) async fn create(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let query = call.query();
    let limit = query.integer("limit")?.map(to_unsigned);
    let wait = query.integer("wait")?.map_or(0, to_unsigned);
    let bytes = payload.read_small().await?;
    let terms = if bytes.is_empty() { Terms::default() } else { Terms::read(&bytes)? };
    let request = ClaimRequest::new().ttl(terms.ttl).grace(terms.grace).limit(limit);
    let operation = Operation::write(key, "Claim could not be created.");
    let claimed = call.engine().claim_create_waiting(key, request, wait).await;
    let Some(claimed) = claimed.map_err(|e| operation.failed(e))? else {
        return Ok(Answer::no_content().after_wait(wait));
    };
    let mut out = text_for(&claimed.messages, key);
    out.push_str("{\"messages\": ");
    push_messages(&mut out, &claimed.messages, key);
    out.push('}');
    let answer = Answer::json(StatusCode::CREATED, out).location(path(key, claimed.id));
    Ok(answer.after_wait(wait))
}

/// `GET /v2/queues/{queue}/claims/{id}`
pub(crate) async fn get(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let id = claim_id(call, key)?;
    let operation = Operation::read(key, "Claim could not be queried.");
    let (claim, messages) =
        call.engine().claim_get(key, id).await.map_err(|e| operation.failed(e))?;
    let mut out = text_for(&messages, key);
    let (age, ttl) = (claim.age_s, claim.ttl.as_secs());
    push(&mut out, format_args!("{{\"age\": {age}, \"ttl\": {ttl}, \"messages\": "));
    push_messages(&mut out, &messages, key);
    push(&mut out, format_args!(", \"href\": \"{}\"}}", path(key, id)));
    Ok(Answer::ok(out))
}

/// `PATCH /v2/queues/{queue}/claims/{id}`: what the body leaves out is set to the default anew.
pub(crate) async fn update(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read_small().await?;
    if bytes.is_empty() {
        return Err(Failure::empty_body());
    }
    let terms = Terms::read(&bytes)?;
    let id = claim_id(call, key)?;
    let operation = Operation::write(key, "Claim could not be updated.");
    let updated = call.engine().claim_update(key, id, terms.ttl, terms.grace).await;
    updated.map_err(|e| operation.failed(e))?;
    Ok(Answer::no_content())
}

/// `DELETE /v2/queues/{queue}/claims/{id}`
pub(crate) async fn delete(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let Ok(id) = call.id.parse() else { return Ok(Answer::no_content()) };
    let operation = Operation::write(key, "Claim could not be deleted.");
    call.engine().claim_delete(key, id).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::no_content())
}

/// What a worker asks for; `None`: the default.
#[derive(Debug, Default)]
struct Terms {
    ttl: Option<u64>,
    grace: Option<u64>,
}

impl Terms {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let mut walker = object_walker(bytes)?;
        let mut terms = Self::default();
        while let Some(key) = walker.next_member() {
            let value = walker.value();
            match key.as_ref() {
                "ttl" => terms.ttl = seconds(value, "ttl")?,
                "grace" => terms.grace = seconds(value, "grace")?,
                _ => {}
            }
        }
        Ok(terms)
    }
}

/// Clients that were told nothing send `null`: that is the default.
fn seconds(text: &str, field: &'static str) -> Result<Option<u64>, Failure> {
    if text == "null" { Ok(None) } else { integer(text, field).map(|n| Some(to_unsigned(n))) }
}

fn claim_id(call: &Call<'_>, key: &QueueKey) -> Result<ClaimId, Failure> {
    call.id.parse().map_err(|_| claim_missing(call.id, key))
}

fn path(key: &QueueKey, id: ClaimId) -> String {
    format!("{}/claims/{id}", names::path(key))
}
