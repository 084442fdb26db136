//! Bodies that say who posted them and show whether they are whole.
//!
//! The whole text follows from its [`Tag`], so any reader can tell a changed body from a stored one
//! without keeping what was posted.

use std::fmt;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use zaqar_core::Body;

/// Who posted a message: producer and number, in which run of which workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// The run: what another run stored is recognised.
    pub run: u64,
    /// The producer.
    pub producer: u32,
    /// Counts what the producer posted, in its order.
    pub sequence: u32,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}#{}", self.producer, self.sequence)
    }
}

/// A body that no producer posted in this form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrupt {
    /// The body's text, cut to a readable length.
    pub text: String,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "body {:?}", self.text)
    }
}

/// The part of a body that names its tag; the rest follows from it.
#[derive(Deserialize)]
struct Claimed {
    run: String,
    producer: u32,
    sequence: u32,
}

/// Longest padding, in characters.
const PAD_CHARS_MAX: u64 = 300;
/// Longest piece of a corrupt body in a report.
const EXCERPT_CHARS_MAX: usize = 120;

impl Tag {
    /// The body of the message with this tag: irregular spaces, an escape and a padding, so that
    /// only byte-for-byte storage returns it unchanged.
    #[must_use]
    pub fn body(self) -> Body {
        let mut text = format!(
            r#"{{"run" :"{:016x}", "producer":{},"sequence":  {}, "exact":[1e2,"\u00fc"],"pad":""#,
            self.run, self.producer, self.sequence
        );
        let mut state = self.run ^ (u64::from(self.producer) << 32) ^ u64::from(self.sequence);
        for _ in 0..mixed(&mut state) % PAD_CHARS_MAX {
            let letter = u8::try_from(mixed(&mut state) % 26).unwrap_or(0);
            text.push(char::from(b'a' + letter));
        }
        let sum = checksum(&text);
        // Writing to a String cannot fail.
        write!(text, r#"","sum":"{sum:016x}"}}"#).unwrap_or_default();
        Body::from_checked(text)
    }

    /// The tag that `body` carries.
    ///
    /// # Errors
    /// [`Corrupt`] unless the body is, byte for byte, the one of its tag.
    pub fn read(body: &Body) -> Result<Self, Corrupt> {
        let corrupt = || Corrupt { text: body.as_str().chars().take(EXCERPT_CHARS_MAX).collect() };
        let claimed: Claimed = serde_json::from_str(body.as_str()).map_err(|_| corrupt())?;
        let run = u64::from_str_radix(&claimed.run, 16).map_err(|_| corrupt())?;
        let tag = Self { run, producer: claimed.producer, sequence: claimed.sequence };
        if tag.body() == *body { Ok(tag) } else { Err(corrupt()) }
    }
}

/// A step of the SplitMix64 generator: the same padding on every platform and version.
fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// FNV-1a: it guards against accidents, not against an adversary.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag { run: 7, producer: 3, sequence: 41 };

    #[test]
    fn a_body_is_valid_json_and_gives_its_tag_back() {
        let body = TAG.body();
        assert!(Body::from_json(body.as_str()).is_ok());
        assert_eq!(Tag::read(&body), Ok(TAG));
    }

    #[test]
    fn any_changed_byte_makes_a_body_corrupt() {
        let text = TAG.body().as_str().to_owned();
        for (at, _) in text.char_indices() {
            let mut changed = text.clone();
            let other = if text[at..].starts_with('7') { "8" } else { "7" };
            changed.replace_range(at..=at, other);
            assert!(Tag::read(&Body::from_checked(changed)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_reformatted_body_is_corrupt() {
        let text = TAG.body().as_str().replace("\" :", "\":");
        assert!(Tag::read(&Body::from_checked(text)).is_err());
        assert!(Tag::read(&Body::from_checked("{}")).is_err());
    }
}
