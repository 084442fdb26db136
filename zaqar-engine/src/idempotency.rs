//! Idempotency keys: what a post under a key stands for, so that a repeat is told from another post.

use sha2::{Digest, Sha256};
use zaqar_core::{IdempotencyKey, PostKey, Ttl};

use crate::messages::{PostMessage, PostRequest};

/// How long a key is remembered, in seconds: a day, longer than any sensible client tries again.
const KEEP_S: u64 = 86_400;

impl PostRequest {
    /// Makes a repeat safe: a post of the same messages under the same key stores nothing, and
    /// answers the ids of the first one, for a day and as long as the queue is there (G3).
    ///
    /// The messages count as they were asked for, before defaults are filled in, filters have
    /// seen them or bodies are encrypted: none of these makes another post of an honest repeat,
    /// even if it changed in between.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<Option<IdempotencyKey>>) -> Self {
        self.key = key.into().map(|key| PostKey {
            key,
            digest: digest(&self.messages),
            keep: Ttl::from_secs_clamped(KEEP_S),
        });
        self
    }
}

/// Stored with the key for a day: another form of it makes conflicts of repeats across an upgrade.
fn digest(messages: &[PostMessage]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for message in messages {
        for seconds in [message.ttl, message.delay] {
            hasher.update([u8::from(seconds.is_some())]);
            hasher.update(seconds.unwrap_or_default().to_be_bytes());
        }
        // The length keeps one message's end from being taken for another's beginning.
        hasher.update(message.body.len().to_string());
        hasher.update(b":");
        hasher.update(message.body.as_str());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use zaqar_core::Body;

    use super::*;

    fn message(body: &str) -> PostMessage {
        PostMessage::new(Body::from_json(body).unwrap())
    }

    #[test]
    fn equal_messages_have_equal_digests_and_any_difference_shows() {
        let posts = [
            vec![message("1")],
            vec![message("11")],
            vec![message("1"), message("1")],
            vec![message("1").ttl(0)],
            vec![message("1").delay(0)],
            vec![message("1").ttl(60)],
            vec![message("1").delay(60)],
            vec![message("1"), message("2")],
            vec![message("2"), message("1")],
            vec![message("[1]")],
            vec![message("[1 ]")],
        ];
        for (at, post) in posts.iter().enumerate() {
            for (other_at, other) in posts.iter().enumerate() {
                assert_eq!(digest(post) == digest(other), at == other_at, "{post:?} {other:?}");
            }
        }
    }
}
