//! One request: its checks, in the order in which clients know them, then its action.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_tungstenite::tungstenite::Message;
use zaqar_auth::Identity;
use zaqar_auth::policy::Target;
use zaqar_core::Effect;

use super::Shared;
use super::actions::{self, AUTHENTICATE, Action, Call, Outcome};
use super::codec::{Encoding, Incoming, Undecodable};
use super::envelope::{Envelope, Headers};
use super::fields::Fields;
use super::refusal::Refusal;
use super::session::Session;
use super::{metrics, proof, signed};
use crate::rest::context;
use crate::rest::errors::Failure;

/// Answers a request in its own encoding, whatever happens.
pub(super) async fn answer(shared: &Shared, session: &Session, incoming: &Incoming) -> Message {
    let encoding = incoming.encoding;
    let text = match incoming.decode() {
        Ok(text) => text,
        Err(undecodable) => {
            let reply = refused(encoding, &undecodable).into_reply();
            metrics::answered("none", reply.status);
            return encoding.encode(reply.into_answer(&Envelope::EMPTY));
        }
    };
    let envelope = Envelope::read(&text);
    let name = envelope.action();
    let (label, outcome, echo) = match name.as_deref() {
        Some(AUTHENTICATE) => {
            let outcome = proof::authenticate(shared, session, &envelope).await;
            (AUTHENTICATE, outcome, envelope.without_headers())
        }
        name => match name.and_then(actions::find) {
            Some(action) => {
                let outcome = act(shared, session, action, &envelope, encoding).await;
                (action.name, outcome, envelope)
            }
            None => ("none", Err(unknown(&envelope)), envelope),
        },
    };
    let reply = outcome.unwrap_or_else(Refusal::into_reply);
    metrics::answered(label, reply.status);
    encoding.encode(reply.into_answer(&echo))
}

fn refused(encoding: Encoding, undecodable: &Undecodable) -> Refusal {
    match undecodable {
        Undecodable::Malformed(reason) => Refusal::early(400, encoding.complaint(reason)),
        Undecodable::NoMap => {
            Refusal::early(400, "Unexpected body type. Expected dict or dict like.")
        }
    }
}

fn unknown(envelope: &Envelope<'_>) -> Refusal {
    let name = match (envelope.action(), envelope.action) {
        (Some(name), _) => name,
        (None, "null") => Cow::Borrowed("None"),
        (None, other) => Cow::Borrowed(other),
    };
    Refusal::early(400, format!("{name} is not a valid action"))
}

async fn act(
    shared: &Shared,
    session: &Session,
    action: &Action,
    envelope: &Envelope<'_>,
    encoding: Encoding,
) -> Outcome {
    let headers = envelope.headers.and_then(Headers::read).ok_or_else(Refusal::schema)?;
    let client = headers.text("Client-ID").ok_or_else(Refusal::schema)?;
    let project = headers.text("X-Project-ID").ok_or_else(Refusal::schema)?;
    let fields = Fields::read(envelope.body, action.fields).ok_or_else(Refusal::schema)?;
    let queue = fields.text("queue_name").unwrap_or_default();
    let now = shared.engine.clock().now();
    let signed = signed::check(&shared.config.url_signer, now, headers, action.name, &queue)?;
    let identity = if signed {
        Arc::new(Identity::of_project(context::project_id(&project).map_err(Refusal::from)?))
    } else {
        proof::identify(shared, session, headers, &project).await?
    };
    shared.config.rates.request(&identity.project).map_err(Failure::from)?;
    let target = Target::of_project(&identity.project).queue(&queue);
    if !shared.config.policy.allows(action.rule, &identity, &target) {
        return Err(Failure::denied().into());
    }
    let call = Call { shared, session, identity: &identity, client: &client, encoding, fields };
    match AssertUnwindSafe((action.run)(&call)).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_panic) => {
            tracing::error!(action = action.name, "the handler of an action panicked");
            Err(Failure::internal().stored(Effect::Unknown).into())
        }
    }
}
