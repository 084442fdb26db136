//! From HTTP to WebSocket: who may, and what everybody else is told.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Door, connection};
use crate::server::takeover::Held;

const VERSION: &str = "13";
/// A key is sixteen bytes in base64.
const KEY_CHARS: usize = 24;

/// Why a request does not become a connection: a status, and a line for whoever reads it.
type Refusal = (StatusCode, &'static str);

/// Answers a request to a door: 101, and the connection is served from then on, or why not.
pub(super) fn answer(door: &Door, mut request: Request) -> Response<Body> {
    let shared = &door.shared;
    if !asks_to_upgrade(request.headers()) {
        return plain(if door.is_own_port {
            (StatusCode::OK, "This port speaks WebSocket, with Zaqar's messaging API inside.\n")
        } else {
            (StatusCode::UPGRADE_REQUIRED, "This path speaks WebSocket.\n")
        });
    }
    let key = match check(door, &request) {
        Ok(key) => key,
        Err(refusal) => return plain(refusal),
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return plain((StatusCode::BAD_REQUEST, "This connection cannot be upgraded.\n"));
    };
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        return plain((StatusCode::SERVICE_UNAVAILABLE, "Too many connections.\n"));
    };
    let held = request.extensions_mut().remove::<Held>();
    let (shared, authority) = (Arc::clone(shared), Arc::clone(&door.authority));
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => connection::serve(TokioIo::new(upgraded), shared, authority).await,
            Err(error) => tracing::debug!(%error, "a WebSocket client left in its handshake"),
        }
        drop((held, place));
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    response
}

fn asks_to_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// The value that accepts the client's key.
fn check(door: &Door, request: &Request) -> Result<HeaderValue, Refusal> {
    let shared = &door.shared;
    let bad = |text| (StatusCode::BAD_REQUEST, text);
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(bad("A WebSocket handshake is a GET in HTTP/1.1.\n"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(bad("The Connection header must say Upgrade.\n"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err((StatusCode::UPGRADE_REQUIRED, "The WebSocket version must be 13.\n"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| key.len() == KEY_CHARS);
    let key = key.ok_or(bad("The Sec-WebSocket-Key header must hold sixteen bytes.\n"))?;
    if let Some(port) = shared.config.external_port
        && door.is_own_port
        && !names_port(headers, port, if shared.config.is_secured { 443 } else { 80 })
    {
        return Err(bad("The Host header names another port.\n"));
    }
    if !may_connect(headers, &shared.config.allowed_origin) {
        return Err((StatusCode::FORBIDDEN, "Pages of this origin may not connect.\n"));
    }
    if shared.stopping.is_cancelled() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "The server stops.\n"));
    }
    HeaderValue::try_from(derive_accept_key(key)).map_err(|_| bad("The key is not valid.\n"))
}

/// Whether a header that is a list of words has this one, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split(','));
    words.any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// A browser says which page connects, and only a browser has anybody's trust to abuse.
fn may_connect(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.all(|origin| {
        let is_listed =
            |allowed: &String| allowed == "*" || allowed.as_bytes() == origin.as_bytes();
        allowed.iter().any(is_listed) || is_own_address(origin, headers)
    })
}

/// Whether the origin is the very address that is connected to, which libraries outside browsers
/// send of themselves. A name does not count: whoever owns one can let it point here.
fn is_own_address(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| {
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
    });
    let (Some(host), Some(origin)) = (host, origin) else { return false };
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_address = bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok();
    is_address && origin == host
}

/// Whether the Host header, if there is one, names this port; without one it names the usual port.
fn names_port(headers: &HeaderMap, port: u16, usual: u16) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let authority = host.to_str().ok().and_then(|host| host.parse::<http::uri::Authority>().ok());
    authority.is_some_and(|authority| authority.port_u16().unwrap_or(usual) == port)
}

fn plain((status, text): Refusal) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_pages_of_allowed_origins_connect_and_whoever_names_none() {
        let allowed = ["https://app.example".to_owned()];
        assert!(may_connect(&headers(&[]), &allowed));
        assert!(may_connect(&headers(&[(ORIGIN, "https://app.example")]), &allowed));
        for stranger in ["https://evil.example", "null", "", "https://app.example:444"] {
            assert!(!may_connect(&headers(&[(ORIGIN, stranger)]), &allowed), "{stranger}");
        }
        assert!(!may_connect(&headers(&[(ORIGIN, "https://app.example")]), &[]));
        assert!(may_connect(&headers(&[(ORIGIN, "null")]), &["*".to_owned()]));
    }

    #[test]
    fn an_origin_that_is_the_address_itself_may_connect_and_a_name_may_not() {
        for (origin, host, may) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000", true),
            ("http://[::1]:9000", "[::1]:9000", true),
            ("https://localhost", "localhost", true),
            ("http://127.0.0.1:9001", "127.0.0.1:9000", false),
            ("http://127.0.0.1", "127.0.0.1:9000", false),
            ("http://rebound.example:9000", "rebound.example:9000", false),
            ("null", "127.0.0.1:9000", false),
        ] {
            let headers = headers(&[(ORIGIN, origin), (HOST, host)]);
            assert_eq!(may_connect(&headers, &[]), may, "{origin} {host}");
        }
    }

    #[test]
    fn a_host_names_its_port() {
        for (host, port) in [("a:9000", 9000), ("[::1]:9000", 9000), ("a", 80)] {
            assert!(names_port(&headers(&[(HOST, host)]), port, 80), "{host}");
            assert!(!names_port(&headers(&[(HOST, host)]), 9001, 80), "{host}");
        }
        assert!(names_port(&headers(&[]), 9000, 80));
        assert!(names_port(&headers(&[(HOST, "a")]), 443, 443));
    }
}
