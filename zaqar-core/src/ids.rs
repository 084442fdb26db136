//! Validated identifiers.
//!
//! Each newtype checks its text once, at construction, so that neither the engine nor a driver
//! checks it again. Messages and subscriptions are named by a *place*: the incarnation of the queue
//! that first held them and a number that this incarnation never uses twice. Their text form is
//! twenty-four hexadecimal digits, opaque to clients, that sort as the places do.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits;

/// A text that does not fit the identifier it was given for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
#[non_exhaustive]
pub struct InvalidId {
    /// What was being named: `"queue name"`, `"message id"`, and so on.
    pub field: &'static str,
    /// What is wrong with it, and the limit that it breaks.
    pub reason: String,
}

impl InvalidId {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident, $field:literal, $check:path) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and takes it as an identifier.
            ///
            /// # Errors
            /// [`InvalidId`] names the rule that `text` breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                $check($field, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

fn check_chars(field: &'static str, text: &str, chars_max: usize) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::new(field, "must not be empty"));
    }
    // Bytes bound characters from above, so the common short case needs no count.
    if text.len() > chars_max && text.chars().count() > chars_max {
        return Err(InvalidId::new(field, format!("must have at most {chars_max} characters")));
    }
    Ok(())
}

fn check_project(field: &'static str, text: &str) -> Result<(), InvalidId> {
    check_chars(field, text, limits::PROJECT_ID_CHARS_MAX)
}

fn check_client(field: &'static str, text: &str) -> Result<(), InvalidId> {
    check_chars(field, text, limits::CLIENT_ID_CHARS_MAX)
}

fn check_name(field: &'static str, text: &str) -> Result<(), InvalidId> {
    check_chars(field, text, limits::QUEUE_NAME_CHARS_MAX)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(InvalidId::new(field, "may hold only letters, digits, '_', '-' and '.'"))
    }
}

fn check_key(field: &'static str, text: &str) -> Result<(), InvalidId> {
    if text.is_empty() || text.len() > limits::IDEMPOTENCY_KEY_BYTES_MAX {
        let max = limits::IDEMPOTENCY_KEY_BYTES_MAX;
        return Err(InvalidId::new(field, format!("must have 1 to {max} bytes")));
    }
    Ok(())
}

text_id! {
    /// A tenant: every queue, message, claim and subscription belongs to exactly one (G12).
    ///
    /// Any non-empty text of at most 256 characters; compared bytewise.
    ProjectId, "project id", check_project
}
text_id! {
    /// The name of a queue or topic within its project: `[A-Za-z0-9_.-]{1,64}`, case-sensitive.
    QueueName, "queue name", check_name
}
text_id! {
    /// The name of a storage pool, unique in an installation.
    PoolName, "pool name", check_name
}
text_id! {
    /// The name of a flavor, unique in its project.
    FlavorName, "flavor name", check_name
}
text_id! {
    /// Who posts or reads: only compared, to hide a client's own messages from it on request.
    ///
    /// A transport gives every spelling of one UUID the same text before it makes a `ClientId`.
    ClientId, "client id", check_client
}
text_id! {
    /// A caller's key under which a repeated post is stored once (G3); scope: project and queue.
    IdempotencyKey, "idempotency key", check_key
}

/// The life of a queue between its creation and its deletion.
///
/// A queue that is deleted and made again gets another incarnation, so nothing of its past can
/// reappear (G11). Numbers are handed out by the control plane, in ascending order, and never
/// twice; the data plane is keyed by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(u64);

impl Incarnation {
    /// Takes `number` as an incarnation.
    ///
    /// # Errors
    /// [`InvalidId`] if it is 0 or exceeds [`limits::INCARNATION_MAX`].
    pub fn new(number: u64) -> Result<Self, InvalidId> {
        if number == 0 || number > limits::INCARNATION_MAX {
            return Err(InvalidId::new("incarnation", "is out of range"));
        }
        Ok(Self(number))
    }

    /// The number itself.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010x}", self.0)
    }
}

