//! Requests that carry a signature instead of a token.
//!
//! The presence of the header alone makes a request a signed one, an empty one too: then nothing but
//! its signature counts. Whatever is wrong with it, the answer is that there is no such route.

use http::request::Parts;
use http::{HeaderMap, HeaderName};
use zaqar_core::Timestamp;

use super::context::PROJECT_ID;
use super::errors::Failure;
use crate::auth::headers::SIGNATURE;
use crate::signed_url::{Expiry, Grant, UrlSigner};

const EXPIRES: HeaderName = HeaderName::from_static("url-expires");
const METHODS: HeaderName = HeaderName::from_static("url-methods");
const PATHS: HeaderName = HeaderName::from_static("url-paths");

/// Refuses a signed request whose signature is not right for it. `path` is the one that its route
/// was found by.
pub(crate) fn check(
    signer: &UrlSigner,
    now: Timestamp,
    parts: &Parts,
    path: &[u8],
) -> Result<(), Failure> {
    if !parts.headers.contains_key(SIGNATURE) {
        return Ok(());
    }
    match verify(signer, now, parts, path) {
        Some(true) => Ok(()),
        Some(false) | None => Err(Failure::no_route()),
    }
}

/// Whether the signature is right, and for this request; `None` if its headers are not in order.
fn verify(signer: &UrlSigner, now: Timestamp, parts: &Parts, path: &[u8]) -> Option<bool> {
    let headers = &parts.headers;
    let signature = single(headers, &SIGNATURE)?;
    let expiry = Expiry::parse(single(headers, &EXPIRES)?)?;
    let list = |name| Some(single(headers, name)?.split(',').map(str::to_owned).collect());
    let grant = Grant::new(list(&PATHS)?, list(&METHODS)?, single(headers, &PROJECT_ID)?, expiry);
    let covered = grant.covers_method(parts.method.as_str()) && grant.covers_path(path);
    Some(covered && !expiry.is_over(now) && signer.recognises(&grant, signature))
}

/// The value of a header that must be there once. Two would be one for the check and one for use.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => std::str::from_utf8(value.as_bytes()).ok(),
        _ => None,
    }
}
