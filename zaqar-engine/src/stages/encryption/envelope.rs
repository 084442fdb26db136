//! The envelope: what is stored instead of an encrypted body. It is JSON text, like any body.
//!
//! ```text
//! {"zaqar.envelope":1,"key":"ID","nonce":"…","data":"…"}     an encrypted body
//! {"zaqar.envelope":0,"body":…}                              a plain body that looks like one
//! ```
//!
//! `data` is XChaCha20-Poly1305 over the checksum, a line feed and the body. It is bound to the
//! project, to the incarnation that the message was first posted to, which is part of its id, to
//! the nonce, which is random and so names this very envelope, and to the key's id: read at any
//! other place it is refused. A dead letter keeps project and id, and so stays readable.
//!
//! What is in the store is never guessed at: whatever begins like an envelope and was posted plain
//! is wrapped as the second form, so that a client's body is never taken for an envelope.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zaqar_core::{Body, Incarnation, ProjectId};

use super::keys::{EncryptionKeys, Key};

const MARK: &str = "{\"zaqar.envelope\":";
const SEALED: &str = "{\"zaqar.envelope\":1,\"key\":\"";
const NONCE: &str = "\",\"nonce\":\"";
const DATA: &str = "\",\"data\":\"";
const SEALED_END: &str = "\"}";
const PLAIN: &str = "{\"zaqar.envelope\":0,\"body\":";
const PLAIN_END: &str = "}";
const NONCE_BYTES: usize = 24;

/// Why an envelope cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// The key that it names is not there.
    NoKey,
    /// It is not what was stored here, or the key of that name is another.
    NotAuthentic,
    /// It is no envelope of a form known here.
    Unknown,
}

impl Closed {
    /// The reason as clients are told it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NoKey => "it was encrypted with a key that this server does not have",
            Self::NotAuthentic => {
                "it was changed, or encrypted with another key of that name, or for another queue"
            }
            Self::Unknown => "its envelope is damaged, or of a newer version",
        }
    }
}

/// Where a message belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) project: &'p ProjectId,
    pub(super) incarnation: Incarnation,
}

/// What an envelope held.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) body: Body,
    /// The checksum, if the body was encrypted: then it is stored nowhere else.
    pub(super) checksum: Option<Option<String>>,
}

/// A plain body as it is stored: itself, unless it looks like an envelope.
pub(super) fn plain(body: Body) -> Body {
    if body.as_str().starts_with(MARK) {
        Body::from_checked(format!("{PLAIN}{}{PLAIN_END}", body.as_str()))
    } else {
        body
    }
}

/// An encrypted body as it is stored; `None` if the cipher refuses, which it does for bodies of
/// hundreds of gigabytes alone.
pub(super) fn seal(
    key: &Key,
    place: Place<'_>,
    body: &Body,
    checksum: Option<&str>,
) -> Option<Body> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let mut text = String::with_capacity(body.len() + 64);
    text.push_str(checksum.unwrap_or_default());
    text.push('\n');
    text.push_str(body.as_str());
    let data = crypt(key, place, &nonce, text.as_bytes(), |cipher, nonce, text| {
        cipher.encrypt(nonce, text)
    })?;
    let mut envelope = String::with_capacity(data.len() / 3 * 4 + 160);
    envelope.push_str(SEALED);
    envelope.push_str(&key.id);
    envelope.push_str(NONCE);
    BASE64.encode_string(nonce, &mut envelope);
    envelope.push_str(DATA);
    BASE64.encode_string(&data, &mut envelope);
    envelope.push_str(SEALED_END);
    Some(Body::from_checked(envelope))
}

/// What the stored body holds; `None` if it is stored as it is.
pub(super) fn open(
    keys: Option<&EncryptionKeys>,
    place: Place<'_>,
    stored: &Body,
) -> Result<Option<Opened>, Closed> {
    let text = stored.as_str();
    if !text.starts_with(MARK) {
        return Ok(None);
    }
    if let Some(rest) = text.strip_prefix(PLAIN) {
        let body = rest.strip_suffix(PLAIN_END).ok_or(Closed::Unknown)?;
        return Ok(Some(Opened { body: Body::from_checked(body), checksum: None }));
    }
    let sealed = Sealed::parse(text).ok_or(Closed::Unknown)?;
    let key = keys.and_then(|keys| keys.find(sealed.key)).ok_or(Closed::NoKey)?;
    let text = crypt(key, place, &sealed.nonce, &sealed.data, |cipher, nonce, data| {
        cipher.decrypt(nonce, data)
    })
    .ok_or(Closed::NotAuthentic)?;
    let text = String::from_utf8(text).map_err(|_| Closed::Unknown)?;
    let (checksum, body) = text.split_once('\n').ok_or(Closed::Unknown)?;
    let checksum = (!checksum.is_empty()).then(|| checksum.to_owned());
    Ok(Some(Opened { body: Body::from_checked(body), checksum: Some(checksum) }))
}

/// Whether a stored body is encrypted, as far as its beginning tells.
#[cfg(test)]
pub(super) fn is_sealed(stored: &str) -> bool {
    stored.starts_with(SEALED)
}

#[derive(Debug)]
struct Sealed<'t> {
    key: &'t str,
    nonce: [u8; NONCE_BYTES],
    data: Vec<u8>,
}

impl<'t> Sealed<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (key, rest) = text.strip_prefix(SEALED)?.split_once(NONCE)?;
        let (nonce, rest) = rest.split_once(DATA)?;
        let data = rest.strip_suffix(SEALED_END)?;
        let nonce = BASE64.decode(nonce).ok()?.try_into().ok()?;
        Some(Self { key, nonce, data: BASE64.decode(data).ok()? })
    }
}

