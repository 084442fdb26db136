//! The sockets workload against a stub that pushes what it is posted, or keeps something to itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;
use zaqar_bench::cli::{Cli, Task};
use zaqar_bench::sockets::{self, SocketsResult};

/// What the first connection is not pushed, or is pushed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    Honest,
    Keeps(u64),
    Repeats(u64),
}

#[derive(Debug)]
struct Stub {
    plant: Plant,
    posts: broadcast::Sender<Value>,
    connections: AtomicU64,
}

impl Stub {
    async fn start(plant: Plant) -> SocketAddr {
        let (posts, _) = broadcast::channel(1_024);
        let stub = Arc::new(Self { plant, posts, connections: AtomicU64::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stub = Arc::clone(&stub);
                tokio::spawn(async move { stub.serve(stream).await });
            }
        });
        address
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut start = [0; 4];
        while stream.peek(&mut start).await.ok()? < start.len() {
            tokio::task::yield_now().await;
        }
        if &start == b"GET " { self.push(stream).await } else { self.answer(stream).await }
    }

    /// Takes posts and deletions, one after the other.
    async fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let at = head.len();
                if stream.read_line(&mut head).await.ok()? == 0 {
                    return None;
                }
                if let Some(bytes) = head[at..].strip_prefix("content-length: ") {
                    length = bytes.trim().parse().ok()?;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            let status = if head.starts_with("DELETE") { "204 No Content" } else { "201 Created" };
            if length > 0 {
                let document: Value = serde_json::from_slice(&body).unwrap();
                self.posts.send(document["messages"][0]["body"].clone()).ok();
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
        }
    }

    async fn push(&self, stream: TcpStream) -> Option<()> {
        let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
        socket.next().await?.ok()?;
        let mut posts = self.posts.subscribe();
        let is_first = self.connections.fetch_add(1, Ordering::Relaxed) == 0;
        let answer = json!({"headers": {"status": 201}});
        socket.send(Message::text(answer.to_string())).await.ok()?;
        while let Ok(body) = posts.recv().await {
            let times = match self.plant {
                Plant::Keeps(number) if is_first && body["n"] == number => 0,
                Plant::Repeats(number) if is_first && body["n"] == number => 2,
                _ => 1,
            };
            for _ in 0..times {
                let pushed = json!({"body": body}).to_string();
                socket.send(Message::text(pushed)).await.ok()?;
            }
        }
        None
    }
}

async fn run(plant: Plant, patience: &str) -> SocketsResult {
    let url = format!("http://{}", Stub::start(plant).await);
    let words = ["zaqar-bench", "sockets", "--sockets=5", "--messages=20", "--body-bytes=100"];
    let timeout = format!("--timeout={patience}");
    let pid = format!("--server-pid={}", std::process::id());
    let cli = Cli::parse_from(words.into_iter().chain(["--url", &url, &timeout, &pid]));
    let Task::Sockets(options) = cli.command.task() else { panic!("another task") };
    sockets::run(options).await.unwrap()
}

#[tokio::test]
async fn every_socket_gets_every_message_and_the_memory_of_the_server_is_told() {
    let result = run(Plant::Honest, "60").await;
    assert!(result.is_good());
    assert_eq!((result.missing, result.doubled, result.misordered), (0, 0, 0));
    assert!(result.rss_most > Some(0) && result.rss_open > Some(0));
    assert!(result.to_string().contains("100 pushed"), "{result}");
}

#[tokio::test]
async fn a_message_that_one_socket_does_not_get_is_missed() {
    let result = run(Plant::Keeps(7), "3").await;
    assert!(!result.is_good() && result.missing >= 1);
    assert!(result.to_string().contains("FAILED"), "{result}");
}

#[tokio::test]
async fn a_message_that_comes_twice_is_told_and_counts_once() {
    let result = run(Plant::Repeats(7), "60").await;
    assert!(result.is_good());
    assert_eq!((result.missing, result.doubled), (0, 1));
}
