//! Subscribers that are told by HTTP: `http://…` and `https://…`.

mod address;
mod client;
mod headers;
#[cfg(test)]
mod rebinding;
mod resolve;
#[cfg(test)]
pub(crate) mod samples;
mod sign;

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
pub use crate::limits::HostLimits;

use self::client::{Answer, Client};
use self::resolve::System;
use crate::authorities::Authorities;
use crate::channel::{Channel, Notification, Verdict};
use crate::confirmation::Confirmation;
use crate::json;
use crate::limits::{Hosts, Refusal};

/// The option that holds what is sent instead of the message, and what stands for the message in it.
const POST_DATA: &str = "post_data";
const PLACEHOLDER: &str = "\"$zaqar_message$\"";

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
            clock,
        })
    }

    async fn send(
        &self,
        subscription: &Subscription,
        id: &str,
        attempt: u32,
        body: String,
    ) -> Verdict {
        // An operator may open it, but not within the life of this process.
        let url = match self.addresses.target(&subscription.subscriber) {
            Ok(url) => url,
            Err(error) => return Verdict::hopeless(error.to_string()),
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
        let headers = self.headers(subscription, id, attempt, &body);
        let answer = self.client.post(url, headers, body).await;
        turn.finish(matches!(answer, Answer::TimedOut(_)));
        answer.verdict(self.clock.now())
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
        self.send(subscription, &notification.id(), notification.attempt(), body).await
    }

    async fn confirm(&self, confirmation: &Confirmation) -> Verdict {
        let body = json::confirmation(confirmation);
        self.send(&confirmation.subscription, &confirmation.id(), 1, body).await
    }
}
