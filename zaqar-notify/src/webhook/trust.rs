//! Subscribers that get a token with each message, by which they may act for whoever subscribed:
//! `trust+http://…` and `trust+https://…`.
//!
//! A token is worth more than a message, so it goes only to hosts that the operator names, and in
//! plain text only if the operator says so. No redirect is followed, here or anywhere.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use serde_json::Value;
use url::Url;
use zaqar_core::Subscription;

use crate::channel::Verdict;

/// The option that holds the trust; only the service sets it.
const TRUST_ID: &str = "trust_id";

/// Gets tokens for trusts.
#[async_trait]
pub trait TrustTokens: Debug + Send + Sync + 'static {
    /// A token for acting on this trust, as a header's value that no log shows; `None` if there is
    /// none now.
    async fn token(&self, trust: &str) -> Option<HeaderValue>;
}

/// Which subscribers may get a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustRules {
    /// The hosts, each with a port or for every port that is open.
    pub hosts: Vec<String>,
    /// Whether they may get it over plain HTTP.
    pub plain_http: bool,
}

/// Why a subscriber may get no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The operator does not name the host.
    #[error("The subscriber's host is not one that this service sends tokens to.")]
    Host,
    /// It would travel in plain text.
    #[error("The subscriber must be of the type trust+https: tokens do not travel in plain text.")]
    Plain,
}

impl TrustRules {
    /// Looks at an address whose `trust+` is cut off.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn check(&self, url: &Url) -> Result<(), TrustError> {
        let host = url.host_str().unwrap_or_default();
        let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or(0));
        let is_named = |named: &String| {
            named.eq_ignore_ascii_case(host) || named.eq_ignore_ascii_case(&with_port)
        };
        if !self.hosts.iter().any(is_named) {
            Err(TrustError::Host)
        } else if url.scheme() != "https" && !self.plain_http {
            Err(TrustError::Plain)
        } else {
            Ok(())
        }
    }
}

/// What a webhook needs to know to send tokens.
#[derive(Debug, Clone)]
pub(super) struct Trusts {
    pub(super) rules: TrustRules,
    pub(super) tokens: Arc<dyn TrustTokens>,
}

impl Trusts {
    /// The token for a subscriber at this address, or what becomes of the delivery without one.
    pub(super) async fn token(
        &self,
        url: &Url,
        subscription: &Subscription,
    ) -> Result<HeaderValue, Verdict> {
        self.rules.check(url).map_err(|error| Verdict::hopeless(error.to_string()))?;
        let trust = subscription.options.get(TRUST_ID).and_then(Value::as_str);
        let trust = trust.ok_or_else(|| Verdict::hopeless("its subscriber gave no trust"))?;
        let token = self.tokens.token(trust).await;
        token.ok_or_else(|| Verdict::failed("no token could be had for the subscriber's trust"))
    }
}

/// The address of a subscriber that gets a token, without its `trust+`; `None` if it gets none.
pub fn trusted_address(subscriber: &str) -> Option<&str> {
    const PREFIX: &str = "trust+";
    let prefix = subscriber.get(..PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then(|| subscriber.get(PREFIX.len()..)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_named_hosts_alone_and_not_in_plain_text() {
        let hosts = vec!["mistral.example".to_owned(), "[::1]:8080".to_owned()];
        let mut rules = TrustRules { hosts, plain_http: false };
        let check = |rules: &TrustRules, url: &str| rules.check(&url.parse().unwrap());
        assert_eq!(check(&rules, "https://mistral.example/x"), Ok(()));
        assert_eq!(check(&rules, "https://MISTRAL.example:8989/"), Ok(()));
        assert_eq!(check(&rules, "https://[::1]:8080/"), Ok(()));
        for other in [
            "https://evil.example/",
            "https://mistral.example.evil.example/",
            "https://xmistral.example/",
            "https://[::1]:8081/",
            "https://evil.example/?mistral.example",
        ] {
            assert_eq!(check(&rules, other), Err(TrustError::Host), "{other}");
        }
        assert_eq!(check(&rules, "http://mistral.example/"), Err(TrustError::Plain));
        rules.plain_http = true;
        assert_eq!(check(&rules, "http://mistral.example/"), Ok(()));
        assert_eq!(check(&TrustRules::default(), "https://a/"), Err(TrustError::Host));
    }

    #[test]
    fn the_prefix_may_be_in_any_case() {
        assert_eq!(trusted_address("trust+https://a/"), Some("https://a/"));
        assert_eq!(trusted_address("TRUST+http://a/"), Some("http://a/"));
        for other in ["https://a/", "trust", "trust:a", "", "trüst+http://a/"] {
            assert_eq!(trusted_address(other), None, "{other}");
        }
    }
}
