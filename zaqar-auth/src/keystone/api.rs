//! Requests to Keystone: bounded in time, in number and in what is read of an answer.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use tokio::sync::Semaphore;
use url::Url;

use super::config::KeystoneConfig;

pub(super) const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
pub(super) const X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// The largest answer that is read. One about a token without a catalogue has a few thousand bytes.
const ANSWER_BYTES_MAX: usize = 262_144;
/// Shorter than web servers in front of Keystone keep a connection open by default: one that is
/// closed while it is being used costs a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Why Keystone cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct SetupError(#[from] reqwest::Error);

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To get the service's own token.
    Login,
    /// To learn about a token.
    Validate,
    /// To be given a trust.
    Trust,
    /// To get a token for a trust.
    TrustLogin,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Login => "the service user's login",
            Self::Validate => "a question about a token",
            Self::Trust => "a caller's wish to give a trust",
            Self::TrustLogin => "a login on a trust",
        })
    }
}

/// Why a request came to nothing. It holds nothing of the request or the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("there is no connection to it")]
    Unreachable,
    #[error("the connection to it was lost")]
    Lost,
    #[error("it does not answer in time")]
    TimedOut,
    #[error("its answer to {0} is too large")]
    TooLarge(Purpose),
    #[error("its answer to {0} is not to be understood")]
    Nonsense(Purpose),
    #[error("it answers {0} with status {1}")]
    Status(Purpose, StatusCode),
    #[error("it refuses the service user (options of the section keystone_authtoken)")]
    LoginRefused,
}

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The way to Keystone.
pub(super) struct Api {
    client: Client,
    base: String,
    places: Semaphore,
}

impl Api {
    pub(super) fn new(config: &KeystoneConfig) -> Result<Self, SetupError> {
        let client = Client::builder()
            .user_agent(concat!("zaqar-auth/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(config.tls.clone())
            // Neither the environment nor an answer says who else is shown a token.
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()?;
        let places = config.requests_max.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self { client, base: base(&config.auth_url), places: Semaphore::new(places) })
    }

    /// Where the API is, its version included, without a slash at the end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    pub(super) fn post(&self, path: &str, body: String) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.base)).body(body);
        request.header(http::header::CONTENT_TYPE, "application/json")
    }

    /// Sends a question, which may be asked twice: once more if the connection was lost, which may
    /// have been idle and closed by the other side just then.
    pub(super) async fn ask(
        &self,
        purpose: Purpose,
        request: RequestBuilder,
    ) -> Result<Answer, Trouble> {
        let again = request.try_clone();
        match (self.send(purpose, request).await, again) {
            (Err(Trouble::Lost), Some(again)) => self.send(purpose, again).await,
            (answer, _) => answer,
        }
    }

    /// Sends a request when there is a place for it, and reads the answer.
    pub(super) async fn send(
        &self,
        purpose: Purpose,
        request: RequestBuilder,
    ) -> Result<Answer, Trouble> {
        let _place = self.places.acquire().await.map_err(|_| Trouble::Unreachable)?;
        let mut response = request.send().await.map_err(|error| trouble(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| trouble(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Trouble::TooLarge(purpose));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status: response.status(), headers, body })
    }
}

fn trouble(error: &reqwest::Error) -> Trouble {
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => Trouble::TimedOut,
        (false, true) => Trouble::Unreachable,
        (false, false) => Trouble::Lost,
    }
}

/// The API's address: with the version that it is written for.
fn base(auth_url: &Url) -> String {
    let mut url = auth_url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let text = url.as_str().trim_end_matches('/');
    if text.ends_with("/v3") { text.to_owned() } else { format!("{text}/v3") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_part_of_the_address_once() {
        for (url, expected) in [
            ("http://k:5000", "http://k:5000/v3"),
            ("http://k:5000/", "http://k:5000/v3"),
            ("http://k:5000/v3", "http://k:5000/v3"),
            ("https://k/identity/v3/", "https://k/identity/v3"),
            ("https://k/identity", "https://k/identity/v3"),
        ] {
            assert_eq!(base(&url.parse().unwrap()), expected);
        }
    }
}
