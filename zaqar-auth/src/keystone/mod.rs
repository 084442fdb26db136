//! Tokens of Keystone, the identity service: who they belong to, and whether they still hold.
//!
//! A token is shown to Keystone's API (`GET /v3/auth/tokens`) under the service's own login, and the
//! answer is remembered: until the token's end, for a configured time at most, which is thus how
//! long a revoked token may still be taken. However many requests come with a token that is not
//! known, Keystone is asked about it once. What is remembered is found by a digest of the token; no
//! token is kept, and none is ever part of a log line, an error or a `Debug`.
//!
//! Whoever waits for Keystone waits for a bounded time. While it cannot be asked, tokens that are
//! known serve on within their life.

mod api;
mod cache;
mod config;
mod health;
mod login;
mod token;
mod trusts;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use zaqar_core::{Clock, Timestamp};

use crate::Identity;
use api::{Api, Purpose, Trouble};
use cache::{FlightCache, Fresh, later};
use health::Health;
use login::Login;
use token::Digest;
use wire::TokenDocument;

pub use api::SetupError;
pub use config::{Credentials, KeystoneConfig};
pub use token::{InvalidToken, TOKEN_BYTES_MAX, Token};

/// How long it is remembered that Keystone does not know a token. Someone who tries on does not
/// reach Keystone each time, and a token that Keystone learns of late is not shut out for long.
const REFUSALS_REMEMBERED: Duration = Duration::from_secs(10);
/// How long a token for a trust is kept in memory at most.
const TRUSTED_REMEMBERED: Duration = Duration::from_secs(3_600);

/// What a token that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Validated {
    /// Who it belongs to.
    pub identity: Arc<Identity>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a token does not let anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Keystone does not know it, or not any more.
    #[error("the token is not valid")]
    Refused,
    /// It is for no project, and everything here belongs to one.
    #[error("the token is scoped to no project")]
    Unscoped,
    /// Keystone cannot be asked now.
    #[error("the identity service cannot be asked now")]
    Unavailable,
}

/// Validates tokens. Cloning shares what is remembered.
#[derive(Clone)]
pub struct Keystone {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    api: Api,
    login: Login,
    health: Health,
    valid: FlightCache<Digest, Arc<Validated>>,
    refused: FlightCache<Digest, AuthError>,
    /// Tokens for trusts, by the trust.
    trusted: FlightCache<String, Arc<Token>>,
    cache_time: Duration,
    patience: Duration,
    challenge: String,
}

impl Keystone {
    /// A validator that has asked nothing yet. Whoever wants its counters installs a recorder of
    /// `metrics` before.
    ///
    /// # Errors
    /// [`SetupError`] if there can be no HTTP client.
    pub fn new(config: KeystoneConfig, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let (entries, life) = (config.cached_tokens_max, config.token_cache_time);
        let negative_life = life.min(REFUSALS_REMEMBERED);
        let shared = Shared {
            api: Api::new(&config)?,
            login: Login::new(config.credentials, Arc::clone(&clock)),
            health: Health::new(),
            valid: FlightCache::new(Arc::clone(&clock), entries, life),
            refused: FlightCache::new(Arc::clone(&clock), entries, negative_life),
            trusted: FlightCache::new(Arc::clone(&clock), entries, TRUSTED_REMEMBERED),
            cache_time: life,
            patience: config.request_timeout,
            challenge: format!("Keystone uri=\"{}\"", config.www_authenticate_uri),
            clock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What a `WWW-Authenticate` header says to whoever has no valid token.
    #[must_use]
    pub fn challenge(&self) -> &str {
        &self.shared.challenge
    }

    /// Says whose token it is.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn authenticate(&self, token: &Token) -> Result<Arc<Validated>, AuthError> {
        let (shared, digest) = (&*self.shared, token.digest());
        if let Some(known) = shared.valid.get(&digest).await {
            shared.health.cached();
            return Ok(known);
        }
        if let Some(reason) = shared.refused.get(&digest).await {
            shared.health.cached();
            return Err(reason);
        }
        let found = shared.valid.get_or_try(digest, Box::pin(shared.validate(token, digest))).await;
        shared.health.asked(found.as_ref().err());
        found
    }

    /// Logs in, so that what is wrong with the configuration is in the log before a client meets it.
    /// Whether it went well.
    pub async fn check(&self) -> bool {
        let shared = &*self.shared;
        let login = tokio::time::timeout(shared.patience, shared.login.own(&shared.api));
        match login.await.unwrap_or(Err(Trouble::TimedOut)) {
            Ok(_) => shared.health.up(),
            Err(trouble) => shared.health.down(&trouble),
        }
        !shared.health.is_down()
    }
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystone").field("url", &self.shared.api.base()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Asks Keystone about a token. How long the answer holds counts from before the question: a
    /// token may be revoked right after.
    async fn validate(
        &self,
        token: &Token,
        digest: Digest,
    ) -> Result<Fresh<Arc<Validated>>, AuthError> {
        let asked_at = self.clock.now();
        let document = self.within_patience(self.ask(token)).await?;
        let now = self.clock.now();
        let holding = document.filter(|document| now < document.expires_at);
        let validated = match holding {
            Some(document) => document.into_validated().ok_or(AuthError::Unscoped),
            None => Err(AuthError::Refused),
        };
        match validated {
            Ok(validated) => {
                let until = validated.expires_at.min(later(asked_at, self.cache_time));
                Ok(Fresh { value: Arc::new(validated), until })
            }
            Err(reason) => {
                let until = later(asked_at, self.cache_time.min(REFUSALS_REMEMBERED));
                self.refused.put(digest, Fresh { value: reason, until }).await;
                Err(reason)
            }
        }
    }

    /// What comes of talking to Keystone in the time that there is for it; the log hears of it if
    /// nothing does.
    async fn within_patience<T>(
        &self,
        talk: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, AuthError> {
        let told = tokio::time::timeout(self.patience, talk).await;
        match told.unwrap_or(Err(Trouble::TimedOut)) {
            Ok(told) => {
                self.health.up();
                Ok(told)
            }
            Err(trouble) => {
                self.health.down(&trouble);
                Err(AuthError::Unavailable)
            }
        }
    }

    /// What Keystone says of a token; `None`: it does not know it.
    async fn ask(&self, token: &Token) -> Result<Option<TokenDocument>, Trouble> {
        const PATH: &str = "/auth/tokens?nocatalog";
        let mut is_renewed = false;
        loop {
            let own = self.login.own(&self.api).await?;
            let request = self.api.get(PATH).header(api::X_AUTH_TOKEN, own.token.header());
            let request = request.header(api::X_SUBJECT_TOKEN, token.header());
            let answer = self.api.ask(Purpose::Validate, request).await?;
            match answer.status {
                StatusCode::OK => return wire::token(&answer.body).map(Some),
                StatusCode::NOT_FOUND => return Ok(None),
                // The service's own token has ended early.
                StatusCode::UNAUTHORIZED if !is_renewed => {
                    self.login.forget(&own).await;
                    is_renewed = true;
                }
                status => return Err(Trouble::Status(Purpose::Validate, status)),
            }
        }
    }
}
