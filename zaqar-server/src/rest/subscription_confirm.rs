//! Confirming subscriptions, and asking subscribers to.

use http::StatusCode;
use serde_json::Value;
use zaqar_core::{QueueKey, Subscription, Ttl};

use super::answers::{Answer, Outcome};
use super::confirmation::{ConfirmationKind, ConfirmationRequest};
use super::errors::{Failure, Operation};
use super::payload::Payload;
use super::routes::Call;
use super::subscriptions::{object, path, subscription_id};

/// `PUT …/subscriptions/{id}/confirm`
pub(crate) async fn confirm(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read_small().await?;
    let confirmed = if bytes.is_empty() { None } else { confirmed(call, &bytes)? };
    let confirmed = confirmed.ok_or_else(|| Failure::api("The 'confirmed' should be boolean."))?;
    let id = subscription_id(call)?;
    let operation = Operation::write(key, "Subscription could not be confirmed.");
    let engine = call.engine();
    engine.subscription_confirm(key, id, confirmed).await.map_err(|e| operation.failed(e))?;
    if !confirmed && call.app.confirmations.is_some() {
        let read = Operation::read(key, "Subscription could not be confirmed.");
        let now = engine.subscription_get(key, id).await.map_err(|e| read.failed(e))?;
        let default = Ttl::from_secs_clamped(engine.config().defaults.subscription_ttl);
        send(call, key, &now, default, ConfirmationKind::Unsubscribe);
    }
    Ok(Answer::no_content().location(format!("{}/confirm", path(key, id))))
}

/// What the body says; `None` if that is neither yes nor no.
fn confirmed(call: &Call<'_>, bytes: &[u8]) -> Result<Option<bool>, Failure> {
    let not_an_object = || {
        let text = format!("Subscription {} could not be confirmed.", call.id);
        Failure::new(StatusCode::BAD_REQUEST, "Unable to confirm subscription", text)
    };
    let document = object(bytes)?.ok_or_else(not_an_object)?;
    Ok(document.get("confirmed").and_then(Value::as_bool))
}

/// Asks a subscriber to confirm, if it gets nothing before it does; the leave to answer lasts for
/// `life`.
pub(crate) fn ask_to_confirm(
    call: &Call<'_>,
    key: &QueueKey,
    subscription: &Subscription,
    life: Ttl,
) {
    if !subscription.is_active() {
        send(call, key, subscription, life, ConfirmationKind::Subscribe);
    }
}

fn send(
    call: &Call<'_>,
    key: &QueueKey,
    subscription: &Subscription,
    life: Ttl,
    kind: ConfirmationKind,
) {
    let Some(confirmations) = &call.app.confirmations else { return };
    let end = call.engine().clock().now().after(life);
    let signer = &call.config().url_signer;
    if let Some(request) = ConfirmationRequest::sign(kind, key, subscription, end, signer) {
        confirmations.send(request);
    }
}
