//! The fan-out workload against a stub that delivers what it is posted, or keeps something to itself.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{post, put};
use clap::Parser;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zaqar_bench::cli::{Cli, Task};
use zaqar_bench::fan_out::{self, FanOutResult};

/// The address of each subscriber, by queue.
type Subscribers = Arc<Mutex<HashMap<String, Vec<String>>>>;

#[derive(Clone, Default)]
struct Stub {
    subscribers: Subscribers,
    posts: Arc<Mutex<usize>>,
    /// The post that one subscriber does not get.
    kept: Option<usize>,
}

impl Stub {
    async fn start(kept: Option<usize>) -> SocketAddr {
        let stub = Self { kept, ..Self::default() };
        let router = Router::new()
            .route("/v2/queues/{queue}", put(|| async { StatusCode::CREATED }).delete(deleted))
            .route("/v2/queues/{queue}/subscriptions", post(subscribed))
            .route("/v2/queues/{queue}/messages", post(posted))
            .with_state(stub);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

async fn deleted() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn subscribed(
    State(stub): State<Stub>,
    Path(queue): Path<String>,
    body: String,
) -> StatusCode {
    let body: Value = serde_json::from_str(&body).unwrap();
    let address = body["subscriber"].as_str().unwrap().to_owned();
    stub.subscribers.lock().unwrap().entry(queue).or_default().push(address);
    StatusCode::CREATED
}

async fn posted(State(stub): State<Stub>, Path(queue): Path<String>) -> StatusCode {
    let addresses = stub.subscribers.lock().unwrap().get(&queue).cloned().unwrap_or_default();
    if !addresses.is_empty() {
        let number = {
            let mut posts = stub.posts.lock().unwrap();
            *posts += 1;
            *posts
        };
        let skipped = usize::from(stub.kept == Some(number));
        for (which, address) in addresses.into_iter().enumerate().skip(skipped) {
            tokio::spawn(async move { deliver(&address, &format!("{number}-{which}")).await });
        }
    }
    StatusCode::CREATED
}

async fn deliver(address: &str, id: &str) -> Option<()> {
    let (host, path) = address.strip_prefix("http://")?.split_once('/')?;
    let mut stream = TcpStream::connect(host).await.ok()?;
    let request = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\nWebhook-Id: {id}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.ok()?;
    assert_eq!(&answer, b"HTTP/1.1 204");
    Some(())
}

async fn run(kept: Option<usize>, more: &[&str]) -> anyhow::Result<FanOutResult> {
    let url = format!("http://{}", Stub::start(kept).await);
    let words = ["zaqar-bench", "fan-out", "--posts=5", "--subscribers=7", "--url", &url];
    let cli = Cli::parse_from(words.iter().chain(more));
    let Task::FanOut(options) = cli.command.task() else { panic!("another task") };
    fan_out::run(options).await
}

#[tokio::test]
async fn both_queues_are_timed_and_every_subscriber_gets_everything() {
    for more in [&[][..], &["--busy"]] {
        let result = run(None, more).await.unwrap();
        assert!(result.is_good());
        assert_eq!((result.missing, result.repeated, result.posts), (0, 0, 5));
        assert!(result.plain_ms.median > 0.0 && result.ratio() > 0.0);
        assert!(result.to_string().contains("35 deliveries"), "{result}");
    }
}

#[tokio::test]
async fn a_message_that_one_subscriber_does_not_get_is_missed() {
    // The last one: those before are waited for.
    let result = run(Some(25), &["--timeout=3"]).await.unwrap();
    assert_eq!(result.missing, 1);
    assert!(!result.is_good() && result.to_string().contains("FAILED"), "{result}");
}

#[tokio::test]
async fn a_delivery_that_stays_out_ends_the_run() {
    let error = run(Some(3), &["--timeout=3"]).await.unwrap_err().to_string();
    assert!(error.contains("of 21 deliveries came"), "{error}");
}
