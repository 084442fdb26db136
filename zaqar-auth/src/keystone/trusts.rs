//! Trusts: a user lets the service act in its name, in one project and with the roles that it has
//! there, until the trust ends.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zaqar_core::Timestamp;

use super::api::{Purpose, Trouble, X_AUTH_TOKEN};
use super::token::Token;
use super::{AuthError, Keystone, Validated, wire};

/// The longest id of a trust that is looked at: more than Keystone gives out.
const ID_CHARS_MAX: usize = 255;

impl Keystone {
    /// Has a caller, who has shown this token, give the service a trust that ends then, and says
    /// under which id.
    ///
    /// # Errors
    /// `Refused` if the caller may give none; the others of [`AuthError`] but `Unscoped`.
    pub async fn make_trust(
        &self,
        token: &Token,
        caller: &Validated,
        expires_at: Timestamp,
    ) -> Result<String, AuthError> {
        let shared = &*self.shared;
        let made = shared.within_patience(async {
            let own = shared.login.own(&shared.api).await?;
            let document = document(caller, &own.user, expires_at);
            let request = shared.api.post("/OS-TRUST/trusts", document);
            // Asked once: the connection may have been lost after the trust was made.
            let request = request.header(X_AUTH_TOKEN, token.header());
            let answer = shared.api.send(Purpose::Trust, request).await?;
            match answer.status {
                StatusCode::CREATED => {
                    let id = wire::trust(&answer.body).filter(|id| is_id(id));
                    id.map(Some).ok_or(Trouble::Nonsense(Purpose::Trust))
                }
                // Its roles are not its own to give, or it is not there any more.
                status if status.is_client_error() => Ok(None),
                status => Err(Trouble::Status(Purpose::Trust, status)),
            }
        });
        made.await?.ok_or(AuthError::Refused)
    }

    /// A token for acting on a trust that the service was given. One is remembered for each trust.
    ///
    /// # Errors
    /// `Refused` if there is no such trust, or not any more; `Unavailable`.
    pub async fn trust_token(&self, trust: &str) -> Result<Arc<Token>, AuthError> {
        let shared = &*self.shared;
        if !is_id(trust) {
            return Err(AuthError::Refused);
        }
        let key = trust.to_owned();
        if let Some(token) = shared.trusted.get(&key).await {
            return Ok(token);
        }
        let log_in = shared.within_patience(shared.login.log_in_on_trust(&shared.api, trust));
        let log_in = async { log_in.await?.ok_or(AuthError::Refused) };
        shared.trusted.get_or_try(key, Box::pin(log_in)).await
    }
}

/// Keystone's ids have no other characters; what is stored may be anything.
fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

fn document(caller: &Validated, trustee: &str, expires_at: Timestamp) -> String {
    let identity = &caller.identity;
    let roles: Vec<Value> = identity.roles.iter().map(|role| json!({"name": role})).collect();
    let moment = OffsetDateTime::from_unix_timestamp(expires_at.as_secs()).ok();
    let moment = moment.and_then(|moment| moment.format(&Rfc3339).ok());
    let trust = json!({
        "trustor_user_id": identity.user,
        "trustee_user_id": trustee,
        "project_id": identity.project.as_str(),
        "impersonation": true,
        "allow_redelegation": false,
        "roles": roles,
        // What is not written would be a trust for ever: nobody makes one of null, however late.
        "expires_at": moment.unwrap_or_default(),
    });
    json!({"trust": trust}).to_string()
}
