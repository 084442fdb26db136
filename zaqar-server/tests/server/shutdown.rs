//! The end of a server.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use zaqar_server::serve::Ended;

use crate::{CONTINUE, POST, Server, post_head, read_to_close, read_until};

#[tokio::test]
async fn a_request_that_was_accepted_is_finished() {
    let server = Server::start(|_| {}).await.unwrap();
    let address = server.address();
    let mut stream = server.raw().await.unwrap();
    stream.write_all(post_head(POST.len()).as_bytes()).await.unwrap();
    read_until(&mut stream, CONTINUE).await.unwrap();

    let stopping = tokio::spawn(server.stop());
    // Once nobody is let in any more, the server is stopping.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    stream.write_all(POST.as_bytes()).await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    assert_eq!(stopping.await.unwrap(), Ended::Finished);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off() {
    let server = Server::start(|config| config.limits.drain_timeout_ms = 20).await.unwrap();
    let mut stream = server.raw().await.unwrap();
    stream.write_all(post_head(POST.len()).as_bytes()).await.unwrap();
    read_until(&mut stream, CONTINUE).await.unwrap();
    assert_eq!(server.stop().await, Ended::CutOff);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_server_up() {
    let server = Server::start(|config| config.limits.drain_timeout_ms = 3_600_000).await.unwrap();
    let mut client = server.client().await.unwrap();
    client.get("/").await.unwrap();
    let mut silent = server.raw().await.unwrap();
    assert_eq!(server.stop().await, Ended::Finished);
    assert_eq!(read_to_close(&mut silent).await, "");
}
