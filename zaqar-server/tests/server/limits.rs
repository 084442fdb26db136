//! What a client can make the server hold, and that others are served meanwhile.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;

use crate::{CONTINUE, POST, Server, exchange, post_head, read_to_close, read_until};

/// Others are served.
async fn serves(server: &Server) -> anyhow::Result<bool> {
    let answer = server.client().await?.get("/").await?;
    Ok(answer.status == StatusCode::MULTIPLE_CHOICES)
}

#[tokio::test]
async fn a_flood_of_header_bytes_is_answered_431_and_disconnected() {
    let server = Server::start(|_| {}).await.unwrap();
    let mut stream = server.raw().await.unwrap();
    let mut flood = b"GET / HTTP/1.1\r\nhost: localhost\r\nx-flood: ".to_vec();
    flood.resize(4 * 1024 * 1024, b'a');
    let answer = exchange(&mut stream, &flood).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    drop(stream);
    assert!(serves(&server).await.unwrap());
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_header_fields_is_answered_431_and_disconnected() {
    let server = Server::start(|_| {}).await.unwrap();
    let mut stream = server.raw().await.unwrap();
    let fields: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
    let answer = exchange(&mut stream, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(serves(&server).await.unwrap());
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_cut_whatever_its_protocol() {
    let server = Server::start(|config| config.limits.header_read_timeout_ms = 50).await.unwrap();
    for beginning in ["", "GET / HTTP/1.1\r\nhost", "PRI * HTTP/2.0\r\n"] {
        let mut stream = server.raw().await.unwrap();
        assert_eq!(exchange(&mut stream, beginning.as_bytes()).await, "", "{beginning:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_second_head_on_a_connection_has_no_more_time_than_the_first() {
    let server = Server::start(|config| config.limits.header_read_timeout_ms = 500).await.unwrap();
    let mut stream = server.raw().await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "HTTP/1.1 300 ").await.unwrap();
    let rest = exchange(&mut stream, b"GET / HT").await;
    assert!(!rest.contains("HTTP/1.1"), "{rest}");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let server = Server::start(|config| {
        config.limits.idle_timeout_ms = 50;
        config.limits.header_read_timeout_ms = 500;
    });
    let server = server.await.unwrap();
    let mut stream = server.raw().await.unwrap();
    let answer = exchange(&mut stream, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 300 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_refused_with_nothing_stored() {
    let server = Server::start(|config| config.limits.body_rate_grace_ms = 50).await.unwrap();
    let mut stream = server.raw().await.unwrap();
    stream.write_all(post_head(POST.len()).as_bytes()).await.unwrap();
    read_until(&mut stream, CONTINUE).await.unwrap();
    let answer = exchange(&mut stream, b"{\"mess").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\"stored\": false"), "{answer}");
    let mut client = server.client().await.unwrap();
    let listed = client.get("/v2/queues/q/messages?echo=true").await.unwrap().json().unwrap();
    assert_eq!(listed["messages"], serde_json::json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_deletion_whose_useless_body_trickles_is_not_said_to_have_failed() {
    let server = Server::start(|config| config.limits.body_rate_grace_ms = 50).await.unwrap();
    let mut stream = server.raw().await.unwrap();
    let head = post_head(10).replace("POST", "DELETE").replace("expect: 100-continue\r\n", "");
    let head = head.replace("/messages", "/messages?ids=1");
    let answer = exchange(&mut stream, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\"stored\": \"unknown\""), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_request_has_only_so_much_time_in_all() {
    let server = Server::start(|config| {
        config.limits.request_timeout_ms = 50;
        config.limits.body_rate_min_bytes_per_s = 0;
    });
    let server = server.await.unwrap();
    let mut stream = server.raw().await.unwrap();
    let answer = exchange(&mut stream, post_head(POST.len()).as_bytes()).await;
    assert!(answer.contains("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\"stored\": false"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_cut() {
    let server = Server::start(|config| {
        config.limits.write_timeout_ms = 50;
        config.limits.header_read_timeout_ms = 200;
    });
    let server = server.await.unwrap();
    let mut stream = server.raw().await.unwrap();
    let requests = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    // The answers fill every buffer between here and there, then the server waits, then it cuts.
    while stream.write_all(&requests).await.is_ok() {}
    assert!(serves(&server).await.unwrap());
    server.stop().await;
}

#[tokio::test]
async fn one_peer_cannot_have_more_connections_than_allowed() {
    let server = Server::start(|config| config.limits.connections_per_peer_max = 2).await.unwrap();
    let mut first = server.client().await.unwrap();
    first.get("/").await.unwrap();
    let mut second = server.client().await.unwrap();
    second.get("/").await.unwrap();
    let mut third = server.raw().await.unwrap();
    let answer = read_to_close(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with('}'), "{answer}");
    first.get("/").await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn slow_clients_do_not_stall_others() {
    let server = Server::start(|_| {}).await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = server.raw().await.unwrap();
        stream.write_all(post_head(POST.len()).as_bytes()).await.unwrap();
        read_until(&mut stream, CONTINUE).await.unwrap();
        slow.push(stream);
    }
    assert!(serves(&server).await.unwrap());
    drop(slow);
    server.stop().await;
}

#[tokio::test]
async fn http_2_is_served_to_who_begins_with_it() {
    let server = Server::start(|_| {}).await.unwrap();
    let stream = TokioIo::new(server.raw().await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    let request = Request::get(format!("http://{}/", server.address()));
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::MULTIPLE_CHOICES);
    assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
    drop(sender);
    server.stop().await;
}
