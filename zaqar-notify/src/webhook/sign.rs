//! Signatures by which a receiver knows that a request comes from this service (Standard Webhooks).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret in base64 begins with.
const BASE64_PREFIX: &str = "whsec_";

/// The secrets that sign, each of them by itself.
#[derive(Clone, Default)]
pub struct WebhookSigner {
    keys: Vec<Hmac<Sha256>>,
}

/// A secret that begins as one in base64 and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("begins with whsec_, and what follows is no base64")]
pub struct InvalidSecret;

impl WebhookSigner {
    /// A signer with these secrets; without any it signs nothing.
    ///
    /// # Errors
    /// [`InvalidSecret`].
    pub fn new(secrets: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, InvalidSecret> {
        let key = |secret: &str| {
            let bytes = match secret.strip_prefix(BASE64_PREFIX) {
                Some(encoded) => STANDARD.decode(encoded).map_err(|_| InvalidSecret)?,
                None => secret.as_bytes().to_vec(),
            };
            Hmac::new_from_slice(&bytes).map_err(|_| InvalidSecret)
        };
        let keys = secrets.into_iter().map(|secret| key(secret.as_ref())).collect::<Result<_, _>>();
        Ok(Self { keys: keys? })
    }

    /// The value of `webhook-signature`: one signature for each secret; `None` without any.
    pub(crate) fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> Option<String> {
        let signatures: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                let mut mac = key.clone();
                mac.update(format!("{id}.{timestamp_s}.").as_bytes());
                mac.update(body);
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            })
            .collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}

/// The secrets stay unseen.
impl fmt::Debug for WebhookSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSigner").field("secrets", &self.keys.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_standards_example() {
        let signer = WebhookSigner::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature.as_deref(), Some(expected));
    }

    #[test]
    fn each_secret_makes_a_signature_and_none_makes_none() {
        let signer = WebhookSigner::new(["new", "old"]).unwrap();
        let both = signer.sign("msg_1", 5, b"{}").unwrap();
        let old = WebhookSigner::new(["old"]).unwrap().sign("msg_1", 5, b"{}").unwrap();
        assert_eq!(both.split(' ').nth(1), Some(old.as_str()));
        assert_ne!(old, WebhookSigner::new(["old"]).unwrap().sign("msg_1", 6, b"{}").unwrap());
        assert_eq!(WebhookSigner::default().sign("msg_1", 5, b"{}"), None);
        assert!(WebhookSigner::new(["whsec_no base64"]).is_err());
        assert!(!format!("{:?}", WebhookSigner::new(["hidden"]).unwrap()).contains("hidden"));
    }
}
