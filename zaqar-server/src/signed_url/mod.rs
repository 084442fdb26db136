//! Pre-signed URLs: leave to use a few paths of one project without a token, until a moment.
//!
//! Whoever holds the secret can give such leave and recognise it; nothing is stored. The text that
//! is signed is fixed by what clients hold already.

mod expiry;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub use expiry::Expiry;

/// What stands between the parts of the signed text: a backslash and an `n`, not a line feed.
const SEPARATOR: &str = "\\n";

/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 32;

/// What a signature gives leave to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    paths: Vec<String>,
    methods: Vec<String>,
    project: String,
    expiry: Expiry,
}

impl Grant {
    /// Leave to send these methods to these paths, and to what is below them, in `project`, before
    /// `expiry`. The order of paths and of methods does not matter.
    #[must_use]
    pub fn new(
        mut paths: Vec<String>,
        mut methods: Vec<String>,
        project: impl Into<String>,
        expiry: Expiry,
    ) -> Self {
        paths.sort_unstable();
        methods.sort_unstable();
        Self { paths, methods, project: project.into(), expiry }
    }

    /// The paths, in the order in which they are signed.
    #[must_use]
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The methods, in the order in which they are signed.
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// When it ends.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// Whether it covers `method`, spelled exactly so.
    #[must_use]
    pub fn covers_method(&self, method: &str) -> bool {
        self.methods.iter().any(|covered| covered == method)
    }

    /// Whether it covers `path`: one of its own, or one below.
    #[must_use]
    pub fn covers_path(&self, path: &[u8]) -> bool {
        let covers = |own: &String| {
            let below = path.strip_prefix(own.as_bytes());
            !own.is_empty() && below.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        self.paths.iter().any(covers)
    }

    fn text(&self) -> String {
        let (paths, methods) = (self.paths.join(","), self.methods.join(","));
        [paths, methods, self.project.clone(), self.expiry.to_string()].join(SEPARATOR)
    }
}

/// The operator's secrets: the first one signs, each is recognised, so that one can replace
/// another while the URLs signed with it are still about.
#[derive(Clone, Default)]
pub struct UrlSigner {
    keys: Vec<Hmac<Sha256>>,
}

impl UrlSigner {
    /// A signer with these secrets. Without any (an empty one is none) it neither signs nor
    /// recognises anything.
    pub fn new(secrets: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let keyed = |secret: &[u8]| Hmac::new_from_slice(secret).ok();
        let secrets = secrets.into_iter();
        let keys = secrets.filter(|secret| !secret.as_ref().is_empty());
        Self { keys: keys.filter_map(|secret| keyed(secret.as_ref())).collect() }
    }

    /// The signature, sixty-four hexadecimal digits; `None` without a secret.
    #[must_use]
    pub fn sign(&self, grant: &Grant) -> Option<String> {
        let mut mac = self.keys.first()?.clone();
        mac.update(grant.text().as_bytes());
        let digits = mac.finalize().into_bytes();
        Some(digits.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether `signature` is one for `grant`. It takes as long for a near miss as for any other.
    #[must_use]
    pub fn recognises(&self, grant: &Grant, signature: &str) -> bool {
        let Some(signature) = decode_hex(signature) else { return false };
        let text = grant.text();
        self.keys.iter().any(|key| {
            let mut mac = key.clone();
            mac.update(text.as_bytes());
            mac.verify_slice(&signature).is_ok()
        })
    }
}

/// The secrets stay unseen.
impl fmt::Debug for UrlSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlSigner").field("secrets", &self.keys.len()).finish()
    }
}

fn decode_hex(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * SIGNATURE_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; SIGNATURE_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = (digit(high)? << 4) | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
