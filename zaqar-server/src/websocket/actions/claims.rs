//! Claims: taking messages for a while, renewing, giving back.

use zaqar_core::{ClaimId, QueueKey};
use zaqar_engine::ClaimRequest;

use super::messages::{Claims, push_messages, text_for};
use super::{Call, Outcome};
use crate::rest::documents::to_unsigned;
use crate::rest::json::write::push;
use crate::websocket::envelope::Reply;
use crate::websocket::refusal::{Doing, Refusal};

pub(super) async fn create(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let terms = |name| call.fields.integer(name).map(to_unsigned);
    let request = ClaimRequest::new().ttl(terms("ttl")).grace(terms("grace")).limit(terms("limit"));
    let claimed = call.engine().claim_create(&key, request).await.map_err(|e| {
        let doing = Doing::write("claim_create", &key);
        doing.failed(e).summary(|| "Claim could not be created.".to_owned())
    })?;
    let Some(claimed) = claimed else { return Ok(Reply::json(204, "{\"claim_id\": null}")) };
    let mut out = text_for(&claimed.messages);
    push(&mut out, format_args!("{{\"claim_id\": \"{}\", \"messages\": ", claimed.id));
    push_messages(&mut out, &claimed.messages, Claims::Shown);
    out.push('}');
    Ok(Reply::json(201, out))
}

pub(super) async fn get(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let id = claim_id(call)?;
    let found = call.engine().claim_get(&key, id).await;
    let (claim, messages) =
        found.map_err(|e| missing(call, Doing::read("claim_get", &key).failed(e)))?;
    let mut out = text_for(&messages);
    let (age, ttl) = (claim.age_s, claim.ttl.as_secs());
    push(&mut out, format_args!("{{\"age\": {age}, \"ttl\": {ttl}, \"messages\": "));
    push_messages(&mut out, &messages, Claims::Shown);
    out.push('}');
    Ok(Reply::json(200, out))
}

/// What is left out is set to the default anew.
pub(super) async fn update(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let id = claim_id(call)?;
    let terms = |name| call.fields.integer(name).map(to_unsigned);
    let updated = call.engine().claim_update(&key, id, terms("ttl"), terms("grace")).await;
    updated.map_err(|e| missing(call, Doing::write("claim_update", &key).failed(e)))?;
    Ok(Reply::text(204, &format!("Claim {} updated.", named(call))))
}

pub(super) async fn delete(call: &Call<'_>) -> Outcome {
    let key: QueueKey = call.queue()?;
    if let Ok(id) = named(call).parse() {
        call.engine().claim_delete(&key, id).await.map_err(|e| {
            let doing = Doing::write("claim_delete", &key);
            doing.failed(e).summary(|| "Claim could not be deleted.".to_owned())
        })?;
    }
    Ok(Reply::text(204, &format!("Claim {} deleted.", named(call))))
}

fn named<'a>(call: &Call<'a>) -> std::borrow::Cow<'a, str> {
    call.fields.text("claim_id").unwrap_or_default()
}

fn claim_id(call: &Call<'_>) -> Result<ClaimId, Refusal> {
    named(call).parse().map_err(|_| Refusal::plain(404, missing_text(call)))
}

fn missing(call: &Call<'_>, refusal: Refusal) -> Refusal {
    if refusal.status() == 404 { refusal.summary(|| missing_text(call)) } else { refusal }
}

fn missing_text(call: &Call<'_>) -> String {
    format!("Claim {} does not exist.", named(call))
}
