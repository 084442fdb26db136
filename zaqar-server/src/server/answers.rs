//! What every answer of a listener says besides what its handler says.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, ORIGIN, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::rest::{CorsConfig, REQUEST_ID, RequestId};

/// The headers that a listener adds to each answer, where the handler has not set them.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnswerHeaders {
    /// How long a browser that came over TLS is to use nothing else; `None`: it is not told.
    pub(crate) strict_transport: Option<HeaderValue>,
    /// What pages of other origins may read, of the answers that no handler gave.
    pub(crate) cors: Option<Arc<CorsConfig>>,
    /// Whether each answer has an id.
    pub(crate) request_ids: bool,
}

/// What an answer needs to know of its request.
#[derive(Debug)]
pub(crate) struct Asked {
    method: Method,
    origin: Option<HeaderValue>,
}

/// What a browser takes for the promise to use TLS for so many seconds; none for 0.
pub(crate) fn strict_transport(seconds: u32) -> Option<HeaderValue> {
    let value = HeaderValue::try_from(format!("max-age={seconds}")).ok();
    value.filter(|_| seconds > 0)
}

impl AnswerHeaders {
    /// Notes what [`Self::given_up`] will need.
    pub(crate) fn asked<B>(&self, request: &http::Request<B>) -> Asked {
        let origin = self.cors.as_ref().and_then(|_| request.headers().get(ORIGIN).cloned());
        Asked { method: request.method().clone(), origin }
    }

    /// Adds what the handler would have added to the answer of a request that it did not get to
    /// answer.
    pub(crate) fn given_up(&self, asked: Asked, answer: &mut HeaderMap) {
        if let (Some(cors), Some(origin)) = (&self.cors, asked.origin) {
            let request = HeaderMap::from_iter([(ORIGIN, origin)]);
            cors.apply(&asked.method, &request, answer);
        }
    }

    /// Adds what every answer has.
    pub(crate) fn complete(&self, answer: &mut HeaderMap) {
        let mut add = |name: HeaderName, value: HeaderValue| {
            if !answer.contains_key(&name) {
                answer.insert(name, value);
            }
        };
        // Nobody is to guess a script into what a tenant has stored, nor to keep it.
        add(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        add(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(strict_transport) = &self.strict_transport {
            add(STRICT_TRANSPORT_SECURITY, strict_transport.clone());
        }
        if self.request_ids && !answer.contains_key(REQUEST_ID) {
            answer.insert(REQUEST_ID, RequestId::fresh().into_header());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_said_stays_and_the_rest_is_added() {
        let headers = AnswerHeaders {
            strict_transport: strict_transport(60),
            request_ids: true,
            ..AnswerHeaders::default()
        };
        let mut answer = HeaderMap::new();
        answer.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=86400"));
        headers.complete(&mut answer);
        assert_eq!(answer[CACHE_CONTROL], "max-age=86400");
        assert_eq!(answer[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer[STRICT_TRANSPORT_SECURITY], "max-age=60");
        assert!(answer[REQUEST_ID].as_bytes().starts_with(b"req-"));

        let mut plain = HeaderMap::new();
        AnswerHeaders::default().complete(&mut plain);
        assert_eq!(plain.len(), 2);
        assert_eq!(plain[CACHE_CONTROL], "no-store");
        assert_eq!(strict_transport(0), None);
    }
}
