//! What a connection has shown of its caller, and whether it still holds.
//!
//! A token is looked at again with every request, and with every ping while there is none: what
//! Keystone said of it is remembered, so that a token which was revoked serves here no longer than
//! over HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zaqar_auth::Identity;
use zaqar_auth::keystone::{AuthError, Token, Validated};
use zaqar_core::{Clock, Timestamp};

use super::Shared;
use super::actions::Outcome;
use super::envelope::{Envelope, Headers, Reply};
use super::refusal::Refusal;
use super::session::Session;
use crate::auth::{Authentication, Bearer};
use crate::rest::context;

/// A token that held when it was shown.
#[derive(Debug)]
pub(super) struct Proof {
    bearer: Bearer,
    over: CancellationToken,
}

impl Proof {
    /// What was shown.
    pub(super) fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// How long it holds at most; no time if it does not hold any more.
    pub(super) fn left(&self, now: Timestamp) -> Duration {
        if self.over.is_cancelled() {
            return Duration::ZERO;
        }
        let left = self.bearer.validated.expires_at.as_millis().saturating_sub(now.as_millis());
        Duration::from_millis(u64::try_from(left).unwrap_or_default())
    }

    /// Waits until it has turned out not to hold any more.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Whether it still holds. Once it does not it never does again.
    async fn check(&self, clock: &dyn Clock) -> Result<Arc<Validated>, AuthError> {
        let checked = if self.left(clock.now()).is_zero() {
            Err(AuthError::Refused)
        } else {
            self.bearer.keystone.authenticate(&self.bearer.token).await
        };
        if matches!(checked, Err(AuthError::Refused | AuthError::Unscoped)) {
            self.over.cancel();
        }
        checked
    }
}

/// The proof of a connection, if it has shown one.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Option<Arc<Proof>>>);

impl Shown {
    pub(super) fn proof(&self) -> Option<Arc<Proof>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a new one in the place of the last, which must have been for the same project: what
    /// the connection has subscribed to lives on.
    fn replace(&self, proof: Proof) -> bool {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let project = |proof: &Proof| proof.bearer.validated.identity.project.clone();
        if shown.as_ref().is_some_and(|last| project(last) != project(&proof)) {
            return false;
        }
        *shown = Some(Arc::new(proof));
        true
    }
}

/// The action that lets a connection act for a project.
pub(super) async fn authenticate(
    shared: &Shared,
    session: &Session,
    envelope: &Envelope<'_>,
) -> Outcome {
    let headers = envelope.headers.and_then(Headers::read).ok_or_else(Refusal::schema)?;
    let project = headers.text("X-Project-ID");
    let (Some(_), Some(token)) = (project, headers.text("X-Auth-Token")) else {
        return Err(Refusal::schema());
    };
    // Without authentication whoever has a project and a token is welcome.
    if let Authentication::Keystone(keystone) = &shared.config.authentication {
        let token = Token::new(&token).map_err(|_| failed(AuthError::Refused))?;
        let validated = keystone.authenticate(&token).await.map_err(failed)?;
        let bearer = Bearer { keystone: keystone.clone(), token, validated };
        let proof = Proof { bearer, over: CancellationToken::new() };
        if !session.shown().replace(proof) {
            let text = "This connection acts for another project: open a new one.";
            return Err(Refusal::early(403, text));
        }
    }
    Ok(Reply::json(200, "{\"message\": \"Authentified.\"}"))
}

fn failed(reason: AuthError) -> Refusal {
    match reason {
        AuthError::Refused => Refusal::early(401, "Authentication failed."),
        AuthError::Unscoped => Refusal::early(400, "The token is scoped to no project."),
        AuthError::Unavailable => unavailable(),
    }
}

fn unavailable() -> Refusal {
    Refusal::early(503, "The identity service cannot be asked at the moment. Please try again.")
}

/// Who asks, in a request without a signature that names this project.
pub(super) async fn identify(
    shared: &Shared,
    session: &Session,
    headers: Headers<'_>,
    project: &str,
) -> Result<Arc<Identity>, Refusal> {
    if matches!(shared.config.authentication, Authentication::None) {
        let project = context::project_id(project).map_err(Refusal::from)?;
        let mut identity = Identity::of_project(project);
        context::claim(&mut identity, |name| headers.text_in_any_case(name.as_str()));
        return Ok(Arc::new(identity));
    }
    let proof = session.shown().proof().ok_or_else(Refusal::unauthenticated)?;
    match proof.check(&**shared.engine.clock()).await {
        Ok(validated) if validated.identity.project.as_str() == project => {
            Ok(Arc::clone(&validated.identity))
        }
        Ok(_) => Err(Refusal::early(403, "Not authenticated.")),
        Err(AuthError::Refused | AuthError::Unscoped) => Err(Refusal::unauthenticated()),
        Err(AuthError::Unavailable) => Err(unavailable()),
    }
}

/// Looks again whether the proof of a connection holds, beside whatever the connection does. While
/// Keystone cannot be asked it is taken to hold.
pub(super) fn look_again(shared: &Shared, session: &Session) {
    let Some(proof) = session.shown().proof() else { return };
    let (clock, stopping) = (Arc::clone(shared.engine.clock()), shared.stopping.clone());
    shared.tasks.spawn(async move {
        let check = proof.check(&*clock);
        if let Some(Err(error)) = stopping.run_until_cancelled(check).await {
            tracing::debug!(%error, "the token of a connection was looked at again");
        }
    });
}
