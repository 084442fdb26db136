//! Subscriptions: making, showing, listing, changing, removing.

use http::StatusCode;
use serde_json::{Value, json};
use zaqar_core::{
    Created, Effect, JsonObject, NewSubscription, QueueKey, Subscription, SubscriptionId, Ttl,
    UpdateSubscription,
};

use super::answers::{Answer, Outcome};
use super::errors::{Failure, Operation, subscription_missing};
use super::json::write::to_text;
use super::messages::limit_refused;
use super::names;
use super::paging;
use super::payload::{Payload, json_text};
use super::query::Link;
use super::represent::push_links;
use super::routes::Call;
use super::subscription_confirm::ask_to_confirm;
use crate::auth::trusts::{self, NotSubscribed};
use crate::socket_lease;

const DUPLICATE: &str = "Such subscription already exists.Subscriptions are unique by project + \
                         queue + subscriber URI.";
const NOT_AN_OBJECT: &str = "Subscriptions must be a dict.";

/// `GET …/subscriptions`
pub(crate) async fn list(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let query = call.query();
    let max = call.limits().subscriptions_per_page_max;
    let limit = paging::limit(&query, max, || limit_refused(max))?;
    let marker = match query.last("marker").map(str::parse::<SubscriptionId>).transpose() {
        Ok(marker) => marker,
        // No subscription's id: nothing comes after it.
        Err(_) => return Ok(Answer::ok("{\"subscriptions\": [], \"links\": []}")),
    };
    let operation = Operation::read(key, "Subscriptions could not be listed.");
    let page = call.engine().subscription_list(key, marker, limit);
    let page = page.await.map_err(|e| operation.failed(e))?;
    let next = page.next.map(|marker| {
        Link::to(collection(key))
            .with("limit", query.last("limit"))
            .with("marker", Some(marker.to_string()))
    });
    let shown: Vec<Value> = page.items.iter().map(|item| show(item, key)).collect();
    let mut out = format!("{{\"subscriptions\": {}", to_text(&shown));
    push_links(&mut out, next.as_ref().map(Link::as_str));
    out.push('}');
    Ok(Answer::ok(out))
}

/// `POST …/subscriptions`: who subscribes again before having confirmed is asked again.
pub(crate) async fn create(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read_small().await?;
    let fields = if bytes.is_empty() { Some(JsonObject::new()) } else { object(&bytes)? };
    let fields = fields.ok_or_else(|| Failure::api(NOT_AN_OBJECT))?;
    let subscriber = fields
        .get("subscriber")
        .ok_or_else(|| Failure::api("Missing parameter subscriber in body."))?;
    // A value that is no text has no scheme either, which the engine tells.
    let subscriber = subscriber.as_str().unwrap_or_default();
    let options = fields.get("options").map(options).transpose()?.unwrap_or_default();
    let default = Ttl::from_secs_clamped(call.engine().config().defaults.subscription_ttl);
    let ttl = fields.get("ttl").map(ttl).transpose()?.unwrap_or(default);
    let new = NewSubscription::new(subscriber, ttl).options(options);
    let operation = Operation::write(key, "Subscription could not be created.");
    let bearer = call.context.bearer.as_ref();
    let made = trusts::subscribe(call.engine(), key, new, bearer).await;
    let made = made.map_err(|reason| match reason {
        NotSubscribed::Engine(error) => operation.failed(error),
        NotSubscribed::Trust(failure) => failure,
    });
    let subscription = match made? {
        Created::Existing(known) if known.confirmed => {
            return Err(Failure::conflict(DUPLICATE).location(collection(key)));
        }
        Created::Existing(subscription) | Created::New(subscription) => subscription,
    };
    ask_to_confirm(call, key, &subscription, ttl);
    let body = to_text(&json!({"subscription_id": subscription.id}));
    Ok(Answer::json(StatusCode::CREATED, body).location(collection(key)))
}

/// `GET …/subscriptions/{id}`
pub(crate) async fn get(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let id = subscription_id(call)?;
    let operation = Operation::read(key, "Subscription could not be retrieved.");
    let found = call.engine().subscription_get(key, id).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::ok(to_text(&show(&found, key))))
}

