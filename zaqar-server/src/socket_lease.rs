//! How a connection's subscription is stored: for a short while at a time, so that it ends soon
//! after its server if that dies. Its server prolongs it for as long as the client asked for.
//!
//! What the client asked for is kept in a member of the options that no client is shown.

use serde_json::{Value, json};
use zaqar_core::{JsonObject, Subscription, Ttl};

/// How long a subscription outlives the server that kept it alive.
pub(crate) const LEASE_S: u64 = 180;
/// What is left of a life is not cut shorter than the shortest life that may be stored.
const SHORTEST_S: u64 = 60;
const MEMBER: &str = "_socket_lease";

/// How long to store a subscription for that is to live for `left` more.
pub(crate) fn span(left: Ttl) -> Ttl {
    let all = left.as_secs() <= LEASE_S + SHORTEST_S;
    if all { left } else { Ttl::from_secs_clamped(LEASE_S) }
}

/// Notes in the options for how long the client asked, where less is stored.
pub(crate) fn note(options: &mut JsonObject, asked: Ttl, stored: Ttl) {
    options.remove(MEMBER);
    if asked != stored {
        let note = json!({"asked": asked.as_secs(), "stored": stored.as_secs()});
        options.insert(MEMBER.to_owned(), note);
    }
}

/// The life and the options of a subscription, as they were asked for.
pub(crate) fn shown(subscription: &Subscription) -> (u64, JsonObject) {
    let (mut ttl, mut options) = (subscription.ttl.as_secs(), subscription.options.clone());
    // Without an owner the member is a tenant's own.
    if subscription.owner.is_some()
        && let Some(note) = options.remove(MEMBER)
        // Another life was given to it since.
        && note.get("stored").and_then(Value::as_u64) == Some(ttl)
        && let Some(asked) = note.get("asked").and_then(Value::as_u64)
    {
        ttl = asked;
    }
    (ttl, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl(seconds: u64) -> Ttl {
        Ttl::from_secs_clamped(seconds)
    }

    #[test]
    fn no_span_leaves_a_rest_that_cannot_be_stored() {
        for (left, stored) in [(60, 60), (240, 240), (241, LEASE_S), (3_600, LEASE_S)] {
            assert_eq!(span(ttl(left)), ttl(stored), "{left}");
        }
    }
}
