//! What only shows on a connection: bytes, and what becomes of the connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{CLIENT, PROJECT, Service};

/// Serves and connects.
async fn connect() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Service::new().router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    TcpStream::connect(address).await.unwrap()
}

/// Sends a request and reads its answer, head and body.
async fn exchange(connection: &mut TcpStream, line: &str, headers: &str, body: &[u8]) -> String {
    let head = format!(
        "{line} HTTP/1.1\r\nhost: x\r\nclient-id: {CLIENT}\r\nx-project-id: {PROJECT}\r\n\
         {headers}\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| rest.len() == length.parse::<usize>().unwrap()) {
                return text;
            }
        }
        assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0, "closed after {text:?}");
    }
}

#[tokio::test]
async fn header_names_are_written_in_lower_case() {
    let mut connection = connect().await;
    let answer = exchange(&mut connection, "PUT /v2/queues/q", "", b"").await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(answer.contains("\r\nlocation: /v2/queues/q\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 0\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_without_content_has_no_length() {
    let mut connection = connect().await;
    for line in ["DELETE /v2/queues/q", "GET /v2/ping", "HEAD /v2/ping"] {
        let answer = exchange(&mut connection, line, "", b"").await;
        assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
        assert!(!answer.contains("content-"), "{answer}");
    }
}

#[tokio::test]
async fn chunked_bodies_are_taken() {
    let mut connection = connect().await;
    let body = b"10\r\n{\"messages\": [{\"\r\n15\r\nbody\": \"in pieces\"}]}\r\n0\r\n\r\n";
    let headers = "transfer-encoding: chunked\r\n";
    let line = "POST /v2/queues/q/messages";
    let answer = exchange(&mut connection, line, headers, body).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
}

#[tokio::test]
async fn a_refused_body_is_read_away_and_the_connection_goes_on() {
    let mut connection = connect().await;
    let body = vec![b'x'; 300_000];
    let headers = "content-length: 300000\r\n";
    for (line, status) in
        [("POST /v2/queues/q/messages", "400 Bad Request"), ("POST /nowhere", "404 Not Found")]
    {
        let answer = exchange(&mut connection, line, headers, &body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
    }
    let answer = exchange(&mut connection, "GET /", "", b"").await;
    assert!(answer.starts_with("HTTP/1.1 300 Multiple Choices\r\n"), "{answer}");
}
