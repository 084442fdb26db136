//! The REST transport, version 2: HTTP requests in, engine calls down, HTTP answers out.
//!
//! A request passes, in this order: its route, the form of its headers, who asks, how often, which
//! queue, its method, the policy; then its handler checks the query, reads the body, checks it, and calls the
//! engine. The first that fails answers. What a message says is checked once and carried as text.

mod answers;
mod claims;
mod config;
mod confirmation;
pub(crate) mod context;
mod cors;
pub(crate) mod documents;
pub(crate) mod errors;
mod flavors;
#[cfg(test)]
mod fuzz;
mod health;
mod home;
pub(crate) mod idempotency;
pub(crate) mod json;
mod listed;
pub(crate) mod message_post;
pub(crate) mod messages;
mod messages_delete;
mod moves;
pub(crate) mod names;
pub mod openapi;
mod paging;
mod payload;
mod ping;
mod pools;
mod query;
mod queue_patch;
mod queues;
mod redrive;
pub(crate) mod represent;
mod request_id;
mod route_table;
pub(crate) mod routes;
mod share;
mod signed;
mod subscription_confirm;
pub(crate) mod subscriptions;

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
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use zaqar_core::{Effect, QueueKey};
use zaqar_engine::Engine;

pub use config::{ClientIdRule, RestConfig};
pub use confirmation::{ConfirmationKind, ConfirmationRequest, Confirmations};
pub use cors::CorsConfig;
pub use request_id::REQUEST_ID;
pub(crate) use request_id::RequestId;

use crate::auth::{self, Shown, Standing};
use answers::{Answer, Outcome};
use context::RequestContext;
use errors::Failure;
use payload::Payload;
use routes::{Call, Endpoint, Guard, Handler, Matched, Route};

/// What every request needs.
#[derive(Debug)]
pub(crate) struct App {
    engine: Engine,
    config: RestConfig,
    /// There if subscribers have to confirm.
    confirmations: Option<Arc<dyn Confirmations>>,
    home: Bytes,
    description: Bytes,
}

/// The REST service over an engine.
///
/// It answers every path; put it where it gets the whole path, for hrefs begin with `/v2/`.
/// `confirmations` carries messages to subscribers that have to confirm; without it none is asked.
pub fn router(
    engine: Engine,
    config: RestConfig,
    confirmations: Option<Arc<dyn Confirmations>>,
) -> Router {
    let home = home::document(config.admin_mode);
    let description = openapi::text(&engine.config().limits, config.admin_mode);
    let app = Arc::new(App { engine, config, confirmations, home, description });
    // `routes` decides what is served. The router knows the paths too, so that layers around it
    // find the route's template with the request.
    let templates = routes::paths(app.config.admin_mode);
    let router = templates.fold(Router::new(), |router, path| router.route(path, any(serve)));
    router.fallback(serve).with_state(app)
}

/// Method and path of everything that is served, with `{…}` for what varies; what is served in admin
/// mode alone too if `admin_mode`.
pub fn endpoints(admin_mode: bool) -> impl Iterator<Item = (&'static Method, &'static str)> {
    routes::endpoints(admin_mode)
}

/// Answers a request, whatever happens.
async fn serve(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let id = RequestId::fresh();
    let (mut parts, body) = request.into_parts();
    let shown = auth::headers::take(&app.config.authentication, &mut parts.headers);
    let mut payload = Payload::new(body, &parts.headers);
    let path: Cow<'_, [u8]> = percent_decode_str(parts.uri.path()).into();
    let matched = routes::find(&path, app.config.admin_mode);
    let route = matched.as_ref().map(|matched| matched.route.path);

    let handled = handle(&app, &parts, &path, matched, shown, &mut payload);
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
    path: &[u8],
    matched: Option<Matched<'_>>,
    shown: Shown,
    payload: &mut Payload,
) -> Outcome {
    // Whoever is not known does not even learn which paths there are.
    let standing = match &matched {
        Some(matched) if matched.route.is_open() => None,
        _ => Some(shown.standing().await.map_err(Failure::unknown)?),
    };
    let matched = matched.ok_or_else(Failure::no_route)?;
    let Matched { route, name, id } = matched;
    signed::check(&app.config.url_signer, app.engine.clock().now(), parts, path)?;
    context::refuse_form(&parts.headers)?;
    context::check_accept(&parts.headers)?;
    let (headers, rule, kind) = (&parts.headers, app.config.client_id, matched.kind());
    let caller = match standing {
        None => None,
        Some(Standing::Signed) => Some(RequestContext::of_signed(headers, rule, kind)?),
        Some(Standing::Believed) => Some(RequestContext::from_headers(headers, rule, kind)?),
        Some(Standing::Known(bearer)) => Some(RequestContext::known(headers, rule, bearer)?),
    };
    if let Some(caller) = &caller {
        check_rate(app, route, caller)?;
    }
    let key: Option<QueueKey> = match (&caller, name) {
        (Some(caller), Some((kind, name))) => Some(names::queue_key(caller.project(), kind, name)?),
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
            Handler::Project(_) | Handler::Item(_) | Handler::Queue(_) => Err(Failure::internal()),
        };
    };
    if !is_allowed(app, route, endpoint, context, key.as_ref()) {
        return Err(Failure::denied());
    }
    let query = parts.uri.query().unwrap_or_default();
    let id = String::from_utf8_lossy(id);
    let call = Call { app, context, headers: &parts.headers, query, id: &id };
    match (&endpoint.handler, &key) {
        (Handler::Open(answer), _) => Ok(answer()),
        (Handler::Project(run), _) => run(&call).await,
        (Handler::Item(run), _) => run(&call, payload).await,
        (Handler::Queue(run), Some(key)) => run(&call, key, payload).await,
        (Handler::Queue(_), None) => Err(Failure::internal()),
    }
}

/// Refuses a request of a project that has sent too many.
fn check_rate(app: &App, route: &Route, caller: &RequestContext) -> Result<(), Failure> {
    app.config.rates.request(caller.project()).map_err(|exceeded| {
        let failure = Failure::from(exceeded);
        if route.is_probe() { failure.without_body() } else { failure }
    })
}

/// Whether the policy lets the caller do it.
fn is_allowed(
    app: &App,
    route: &Route,
    endpoint: &Endpoint,
    context: &RequestContext,
    key: Option<&QueueKey>,
) -> bool {
    let Guard::Rule(rule) = endpoint.guard else { return true };
    let name = key.map(|key| (key.kind, key.name.as_str()));
    let target = route.target(context.project(), name);
    app.config.policy.allows(rule, &context.identity, &target)
}

/// The answer when a handler panicked: its work may have taken effect before.
fn died(method: &Method) -> Failure {
    let reads = *method == Method::GET || *method == Method::HEAD;
    let failure = Failure::internal();
    if reads { failure } else { failure.stored(Effect::Unknown) }
}

/// Tells the log what the client is not told.
fn log(failure: &Failure, id: &RequestId, parts: &Parts, route: Option<&'static str>) {
    if !failure.status().is_server_error() || failure.is_expected() {
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
