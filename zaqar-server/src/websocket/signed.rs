//! Requests that carry a signature instead of a token.
//!
//! The presence of the header alone makes a request a signed one, an empty one too: then nothing but
//! its signature counts.

use zaqar_core::Timestamp;

use super::envelope::{Headers, string};
use super::refusal::Refusal;
use crate::rest::json::walk::Walker;
use crate::signed_url::{Expiry, Grant, UrlSigner};

/// The method over HTTP of what a signature may give leave to do.
const METHODS: [(&str, &str); 6] = [
    ("message_list", "GET"),
    ("message_get", "GET"),
    ("message_get_many", "GET"),
    ("message_post", "POST"),
    ("message_delete", "DELETE"),
    ("message_delete_many", "DELETE"),
];

/// Whether a request is signed; refuses one whose signature is not right for this action on this
/// queue.
pub(super) fn check(
    signer: &UrlSigner,
    now: Timestamp,
    headers: Headers<'_>,
    action: &str,
    queue: &str,
) -> Result<bool, Refusal> {
    if headers.json("URL-Signature").is_none() {
        return Ok(false);
    }
    match verify(signer, now, headers, action, queue) {
        Some(true) => Ok(true),
        Some(false) | None => Err(Refusal::unauthenticated()),
    }
}

/// Whether the signature is right; `None` if its headers are not in order.
fn verify(
    signer: &UrlSigner,
    now: Timestamp,
    headers: Headers<'_>,
    action: &str,
    queue: &str,
) -> Option<bool> {
    let (_, method) = METHODS.iter().find(|(known, _)| *known == action)?;
    let signature = headers.text("URL-Signature")?;
    let expiry = Expiry::parse(&headers.text("URL-Expires")?)?;
    let list = |name| texts(headers.json(name)?);
    let project = headers.text("X-Project-ID")?;
    let grant = Grant::new(list("URL-Paths")?, list("URL-Methods")?, project, expiry);
    let path = format!("/v2/queues/{queue}/messages");
    let covered = grant.covers_method(method) && grant.covers_path(path.as_bytes());
    Some(covered && !expiry.is_over(now) && signer.recognises(&grant, &signature))
}

/// A list of texts, or one text with commas between them.
fn texts(json: &str) -> Option<Vec<String>> {
    if let Some(text) = string(json) {
        return Some(text.split(',').map(str::to_owned).collect());
    }
    if !json.starts_with('[') {
        return None;
    }
    let mut walker = Walker::new(json);
    let mut texts = Vec::new();
    walker.enter();
    while walker.next_element() {
        texts.push(string(walker.value())?.into_owned());
    }
    Some(texts)
}
