//! The operators' listener: metrics, liveness, readiness. It needs no token and writes nothing.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use zaqar_engine::{Engine, StoreHealth};

use crate::telemetry::metrics;

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, Clone)]
struct Operators {
    engine: Engine,
    stopping: CancellationToken,
}

/// The routes of the operators' listener; `stopping` tells when the server is on its way out.
pub(crate) fn router(engine: Engine, stopping: CancellationToken) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Operators { engine, stopping })
}

/// The process answers.
async fn alive() -> &'static str {
    "alive\n"
}

/// Requests can be served: both stores answer and keep what they accept.
async fn ready(State(operators): State<Operators>) -> Response {
    if operators.stopping.is_cancelled() {
        return not_ready("stopping\n".to_owned());
    }
    let health = operators.engine.health().await;
    if health.is_good() {
        return "ready\n".into_response();
    }
    let mut text = String::new();
    for (plane, store) in [("management store", &health.control), ("message store", &health.data)] {
        if !store.is_good() {
            text.push_str(&describe(plane, store));
        }
    }
    not_ready(text)
}

fn describe(plane: &str, store: &StoreHealth) -> String {
    let state = if store.reachable { "is not safe" } else { "is not reachable" };
    let mut text = format!("{plane} ({}) {state}\n", store.driver.name);
    for warning in &store.warnings {
        text.push_str(&format!("  {warning}\n"));
    }
    text
}

fn not_ready(text: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics_text() -> Response {
    match metrics::recorder() {
        Some(recorder) => {
            ([(header::CONTENT_TYPE, METRICS_TYPE)], recorder.render()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "another recorder has the metrics\n").into_response(),
    }
}
