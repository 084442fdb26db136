//! What an operator may set about the WebSocket transport.

use std::sync::Arc;
use std::time::Duration;

use zaqar_auth::policy::Policy;

use crate::auth::Authentication;
use crate::limits::RateLimits;
use crate::rest::ClientIdRule;
use crate::signed_url::UrlSigner;

/// What an envelope needs besides the messages that it carries, in bytes.
const ENVELOPE_BYTES: u64 = 65_536;

/// Settings of the WebSocket transport.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WebSocketConfig {
    /// What a client identity may look like.
    pub client_id: ClientIdRule,
    /// Whether a bulk deletion must name the claims that hold the messages.
    pub message_delete_with_claim_id: bool,
    /// What recognises the signatures of signed requests.
    pub url_signer: UrlSigner,
    /// How callers are known.
    pub authentication: Authentication,
    /// Who may do what.
    pub policy: Arc<Policy>,
    /// How often projects may ask: the same limits as over HTTP, not others like them.
    pub rates: RateLimits,
    /// Web pages of which origins may connect; `*`: of every one.
    pub allowed_origin: Vec<String>,
    /// Whether its own port speaks TLS.
    pub is_secured: bool,
    /// The port that clients know, if it is not the one listened on.
    pub external_port: Option<u16>,
    /// The largest message that a client may send, in bytes; a post of the largest size fits
    /// whatever is set here.
    pub message_bytes_max: u64,
    /// How many connections there may be at a time.
    pub connections_max: usize,
    /// How often a connection is pinged.
    pub ping_period: Duration,
    /// How long a client may be silent, pongs included, or take nothing of what is sent to it.
    pub idle_timeout: Duration,
    /// How often the store is told that connections with subscriptions are still there.
    pub renewal_period: Duration,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            client_id: ClientIdRule::default(),
            message_delete_with_claim_id: false,
            url_signer: UrlSigner::default(),
            authentication: Authentication::default(),
            policy: Arc::default(),
            rates: RateLimits::default(),
            allowed_origin: Vec::new(),
            is_secured: false,
            external_port: None,
            message_bytes_max: 1_048_576,
            connections_max: 4_096,
            ping_period: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            renewal_period: Duration::from_secs(60),
        }
    }
}

impl WebSocketConfig {
    /// The largest message that is taken while posts may have `post_bytes_max` bytes.
    pub(super) fn message_bytes_max(&self, post_bytes_max: u64) -> usize {
        let bytes = self.message_bytes_max.max(post_bytes_max.saturating_add(ENVELOPE_BYTES));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}