/// `PATCH …/subscriptions/{id}`: what is null is left as it is. Another address must confirm anew.
pub(crate) async fn update(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read_small().await?;
    let changes = changes(call, &bytes)?;
    let id = subscription_id(call)?;
    let moved = changes.subscriber.is_some();
    let operation = Operation::write(key, "Subscription could not be updated.");
    let updated = call.engine().subscription_update(key, id, changes);
    updated.await.map_err(|e| operation.failed(e))?;
    if moved && call.app.confirmations.is_some() {
        let now = call.engine().subscription_get(key, id).await;
        // The change is made, so a client that hears of a failure has to repeat it.
        let now = now.map_err(|e| operation.failed(e).stored(Effect::Unknown))?;
        ask_to_confirm(call, key, &now, now.ttl);
    }
    Ok(Answer::no_content().location(path(key, id)))
}

/// `DELETE …/subscriptions/{id}`
pub(crate) async fn delete(call: &Call<'_>, key: &QueueKey, _: &mut Payload) -> Outcome {
    let Ok(id) = call.id.parse() else { return Ok(Answer::no_content()) };
    let operation = Operation::write(key, "Subscription could not be deleted.");
    call.engine().subscription_delete(key, id).await.map_err(|e| operation.failed(e))?;
    Ok(Answer::no_content())
}

/// The subscription that the path names.
pub(crate) fn subscription_id(call: &Call<'_>) -> Result<SubscriptionId, Failure> {
    call.id.parse().map_err(|_| subscription_missing(call.id))
}

/// Where a subscription is.
pub(crate) fn path(key: &QueueKey, id: SubscriptionId) -> String {
    format!("{}/{id}", collection(key))
}

fn collection(key: &QueueKey) -> String {
    format!("{}/subscriptions", names::path(key))
}

/// All seven members: clients fail without any of them.
pub(crate) fn show(subscription: &Subscription, key: &QueueKey) -> Value {
    let (ttl, options) = socket_lease::shown(subscription);
    json!({
        "id": subscription.id,
        "source": key.name,
        "subscriber": subscription.subscriber,
        "ttl": ttl,
        "age": subscription.age_s,
        "options": options,
        "confirmed": subscription.confirmed,
    })
}

/// The members of a body that is an object; `None` for one that is an array.
pub(crate) fn object(bytes: &[u8]) -> Result<Option<JsonObject>, Failure> {
    match serde_json::from_str(json_text(bytes)?) {
        Ok(Value::Object(members)) => Ok(Some(members)),
        Ok(_) => Ok(None),
        Err(_) => Err(Failure::unparsable()),
    }
}

fn changes(call: &Call<'_>, bytes: &[u8]) -> Result<UpdateSubscription, Failure> {
    let nothing = || Failure::api("No subscription to create.");
    let document = if bytes.is_empty() { return Err(nothing()) } else { json_text(bytes)? };
    let fields = match serde_json::from_str(document).map_err(|_| Failure::unparsable())? {
        Value::Object(fields) if fields.is_empty() => return Err(nothing()),
        Value::Array(items) if items.is_empty() => return Err(nothing()),
        Value::Object(fields) => fields,
        _ => return Err(Failure::api(NOT_AN_OBJECT)),
    };
    let member = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let subscriber = member("subscriber").map(|value| value.as_str().unwrap_or_default());
    let options = member("options").map(options).transpose()?;
    let ttl = member("ttl").map(ttl).transpose()?;
    if subscriber.is_none() && options.is_none() && ttl.is_none() {
        let text = format!("Subscription {} could not be updated.", call.id);
        return Err(Failure::new(StatusCode::BAD_REQUEST, "Unable to update subscription", text));
    }
    let subscriber = subscriber.map(str::to_owned);
    Ok(UpdateSubscription::new().subscriber(subscriber).ttl(ttl).options(options))
}

/// Nothing may stand for no options.
fn options(value: &Value) -> Result<JsonObject, Failure> {
    match value {
        Value::Object(options) => Ok(options.clone()),
        Value::Null => Ok(JsonObject::new()),
        Value::Array(items) if items.is_empty() => Ok(JsonObject::new()),
        _ => Err(Failure::api("Options must be a dict.")),
    }
}

/// A span for the engine to check. A boolean counts as a number, as it always did.
fn ttl(value: &Value) -> Result<Ttl, Failure> {
    let seconds = match value {
        Value::Bool(flag) => Some(i64::from(*flag)),
        other => other.as_i64(),
    };
    let seconds = seconds.ok_or_else(|| Failure::api("TTL must be an integer."))?;
    // What is negative is too short, and nothing is shorter than no time at all.
    Ok(Ttl::from_secs_clamped(u64::try_from(seconds).unwrap_or_default()))
}
