//! A token, which is a secret.

use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// The longest token that is looked at, in bytes: several times what Keystone makes.
pub const TOKEN_BYTES_MAX: usize = 8_192;

/// What a token is known by: its SHA-256.
pub(super) type Digest = [u8; 32];

/// A token. It is shown to Keystone and to nobody else.
#[derive(Clone)]
pub struct Token(SecretString);

/// The text can be no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has 1 to {TOKEN_BYTES_MAX} visible ASCII characters")]
pub struct InvalidToken;

impl Token {
    /// A token of this text.
    ///
    /// # Errors
    /// [`InvalidToken`] if it is empty, longer than [`TOKEN_BYTES_MAX`], or holds what no token does.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let is_sound = (1..=TOKEN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_sound { Ok(Self(text.into())) } else { Err(InvalidToken) }
    }

    pub(super) fn digest(&self) -> Digest {
        Sha256::digest(self.0.expose_secret().as_bytes()).into()
    }

    /// The token as a header's value that no log shows.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        // No token is made of what no header can hold.
        let value = HeaderValue::from_str(self.0.expose_secret());
        let mut value = value.unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_token_is_refused_and_none_is_shown() {
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        for good in ["gAAAAABn-_token", "a", &longest] {
            let token = Token::new(good).unwrap();
            assert_eq!(format!("{token:?}"), "Token(***)");
            assert_eq!(token.header(), good);
            assert!(!format!("{:?}", token.header()).contains(good));
        }
        let too_long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for bad in ["", " ", "a b", "a\n", "tökén", "\u{7f}", &too_long] {
            assert_eq!(Token::new(bad).unwrap_err(), InvalidToken, "{bad}");
        }
    }
}
