//! Subscriptions: of addresses, and of the connection itself.

use std::sync::Arc;

use serde_json::Value;
use zaqar_core::{
    Created, JsonObject, NewSubscription, QueueKey, Subscription, SubscriptionId, Ttl,
};

use super::{Call, Outcome};
use crate::auth::trusts::{self, NotSubscribed};
use crate::rest::json::write::{push, push_string, to_text};
use crate::rest::subscriptions::show;
use crate::rest::{ConfirmationKind, ConfirmationRequest};
use crate::socket_lease;
use crate::websocket::envelope::Reply;
use crate::websocket::refusal::{Doing, Refusal};
use crate::websocket::renewal::{self, Held};

pub(super) async fn list(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let max = call.limits().subscriptions_per_page_max;
    let refused = || format!("Limit must be at least 1 and may not be greater than {max}.");
    let limit = call.limit(max, refused)?;
    let marker = call.fields.text("marker").filter(|marker| !marker.is_empty());
    let Ok(marker) = marker.map(|marker| marker.parse::<SubscriptionId>()).transpose() else {
        // No subscription's id: nothing comes after it.
        return Ok(Reply::json(200, "{\"subscriptions\": []}"));
    };
    let page = call.engine().subscription_list(&key, marker, limit).await.map_err(|e| {
        let doing = Doing::read("subscription_list", &key);
        doing.failed(e).summary(|| "Subscriptions could not be listed.".to_owned())
    })?;
    let shown: Vec<Value> = page.items.iter().map(|item| show(item, &key)).collect();
    let mut out = format!("{{\"subscriptions\": {}", to_text(&shown));
    if let Some(marker) = page.next {
        push(&mut out, format_args!(", \"marker\": \"{marker}\""));
    }
    out.push('}');
    Ok(Reply::json(200, out))
}

/// Without a subscriber it is the connection that subscribes.
pub(super) async fn create(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let options: JsonObject = match call.fields.json("options") {
        Some(text) => serde_json::from_str(text).map_err(|_| Refusal::schema())?,
        None => JsonObject::new(),
    };
    let default = call.engine().config().defaults.subscription_ttl;
    // What is negative is too short, and nothing is shorter than no time at all.
    let ttl = call.fields.integer("ttl").map(|ttl| u64::try_from(ttl).unwrap_or_default());
    let ttl = Ttl::from_secs_clamped(ttl.unwrap_or(default));
    let subscriber = call.fields.text("subscriber").filter(|subscriber| !subscriber.is_empty());
    let made = match subscriber {
        Some(subscriber) => {
            let new = NewSubscription::new(subscriber, ttl).options(options);
            by_address(call, &key, new).await?
        }
        None => connection(call, &key, ttl, options).await?,
    };
    let mut out = String::with_capacity(128);
    push(&mut out, format_args!("{{\"subscription_id\": \"{}\", \"message\": ", made.id));
    push_string(&mut out, &format!("Subscription {} created.", key.name));
    out.push('}');
    Ok(Reply::json(201, out))
}

/// Who subscribes again before having confirmed is asked again.
async fn by_address(
    call: &Call<'_>,
    key: &QueueKey,
    new: NewSubscription,
) -> Result<Subscription, Refusal> {
    let life = new.ttl;
    let proof = call.session.shown().proof();
    let bearer = proof.as_ref().map(|proof| proof.bearer());
    let made = trusts::subscribe(call.engine(), key, new, bearer).await;
    let made = made.map_err(|reason| match reason {
        NotSubscribed::Engine(error) => failed(error, key),
        NotSubscribed::Trust(failure) => failure.into(),
    });
    let subscription = match made? {
        Created::Existing(known) if known.confirmed => return Err(duplicate(key)),
        Created::Existing(subscription) | Created::New(subscription) => subscription,
    };
    ask_to_confirm(call, key, &subscription, life);
    Ok(subscription)
}

/// Asks a subscriber to confirm, if it gets nothing before it does; the leave to answer lasts for
/// `life`.
fn ask_to_confirm(call: &Call<'_>, key: &QueueKey, subscription: &Subscription, life: Ttl) {
    let Some(confirmations) = call.shared.confirmations.get() else { return };
    if subscription.is_active() {
        return;
    }
    let end = call.engine().clock().now().after(life);
    let signer = &call.shared.config.url_signer;
    let kind = ConfirmationKind::Subscribe;
    if let Some(request) = ConfirmationRequest::sign(kind, key, subscription, end, signer) {
        confirmations.send(request);
    }
}

