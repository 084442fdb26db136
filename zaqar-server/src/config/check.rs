//! Options that do not go together.

use zaqar_engine::stages::EncryptionKeys;

use super::layers::Problem;
use super::options::Config;

/// Every contradiction in a configuration whose options are each right by themselves.
pub(crate) fn contradictions(config: &Config) -> Vec<Problem> {
    let transport = &config.transport;
    let mut problems = Vec::new();
    let pairs = [
        (
            "default_message_ttl",
            transport.default_message_ttl,
            "max_message_ttl",
            transport.max_message_ttl,
        ),
        (
            "default_message_delay",
            transport.default_message_delay,
            "max_message_delay",
            transport.max_message_delay,
        ),
        (
            "default_claim_ttl",
            transport.default_claim_ttl,
            "max_claim_ttl",
            transport.max_claim_ttl,
        ),
        (
            "default_claim_grace",
            transport.default_claim_grace,
            "max_claim_grace",
            transport.max_claim_grace,
        ),
        (
            "min_length_client_id",
            u64::from(transport.min_length_client_id),
            "max_length_client_id",
            u64::from(transport.max_length_client_id),
        ),
    ];
    for (lower, value, upper, bound) in pairs {
        if value > bound {
            problems.push(problem(
                &format!("transport.{lower}"),
                format!("is {value}, more than transport.{upper}, which is {bound}"),
            ));
        }
    }
    if let Err(error) = EncryptionKeys::parse(config.encryption.keys.expose()) {
        problems.push(problem("encryption.keys", error.to_string()));
    }
    for (key, reason) in crate::auth::contradictions(config) {
        problems.push(problem(key, reason));
    }
    if config.listen.bind.is_empty() {
        problems.push(problem("drivers.transport.wsgi.bind", "must not be empty".to_owned()));
    }
    if config.notification.require_confirmation && !config.signed_url.secret_key.is_set() {
        problems.push(problem(
            "notification.require_confirmation",
            "needs signed_url.secret_key, which signs the leave to confirm".to_owned(),
        ));
    }
    let tls = &config.tls;
    if tls.cert_file.is_empty() != tls.key_file.is_empty() {
        let (given, lacking) = if tls.key_file.is_empty() {
            ("cert_file", "key_file")
        } else {
            ("key_file", "cert_file")
        };
        problems.push(problem(
            &format!("drivers.transport.tls.{given}"),
            format!("needs drivers.transport.tls.{lacking}"),
        ));
    }
    let websocket = &config.websocket;
    if websocket.enabled && websocket.bind.is_empty() {
        let key = "drivers.transport.websocket.bind";
        problems.push(problem(key, "must not be empty".to_owned()));
    }
    if websocket.ping_period_ms >= websocket.idle_timeout_ms {
        let bound = websocket.idle_timeout_ms;
        problems.push(problem(
            "drivers.transport.websocket.ping_period_ms",
            format!(
                "must be less than drivers.transport.websocket.idle_timeout_ms, which is {bound}"
            ),
        ));
    }
    if let Err((key, reason)) = crate::notifications::addresses(&config.notification) {
        problems.push(problem(key, reason));
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.level) {
        problems.push(problem("log.level", format!("is no filter: {error}")));
    }
    problems
}

fn problem(key: &str, reason: String) -> Problem {
    Problem { key: key.to_owned(), source: "the configuration as a whole".to_owned(), reason }
}
