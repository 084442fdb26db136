//! Successful answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::Frame;

use super::errors::Failure;
use crate::telemetry::request_line::MayWait;

/// What a handler comes to.
pub(crate) type Outcome = Result<Answer, Failure>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A successful answer on its way out.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
    content_type: HeaderValue,
    wait: Option<MayWait>,
}

impl Answer {
    /// An answer whose body is JSON text.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), headers: Vec::new(), content_type: JSON, wait: None }
    }

    /// 200 with JSON text.
    pub(crate) fn ok(body: impl Into<Bytes>) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// An answer without body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::json(status, Bytes::new())
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// Adds a header. A value that no header can carry is left out: the values made here are built
    /// of names and ids that were checked.
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<Bytes>) -> Self {
        if let Ok(value) = HeaderValue::from_maybe_shared(value.into()) {
            self.headers.push((name, value));
        }
        self
    }

    /// Says where the resource is.
    pub(crate) fn location(self, path: impl Into<Bytes>) -> Self {
        self.header(LOCATION, path)
    }

    /// Replaces the content type.
    pub(crate) fn content_type(mut self, content_type: HeaderValue) -> Self {
        self.content_type = content_type;
        self
    }

    /// Says that the client allowed the answer to take so many seconds longer.
    pub(crate) fn after_wait(mut self, seconds: u64) -> Self {
        self.wait = (seconds > 0).then(|| MayWait(Duration::from_secs(seconds)));
        self
    }

    /// The response.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = respond(self.status, self.content_type, self.headers, self.body);
        if let Some(wait) = self.wait {
            response.extensions_mut().insert(wait);
        }
        response
    }
}

/// Puts a response together: a 204 has neither content type nor length, all others have both.
pub(crate) fn respond(
    status: StatusCode,
    content_type: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
) -> Response<Body> {
    let mut response = if status == StatusCode::NO_CONTENT {
        Response::new(Body::new(NoContent))
    } else {
        let length = body.len();
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        response
    };
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

/// The body of a 204. It tells no length, because the router would write one into the head, which
/// HTTP forbids.
struct NoContent;

impl HttpBody for NoContent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}
