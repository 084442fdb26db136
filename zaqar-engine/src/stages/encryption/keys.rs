//! Keys: secrets with names, the first of which encrypts while each decrypts.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::Sha256;

/// Shortest secret, in bytes.
const SECRET_BYTES_MIN: usize = 32;
/// Longest name of a key, in bytes.
const ID_BYTES_MAX: usize = 64;
/// Sets these keys apart from any other use of the same secret.
const SALT: &[u8] = b"zaqar message encryption 1";

/// The keys that messages are encrypted with. Cloning shares them; none is ever shown.
#[derive(Clone)]
pub struct EncryptionKeys(Arc<[Key]>);

/// One key.
pub(super) struct Key {
    /// Its name, which stands in every message that it encrypted.
    pub(super) id: String,
    pub(super) cipher: XChaCha20Poly1305,
}

/// Why keys cannot be used; says nothing of any secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {number}: {reason}")]
pub struct InvalidKey {
    /// Which one, counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl EncryptionKeys {
    /// Reads keys, each as `ID:SECRET`; the first one encrypts. `None` if there are none.
    ///
    /// # Errors
    /// [`InvalidKey`] for a name that is not one or is there twice, and for a short secret.
    pub fn parse(texts: &[String]) -> Result<Option<Self>, InvalidKey> {
        let mut keys: Vec<Key> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let wrong = |reason: String| InvalidKey { number: index + 1, reason };
            let key = parse(text).map_err(wrong)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(wrong("has the id of an earlier one".to_owned()));
            }
            keys.push(key);
        }
        Ok((!keys.is_empty()).then(|| Self(keys.into())))
    }

    /// The key that encrypts.
    pub(super) fn first(&self) -> Option<&Key> {
        self.0.first()
    }

    /// The key of that name.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }
}

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.iter().map(|key| key.id.as_str());
        f.write_str("EncryptionKeys")?;
        f.debug_list().entries(ids).finish()
    }
}

fn parse(text: &str) -> Result<Key, String> {
    let (id, secret) = text.split_once(':').ok_or("must be `ID:SECRET`")?;
    let is_id = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(is_id) {
        return Err(format!(
            "its id must be 1 to {ID_BYTES_MAX} letters of ASCII, digits, `-`, `_` or `.`"
        ));
    }
    if secret.len() < SECRET_BYTES_MIN {
        return Err(format!("its secret must have at least {SECRET_BYTES_MIN} bytes"));
    }
    let mut bytes = chacha20poly1305::Key::default();
    Hkdf::<Sha256>::new(Some(SALT), secret.as_bytes())
        .expand(id.as_bytes(), &mut bytes)
        .map_err(|_| "no key can be derived from it")?;
    Ok(Key { id: id.to_owned(), cipher: XChaCha20Poly1305::new(&bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn refusal(texts: &[String]) -> String {
        EncryptionKeys::parse(texts).unwrap_err().to_string()
    }

    #[test]
    fn keys_have_a_name_of_their_own_and_a_long_secret() {
        assert!(EncryptionKeys::parse(&[]).unwrap().is_none());
        assert!(EncryptionKeys::parse(&[format!("2026-11:{SECRET}")]).unwrap().is_some());
        for bad in [SECRET.to_owned(), format!(":{SECRET}"), format!("a b:{SECRET}")] {
            assert!(!refusal(&[bad]).contains(SECRET));
        }
        let short = refusal(&["a:0123456789".to_owned()]);
        assert_eq!(short, "key 1: its secret must have at least 32 bytes");
        let twice = refusal(&[format!("a:{SECRET}"), format!("a:{SECRET}!")]);
        assert_eq!(twice, "key 2: has the id of an earlier one");
    }

    #[test]
    fn no_secret_is_shown() {
        let keys = EncryptionKeys::parse(&[format!("a:{SECRET}"), format!("b:{SECRET}")]).unwrap();
        assert_eq!(format!("{:?}", keys.unwrap()), "EncryptionKeys[\"a\", \"b\"]");
    }
}
