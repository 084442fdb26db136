//! What is counted of the WebSocket transport.

use metrics::Gauge;

const CONNECTIONS: &str = "zaqar_websocket_connections";
const REQUESTS: &str = "zaqar_websocket_requests_total";
const PUSHED: &str = "zaqar_websocket_notifications_pushed_total";

/// An open connection.
#[derive(Debug)]
pub(super) struct OpenConnection(Gauge);

impl OpenConnection {
    pub(super) fn begin() -> Self {
        let gauge = metrics::gauge!(CONNECTIONS);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Notes a request that was answered; `action` is one of the table, or a word for all others.
pub(super) fn answered(action: &'static str, status: u16) {
    metrics::counter!(REQUESTS, "action" => action, "status" => status.to_string()).increment(1);
}

/// Notes a notification that a socket took.
pub(super) fn pushed() {
    metrics::counter!(PUSHED).increment(1);
}
