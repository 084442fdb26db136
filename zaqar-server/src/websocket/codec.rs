//! The two encodings of a message: text frames hold JSON, binary frames MessagePack.
//!
//! Inside there is JSON text alone, checked once: a MessagePack document is turned into it on the
//! way in, an answer into MessagePack on the way out. So both encodings pass the same checks.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio_tungstenite::tungstenite::Message;

use super::msgpack;
use crate::rest::json::scan::{self, Malformed};

/// How a message is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// A text frame.
    Json,
    /// A binary frame.
    MessagePack,
}

/// A message as it came in.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) encoding: Encoding,
    pub(super) bytes: Bytes,
}

/// Why a message is not a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// It is not what its encoding says; with the reason.
    Malformed(Cow<'static, str>),
    /// It is something else than a map.
    NoMap,
}

impl Incoming {
    /// The map that it is, as checked JSON text.
    pub(super) fn decode(&self) -> Result<Cow<'_, str>, Undecodable> {
        match self.encoding {
            Encoding::Json => checked_map(&self.bytes).map(Cow::Borrowed),
            Encoding::MessagePack => {
                let text = msgpack::to_json(&self.bytes).map_err(Undecodable::Malformed)?;
                checked_map(text.as_bytes())?;
                Ok(Cow::Owned(text))
            }
        }
    }
}

fn checked_map(bytes: &[u8]) -> Result<&str, Undecodable> {
    let first = bytes.trim_ascii_start().first();
    if !matches!(first, Some(b'{' | b'[')) && serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return Err(Undecodable::NoMap);
    }
    let text = scan::check(bytes).map_err(|malformed| {
        Undecodable::Malformed(Cow::Borrowed(match malformed {
            Malformed::Syntax => "The document could not be parsed.",
            Malformed::IntegerTooLarge => "The document contains an integer that is too large.",
        }))
    })?;
    if first == Some(&b'{') { Ok(text) } else { Err(Undecodable::NoMap) }
}

impl Encoding {
    /// A message that holds a JSON document.
    pub(super) fn encode(self, json: String) -> Message {
        match self {
            Self::Json => Message::text(json),
            Self::MessagePack => Message::binary(msgpack::from_json(&json)),
        }
    }

    /// What an answer says that could not decode its request.
    pub(super) fn complaint(self, reason: &str) -> String {
        let what = match self {
            Self::Json => "text (JSON)",
            Self::MessagePack => "binary (MessagePack)",
        };
        format!("Can't decode {what} request. ValueError: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, bytes: &[u8]) -> Result<String, Undecodable> {
        let bytes = Bytes::copy_from_slice(bytes);
        Incoming { encoding, bytes }.decode().map(Cow::into_owned)
    }

    #[test]
    fn a_map_comes_through_as_it_stands() {
        let text = r#" {"a": [1e2, "\u00e9"], "b":{}} "#;
        assert_eq!(decoded(Encoding::Json, text.as_bytes()).as_deref(), Ok(text));
        let packed = [0x81, 0xa1, b'a', 0x93, 0x01, 0xc0, 0xc3];
        let text = decoded(Encoding::MessagePack, &packed);
        assert_eq!(text.as_deref(), Ok(r#"{"a":[1,null,true]}"#));
    }

    #[test]
    fn what_is_no_map_is_told_from_what_cannot_be_read() {
        for text in ["[]", " 1 ", "\"x\"", "null"] {
            assert_eq!(decoded(Encoding::Json, text.as_bytes()), Err(Undecodable::NoMap), "{text}");
        }
        for packed in [&[0x90_u8][..], &[0x01], &[0xc0], &[0xa1, b'x']] {
            let found = decoded(Encoding::MessagePack, packed);
            assert_eq!(found, Err(Undecodable::NoMap), "{packed:?}");
        }
        for text in ["", "{", "x", "{} {}", "{\"a\": NaN}", "{\"a\": 9223372036854775808}"] {
            let found = decoded(Encoding::Json, text.as_bytes());
            assert!(matches!(found, Err(Undecodable::Malformed(_))), "{text}");
        }
    }
}
