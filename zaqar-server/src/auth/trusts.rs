//! Trusts: a subscriber of type `trust+…` is given a token with each message, by which it may act for
//! whoever subscribed it. That needs a trust, which only somebody with a token of its own can give.

use async_trait::async_trait;
use http::{HeaderValue, StatusCode};
use zaqar_auth::keystone::{AuthError, Keystone};
use zaqar_core::{Created, NewSubscription, QueueKey, Subscription};
use zaqar_engine::{Engine, EngineError};
use zaqar_notify::webhook::{TrustTokens, trusted_address};

use super::{Bearer, Unknown};
use crate::rest::errors::Failure;

/// Why there is no subscription.
#[derive(Debug)]
pub(crate) enum NotSubscribed {
    /// The engine says why.
    Engine(EngineError),
    /// No trust could be made.
    Trust(Failure),
}

/// Subscribes an address; if it is one that is given tokens, on a trust that the caller gives for as
/// long as the subscription lives.
pub(crate) async fn subscribe(
    engine: &Engine,
    key: &QueueKey,
    new: NewSubscription,
    bearer: Option<&Bearer>,
) -> Result<Created<Subscription>, NotSubscribed> {
    use NotSubscribed::{Engine, Trust};
    let (Some(bearer), Some(_)) = (bearer, trusted_address(&new.subscriber)) else {
        return engine.subscription_create(key, new).await.map_err(Engine);
    };
    engine.trusted_subscription_check(&new).map_err(Engine)?;
    // Whoever subscribes again has given a trust already.
    let known = engine.subscription_find(key, &new.subscriber).await.map_err(Engine)?;
    if let Some(known) = known {
        return Ok(Created::Existing(known));
    }
    let end = engine.clock().now().after(new.ttl);
    let given = bearer.keystone.make_trust(&bearer.token, &bearer.validated, end).await;
    match given {
        Ok(trust) => {
            let made = engine.trusted_subscription_create(key, new, trust);
            made.await.map_err(Engine)
        }
        Err(AuthError::Unavailable) => Err(Trust(Failure::unknown(Unknown::NobodyKnows))),
        Err(AuthError::Refused | AuthError::Unscoped) => {
            let text = "A subscriber of this type needs a trust, and the identity service lets \
                        this token give none.";
            Err(Trust(Failure::new(StatusCode::FORBIDDEN, "Not authorized", text)))
        }
    }
}

/// Gets tokens for the trusts that the service was given.
#[derive(Debug)]
pub(crate) struct TokensOnTrust(pub(crate) Keystone);

#[async_trait]
impl TrustTokens for TokensOnTrust {
    async fn token(&self, trust: &str) -> Option<HeaderValue> {
        let token = self.0.trust_token(trust).await;
        token.ok().map(|token| token.header())
    }
}
