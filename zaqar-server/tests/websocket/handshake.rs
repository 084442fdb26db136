//! Who becomes a connection, and what everybody else is told.

use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

use crate::client::{Client, Format, connect};
use crate::world::World;

/// Sends a request as it is and reads the whole answer.
async fn exchange(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The status of a handshake that fails.
async fn refused(world: &World, path: &str, headers: &[(&'static str, &str)]) -> StatusCode {
    match connect(world.address, path, headers).await {
        Err(Error::Http(response)) => response.status(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn any_path_and_query_leads_in_and_no_protocol_is_chosen() {
    let world = World::new().await;
    for path in ["/", "/any/path?token=x"] {
        let socket = connect(world.address, path, &[]).await.unwrap();
        let mut client = Client::over(socket, Format::Json);
        client.call("queue_list", json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn a_plain_get_is_told_what_this_is() {
    let world = World::new().await;
    let answer = exchange(&world, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain"), "{answer}");
    assert!(answer.ends_with("This port speaks WebSocket, with Zaqar's messaging API inside.\n"));
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let world = World::new().await;
    let good = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (line, headers, status) in [
        ("GET / HTTP/1.1", "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n", "400"),
        ("GET / HTTP/1.1", "Sec-WebSocket-Version: 13\r\n", "400"),
        ("GET / HTTP/1.1", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "426"),
        ("POST / HTTP/1.1", good, "400"),
    ] {
        let request = format!(
            "{line}\r\nhost: x\r\nUpgrade: websocket\r\nConnection: close, Upgrade\r\n{headers}\r\n"
        );
        let answer = exchange(&world, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_not_connect() {
    let world = World::changed(|config| config.allowed_origin = vec!["https://a.example".into()]);
    let world = world.await;
    for stranger in ["https://b.example", "null"] {
        let status = refused(&world, "/", &[("origin", stranger)]).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    connect(world.address, "/", &[("origin", "https://a.example")]).await.unwrap();
    connect(world.address, "/", &[]).await.unwrap();
}

#[tokio::test]
async fn a_host_that_names_another_port_is_refused_where_one_is_known() {
    let world = World::changed(|config| config.external_port = Some(9000)).await;
    assert_eq!(refused(&world, "/", &[]).await, StatusCode::BAD_REQUEST);
    connect(world.address, "/", &[("host", "zaqar.example:9000")]).await.unwrap();
}

#[tokio::test]
async fn more_connections_than_there_may_be_are_refused_until_one_has_gone() {
    let world = World::changed(|config| config.connections_max = 2).await;
    let first = world.client().await;
    let _second = world.client().await;
    let status = refused(&world, "/", &[]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    first.close().await;
    while connect(world.address, "/", &[]).await.is_err() {
        tokio::task::yield_now().await;
    }
}
