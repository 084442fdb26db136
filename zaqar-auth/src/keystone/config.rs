//! What an operator may set about Keystone.

use std::time::Duration;

use rustls::ClientConfig;
use secrecy::SecretString;
use url::Url;

/// Where Keystone is, who asks it, and for how long its answers are believed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeystoneConfig {
    /// Where its API is; a path that does not end in `/v3` is continued by it.
    pub auth_url: Url,
    /// Where callers are told to get a token.
    pub www_authenticate_uri: String,
    /// Who asks.
    pub credentials: Credentials,
    /// How `https` is spoken, and whose certificates are believed.
    pub tls: ClientConfig,
    /// How long a valid token is believed without asking again: what a revocation may take.
    pub token_cache_time: Duration,
    /// How many tokens are remembered.
    pub cached_tokens_max: u64,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long finding out about a token may take in all.
    pub request_timeout: Duration,
    /// How many requests there may be to Keystone at a time.
    pub requests_max: usize,
}

impl KeystoneConfig {
    /// The defaults, for the Keystone at `auth_url`.
    #[must_use]
    pub fn new(auth_url: Url, credentials: Credentials, tls: ClientConfig) -> Self {
        Self {
            www_authenticate_uri: auth_url.to_string(),
            auth_url,
            credentials,
            tls,
            token_cache_time: Duration::from_secs(300),
            cached_tokens_max: 50_000,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            requests_max: 32,
        }
    }
}

/// The service's own user.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Its name.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// The name of its domain.
    pub user_domain_name: String,
    /// The project that it acts in.
    pub project_name: String,
    /// The name of the project's domain.
    pub project_domain_name: String,
}
