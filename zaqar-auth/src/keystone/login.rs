//! The service's own token.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use zaqar_core::{Clock, Timestamp};

use super::api::{Api, Purpose, Trouble, X_SUBJECT_TOKEN};
use super::cache::{FlightCache, Fresh, later};
use super::config::Credentials;
use super::token::Token;
use super::wire;

/// A token is replaced so long before its end: a request that is on its way must not outlive it.
const MARGIN: Duration = Duration::from_secs(60);
/// A token is used for so long at least, whatever it says of its end: clocks may differ, and
/// Keystone says so if it has ended.
const LIFE_MIN: Duration = Duration::from_secs(5);
/// No token is kept in memory for longer.
const LIFE_MAX: Duration = Duration::from_secs(86_400);
/// After a refused login no further one is tried for so long: Keystone may lock a user out who fails
/// too often.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// The service's own token.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) token: Token,
    /// The id of the service's user.
    pub(super) user: String,
}

/// Gets the service's own token and keeps it.
pub(super) struct Login {
    credentials: Credentials,
    clock: Arc<dyn Clock>,
    own: FlightCache<(), Arc<Own>>,
    /// In milliseconds, like a timestamp.
    refused_until: AtomicI64,
}

impl Login {
    pub(super) fn new(credentials: Credentials, clock: Arc<dyn Clock>) -> Self {
        let own = FlightCache::new(Arc::clone(&clock), 1, LIFE_MAX);
        Self { credentials, clock, own, refused_until: AtomicI64::new(0) }
    }

    /// The token; whoever needs it first logs in.
    pub(super) async fn own(&self, api: &Api) -> Result<Arc<Own>, Trouble> {
        if let Some(own) = self.own.get(&()).await {
            return Ok(own);
        }
        self.own.get_or_try((), Box::pin(self.log_in(api))).await
    }

    /// Forgets a token that has turned out not to hold any more, unless there is another already.
    pub(super) async fn forget(&self, used: &Arc<Own>) {
        self.own.remove_if((), |known| Arc::ptr_eq(&known.value, used)).await;
    }

    async fn log_in(&self, api: &Api) -> Result<Fresh<Arc<Own>>, Trouble> {
        let Credentials { project_name, project_domain_name, .. } = &self.credentials;
        let project = json!({"name": project_name, "domain": {"name": project_domain_name}});
        let scope = json!({"project": project});
        let (own, until) = self.log_in_for(api, Purpose::Login, scope).await?;
        tracing::debug!("logged in at Keystone");
        Ok(Fresh { value: Arc::new(own), until })
    }

    /// A token for acting on a trust; `None` if Keystone does not want that any more.
    pub(super) async fn log_in_on_trust(
        &self,
        api: &Api,
        trust: &str,
    ) -> Result<Option<Fresh<Arc<Token>>>, Trouble> {
        let scope = json!({"OS-TRUST:trust": {"id": trust}});
        match self.log_in_for(api, Purpose::TrustLogin, scope).await {
            Ok((own, until)) => Ok(Some(Fresh { value: Arc::new(own.token), until })),
            // A trust that is over or not there is one of these.
            Err(Trouble::Status(
                _,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND,
            )) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Logs in for a scope: the token, and until when it is used.
    async fn log_in_for(
        &self,
        api: &Api,
        purpose: Purpose,
        scope: Value,
    ) -> Result<(Own, Timestamp), Trouble> {
        let asked_at = self.clock.now();
        if asked_at.as_millis() < self.refused_until.load(Ordering::Relaxed) {
            return Err(Trouble::LoginRefused);
        }
        let request = api.post("/auth/tokens?nocatalog", self.document(&scope));
        let answer = api.ask(purpose, request).await?;
        match answer.status {
            StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED if purpose == Purpose::Login => {
                let until = later(asked_at, REFUSED_PAUSE);
                self.refused_until.store(until.as_millis(), Ordering::Relaxed);
                return Err(Trouble::LoginRefused);
            }
            status => return Err(Trouble::Status(purpose, status)),
        }
        let nonsense = Trouble::Nonsense(purpose);
        let token = answer.headers.get(X_SUBJECT_TOKEN).and_then(|token| token.to_str().ok());
        let token = Token::new(token.ok_or(nonsense)?).map_err(|_| nonsense)?;
        let document = wire::login(&answer.body).ok_or(nonsense)?;
        let until = usable_until(asked_at, document.expires_at);
        Ok((Own { token, user: document.user.id }, until))
    }

    fn document(&self, scope: &Value) -> String {
        let Credentials { username, password, user_domain_name, .. } = &self.credentials;
        let user = json!({
            "name": username,
            "domain": {"name": user_domain_name},
            "password": password.expose_secret(),
        });
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        json!({"auth": {"identity": identity, "scope": scope}}).to_string()
    }
}

/// Until when a token is used that ends then.
fn usable_until(now: Timestamp, expires_at: Timestamp) -> Timestamp {
    let life = expires_at.as_millis().saturating_sub(now.as_millis());
    let margin = i64::try_from(MARGIN.as_millis()).unwrap_or(0).min(life / 2);
    let until = Timestamp::from_millis(expires_at.as_millis().saturating_sub(margin));
    until.max(later(now, LIFE_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_before_its_end_but_used_for_a_while() {
        let now = Timestamp::from_millis(1_000_000);
        let used_s = |life_s: i64| {
            let end = Timestamp::from_millis(now.as_millis() + life_s * 1_000);
            (usable_until(now, end).as_millis() - now.as_millis()) / 1_000
        };
        assert_eq!(used_s(3_600), 3_540);
        assert_eq!(used_s(60), 30);
        assert_eq!(used_s(2), 5);
        assert_eq!(used_s(-500), 5);
    }
}
