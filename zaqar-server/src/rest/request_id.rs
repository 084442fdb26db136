//! Request ids: a fresh one on every answer, and the caller's own for the log.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries the id on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// The id of one request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// An id that no request had before.
    pub(crate) fn fresh() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let uuid = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        Self(format!("req-{uuid}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header's value.
    pub(crate) fn into_header(self) -> HeaderValue {
        HeaderValue::try_from(self.0).unwrap_or(HeaderValue::from_static(""))
    }
}

/// The id under which the caller's own service handles this request, for the log alone.
pub(crate) fn global(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(&REQUEST_ID)?.to_str().ok()?;
    let uuid = text.strip_prefix("req-")?;
    let hyphens = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| {
        if hyphens.contains(&at) { byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') }
    };
    (uuid.len() == 36 && uuid.bytes().enumerate().all(fits)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_id_of_the_caller_reaches_the_log() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, text.parse().unwrap());
            global(&headers).map(str::to_owned)
        };
        let own = RequestId::fresh();
        assert_eq!(of(own.as_str()).as_deref(), Some(own.as_str()));
        for bad in ["", "req-1", "x", &own.as_str().to_uppercase(), &format!("{}0", own.as_str())] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_ne!(own.as_str(), RequestId::fresh().as_str());
    }
}
