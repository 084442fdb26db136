//! Removing messages: one, several by id, or whichever comes first (pop).

use http::StatusCode;
use zaqar_core::{ClaimId, MessageId, QueueKey};

use super::answers::{Answer, Outcome};
use super::documents::to_unsigned;
use super::errors::{Failure, Operation, UNDELETABLE};
use super::messages::{exceeds, message_ids};
use super::payload::Payload;
use super::query::Query;
use super::represent::{push_popped, text_for};
use super::routes::Call;

/// `DELETE …/messages/{id}`
pub(crate) async fn delete(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let Ok(id) = call.id.parse::<MessageId>() else { return Ok(Answer::no_content()) };
    let query = call.query();
    let claim = query.last("claim_id").map(str::parse::<ClaimId>).transpose();
    let claim = claim.map_err(|_| no_such_claim())?;
    let operation = Operation::write(key, "Message could not be deleted.");
    call.engine().message_delete(key, id, claim).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::no_content())
}

/// `DELETE …/messages`
pub(crate) async fn delete_many(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let query = call.query();
    let pop = query.integer("pop")?;
    if call.config().message_delete_with_claim_id && query.has("ids") != query.has("claim_ids") {
        return Err(Failure::api(
            "The request should have both \"ids\" and \"claim_ids\" parameter in the request when \
             message_delete_with_claim_id is True.",
        ));
    }
    match (query.has("ids"), pop) {
        (true, None) => by_ids(call, key, &query).await,
        (false, Some(limit)) => pop_some(call, key, to_unsigned(limit)).await,
        (true, Some(_)) => {
            Err(Failure::api("pop and id params cannot be present together in the delete request."))
        }
        (false, None) => Err(Failure::api(
            "The request should have either \"ids\" or \"pop\" parameter in the request, to be \
             able to delete.",
        )),
    }
}

async fn by_ids(call: &Call<'_>, key: &QueueKey, query: &Query<'_>) -> Outcome {
    let max = call.limits().messages_per_page_max;
    let asked: Vec<&str> = query.list("ids").collect();
    if exceeds(asked.len(), max) {
        return Err(Failure::api(format!(
            "ids parameter should have at least 1 and not greater than {max} values."
        )));
    }
    let claims =
        if call.config().message_delete_with_claim_id { Some(claim_ids(query)?) } else { None };
    let operation = Operation::write(key, "Messages could not be deleted.");
    let ids = message_ids(asked.into_iter());
    let removed = call.engine().message_bulk_delete(key, &ids, claims.as_deref());
    removed.await.map_err(|e| operation.failed(e))?;
    Ok(Answer::no_content())
}

/// The claims of which one must hold each message. An id that can be none holds nothing; if no other
/// is named, nothing may go.
fn claim_ids(query: &Query<'_>) -> Result<Vec<ClaimId>, Failure> {
    let claims: Vec<ClaimId> =
        query.list("claim_ids").filter_map(|text| text.parse().ok()).collect();
    if claims.is_empty() { Err(no_such_claim()) } else { Ok(claims) }
}

fn no_such_claim() -> Failure {
    let text = "The specified claim does not exist or has expired.";
    Failure::new(StatusCode::BAD_REQUEST, UNDELETABLE, text)
}

/// At most once: an answer that is lost on the way takes its messages with it.
async fn pop_some(call: &Call<'_>, key: &QueueKey, limit: u64) -> Outcome {
    let operation = Operation::write(key, "Messages could not be popped.");
    let popped = call.engine().message_pop(key, limit).await.map_err(|e| operation.failed(e))?;
    let mut out = text_for(&popped, key);
    out.push_str("{\"messages\": [");
    for (at, message) in popped.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        push_popped(&mut out, message);
    }
    out.push_str("]}");
    Ok(Answer::ok(out))
}
