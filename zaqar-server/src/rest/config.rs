//! What an operator may set about the transport itself. What a request may ask for is the engine's.

use std::sync::Arc;

use zaqar_auth::policy::Policy;

use super::cors::CorsConfig;
use crate::auth::Authentication;
use crate::limits::RateLimits;
use crate::signed_url::UrlSigner;

/// Settings of the REST transport.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RestConfig {
    /// Whether operators' routes are served.
    pub admin_mode: bool,
    /// What a client identity may look like.
    pub client_id: ClientIdRule,
    /// Whether a bulk deletion must name the claims that hold the messages.
    pub message_delete_with_claim_id: bool,
    /// What signs URLs, and recognises those that it signed.
    pub url_signer: UrlSigner,
    /// How callers are known.
    pub authentication: Authentication,
    /// Who may do what.
    pub policy: Arc<Policy>,
    /// Which web pages of other origins may use the service from a browser.
    pub cors: CorsConfig,
    /// How often projects may ask.
    pub rates: RateLimits,
}

/// What a client identity may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientIdRule {
    /// A UUID in any spelling; all spellings of one UUID are one client.
    #[default]
    Strict,
    /// Any text of that many characters.
    Off {
        /// Fewest characters.
        length_min: usize,
        /// Most characters.
        length_max: usize,
    },
}