macro_rules! place_id {
    ($(#[$meta:meta])* $name:ident, $field:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            incarnation: Incarnation,
            sequence: u64,
        }

        impl $name {
            /// Names place `sequence` of `incarnation`.
            ///
            /// # Errors
            /// [`InvalidId`] if `sequence` exceeds [`limits::SEQUENCE_MAX`].
            pub fn new(incarnation: Incarnation, sequence: u64) -> Result<Self, InvalidId> {
                if sequence > limits::SEQUENCE_MAX {
                    return Err(InvalidId::new($field, "is out of range"));
                }
                Ok(Self { incarnation, sequence })
            }

            /// The incarnation that gave out this number.
            #[must_use]
            pub fn incarnation(self) -> Incarnation {
                self.incarnation
            }

            /// The number within the incarnation.
            #[must_use]
            pub fn sequence(self) -> u64 {
                self.sequence
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:010x}{:014x}", self.incarnation.0, self.sequence)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let (incarnation, sequence) = parse_place($field, text)?;
                Self::new(Incarnation::new(incarnation)?, sequence)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

place_id! {
    /// A message's name for life: the incarnation it was first posted to, and its position there.
    ///
    /// A message that moves to another queue (dead letter) keeps its id.
    MessageId, "message id"
}
place_id! {
    /// A position in a queue's order: "after this place".
    ///
    /// It stays valid when the message there is gone (G9). One that another incarnation gave out
    /// means "from the start", unless it is the id of a message that was moved into this queue.
    MessageMarker, "message marker"
}
place_id! {
    /// A subscription's name: ascending in the order of creation within its queue.
    SubscriptionId, "subscription id"
}

impl From<MessageId> for MessageMarker {
    fn from(id: MessageId) -> Self {
        Self { incarnation: id.incarnation, sequence: id.sequence }
    }
}

impl From<MessageMarker> for MessageId {
    fn from(marker: MessageMarker) -> Self {
        Self { incarnation: marker.incarnation, sequence: marker.sequence }
    }
}

fn parse_place(field: &'static str, text: &str) -> Result<(u64, u64), InvalidId> {
    let malformed = || InvalidId::new(field, "must be twenty-four lower-case hexadecimal digits");
    let lower_hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    if text.len() != 24 || !text.bytes().all(lower_hex) {
        return Err(malformed());
    }
    let (head, tail) = text.split_at(10);
    let incarnation = u64::from_str_radix(head, 16).map_err(|_| malformed())?;
    let sequence = u64::from_str_radix(tail, 16).map_err(|_| malformed())?;
    Ok((incarnation, sequence))
}

macro_rules! random_id {
    ($(#[$meta:meta])* $name:ident, $field:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an identifier that nobody can guess and nobody made before.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The identifier with these 128 bits.
            #[must_use]
            pub fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }

            /// Its sixteen bytes, as a store keeps them.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The identifier with these sixteen bytes, as a store kept them.
            ///
            /// # Errors
            /// [`InvalidId`] if there are not exactly sixteen.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidId> {
                Uuid::from_slice(bytes)
                    .map(Self)
                    .map_err(|_| InvalidId::new($field, "must have sixteen bytes"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let malformed =
                    || InvalidId::new($field, "must be thirty-two lower-case hexadecimal digits");
                if text.len() != 32 || text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(malformed());
                }
                Uuid::try_parse(text).map(Self).map_err(|_| malformed())
            }
        }
    };
}

random_id! {
    /// The name of a claim. Its caller makes it, unguessable, so that a repeated call after a lost
    /// answer returns the same messages instead of claiming more.
    ClaimId, "claim id"
}
random_id! {
    /// The name of one lease on outbox work; it fences the completion of that work.
    LeaseId, "lease id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_names_keep_the_documented_alphabet_and_length() {
        assert!(QueueName::new("a.B-c_9").is_ok());
        assert!(QueueName::new("x".repeat(64)).is_ok());
        for bad in ["", "Nice-Bo@t", "a\n", "a/b", "ü", &"x".repeat(65)] {
            assert!(QueueName::new(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn project_length_counts_characters_not_bytes() {
        assert!(ProjectId::new("ü".repeat(256)).is_ok());
        assert!(ProjectId::new("ü".repeat(257)).is_err());
        assert!(ProjectId::new("").is_err());
    }

    #[test]
    fn message_ids_round_trip_and_sort_as_their_places() {
        let at = |i, s| MessageId::new(Incarnation::new(i).unwrap(), s).unwrap();
        let places = [at(1, 0), at(1, 1), at(1, 255), at(2, 0), at(1 << 39, limits::SEQUENCE_MAX)];
        let texts: Vec<String> = places.iter().map(ToString::to_string).collect();
        assert!(texts.windows(2).all(|w| w[0] < w[1]), "{texts:?}");
        for (place, text) in places.iter().zip(&texts) {
            assert_eq!(text.parse::<MessageId>().as_ref(), Ok(place));
        }
    }

    #[test]
    fn malformed_message_ids_are_refused() {
        for bad in ["", "x", "00000000010000000000000", "0000000001000000000000000", "+000000001"] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad:?} was accepted");
        }
        assert!("0000000000".repeat(2).parse::<MessageId>().is_err());
        // Incarnation 0 was never given out; upper case would be a second spelling of one id.
        assert!("000000000000000000000001".parse::<MessageId>().is_err());
        assert!("00000000AA00000000000001".parse::<MessageId>().is_err());
    }

    #[test]
    fn claim_ids_have_one_spelling() {
        let id = ClaimId::from_u128(0xab);
        assert_eq!(id.to_string().parse::<ClaimId>(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<ClaimId>().is_err());
        assert!("urn:uuid:00000000-0000-0000-0000-0000000000ab".parse::<ClaimId>().is_err());
    }
}
