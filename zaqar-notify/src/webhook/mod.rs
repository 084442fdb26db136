//! Subscribers that are told by HTTP: `http://…` and `https://…`, and the same with a token.

mod address;
mod client;
mod headers;
#[cfg(test)]
mod rebinding;
mod resolve;
#[cfg(test)]
pub(crate) mod samples;
mod sign;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;
use zaqar_core::{Clock, Subscription};

pub use self::address::{AddressError, AddressRules, InvalidNetwork, Network, Ports};
pub use self::client::ClientError;
pub use self::sign::{InvalidSecret, WebhookSigner};
pub use self::trust::{TrustError, TrustRules, TrustTokens, trusted_address};
pub use crate::limits::HostLimits;

use self::client::{Answer, Client};
use self::resolve::System;
use self::trust::Trusts;
use crate::authorities::Authorities;
use crate::channel::{Channel, Notification, Verdict};
use crate::confirmation::Confirmation;
use crate::json;
use crate::limits::{Hosts, Refusal};

/// The option that holds what is sent instead of the message, and what stands for the message in it.
const POST_DATA: &str = "post_data";
const PLACEHOLDER: &str = "\"$zaqar_message$\"";
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// What an operator may set about webhooks.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a request may take, from connecting to the answer.
    pub request_timeout: Duration,
    /// Most bytes of an answer that are read.
    pub response_bytes_max: usize,
    /// What one host may use.
    pub hosts: HostLimits,
    /// Where requests may go.
    pub addresses: AddressRules,
    /// What signs them.
    pub signer: WebhookSigner,
    /// Who certifies `https` receivers, besides the system's authorities.
    pub authorities: Authorities,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            response_bytes_max: 65_536,
            hosts: HostLimits::default(),
            addresses: AddressRules::default(),
            signer: WebhookSigner::default(),
            authorities: Authorities::default(),
        }
    }
}

/// Delivers by HTTP.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    hosts: Arc<Hosts>,
    addresses: Arc<AddressRules>,
    signer: WebhookSigner,
    /// There if some subscribers get tokens.
    trusts: Option<Trusts>,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// A channel with these settings.
    ///
    /// # Errors
    /// [`ClientError`] if TLS cannot be set up.
    pub fn new(config: WebhookConfig, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let addresses = Arc::new(config.addresses.clone());
        Ok(Self {
            client: Client::new(&config, Arc::clone(&addresses), Arc::new(System))?,
            hosts: Hosts::new(config.hosts),
            addresses,
            signer: config.signer,
            trusts: None,
            clock,
        })
    }

    /// Lets subscribers whose address begins with `trust+` have a token with each message, where
    /// these rules allow it. Without this nothing is delivered to them.
    #[must_use]
    pub fn trusts(mut self, rules: TrustRules, tokens: Arc<dyn TrustTokens>) -> Self {
        self.trusts = Some(Trusts { rules, tokens });
        self
    }

    async fn send(
        &self,
        subscription: &Subscription,
        id: &str,
        attempt: u32,
        body: String,
        token: Option<HeaderValue>,
    ) -> Verdict {
        let url = match self.url(subscription) {
            Ok(url) => url,
            Err(verdict) => return verdict,
        };
        let turn = match self.hosts.turn(&host(&url)).await {
            Ok(turn) => turn,
            Err(Refusal::Full | Refusal::Stuck) => return Verdict::Busy,
            // It counts: what is posted to a host that never answers must come to an end, at the
            // pace of the pauses.
            Err(Refusal::Paused(left)) => {
                let reason = "not attempted: the host let too many deliveries in a row time out";
                let retry_after = Some(left);
                return Verdict::Failed { reason: reason.into(), retry_after, permanent: false };
            }
        };
        let mut headers = self.headers(subscription, id, attempt, &body);
        if let Some(token) = token {
            headers.insert(TOKEN, token);
        }
        let answer = self.client.post(url, headers, body).await;
        turn.finish(matches!(answer, Answer::TimedOut(_)));
        answer.verdict(self.clock.now())
    }

    /// Where a subscriber is, if requests may go there.
    fn url(&self, subscription: &Subscription) -> Result<Url, Verdict> {
        let subscriber = subscription.subscriber.as_str();
        let address = trusted_address(subscriber).unwrap_or(subscriber);
        // An operator may open it, but not within the life of this process.
        self.addresses.target(address).map_err(|error| Verdict::hopeless(error.to_string()))
    }

    /// The token that a subscriber gets, if it is one that gets any.
    async fn token(&self, subscription: &Subscription) -> Result<Option<HeaderValue>, Verdict> {
        if trusted_address(&subscription.subscriber).is_none() {
            return Ok(None);
        }
        let Some(trusts) = &self.trusts else {
            return Err(Verdict::hopeless("this server sends no tokens"));
        };
        trusts.token(&self.url(subscription)?, subscription).await.map(Some)
    }

    fn headers(
        &self,
        subscription: &Subscription,
        id: &str,
        attempt: u32,
        body: &str,
    ) -> HeaderMap {
        let mut headers = headers::of(subscription);
        let now_s = self.clock.now().as_secs();
        let signature = self.signer.sign(id, now_s, body.as_bytes());
        let ours = [
            ("webhook-id", Some(id.to_owned())),
            ("webhook-timestamp", Some(now_s.to_string())),
            ("webhook-signature", signature),
            ("zaqar-attempt", Some(attempt.to_string())),
        ];
        for (name, value) in ours {
            if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }
}

/// What is limited together: one host and port.
fn host(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0))
}

#[async_trait]
impl Channel for Webhook {
    async fn deliver(&self, notification: &Notification) -> Verdict {
        let subscription = &notification.subscription;
        let message = json::notification(notification);
        let body = match subscription.options.get(POST_DATA).and_then(Value::as_str) {
            Some(template) if !template.is_empty() => template.replace(PLACEHOLDER, &message),
            _ => message,
        };
        match self.token(subscription).await {
            Ok(token) => {
                let (id, attempt) = (notification.id(), notification.attempt());
                self.send(subscription, &id, attempt, body, token).await
            }
            Err(verdict) => verdict,
        }
    }

    async fn confirm(&self, confirmation: &Confirmation) -> Verdict {
        let body = json::confirmation(confirmation);
        // Whoever has not confirmed gets no token.
        self.send(&confirmation.subscription, &confirmation.id(), 1, body, None).await
    }
}
