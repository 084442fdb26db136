//! The HTTP client, and what an answer means.

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::Url;
use zaqar_core::Timestamp;

use super::WebhookConfig;
use super::address::AddressRules;
use super::resolve::{Closed, Names, Resolver};
use crate::channel::Verdict;

/// How long the rest of an answer may take whose status is known.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_PER_HOST_MAX: usize = 4;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The protocol versions cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The client cannot be made.
    #[error("the HTTP client cannot be set up")]
    Http(#[from] reqwest::Error),
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The receiver's status, and when it wants to be asked again.
    Status(StatusCode, Option<String>),
    /// Time ran out: while connecting, or later.
    TimedOut(&'static str),
    /// The name leads nowhere that is open.
    Closed,
    /// No connection, or it was lost.
    Broken(&'static str),
}

#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    response_bytes_max: usize,
}

impl Client {
    pub(crate) fn new(
        config: &WebhookConfig,
        addresses: Arc<AddressRules>,
        names: Arc<dyn Names>,
    ) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("zaqar-notify/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(config.authorities.client_config()?)
            .dns_resolver(Resolver::new(names, addresses))
            // A proxy would look names up by itself, and a redirect leads where nobody looked.
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .build()?;
        Ok(Self { http, response_bytes_max: config.response_bytes_max })
    }

    /// Sends one request, and no other whatever is answered.
    pub(crate) async fn post(&self, url: Url, headers: HeaderMap, body: String) -> Answer {
        let request = self.http.post(url).headers(headers).body(body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failure(&error),
        };
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let answer = Answer::Status(response.status(), retry_after);
        // What it says is of no interest, but a connection can be used again only behind it.
        let mut left = self.response_bytes_max;
        let rest = async {
            while let Ok(Some(chunk)) = response.chunk().await
                && chunk.len() <= left
            {
                left -= chunk.len();
            }
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, rest).await.is_err() {
            tracing::trace!("the rest of an answer was not waited for");
        }
        answer
    }
}

fn failure(error: &reqwest::Error) -> Answer {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<Closed>() {
            return Answer::Closed;
        }
        cause = inner.source();
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, true) => Answer::TimedOut("no connection in time"),
        (true, false) => Answer::TimedOut("no answer in time"),
        (false, true) => Answer::Broken("no connection"),
        (false, false) => Answer::Broken("the connection was lost"),
    }
}

impl Answer {
    /// What it means for the delivery.
    pub(crate) fn verdict(self, now: Timestamp) -> Verdict {
        match self {
            Self::Status(status, _) if status.is_success() => Verdict::Delivered,
            Self::Status(StatusCode::GONE, _) => Verdict::Gone,
            Self::Status(status, retry_after) => Verdict::Failed {
                reason: format!("status {}", status.as_u16()),
                retry_after: retry_after.and_then(|text| wait(&text, now)),
                permanent: false,
            },
            Self::TimedOut(reason) | Self::Broken(reason) => Verdict::failed(reason),
            Self::Closed => Verdict::failed(Closed.to_string()),
        }
    }
}

/// Reads `Retry-After`: seconds, or a date.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()?;
    let seconds = date.unix_timestamp().saturating_sub(now.as_secs());
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, retry_after: Option<&str>) -> Verdict {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer::Status(status, retry_after.map(str::to_owned));
        answer.verdict(Timestamp::from_millis(2_000_000_000_000))
    }

    #[test]
    fn only_success_is_success_and_gone_means_that_nothing_more_is_wanted() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(verdict(status, None), Verdict::Delivered, "{status}");
        }
        assert_eq!(verdict(410, None), Verdict::Gone);
        for status in [300, 301, 302, 307, 400, 401, 404, 408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(verdict(status, None), Verdict::failed(format!("status {status}")));
        }
    }

    #[test]
    fn a_receiver_puts_the_next_attempt_off_by_seconds_or_to_a_date() {
        let after = |text| match verdict(503, Some(text)) {
            Verdict::Failed { retry_after, .. } => retry_after.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Wed, 18 May 2033 03:34:20 GMT"), Some(60));
        assert_eq!(after("Wed, 18 May 2033 03:33:00 GMT"), None);
        for nonsense in ["", "-1", "soon", "Wed, 99 May 2033 03:33:20 GMT"] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
    }
}
