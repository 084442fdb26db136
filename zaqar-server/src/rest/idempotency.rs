//! `Idempotency-Key`: a post that is repeated under its key is stored once (G3).

use http::{HeaderMap, HeaderName, StatusCode};
use zaqar_core::IdempotencyKey;
use zaqar_core::limits::IDEMPOTENCY_KEY_BYTES_MAX;

use super::errors::Failure;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The key of a request, if it has one.
pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Failure> {
    let refused =
        |text: String| Failure::new(StatusCode::BAD_REQUEST, "Invalid header value", text);
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused("The \"Idempotency-Key\" header must not be repeated.".to_owned()));
    }
    let key = value.to_str().ok().and_then(checked);
    key.map(Some).ok_or_else(|| refused(requirement("header", "Idempotency-Key")))
}

/// The key, if it is well-formed: then it looks the same in a header, in a log and in a field.
pub(crate) fn checked(text: &str) -> Option<IdempotencyKey> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible.then(|| IdempotencyKey::new(text).ok()).flatten()
}

/// What a key must be like, for whoever sent another.
pub(crate) fn requirement(place: &str, name: &str) -> String {
    format!(
        "The \"{name}\" {place} must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII \
         characters, without spaces."
    )
}
