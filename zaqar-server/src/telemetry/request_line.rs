//! The log line of a request: what was asked, how it ended, how long it took. Never a body, a
//! token or a query.

use std::time::Duration;

use http::{HeaderValue, Request, Response};

use crate::limits::Limited;
use crate::server::progress::Progress;

const REQUEST_ID: &str = "x-openstack-request-id";
const PROJECT: &str = "x-project-id";
const PATH_CHARS_MAX: usize = 200;

/// Goes with an answer that the client allowed to take so much longer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MayWait(pub(crate) Duration);

/// What must be kept of a request to log it at its end.
pub(crate) struct RequestLine {
    method: http::Method,
    path: http::Uri,
    project: Option<HeaderValue>,
}

impl RequestLine {
    pub(crate) fn begin<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            path: request.uri().clone(),
            project: request.headers().get(PROJECT).cloned(),
        }
    }

    /// Logs failures of ours and slow requests for everybody, the rest for whoever debugs.
    pub(crate) fn end<B>(
        self,
        progress: &Progress,
        response: &Response<B>,
        elapsed: Duration,
        slow: Duration,
    ) {
        let is_limited = response.extensions().get::<Limited>().is_some();
        let is_failure = response.status().is_server_error() && !is_limited;
        let wait = response.extensions().get::<MayWait>().map_or(Duration::ZERO, |wait| wait.0);
        let noteworthy = is_failure || elapsed >= slow + wait;
        let heard = if noteworthy {
            tracing::enabled!(tracing::Level::INFO)
        } else {
            tracing::enabled!(tracing::Level::DEBUG)
        };
        if !heard {
            return;
        }
        let path: String = match progress.route() {
            Some(route) => route.to_owned(),
            None => self.path.path().chars().take(PATH_CHARS_MAX).collect(),
        };
        let method = self.method.as_str();
        let status = response.status().as_u16();
        let ms = elapsed.as_secs_f64() * 1e3;
        let id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or("");
        let project = self.project.as_ref().and_then(|p| p.to_str().ok()).unwrap_or("");
        if noteworthy {
            tracing::info!(method, path, status, ms, request_id = id, project, "request");
        } else {
            tracing::debug!(method, path, status, ms, request_id = id, project, "request");
        }
    }
}
