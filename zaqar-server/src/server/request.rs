//! One request: bounded in time, kept from taking the server down, measured and logged.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::Service as _;

use super::activity::Activity;
use super::answers::AnswerHeaders;
use super::progress::{Progress, observe};
use super::takeover::Held;
use crate::telemetry::metrics::HttpMetrics;
use crate::telemetry::request_line::RequestLine;

/// How long a request may take, and how slowly its body may come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestTimeouts {
    /// From head to answer.
    pub(crate) whole: Duration,
    /// Least average rate of a body, in bytes per second; 0: any.
    pub(crate) body_rate_min: u32,
    /// How long a body may come in at any rate.
    pub(crate) body_rate_grace: Duration,
}

/// Serves the requests of one connection.
#[derive(Debug, Clone)]
pub(crate) struct RequestService {
    pub(crate) router: Router,
    pub(crate) activity: Arc<Activity>,
    pub(crate) timeouts: RequestTimeouts,
    pub(crate) metrics: Arc<HttpMetrics>,
    pub(crate) slow: Duration,
    pub(crate) held: Held,
    pub(crate) answers: Arc<AnswerHeaders>,
}

impl hyper::service::Service<Request<Incoming>> for RequestService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.request_begun(request.version() == Version::HTTP_2);
        let busy = Busy { activity: Arc::clone(&self.activity), metrics: self.metrics.begin() };
        let service = self.clone();
        Box::pin(async move { Ok(service.serve(request, busy).await) })
    }
}

/// Says that a request is running, until it is answered or its client left.
struct Busy {
    activity: Arc<Activity>,
    metrics: crate::telemetry::metrics::InFlight,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.request_ended();
    }
}

impl RequestService {
    async fn serve(mut self, request: Request<Incoming>, mut busy: Busy) -> Response<Body> {
        let begun = Instant::now();
        let line = RequestLine::begin(&request);
        let progress = Arc::new(Progress::default());
        let (method, version) = (request.method().clone(), request.version());
        let change = Change::of(&request);
        let asked = self.answers.asked(&request);
        let mut request = observe(request, &progress);
        if request.headers().contains_key(header::UPGRADE) {
            request.extensions_mut().insert(self.held.clone());
        }
        let ended = self.route(request, &progress, begun).await;
        let given_up = match ended {
            Ended::Answered(response) => Ok(response),
            Ended::Panicked => {
                tracing::error!("a request handler panicked");
                Err(Cause::Panic)
            }
            Ended::Late => Err(Cause::Late),
        };
        let mut response = given_up.unwrap_or_else(|cause| {
            let mut response = failure(cause, change.stored(&progress));
            self.answers.given_up(asked, response.headers_mut());
            response
        });
        self.answers.complete(response.headers_mut());
        if version < Version::HTTP_2 && !progress.body_done() {
            // What is left of the body would be taken for the next request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let elapsed = begun.elapsed();
        busy.metrics.answered(progress.route(), &method, response.status(), elapsed);
        line.end(&progress, &response, elapsed, self.slow);
        response
    }

    async fn route(
        &mut self,
        request: Request<Body>,
        progress: &Progress,
        begun: Instant,
    ) -> Ended {
        let mut work = pin!(AssertUnwindSafe(self.router.call(request)).catch_unwind());
        let mut look = pin!(tokio::time::sleep_until(begun + self.first_look(progress)));
        loop {
            tokio::select! {
                biased;
                answered = &mut work => {
                    return match answered {
                        Ok(Ok(response)) => Ended::Answered(response),
                        Err(_panic) => Ended::Panicked,
                    };
                }
                () = &mut look => match self.next_look(progress, begun.elapsed()) {
                    Some(next) => look.as_mut().reset(begun + next),
                    None => return Ended::Late,
                },
            }
        }
    }

    fn first_look(&self, progress: &Progress) -> Duration {
        if self.timeouts.body_rate_min == 0 || progress.body_done() {
            self.timeouts.whole
        } else {
            self.timeouts.body_rate_grace.min(self.timeouts.whole)
        }
    }

    /// When to look next, measured from the request's head; `None` if it took too long.
    fn next_look(&self, progress: &Progress, elapsed: Duration) -> Option<Duration> {
        let RequestTimeouts { whole, body_rate_min, body_rate_grace } = self.timeouts;
        if elapsed >= whole {
            return None;
        }
        if body_rate_min == 0 || progress.body_done() {
            return Some(whole);
        }
        let due_ms = u128::from(body_rate_min) * elapsed.as_millis();
        if u128::from(progress.body_bytes()) * 1000 < due_ms {
            return None;
        }
        Some((elapsed + body_rate_grace / 4).min(whole))
    }
}

enum Ended {
    Answered(Response<Body>),
    Late,
    Panicked,
}

#[derive(Clone, Copy)]
enum Cause {
    Late,
    Panic,
}

/// What is known of the effect of a request that is given up.
#[derive(Clone, Copy)]
enum Change {
    /// It changes nothing.
    None,
    /// It changes something once its body is there, and not before.
    NeedsBody,
    /// It may change something at any time.
    AnyTime,
}

impl Change {
    /// A handler that takes a body reads it whole before it acts, if its length was declared. One
    /// that takes none, or an undeclared one for none, acts first and skips the body afterwards.
    fn of(request: &Request<Incoming>) -> Self {
        let method = request.method();
        let takes_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
        if method.is_safe() {
            Self::None
        } else if takes_body && request.headers().contains_key(header::CONTENT_LENGTH) {
            Self::NeedsBody
        } else {
            Self::AnyTime
        }
    }

    /// The member of the error's body that says it.
    fn stored(self, progress: &Progress) -> &'static str {
        match self {
            Self::None => "",
            Self::NeedsBody if !progress.body_done() => ", \"stored\": false",
            Self::NeedsBody | Self::AnyTime => ", \"stored\": \"unknown\"",
        }
    }
}

fn failure(cause: Cause, stored: &str) -> Response<Body> {
    let (status, title, description) = match cause {
        Cause::Late => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Service temporarily unavailable",
            "The request took too long. Please try again in a few seconds.",
        ),
        Cause::Panic => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal server error",
            "The server failed to handle the request.",
        ),
    };
    let body = format!(r#"{{"title": "{title}", "description": "{description}"{stored}}}"#);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    *response.headers_mut() = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
    response
}
