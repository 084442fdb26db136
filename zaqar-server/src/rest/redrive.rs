//! Dead letters: listed with where they came from, and sent back there or elsewhere.

use serde_json::{Value, json};
use zaqar_auth::policy::{Rule, Target};
use zaqar_core::{JsonObject, ListMessages, MessageId, MessageMarker, QueueKey, QueueName};
use zaqar_engine::{LeftReason, RedriveReport, RedriveRequest};

use super::answers::{Answer, Outcome};
use super::documents;
use super::errors::{Failure, Operation};
use super::json::write::to_text;
use super::messages::limit_refused;
use super::names;
use super::paging;
use super::payload::Payload;
use super::query::Link;
use super::represent::{push_dead_letters, push_links};
use super::routes::Call;

/// `GET …/dead_letters`
pub(crate) async fn list(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let query = call.query();
    let include_claimed = query.boolean("include_claimed")?;
    let max = call.limits().messages_per_page_max;
    let limit = paging::limit(&query, max, || limit_refused(max))?;
    let marker = match query.last("marker").map(str::parse::<MessageMarker>).transpose() {
        Ok(marker) => marker,
        // No place in any queue: nothing comes after it.
        Err(_) => return Ok(Answer::ok("{\"messages\": [], \"links\": []}")),
    };
    let options = ListMessages::new()
        .marker(marker)
        .limit(limit)
        .include_claimed(include_claimed.unwrap_or(false));
    let operation = Operation::read(key, "Messages could not be listed.");
    let page = call.engine().dead_letter_list(key, options).await;
    let page = page.map_err(|e| operation.failed(e))?;
    let next = page.next.map(|marker| {
        Link::to(format!("{}/dead_letters", names::path(key)))
            .with("limit", query.last("limit"))
            .with_boolean("include_claimed", include_claimed)
            .with("marker", Some(marker.to_string()))
    });
    let mut out = String::from("{\"messages\": ");
    push_dead_letters(&mut out, &page.items, key);
    push_links(&mut out, next.as_ref().map(Link::as_str));
    out.push('}');
    Ok(Answer::ok(out))
}

/// `POST …/redrive`
pub(crate) async fn redrive(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read_small().await?;
    let document = if bytes.is_empty() { JsonObject::new() } else { documents::object(&bytes)? };
    let mut request = read_request(document)?;
    request.client = Some(call.client().clone());
    let (engine, operation) =
        (call.engine(), Operation::write(key, "Messages could not be redriven."));
    let slice = engine.redrive_find(key, request).await.map_err(|e| operation.failed(e))?;
    // Who may not post to a queue may not send anything there from another.
    let policy = &call.config().policy;
    for target in slice.targets() {
        let target = Target::of_project(call.project()).queue(target.as_str());
        if !policy.allows(Rule::MessagesRedrive, &call.context.identity, &target) {
            return Err(Failure::denied());
        }
    }
    // Counted like the posts that they become, in pieces as large as a post may be.
    let post_max = usize::try_from(call.limits().messages_per_post_max).unwrap_or(usize::MAX);
    let mut rest = slice.posts_max();
    while rest > 0 {
        let count = rest.min(post_max.max(1));
        call.config().rates.messages(call.project(), count)?;
        rest -= count;
    }
    let report = engine.redrive_carry_out(key, slice).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::ok(to_text(&shown(&report))))
}

fn read_request(document: JsonObject) -> Result<RedriveRequest, Failure> {
    let mut request = RedriveRequest::default();
    for (name, value) in document.iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "to" => request.to = Some(queue_name(name, value)?),
            "origin" => request.origin = Some(queue_name(name, value)?),
            "ids" => request.ids = Some(message_ids(value)?),
            "ttl" => request.ttl = Some(whole_number(name, value)?),
            "limit" => request.limit = Some(whole_number(name, value)?),
            "marker" => {
                let marker = value.as_str().and_then(|text| text.parse().ok());
                let refused = || Failure::body("marker must be the `next` of an earlier answer.");
                request.marker = Some(marker.ok_or_else(refused)?);
            }
            other => {
                let known = "to, origin, ids, ttl, limit and marker";
                let text = format!("There is no field \"{other}\" here; there are {known}.");
                return Err(Failure::body(text));
            }
        }
    }
    Ok(request)
}

fn queue_name(field: &str, value: &Value) -> Result<QueueName, Failure> {
    let text = value.as_str().ok_or_else(|| Failure::body(format!("{field} must be a string.")))?;
    QueueName::new(text).map_err(|error| Failure::body(format!("{field}: {error}")))
}

fn message_ids(value: &Value) -> Result<Vec<MessageId>, Failure> {
    let refused = || Failure::body("ids must be a list of message ids.");
    let ids = value.as_array().ok_or_else(refused)?;
    let read = |id: &Value| id.as_str().and_then(|text| text.parse().ok()).ok_or_else(refused);
    ids.iter().map(read).collect()
}

fn whole_number(field: &str, value: &Value) -> Result<u64, Failure> {
    value.as_u64().ok_or_else(|| Failure::body(format!("{field} must be a whole number.")))
}

fn shown(report: &RedriveReport) -> Value {
    let left = |(id, reason): &(MessageId, LeftReason)| json!({"id": id.to_string(), "reason": reason_text(*reason)});
    json!({
        "redriven": report.redriven,
        "left": report.left.iter().map(left).collect::<Vec<_>>(),
        "next": report.next.map(|marker| marker.to_string()),
    })
}

fn reason_text(reason: LeftReason) -> &'static str {
    match reason {
        LeftReason::Claimed => "claimed",
        LeftReason::Unavailable => "unavailable",
        LeftReason::OriginUnknown => "origin_unknown",
        LeftReason::OriginGone => "origin_gone",
        LeftReason::TooLarge => "too_large",
    }
}
