//! What every answer says, whoever gives it: handler, router, or the server when there is neither.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;

use crate::support::client::{Answer, Client};
use crate::{POST, Server, exchange, post_head, read_to_close};

const ORIGIN: &str = "https://app.example";

async fn ask(client: &mut Client, method: Method, path: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("origin", ORIGIN)
        .header("x-project-id", "tests")
        .body(Full::new(Bytes::new()));
    client.send(request.unwrap()).await.unwrap()
}

/// Asserts that the head of an answer, as text, has what every one has.
#[track_caller]
fn is_complete(answer: &str) {
    for header in ["x-content-type-options: nosniff", "x-openstack-request-id: req-"] {
        assert!(answer.contains(header), "{header} is not in: {answer}");
    }
    assert!(answer.contains("cache-control: "), "{answer}");
}

#[tokio::test]
async fn every_answer_has_its_id_and_says_how_it_may_be_used() {
    let server =
        Server::start(|config| config.cors.allowed_origin = [ORIGIN].into()).await.unwrap();
    let mut client = server.client().await.unwrap();
    for (method, path, status) in [
        (Method::GET, "/", StatusCode::MULTIPLE_CHOICES),
        (Method::GET, "/v2/queues", StatusCode::BAD_REQUEST),
        (Method::GET, "/nothing/here", StatusCode::NOT_FOUND),
        (Method::POST, "/v2/queues", StatusCode::BAD_REQUEST),
        (Method::POST, "/v2/ping", StatusCode::BAD_REQUEST),
        (Method::OPTIONS, "/v2/queues", StatusCode::OK),
    ] {
        let answer = ask(&mut client, method.clone(), path).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let says = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(says("x-content-type-options"), Some("nosniff"), "{method} {path}");
        assert_eq!(says("cache-control"), Some("no-store"), "{method} {path}");
        assert!(says("x-openstack-request-id").unwrap().starts_with("req-"), "{method} {path}");
        assert_eq!(says("strict-transport-security"), None, "{method} {path}");
        if method != Method::OPTIONS {
            let allowed = says("access-control-allow-origin");
            assert_eq!(allowed, Some(ORIGIN), "{method} {path}");
        }
    }
    // What the home document says of itself stays.
    let home = client.get("/v2/").await.unwrap();
    assert_eq!(home.headers["cache-control"], "max-age=86400");
    // Of WebSocket, too.
    let refused = client.get("/v2/ws").await.unwrap();
    assert_eq!(refused.status, StatusCode::UPGRADE_REQUIRED);
    assert!(refused.headers.contains_key("x-openstack-request-id"));
    server.stop().await;
}

#[tokio::test]
async fn so_has_the_answer_to_a_request_that_took_too_long() {
    let server = Server::start(|config| {
        config.limits.request_timeout_ms = 50;
        config.limits.body_rate_min_bytes_per_s = 0;
        config.cors.allowed_origin = [ORIGIN].into();
    });
    let server = server.await.unwrap();
    let head = post_head(POST.len()).replace("host:", &format!("origin: {ORIGIN}\r\nhost:"));
    let answer = exchange(&mut server.raw().await.unwrap(), head.as_bytes()).await;
    assert!(answer.contains("HTTP/1.1 503 "), "{answer}");
    is_complete(&answer);
    assert!(answer.contains(&format!("access-control-allow-origin: {ORIGIN}")), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn so_has_the_answer_to_a_connection_that_is_too_many() {
    let server = Server::start(|config| config.limits.connections_per_peer_max = 1).await.unwrap();
    let mut first = server.client().await.unwrap();
    first.get("/").await.unwrap();
    let answer = read_to_close(&mut server.raw().await.unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with('}'), "{answer}");
    is_complete(&answer);
    server.stop().await;
}
