//! The subscribers: web servers, each on a port of its own, that behave well or badly.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::history::{Arrival, Recorder};

/// What signs the requests.
pub(crate) const SECRET: &str = "survivors";

/// Where a redirect leads.
const ELSEWHERE: &str = "/elsewhere";

/// How a subscriber behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes everything.
    Takes,
    /// Fails at the first two attempts at the first message of each post, and takes all others.
    FailsFirst,
    /// Answers 500 for good.
    Fails,
    /// Never answers.
    Hangs,
    /// Sends everybody elsewhere.
    Redirects,
}

/// The twenty-five of them.
pub(crate) const MANNERS: [(Manner, usize); 5] = [
    (Manner::Takes, 14),
    (Manner::FailsFirst, 4),
    (Manner::Fails, 3),
    (Manner::Hangs, 2),
    (Manner::Redirects, 2),
];

impl Manner {
    /// Whether it takes everything sooner or later.
    pub(crate) fn is_sound(self) -> bool {
        matches!(self, Self::Takes | Self::FailsFirst)
    }

    /// The subscription's options: those that never take anything are tried three times in five
    /// seconds, the others for longer than any machine stands still.
    pub(crate) fn options(self) -> Value {
        let (at_once, later, least) = if self.is_sound() { (3, 120, 1) } else { (0, 0, 0) };
        json!({"_retry_policy": {
            "retries_with_no_delay": at_once, "minimum_delay_retries": later,
            "minimum_delay": least, "maximum_delay": least + 10, "maximum_delay_retries": later,
        }})
    }
}

/// A web server that subscribes.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: String,
    pub(crate) manner: Manner,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Shared {
    number: usize,
    manner: Manner,
    recorder: Arc<Recorder>,
}

impl Receiver {
    /// Starts all of them.
    pub(crate) async fn all(recorder: &Arc<Recorder>) -> anyhow::Result<Vec<Self>> {
        let manners =
            MANNERS.iter().flat_map(|(manner, count)| std::iter::repeat_n(*manner, *count));
        let mut receivers = Vec::new();
        for (number, manner) in manners.enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = format!("http://{}/hook", listener.local_addr()?);
            let shared = Arc::new(Shared { number, manner, recorder: Arc::clone(recorder) });
            let router = Router::new().fallback(answer).with_state(shared);
            let server = tokio::spawn(async move { axum::serve(listener, router).await });
            receivers.push(Self { address, manner, server });
        }
        Ok(receivers)
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Shared { number, manner, recorder } = &*shared;
    if uri.path() == ELSEWHERE {
        recorder.followed(*number);
        return StatusCode::NO_CONTENT.into_response();
    }
    let arrival = arrival(*number, &headers, &body);
    let is_first = arrival.key.ends_with("-0");
    let taken = recorder.arrived(arrival, *manner == Manner::Takes, |before| match manner {
        Manner::Takes => true,
        Manner::FailsFirst => before >= 2 || !is_first,
        Manner::Fails | Manner::Hangs | Manner::Redirects => false,
    });
    match manner {
        Manner::Takes | Manner::FailsFirst if taken => StatusCode::NO_CONTENT.into_response(),
        Manner::Takes | Manner::FailsFirst => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Manner::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Manner::Hangs => std::future::pending().await,
        Manner::Redirects => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, ELSEWHERE)]).into_response()
        }
    }
}

/// What came, as far as it can be read; what cannot is empty, and so no message that was posted.
fn arrival(subscriber: usize, headers: &HeaderMap, body: &[u8]) -> Arrival {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |pointer| said.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    Arrival {
        subscriber,
        webhook_id: named(headers, "webhook-id").to_owned(),
        message: text("/message_id").to_owned(),
        key: text("/body/key").to_owned(),
        signed: is_signed(headers, body),
        taken: false,
    }
}

fn named<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// As docs/notifications.md tells receivers to look.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else { return false };
    let (id, timestamp) = (named(headers, "webhook-id"), named(headers, "webhook-timestamp"));
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let signature = named(headers, "webhook-signature").strip_prefix("v1,").unwrap_or_default();
    STANDARD.decode(signature).is_ok_and(|signature| mac.verify_slice(&signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_checked_over_id_time_and_body() {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(b"msg_1.1767225600.{}");
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_1".parse().unwrap());
        headers.insert("webhook-timestamp", "1767225600".parse().unwrap());
        assert!(!is_signed(&headers, b"{}"));
        headers.insert("webhook-signature", signature.parse().unwrap());
        assert!(is_signed(&headers, b"{}"));
        assert!(!is_signed(&headers, b"{ }"));
        headers.insert("webhook-id", "msg_2".parse().unwrap());
        assert!(!is_signed(&headers, b"{}"));
    }

    #[test]
    fn there_are_twenty_five_subscribers() {
        assert_eq!(MANNERS.iter().map(|(_, count)| count).sum::<usize>(), 25);
    }
}
