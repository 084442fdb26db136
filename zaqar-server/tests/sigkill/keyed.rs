//! Posts under idempotency keys, whose answers are lost with the connection or with the program.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::start;
use super::support::client::{CLIENT_ID, Client};
use super::support::program::Program;

const PATH: &str = "/v2/queues/keyed/messages";

fn body(round: u64) -> String {
    format!(r#"{{"messages": [{{"body": {round}}}, {{"body": "{round}"}}]}}"#)
}

/// Posts and goes away without an answer.
async fn post_and_leave(program: &Program, round: u64) -> anyhow::Result<()> {
    let body = body(round);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nclient-id: {CLIENT_ID}\r\n\
         x-project-id: tests\r\nidempotency-key: round-{round}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(program.address).await?;
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.flush().await?;
    // Some rounds leave before the post is taken up, others while or after it is stored.
    if round.is_multiple_of(2) {
        stream.readable().await?;
    }
    Ok(())
}

async fn post(program: &Program, round: u64) -> anyhow::Result<String> {
    let mut client = Client::connect(program.address).await?;
    let request = Request::post(PATH)
        .header("host", "localhost")
        .header("client-id", CLIENT_ID)
        .header("x-project-id", "tests")
        .header("idempotency-key", format!("round-{round}"))
        .body(Full::new(Bytes::from(body(round))))?;
    let answer = client.send(request).await?;
    anyhow::ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
    Ok(answer.text())
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_is_stored_once_however_often_it_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zaqar.db");
    let mut program = start(&file).await.unwrap();
    for round in 0..12 {
        post_and_leave(&program, round).await.unwrap();
        if round.is_multiple_of(3) {
            program.child.kill().await.unwrap();
            program = start(&file).await.unwrap();
        }
        let first = post(&program, round).await.unwrap();
        assert_eq!(post(&program, round).await.unwrap(), first, "round {round}");
    }
    let mut client = Client::connect(program.address).await.unwrap();
    let stats = client.get("/v2/queues/keyed/stats").await.unwrap().json().unwrap();
    assert_eq!(stats["messages"]["total"], 24, "two messages for each of twelve keys");
    program.child.kill().await.unwrap();
}
