//! The headers of a request: ours, and what the tenant may add.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use zaqar_core::Subscription;

/// The option that holds the tenant's headers.
const POST_HEADERS: &str = "post_headers";
/// Most headers of a tenant, and most bytes of each.
const HEADERS_MAX: usize = 50;
const VALUE_BYTES_MAX: usize = 4_096;

/// Headers that frame the message, steer the connection, or speak for somebody.
const CLOSED: [&str; 19] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-auth-token",
    "x-service-token",
    "x-subject-token",
];
const CLOSED_PREFIXES: [&str; 5] = ["proxy-", "sec-", "webhook-", "x-forwarded-", "zaqar-"];

fn is_open(name: &HeaderName) -> bool {
    let name = name.as_str();
    !CLOSED.contains(&name) && !CLOSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// `Content-Type` and what the tenant adds or puts in its place. What may not be set is left out.
pub(crate) fn of(subscription: &Subscription) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let wanted = subscription.options.get(POST_HEADERS).and_then(Value::as_object);
    for (name, value) in wanted.into_iter().flatten().take(HEADERS_MAX) {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        // Line breaks and other control characters are in neither type.
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(is_open);
        let value = Some(value).filter(|value| value.len() <= VALUE_BYTES_MAX);
        let value = value.and_then(|value| HeaderValue::from_str(&value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::webhook::samples;

    #[test]
    fn a_tenant_adds_headers_but_not_those_that_steer_the_request() {
        let mut subscription = samples::subscription("http://receiver.example/");
        assert_eq!(of(&subscription).get("content-type").unwrap(), "application/json");
        subscription.options.insert(
            "post_headers".into(),
            json!({
                "Content-Type": "text/plain", "X-Mine": "yes", "X-Number": 5, "X-List": [],
                "Host": "other", "content-LENGTH": "0", "Transfer-Encoding": "chunked",
                "X-Auth-Token": "t", "Authorization": "b", "Proxy-Authorization": "b",
                "webhook-id": "mine", "X-Line": "a\r\nHost: b", "X Name": "b", "": "c",
                "X-Nul": "a\u{0}b", "X-Long": "x".repeat(5_000),
            }),
        );
        let headers = of(&subscription);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-mine", "x-number"]);
        assert_eq!(headers.get("content-type").unwrap(), "text/plain");
    }
}
