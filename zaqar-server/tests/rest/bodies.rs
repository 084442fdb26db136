//! Bodies that lie about their length, never end, or come in pieces.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Request;

use crate::support::{CLIENT, PROJECT, Service};

const LINE: &str = "POST /v2/queues/q/messages";
const TOO_LARGE: &str = "Message collection size is too large. Max size 262144";

/// A request without declared length, as chunked ones are.
fn chunked(path: &str, body: Body) -> Request<Body> {
    Request::post(path)
        .header("client-id", CLIENT)
        .header("x-project-id", PROJECT)
        .body(body)
        .unwrap()
}

/// A body of many pieces, and how many of them were asked for.
fn pieces(piece: Bytes, count: usize) -> (Body, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let pieces = stream::iter((0..count).map(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(piece.clone())
    }));
    (Body::from_stream(pieces), asked)
}

#[tokio::test]
async fn a_body_may_come_in_pieces_without_a_declared_length() {
    let service = Service::new();
    let document = br#"{"messages": [{"body": "in pieces"}]}"#;
    let parts: Vec<_> = document.chunks(3).map(|p| Ok::<_, Infallible>(Bytes::from(p))).collect();
    let body = Body::from_stream(stream::iter(parts));
    let reply = service.send(chunked("/v2/queues/q/messages", body)).await;
    let id = reply.ids().remove(0);
    let shown = service.call(&format!("GET /v2/queues/q/messages/{id}"), "").await;
    assert_eq!(shown.json()["body"], "in pieces");
    let empty = service.send(chunked("/v2/queues/q/messages", Body::empty())).await;
    assert_eq!(empty.error().2, "Request body can not be empty");
}

#[tokio::test]
async fn a_body_without_end_is_refused_and_not_read_for_ever() {
    let service = Service::new();
    let (body, asked) = pieces(Bytes::from(vec![b' '; 65_536]), 1_000_000);
    let reply = service.send(chunked("/v2/queues/q/messages", body)).await;
    assert_eq!((reply.status, reply.error().2.as_str()), (400, TOO_LARGE));
    assert!(asked.load(Ordering::Relaxed) < 100);
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 404);
}

#[tokio::test]
async fn a_body_that_declares_too_much_is_refused_before_it_is_read() {
    let service = Service::new();
    let (body, asked) = pieces(Bytes::from_static(b"{"), 10);
    let mut request = chunked("/v2/queues/q/messages", body);
    request.headers_mut().insert("content-length", "300000000".parse().unwrap());
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let reply = service.send(request).await;
    assert_eq!((reply.status, reply.error().2.as_str()), (400, TOO_LARGE));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_unwanted_body_is_read_away_so_that_its_sender_sees_the_answer() {
    let service = Service::new();
    let (body, asked) = pieces(Bytes::from(vec![b' '; 1_000]), 100);
    let reply = service.send(chunked("/nowhere", body)).await;
    assert_eq!(reply.status, 404);
    assert_eq!(asked.load(Ordering::Relaxed), 100);
}

#[tokio::test]
async fn a_length_that_is_no_number_is_refused() {
    let service = Service::new();
    let text = "The value provided for the \"Content-Length\" header is invalid. The value of the \
                header must be a";
    for (length, end) in [("many", "number."), ("", "number."), ("-5", "positive number.")] {
        let reply = service.call_with(LINE, &[("content-length", length)], "{}").await;
        let expected = (400, "Invalid header value".into(), format!("{text} {end}"));
        assert_eq!(reply.error(), expected, "{length}");
    }
}

#[tokio::test]
async fn every_route_that_reads_a_body_has_a_bound() {
    let service = Service::new();
    let large = " ".repeat(262_145);
    let text = "Request body is too large. Max size: 65536";
    for line in [
        "POST /v2/queues/q/claims",
        "PATCH /v2/queues/q/claims/0123456789abcdef0123456789abcdef",
        "POST /v2/queues/q/purge",
    ] {
        let reply = service.call(line, &large).await;
        assert_eq!(reply.error(), (400, "Invalid API request".into(), text.into()), "{line}");
    }
}

#[tokio::test]
async fn hostile_documents_get_the_named_error_on_every_route() {
    let service = Service::new();
    let deep = format!("{{\"messages\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = "{\"a\":".repeat(10_000);
    let long_number = format!("[{}]", "9".repeat(10_000));
    let long_float = format!("[{}.0]", "9".repeat(10_000));
    let unparsable = "Request body could not be parsed.";
    let too_large = "JSON contains integer that is too large.";
    let rows: [(&[u8], &str); 9] = [
        (deep.as_bytes(), unparsable),
        (objects.as_bytes(), unparsable),
        (b"{\"messages\": \"\xff\xfe\"}", unparsable),
        (b"\xef\xbb\xbf{}", unparsable),
        (b"{\"a\": \"\x00\"}", unparsable),
        (b"{\"a\": \"\\udc00\"}", unparsable),
        (b"{\"a\": -Infinity}", unparsable),
        (long_number.as_bytes(), too_large),
        (long_float.as_bytes(), unparsable),
    ];
    let patch = ("content-type", "application/openstack-messaging-v2.0-json-patch");
    for (body, description) in rows {
        for line in [
            LINE,
            "PUT /v2/queues/q",
            "PATCH /v2/queues/q",
            "POST /v2/queues/q/claims",
            "PATCH /v2/queues/q/claims/0123456789abcdef0123456789abcdef",
            "POST /v2/queues/q/purge",
        ] {
            let reply = service.call_with(line, &[patch], body).await;
            assert_eq!(reply.error(), (400, "Invalid request body".into(), description.into()));
        }
    }
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 404);
}
