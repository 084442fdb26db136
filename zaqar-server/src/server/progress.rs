//! What is known of a request while it runs: its route, and how much of its body came in.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::extract::MatchedPath;
use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tower::{Layer, Service};

/// What is known of a request while it runs.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    route: OnceLock<MatchedPath>,
    body_bytes: AtomicU64,
    body_done: AtomicBool,
}

impl Progress {
    /// The route's template, once the router has chosen one.
    pub(crate) fn route(&self) -> Option<&str> {
        self.route.get().map(MatchedPath::as_str)
    }

    /// Bytes of the body so far.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// Whether the body came in whole.
    pub(crate) fn body_done(&self) -> bool {
        self.body_done.load(Ordering::Relaxed)
    }
}

/// Wraps the body so that it counts what comes in, and lets the router's layer find the progress.
pub(crate) fn observe(
    request: Request<Incoming>,
    progress: &Arc<Progress>,
) -> Request<axum::body::Body> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Arc::clone(progress));
    let body = if body.is_end_stream() {
        progress.body_done.store(true, Ordering::Relaxed);
        axum::body::Body::empty()
    } else {
        axum::body::Body::new(CountedBody { body, progress: Arc::clone(progress) })
    };
    Request::from_parts(parts, body)
}

struct CountedBody {
    body: Incoming,
    progress: Arc<Progress>,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                self.progress.body_bytes.fetch_add(bytes, Ordering::Relaxed);
                if self.body.is_end_stream() {
                    self.progress.body_done.store(true, Ordering::Relaxed);
                }
            }
            Some(Err(_)) => {}
            None => self.progress.body_done.store(true, Ordering::Relaxed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Layer inside the router that notes which route was chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoteRoute;

impl<S> Layer<S> for NoteRoute {
    type Service = RouteNoted<S>;

    fn layer(&self, inner: S) -> RouteNoted<S> {
        RouteNoted(inner)
    }
}

/// What [`NoteRoute`] makes.
#[derive(Debug, Clone)]
pub(crate) struct RouteNoted<S>(S);

impl<S, B> Service<Request<B>> for RouteNoted<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let extensions = request.extensions();
        if let (Some(progress), Some(route)) =
            (extensions.get::<Arc<Progress>>(), extensions.get::<MatchedPath>())
        {
            // The first layer to note it is the outermost; all would note the same.
            progress.route.get_or_init(|| route.clone());
        }
        self.0.call(request)
    }
}
