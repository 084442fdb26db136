//! The REST transport, version 2: HTTP requests in, engine calls down, HTTP answers out.
//!
//! A request passes, in this order: its route, the form of its headers, who asks, which queue, its
//! method, the policy; then its handler checks the query, reads the body, checks it, and calls the
//! engine. The first that fails answers. What a message says is checked once and carried as text.

mod answers;
mod claims;
mod config;
mod context;
mod cors;
mod documents;
mod errors;
mod health;
mod home;
mod json;
mod message_post;
mod messages;
mod messages_delete;
mod names;
mod paging;
mod payload;
mod ping;
mod query;
mod queue_patch;
mod queues;
mod represent;
mod request_id;
mod routes;

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::any;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use zaqar_core::{Effect, QueueKey};
use zaqar_engine::Engine;

pub use config::{ClientIdRule, RestConfig};
pub use cors::CorsConfig;
pub use request_id::REQUEST_ID;

use answers::{Answer, Outcome};
use context::RequestContext;
use errors::Failure;
use payload::Payload;
use request_id::RequestId;
use routes::{Access, Call, Handler, Matched};

/// What every request needs.
#[derive(Debug)]
pub(crate) struct App {
    engine: Engine,
    config: RestConfig,
    home: Bytes,
}

/// The REST service over an engine.
///
/// It answers every path; put it where it gets the whole path, for hrefs begin with `/v2/`.
pub fn router(engine: Engine, config: RestConfig) -> Router {
    let home = home::document(config.admin_mode);
    let app = Arc::new(App { engine, config, home });
    // `routes` decides what is served. The router knows the paths too, so that layers around it
    // find the route's template with the request.
    let templates = routes::paths(app.config.admin_mode);
    let router = templates.fold(Router::new(), |router, path| router.route(path, any(serve)));
    router.fallback(serve).with_state(app)
}

/// Answers a request, whatever happens.
async fn serve(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let id = RequestId::fresh();
    let (parts, body) = request.into_parts();
    let mut payload = Payload::new(body, &parts.headers);
    let path: Cow<'_, [u8]> = percent_decode_str(parts.uri.path()).into();
    let matched = routes::find(&path, app.config.admin_mode);
    let route = matched.as_ref().map(|matched| matched.route.path);

    let handled = handle(&app, &parts, matched, &mut payload);
    let handled = match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_panic) => Err(died(&parts.method)),
    };
    let mut response = match handled {
        Ok(answer) => answer.into_response(),
        Err(_) if parts.method == Method::OPTIONS => Answer::empty(StatusCode::OK).into_response(),
        Err(failure) => {
            log(&failure, &id, &parts, route);
            failure.into_response()
        }
    };
    payload.drain().await;
    app.config.cors.apply(&parts.method, &parts.headers, response.headers_mut());
    response.headers_mut().insert(REQUEST_ID, id.into_header());
    response
}

/// The checks that every request passes, then its handler.
async fn handle(
    app: &App,
    parts: &Parts,
    matched: Option<Matched<'_>>,
    payload: &mut Payload,
) -> Outcome {
    let Matched { route, queue, id } = matched.ok_or_else(Failure::no_route)?;
    refuse_signed(&parts.headers)?;
    context::refuse_form(&parts.headers)?;
    context::check_accept(&parts.headers)?;
    let caller = if route.is_open() {
        None
    } else {
        Some(RequestContext::from_headers(&parts.headers, app.config.client_id)?)
    };
    let key: Option<QueueKey> = match (&caller, queue) {
        (Some(caller), Some(name)) => Some(names::queue_key(&caller.project, name)?),
        _ => None,
    };
    let Some(endpoint) = route.endpoint(&parts.method) else {
        let allow = route.allow();
        return if parts.method == Method::OPTIONS {
            Ok(Answer::empty(StatusCode::OK).header(ALLOW, allow))
        } else {
            Err(Failure::method_not_allowed(format!("{allow}, OPTIONS")))
        };
    };
    let Some(context) = &caller else {
        return match endpoint.handler {
            Handler::Open(answer) => Ok(answer()),
            Handler::Project(_) | Handler::Queue(_) => Err(Failure::internal()),
        };
    };
    if !allowed(endpoint, context) {
        return Err(Failure::denied());
    }
    let query = parts.uri.query().unwrap_or_default();
    let id = String::from_utf8_lossy(id);
    let call = Call { app, context, headers: &parts.headers, query, id: &id };
    match (&endpoint.handler, &key) {
        (Handler::Open(answer), _) => Ok(answer()),
        (Handler::Project(run), _) => run(&call).await,
        (Handler::Queue(run), Some(key)) => run(&call, key, payload).await,
        (Handler::Queue(_), None) => Err(Failure::internal()),
    }
}

/// Refuses signed requests. Nothing here hands out signatures, so none is right; to overlook one
/// would answer what its header says is guarded.
fn refuse_signed(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key("url-signature") { Err(Failure::no_route()) } else { Ok(()) }
}

/// Whether the policy lets the caller do it.
fn allowed(endpoint: &routes::Endpoint, context: &RequestContext) -> bool {
    match (endpoint.rule, endpoint.access) {
        (None, _) | (Some(_), Access::Everyone) => true,
        (Some(_), Access::Role(role)) => context.roles.has(role),
    }
}

/// The answer when a handler panicked: its work may have taken effect before.
fn died(method: &Method) -> Failure {
    let reads = *method == Method::GET || *method == Method::HEAD;
    let failure = Failure::internal();
    if reads { failure } else { failure.stored(Effect::Unknown) }
}

/// Tells the log what the client is not told.
fn log(failure: &Failure, id: &RequestId, parts: &Parts, route: Option<&'static str>) {
    if !failure.status().is_server_error() {
        return;
    }
    tracing::error!(
        request_id = id.as_str(),
        global_request_id = request_id::global(&parts.headers),
        method = %parts.method,
        route,
        status = failure.status().as_u16(),
        cause = failure.cause(),
        "request failed"
    );
}