/// Runs in a task of its own: whatever becomes of the connection meanwhile, the subscription is
/// known to whoever ends it.
async fn connection(
    call: &Call<'_>,
    key: &QueueKey,
    ttl: Ttl,
    mut options: JsonObject,
) -> Result<Subscription, Refusal> {
    let session = call.session;
    call.engine().subscription_ttl_check(ttl).map_err(|e| failed(e, key))?;
    let stored = socket_lease::span(ttl);
    socket_lease::note(&mut options, ttl, stored);
    let mut new = NewSubscription::new(session.subscriber(), stored).options(options);
    new.owner = Some(call.shared.owner.clone());
    if !session.holdings().add(key) {
        let text = "This connection has as many subscriptions as a connection may have.";
        return Err(Refusal::invalid(text));
    }
    let (engine, key_there) = (call.engine().clone(), key.clone());
    let (holdings, subscriber) = (Arc::clone(session.holdings()), session.subscriber().to_owned());
    let making = call.shared.tasks.spawn(async move {
        let made = engine.subscription_create(&key_there, new).await;
        // It may be there of an attempt of which nobody heard.
        if let Ok(Created::New(made) | Created::Existing(made)) = &made {
            holdings.learn(&key_there, Held::new(made));
        }
        if holdings.is_closed() {
            super::super::session::withdraw(&engine, &key_there, &subscriber).await;
        }
        made
    });
    let made = making.await.map_err(|_| Refusal::from(crate::rest::errors::Failure::internal()))?;
    let made = made.map_err(|e| failed(e, key))?;
    keep_alive(call);
    match made {
        Created::Existing(_) => Err(duplicate(key)),
        Created::New(subscription) => {
            session.mailbox().deliver_as(call.encoding);
            Ok(subscription)
        }
    }
}

/// Sees to it that what the connection holds lives as long as it.
fn keep_alive(call: &Call<'_>) {
    let (shared, holdings) = (call.shared, call.session.holdings());
    if holdings.needs_renewal() {
        let (engine, turns) = (shared.engine.clone(), Arc::clone(&shared.renewals));
        let period = shared.config.renewal_period;
        shared.tasks.spawn(renewal::run(engine, Arc::clone(holdings), turns, period));
    }
}

fn failed(error: zaqar_engine::EngineError, key: &QueueKey) -> Refusal {
    let doing = Doing::write("subscription_create", key);
    doing.failed(error).summary(|| format!("Subscription {} could not be created.", key.name))
}

fn duplicate(key: &QueueKey) -> Refusal {
    Refusal::plain(409, "Such subscription already exists.")
        .summary(|| format!("Subscription {} not created.", key.name))
}

pub(super) async fn get(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let missing = || {
        let id = call.fields.text("subscription_id").unwrap_or_default();
        format!("Subscription {id} for queue {} does not exist.", key.name)
    };
    let Some(id) = subscription_id(call) else { return Err(Refusal::plain(404, missing())) };
    let found = call.engine().subscription_get(&key, id).await;
    let found = found.map_err(|e| {
        let refusal = Doing::read("subscription_get", &key).failed(e);
        if refusal.status() == 404 { refusal.summary(missing) } else { refusal }
    })?;
    Ok(Reply::json(200, to_text(&show(&found, &key))))
}

pub(super) async fn delete(call: &Call<'_>) -> Outcome {
    let key = call.queue()?;
    let named = call.fields.text("subscription_id").unwrap_or_default();
    if let Some(id) = subscription_id(call) {
        call.engine().subscription_delete(&key, id).await.map_err(|e| {
            let doing = Doing::write("subscription_delete", &key);
            doing.failed(e).summary(|| format!("Subscription {named} could not be deleted."))
        })?;
    }
    Ok(Reply::text(204, &format!("Subscription {named} removed.")))
}

fn subscription_id(call: &Call<'_>) -> Option<SubscriptionId> {
    call.fields.text("subscription_id")?.parse().ok()
}
