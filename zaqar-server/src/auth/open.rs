//! The authentication that the configuration wants.

use std::sync::Arc;
use std::time::Duration;

use url::Url;
use zaqar_auth::keystone::{Credentials, Keystone, KeystoneConfig};
use zaqar_core::Clock;
use zaqar_notify::Authorities;

use super::Authentication;
use crate::config::Config;
use crate::config::options::{AuthStrategy, KeystoneAuth};
use crate::serve::StartError;

/// What contradicts itself in the options about Keystone: an option, and what is wrong with it.
pub(crate) fn contradictions(config: &Config) -> Vec<(&'static str, String)> {
    if config.general.auth_strategy != AuthStrategy::Keystone {
        return Vec::new();
    }
    let options = &config.keystone;
    let needed = || "is needed with auth_strategy = \"keystone\"".to_owned();
    let mut problems = Vec::new();
    if let Err(reason) = auth_url(options) {
        problems.push(("keystone_authtoken.auth_url", reason));
    }
    for (option, text) in [
        ("keystone_authtoken.username", options.username.as_str()),
        ("keystone_authtoken.password", options.password.expose()),
        ("keystone_authtoken.project_name", options.project_name.as_str()),
    ] {
        if text.is_empty() {
            problems.push((option, needed()));
        }
    }
    let is_quotable = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    if !options.www_authenticate_uri.chars().all(is_quotable) {
        let reason = "must be a URL".to_owned();
        problems.push(("keystone_authtoken.www_authenticate_uri", reason));
    }
    problems
}

fn auth_url(options: &KeystoneAuth) -> Result<Url, String> {
    // What is given may hold a password by mistake, so it is not repeated.
    let wrong = || "must be a URL, http://… or https://…, without user and password".to_owned();
    let url: Url = options.auth_url.parse().map_err(|_| wrong())?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_bare = url.username().is_empty() && url.password().is_none();
    if is_web && is_bare { Ok(url) } else { Err(wrong()) }
}

/// Makes what the configuration wants. Must be called within a tokio runtime: Keystone is tried, so
/// that the log tells of what is wrong with it before a client does.
pub(crate) fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Authentication, StartError> {
    match config.general.auth_strategy {
        AuthStrategy::None => {
            tracing::warn!(
                "callers are not authenticated: anybody who reaches this server may claim to be \
                 anybody, of any project and with any role (option auth_strategy)"
            );
            Ok(Authentication::None)
        }
        AuthStrategy::Keystone => {
            let keystone = keystone(&config.keystone, clock)?;
            tracing::info!(url = config.keystone.auth_url, "callers show tokens of Keystone");
            let tried = keystone.clone();
            tokio::spawn(async move { tried.check().await });
            Ok(Authentication::Keystone(keystone))
        }
    }
}

fn keystone(options: &KeystoneAuth, clock: &Arc<dyn Clock>) -> Result<Keystone, StartError> {
    let wrong = |option, reason: String| StartError::Authentication { option, reason };
    let url = auth_url(options).map_err(|reason| wrong("keystone_authtoken.auth_url", reason))?;
    let credentials = Credentials {
        username: options.username.clone(),
        password: options.password.expose().into(),
        user_domain_name: options.user_domain_name.clone(),
        project_name: options.project_name.clone(),
        project_domain_name: options.project_domain_name.clone(),
    };
    let in_file = |reason| wrong("keystone_authtoken.cafile", reason);
    let tls = authorities(&options.cafile)
        .and_then(|authorities| authorities.client_config().map_err(|error| error.to_string()));
    let mut config = KeystoneConfig::new(url, credentials, tls.map_err(in_file)?);
    if !options.www_authenticate_uri.is_empty() {
        config.www_authenticate_uri.clone_from(&options.www_authenticate_uri);
    }
    config.token_cache_time = Duration::from_secs(options.token_cache_time);
    config.cached_tokens_max = u64::from(options.cached_tokens_max);
    config.connect_timeout = Duration::from_millis(options.connect_timeout_ms);
    config.request_timeout = Duration::from_millis(options.request_timeout_ms);
    config.requests_max = usize::try_from(options.requests_max).unwrap_or(usize::MAX);
    let refused = |error: zaqar_auth::keystone::SetupError| error.to_string();
    Keystone::new(config, Arc::clone(clock))
        .map_err(|error| wrong("keystone_authtoken", refused(error)))
}

fn authorities(file: &str) -> Result<Authorities, String> {
    if file.is_empty() {
        return Ok(Authorities::default());
    }
    let pem = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    Authorities::from_pem(&pem).map_err(|error| format!("{file}: {error}"))
}
