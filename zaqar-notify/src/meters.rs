//! What the notifier counts.
//!
//! * `zaqar_notifications_total{outcome}`: attempts, by what became of them: `delivered`, `retry`,
//!   `exhausted`, `gone`, `busy`.
//! * `zaqar_confirmations_total{outcome}`: `sent`, `failed`, `dropped`.
//! * `zaqar_notifier_deliveries`: subscriptions that are being delivered to.

use metrics::{Counter, Gauge};

/// The instruments, looked up once.
#[derive(Clone)]
pub(crate) struct Meters {
    pub(crate) delivered: Counter,
    pub(crate) retry: Counter,
    pub(crate) exhausted: Counter,
    pub(crate) gone: Counter,
    pub(crate) busy: Counter,
    pub(crate) deliveries: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        const NAME: &str = "zaqar_notifications_total";
        metrics::describe_counter!(NAME, "Attempts at delivering a message to a subscriber.");
        metrics::describe_gauge!("zaqar_notifier_deliveries", "Subscriptions being delivered to.");
        let counter = |outcome: &'static str| metrics::counter!(NAME, "outcome" => outcome);
        Self {
            delivered: counter("delivered"),
            retry: counter("retry"),
            exhausted: counter("exhausted"),
            gone: counter("gone"),
            busy: counter("busy"),
            deliveries: metrics::gauge!("zaqar_notifier_deliveries"),
        }
    }
}

/// Counts a confirmation.
pub(crate) fn confirmation(outcome: &'static str) {
    metrics::counter!("zaqar_confirmations_total", "outcome" => outcome).increment(1);
}
