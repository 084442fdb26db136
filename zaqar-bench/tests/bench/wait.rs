//! The wait workload against a stub that lets clients wait, or fails at it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{post, put};
use clap::Parser;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zaqar_bench::cli::{Cli, Task};
use zaqar_bench::wait::{self, WaitResult};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    Honest,
    /// Nobody gets this message.
    Keeps(u64),
    /// This message comes again, before the next one.
    Repeats(u64),
    /// Whoever wants to wait is answered at once.
    Hurries,
}

#[derive(Debug)]
struct Stub {
    plant: Plant,
    inlet: UnboundedSender<Value>,
    outlet: Mutex<UnboundedReceiver<Value>>,
}

async fn store(State(stub): State<Arc<Stub>>, document: String) -> StatusCode {
    let document: Value = serde_json::from_str(&document).unwrap();
    let body = document["messages"][0]["body"].clone();
    let number = body["n"].as_u64().unwrap();
    if let Plant::Repeats(again) = stub.plant
        && again + 1 == number
    {
        stub.inlet.send(json!({"n": again})).unwrap();
    }
    if stub.plant != Plant::Keeps(number) {
        stub.inlet.send(body).unwrap();
    }
    StatusCode::CREATED
}

async fn claim(
    State(stub): State<Arc<Stub>>,
    Query(query): Query<HashMap<String, String>>,
) -> (StatusCode, String) {
    let wait = match stub.plant {
        Plant::Hurries => Duration::ZERO,
        _ => Duration::from_secs(query["wait"].parse().unwrap()),
    };
    let next = async { stub.outlet.lock().await.recv().await.unwrap() };
    match tokio::time::timeout(wait, next).await {
        Ok(body) => (StatusCode::CREATED, json!({"messages": [{"body": body}]}).to_string()),
        Err(_) => (StatusCode::NO_CONTENT, String::new()),
    }
}

async fn run(plant: Plant, further: &[&str]) -> anyhow::Result<WaitResult> {
    let (inlet, outlet) = unbounded_channel();
    let stub = Arc::new(Stub { plant, inlet, outlet: Mutex::new(outlet) });
    let queue = put(async || StatusCode::CREATED).delete(async || StatusCode::NO_CONTENT);
    let router = Router::new()
        .route("/v2/queues/{queue}", queue)
        .route("/v2/queues/{queue}/messages", post(store))
        .route("/v2/queues/{queue}/claims", post(claim))
        .with_state(stub);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("--url=http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let pid = format!("--server-pid={}", std::process::id());
    let usual = ["zaqar-bench", "wait", "--queues=2", "--settle=0.01", "--idle=0.1", "--wakes=20"];
    let words = usual.into_iter().chain([url.as_str(), pid.as_str()]);
    let cli = Cli::parse_from(words.chain(further.iter().copied()));
    let Task::Wait(options) = cli.command.task() else { panic!("another task") };
    wait::run(options).await
}

#[tokio::test]
async fn every_message_wakes_one_waiter_and_what_idle_ones_cost_is_told() {
    let result = run(Plant::Honest, &["--waiters=5", "--timeout=60"]).await.unwrap();
    assert!(result.is_good());
    assert_eq!((result.missing, result.doubled), (0, 0));
    assert!(result.idle_cpu_percent.is_some() && result.rss_waiting > Some(0));
    assert!(result.to_string().contains("ok: 0 missing"), "{result}");
}

#[tokio::test]
async fn a_message_that_wakes_nobody_is_missed() {
    let result = run(Plant::Keeps(7), &["--waiters=2", "--timeout=3"]).await.unwrap();
    assert!(!result.is_good() && result.missing >= 1);
    assert!(result.to_string().contains("FAILED"), "{result}");
}

#[tokio::test]
async fn a_message_that_comes_twice_is_told() {
    let result = run(Plant::Repeats(7), &["--waiters=1", "--timeout=60"]).await.unwrap();
    assert!(!result.is_good());
    assert_eq!((result.missing, result.doubled), (0, 1));
}

#[tokio::test]
async fn a_server_that_does_not_wait_is_found_out() {
    let error = run(Plant::Hurries, &["--waiters=1", "--timeout=60"]).await.unwrap_err();
    assert!(error.to_string().contains("does not wait"), "{error}");
}
