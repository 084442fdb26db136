//! Prometheus metrics of the process.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "zaqar_http_requests_total";
const SECONDS: &str = "zaqar_http_request_duration_seconds";
const IN_FLIGHT: &str = "zaqar_http_requests_in_flight";
const ABANDONED: &str = "zaqar_http_requests_abandoned_total";
const CONNECTIONS: &str = "zaqar_connections";
const REFUSED: &str = "zaqar_connections_refused_total";
const CUT: &str = "zaqar_connections_cut_total";
/// Also of the engine, which knows the quotas.
const LIMITED: &str = "zaqar_limit_refusals_total";
const HANDSHAKES_FAILED: &str = "zaqar_tls_handshakes_failed_total";
const CERTIFICATES: &str = "zaqar_tls_certificate_changes_total";

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
];

/// How often samples are folded into the histograms.
pub(crate) const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of this process, installed on first use; `None` if the embedding program has
/// installed one of its own, which then gets everything.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS);
            let handle = builder.and_then(PrometheusBuilder::install_recorder).ok()?;
            describe();
            Some(handle)
        })
        .as_ref()
}

fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests answered, by route, method and status.");
    metrics::describe_histogram!(SECONDS, "Time from a request's head to its answer.");
    metrics::describe_gauge!(IN_FLIGHT, "Requests being handled.");
    metrics::describe_counter!(ABANDONED, "Requests whose client left before the answer.");
    metrics::describe_gauge!(CONNECTIONS, "Open connections.");
    metrics::describe_counter!(REFUSED, "Connections refused for their number.");
    metrics::describe_counter!(CUT, "Connections cut because their client was too slow.");
    metrics::describe_counter!(LIMITED, "Refusals to projects over a rate or quota, by limit.");
    metrics::describe_counter!(HANDSHAKES_FAILED, "TLS handshakes that came to nothing.");
    metrics::describe_counter!(
        CERTIFICATES,
        "Changes of the certificate's files, taken or refused."
    );
}

/// Notes a connection that was refused.
pub(crate) fn connection_refused(reason: &'static str) {
    metrics::counter!(REFUSED, "reason" => reason).increment(1);
}

/// Notes a connection that was cut.
pub(crate) fn connection_cut(reason: &'static str) {
    metrics::counter!(CUT, "reason" => reason).increment(1);
}

/// Notes a TLS handshake that came to nothing.
pub(crate) fn handshake_failed(listener: &'static str, reason: &'static str) {
    metrics::counter!(HANDSHAKES_FAILED, "listener" => listener, "reason" => reason).increment(1);
}

/// Notes a change of the certificate's files.
pub(crate) fn certificate_looked_at(outcome: &'static str) {
    metrics::counter!(CERTIFICATES, "outcome" => outcome).increment(1);
}

/// The metrics of one listener, their handles kept so that a request looks nothing up twice.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    in_flight: Gauge,
    connections: Gauge,
    abandoned: Counter,
    by_route: RwLock<HashMap<String, Routes>>,
}

type Routes = HashMap<(&'static str, u16), Ended>;

#[derive(Debug, Clone)]
struct Ended {
    requests: Counter,
    seconds: Histogram,
}

impl HttpMetrics {
    /// The metrics of the listener called `listener`.
    pub(crate) fn new(listener: &'static str) -> Arc<Self> {
        Arc::new(Self {
            in_flight: metrics::gauge!(IN_FLIGHT, "listener" => listener),
            connections: metrics::gauge!(CONNECTIONS, "listener" => listener),
            abandoned: metrics::counter!(ABANDONED, "listener" => listener),
            by_route: RwLock::default(),
        })
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.increment(1.0);
        InFlight { metrics: Arc::clone(self), answered: false }
    }

    /// A connection begins.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.increment(1.0);
        OpenConnection(self.connections.clone())
    }

    fn ended(&self, route: &str, method: &'static str, status: u16) -> Ended {
        {
            let known = self.by_route.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(ended) = known.get(route).and_then(|ends| ends.get(&(method, status))) {
                return ended.clone();
            }
        }
        let ended = Ended {
            requests: metrics::counter!(
                REQUESTS,
                "route" => route.to_owned(), "method" => method, "status" => status.to_string()
            ),
            seconds: metrics::histogram!(SECONDS, "route" => route.to_owned(), "method" => method),
        };
        let mut known = self.by_route.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(route.to_owned()).or_default().insert((method, status), ended.clone());
        ended
    }
}

/// A request that is being handled.
#[derive(Debug)]
pub(crate) struct InFlight {
    metrics: Arc<HttpMetrics>,
    answered: bool,
}

impl InFlight {
    /// The request was answered.
    pub(crate) fn answered(
        &mut self,
        route: Option<&str>,
        method: &Method,
        status: StatusCode,
        elapsed: Duration,
    ) {
        self.answered = true;
        let ended = self.metrics.ended(route.unwrap_or("none"), label(method), status.as_u16());
        ended.requests.increment(1);
        ended.seconds.record(elapsed.as_secs_f64());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.decrement(1.0);
        if !self.answered {
            self.metrics.abandoned.increment(1);
        }
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A client may send any word as its method; what is not known must not become a new series.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
