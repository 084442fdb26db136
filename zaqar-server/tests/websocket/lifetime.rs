//! How connections end.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::client::{Client, Format, connect};
use crate::world::World;

#[tokio::test]
async fn a_message_that_is_too_large_closes_the_connection_with_1009() {
    for format in [Format::Json, Format::MessagePack] {
        let world = World::changed(|config| config.message_bytes_max = 1_024).await;
        let mut client = Client::open(world.address, format).await;
        // The largest post fits, however little is configured.
        client.post("q", &[json!("x".repeat(262_000))]).await;
        let large = "x".repeat(400_000);
        client
            .send_message(match format {
                Format::Json => Message::text(large),
                Format::MessagePack => Message::binary(large),
            })
            .await;
        assert_eq!(client.read_to_close().await.map(|said| said.code), Some(CloseCode::Size));
    }
}

#[tokio::test]
async fn who_shows_no_sign_of_life_is_closed_and_who_answers_pings_is_not() {
    let world = World::changed(|config| {
        config.ping_period = Duration::from_millis(20);
        config.idle_timeout = Duration::from_millis(400);
    })
    .await;
    let mut lively = world.client().await;
    // Reading is what answers pings.
    let listening = tokio::spawn(async move { lively.read_to_close().await });
    let silent = connect(world.address, "/", &[]).await.unwrap();
    let mut sent = Vec::new();
    silent.into_inner().read_to_end(&mut sent).await.unwrap();
    let ping = [0x89, 0x00];
    assert!(sent.starts_with(&ping), "{sent:?}");
    let last = sent.split_at(sent.iter().position(|byte| *byte == 0x88).unwrap()).1;
    assert_eq!(last[2..4], 1008_u16.to_be_bytes());
    assert!(!listening.is_finished());
    listening.abort();
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_lets_nobody_in() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.queue("q").await;
    assert!(world.sockets.shut_down(Duration::from_secs(120)).await);
    let said = client.read_to_close().await.unwrap();
    assert_eq!(said.code, CloseCode::Away);
    assert!(connect(world.address, "/", &[]).await.is_err());
}

#[tokio::test]
async fn a_client_that_says_goodbye_is_let_go() {
    let world = World::new().await;
    world.client().await.close().await;
}

#[tokio::test]
async fn a_broken_protocol_closes_the_connection_with_1002() {
    let world = World::new().await;
    let socket = connect(world.address, "/", &[]).await.unwrap();
    let mut stream = socket.into_inner();
    // A frame of a client must be masked.
    stream.write_all(&[0x81, 0x02, b'{', b'}']).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert_eq!(
        said.get(..4).map(|frame| (frame[0], &frame[2..4])),
        Some((0x88, &[0x03, 0xea][..]))
    );
}
