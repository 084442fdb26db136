//! Removing messages: one, several by id, or whichever comes first (pop).

use std::borrow::Cow;

use zaqar_core::{ClaimId, MessageId, QueueKey};

use super::messages::{ids, text_for};
use super::{Call, Outcome};
use crate::rest::documents::to_unsigned;
use crate::rest::messages::{exceeds, message_ids};
use crate::rest::represent::push_popped;
use crate::websocket::envelope::Reply;
use crate::websocket::refusal::{Doing, Refusal};

pub(super) async fn one(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let claim = call.fields.text("claim_id").map(|claim| claim.parse::<ClaimId>()).transpose();
    let claim = claim.map_err(|_| no_such_claim())?;
    let id = call.fields.text("message_id").unwrap_or_default();
    if let Ok(id) = id.parse::<MessageId>() {
        let deleted = call.engine().message_delete(&key, id, claim).await;
        deleted.map_err(|e| told(Doing::write("message_delete", &key).failed(e)))?;
    }
    Ok(Reply::json(204, "{}"))
}

/// A refusal to delete says why in both members.
fn told(refusal: Refusal) -> Refusal {
    if refusal.status() == 400 { refusal.repeated() } else { refusal }
}

pub(super) async fn many(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    match (ids(call)?, call.fields.integer("pop")) {
        (Some(ids), None) => by_ids(call, &key, &ids).await,
        (None, Some(limit)) => pop(call, &key, to_unsigned(limit)).await,
        (Some(_), Some(_)) => Err(Refusal::invalid(
            "pop and id params cannot be present together in the delete request.",
        )),
        (None, None) => Err(Refusal::invalid(
            "The request should have either \"message_ids\" or \"pop\" field, to be able to delete.",
        )),
    }
}

async fn by_ids(call: &Call<'_>, key: &QueueKey, asked: &[Cow<'_, str>]) -> Outcome {
    let max = call.limits().messages_per_page_max;
    if asked.is_empty() || exceeds(asked.len(), max) {
        return Err(Refusal::invalid(format!(
            "message_ids should have at least 1 and not greater than {max} values."
        )));
    }
    let claims = claim_ids(call)?;
    let ids = message_ids(asked.iter().map(Cow::as_ref));
    let deleted = call.engine().message_bulk_delete(key, &ids, claims.as_deref()).await;
    deleted.map_err(|e| told(Doing::write("message_delete_many", key).failed(e)))?;
    Ok(Reply::json(204, "{}"))
}

/// The claims of which one must hold each message, where the operator wants them named.
fn claim_ids(call: &Call<'_>) -> Result<Option<Vec<ClaimId>>, Refusal> {
    if !call.shared.config.message_delete_with_claim_id {
        return Ok(None);
    }
    let named = call.fields.texts("claim_ids").ok_or_else(|| {
        Refusal::invalid("The request should have both \"message_ids\" and \"claim_ids\".")
    })?;
    let named = named.ok_or_else(Refusal::schema)?;
    // An id that can be none holds nothing; if no other is named, nothing may go.
    let claims: Vec<ClaimId> = named.iter().filter_map(|text| text.parse().ok()).collect();
    if claims.is_empty() { Err(no_such_claim()) } else { Ok(Some(claims)) }
}

fn no_such_claim() -> Refusal {
    Refusal::plain(400, "The specified claim does not exist or has expired.")
}

/// At most once: an answer that is lost on the way takes its messages with it.
async fn pop(call: &Call<'_>, key: &QueueKey, limit: u64) -> Outcome {
    let popped = call.engine().message_pop(key, limit).await;
    let popped = popped.map_err(|e| Doing::write("message_delete_many", key).failed(e))?;
    let mut out = text_for(&popped);
    out.push_str("{\"messages\": [");
    for (at, message) in popped.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        push_popped(&mut out, message);
    }
    out.push_str("]}");
    Ok(Reply::json(200, out))
}