type Cipher = fn(
    &XChaCha20Poly1305,
    &XNonce,
    Payload<'_, '_>,
) -> Result<Vec<u8>, chacha20poly1305::aead::Error>;

fn crypt(
    key: &Key,
    place: Place<'_>,
    nonce: &[u8; NONCE_BYTES],
    msg: &[u8],
    cipher: Cipher,
) -> Option<Vec<u8>> {
    let aad = bound(place, nonce, &key.id);
    cipher(&key.cipher, &XNonce::from(*nonce), Payload { msg, aad: &aad }).ok()
}

/// What an envelope is bound to. Each part has its length before it or one length always, so that
/// no two places read alike.
fn bound(place: Place<'_>, nonce: &[u8; NONCE_BYTES], key: &str) -> Vec<u8> {
    let mut bytes = b"zaqar.envelope 1".to_vec();
    for part in [place.project.as_str(), key] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(&place.incarnation.get().to_be_bytes());
    bytes.extend_from_slice(nonce);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(texts: &[&str]) -> EncryptionKeys {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        EncryptionKeys::parse(&texts).unwrap().unwrap()
    }

    const NEW: &str = "new:0123456789abcdef0123456789abcdef";
    const OLD: &str = "old:0123456789abcdef0123456789abcdef";

    fn project(name: &str) -> ProjectId {
        ProjectId::new(name).unwrap()
    }

    fn place(project: &ProjectId, incarnation: u64) -> Place<'_> {
        Place { project, incarnation: Incarnation::new(incarnation).unwrap() }
    }

    fn sealed(texts: &[&str], at: Place<'_>, body: &str) -> Body {
        let body = Body::from_json(body).unwrap();
        seal(keys(texts).first().unwrap(), at, &body, Some("MD5:0")).unwrap()
    }

    #[test]
    fn an_envelope_is_json_shows_nothing_and_gives_back_body_and_checksum() {
        let project = project("p");
        let body = sealed(&[NEW], place(&project, 7), "{\"secret\" : 1}");
        assert!(Body::from_json(body.as_str()).is_ok());
        assert!(is_sealed(body.as_str()) && !body.as_str().contains("secret"));
        let again = sealed(&[NEW], place(&project, 7), "{\"secret\" : 1}");
        assert_ne!(body, again, "each has a nonce of its own");
        let opened = open(Some(&keys(&[NEW])), place(&project, 7), &body).unwrap().unwrap();
        assert_eq!(opened.body.as_str(), "{\"secret\" : 1}");
        assert_eq!(opened.checksum, Some(Some("MD5:0".to_owned())));
    }

    #[test]
    fn the_first_key_encrypts_and_each_decrypts() {
        let project = project("p");
        let at = place(&project, 7);
        let old = sealed(&[OLD], at, "1");
        assert!(open(Some(&keys(&[NEW, OLD])), at, &old).is_ok());
        assert!(sealed(&[NEW, OLD], at, "1").as_str().contains("\"new\""));
        assert_eq!(open(Some(&keys(&[NEW])), at, &old), Err(Closed::NoKey));
        assert_eq!(open(None, at, &old), Err(Closed::NoKey));
        let other = keys(&["old:another secret of thirty-two bytes"]);
        assert_eq!(open(Some(&other), at, &old), Err(Closed::NotAuthentic));
    }

    #[test]
    fn an_envelope_opens_for_its_own_project_and_queue_alone() {
        let (mine, theirs) = (project("p"), project("p2"));
        let (keys, body) = (keys(&[NEW]), sealed(&[NEW], place(&mine, 7), "1"));
        for wrong in [place(&theirs, 7), place(&mine, 8)] {
            assert_eq!(open(Some(&keys), wrong, &body), Err(Closed::NotAuthentic));
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let project = project("p");
        let at = place(&project, 7);
        let (keys, body) = (keys(&[NEW]), sealed(&[NEW], at, "[1,2,3]"));
        for index in MARK.len()..body.len() {
            let mut bytes = body.as_str().as_bytes().to_vec();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = Body::from_checked(String::from_utf8(bytes).unwrap());
            assert!(open(Some(&keys), at, &changed).is_err(), "byte {index}");
        }
    }

    proptest! {
        #[test]
        fn every_plain_body_comes_back_as_it_was(depth in 0_usize..4, text in ".{0,40}") {
            let mut body = Body::from_json(serde_json::json!({"zaqar.envelope": text}).to_string());
            let project = project("p");
            for _ in 0..depth {
                body = body.map(plain);
            }
            let body = body.unwrap();
            let stored = plain(body.clone());
            prop_assert!(Body::from_json(stored.as_str()).is_ok());
            let opened = open(None, place(&project, 1), &stored).unwrap().unwrap();
            prop_assert_eq!(opened, Opened { body, checksum: None });
        }

        #[test]
        fn every_body_survives_encryption(text in "\\PC{0,200}", project_name in "[a-z]{1,20}") {
            let text = serde_json::Value::from(text).to_string();
            let project = project(&project_name);
            let body = sealed(&[NEW], place(&project, 3), &text);
            prop_assert!(Body::from_json(body.as_str()).is_ok());
            let opened = open(Some(&keys(&[NEW])), place(&project, 3), &body).unwrap().unwrap();
            prop_assert_eq!(opened.body.as_str(), text.as_str());
        }

        #[test]
        fn nothing_that_a_store_may_hold_makes_it_panic(text in ".{0,80}") {
            let project = project("p");
            for start in ["", MARK, SEALED, PLAIN] {
                let body = Body::from_checked(format!("{start}{text}"));
                let opened = open(Some(&keys(&[NEW])), place(&project, 3), &body);
                let decrypted = opened.ok().flatten().and_then(|opened| opened.checksum);
                prop_assert_eq!(decrypted, None);
            }
        }
    }
}
