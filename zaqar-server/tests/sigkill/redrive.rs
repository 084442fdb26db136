//! The program is killed while it sends dead letters back: each is in the end where it came from, once.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};

use super::start;
use super::support::client::Client;
use super::support::program::Program;

const MESSAGES: u64 = 120;
/// The program is killed when so many messages are back, if it has not sent all by then.
const BACK: [usize; 4] = [10, 35, 60, 90];
const TERMS: &str = r#"{"ttl": 600, "grace": 60}"#;

/// Messages of queue `q`, all of which die into `dead`: each is claimed once and given back.
async fn die(program: &Program) -> anyhow::Result<()> {
    let mut client = Client::connect(program.address).await?;
    let metadata = json!({"_max_claim_count": 1, "_dead_letter_queue": "dead"}).to_string();
    let made = client.call(Method::PUT, "/v2/queues/q", metadata).await?;
    ensure!(made.status == 201, "{} {}", made.status, made.text());
    for from in (0..MESSAGES).step_by(60) {
        let bodies: Vec<Value> = (from..from + 60).map(|body| json!({"body": body})).collect();
        let post = json!({"messages": bodies}).to_string();
        let posted = client.call(Method::POST, "/v2/queues/q/messages", post).await?;
        ensure!(posted.status == 201, "{} {}", posted.status, posted.text());
    }
    loop {
        let claimed = client.call(Method::POST, "/v2/queues/q/claims?limit=20", TERMS).await?;
        if claimed.status == 204 {
            return Ok(());
        }
        ensure!(claimed.status == 201, "{} {}", claimed.status, claimed.text());
        let claim = claimed.headers.get("location").context("no location")?.to_str()?;
        let given_back = client.call(Method::DELETE, claim, "").await?;
        ensure!(given_back.status == 204, "{} {}", given_back.status, given_back.text());
    }
}

/// What the messages of a queue say, each of which must say something else.
async fn bodies(client: &mut Client, queue: &str) -> anyhow::Result<BTreeSet<u64>> {
    let path = format!("/v2/queues/{queue}/messages?echo=true&include_claimed=true&limit=1000");
    let document = client.get(&path).await?.json()?;
    let mut bodies = BTreeSet::new();
    for message in document["messages"].as_array().context("no messages")? {
        let body = message["body"].as_u64().context("no number")?;
        ensure!(bodies.insert(body), "{body} is in queue {queue} twice");
    }
    Ok(bodies)
}

/// Redrives all there is, a few messages with each call.
async fn redrive(program: &Program) -> anyhow::Result<()> {
    let mut client = Client::connect(program.address).await?;
    let mut marker = Value::Null;
    loop {
        let wanted = json!({"limit": 10, "marker": marker}).to_string();
        let answer = client.call(Method::POST, "/v2/queues/dead/redrive", wanted).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        let report = answer.json()?;
        ensure!(report["left"] == json!([]), "something is left: {report}");
        marker = report["next"].clone();
        if marker.is_null() {
            return Ok(());
        }
    }
}

/// Lets the program redrive until so many messages are back, or it has ended.
async fn redrive_until(program: &Program, back: usize) -> anyhow::Result<()> {
    let mut client = Client::connect(program.address).await?;
    let watch = async {
        while bodies(&mut client, "q").await?.len() < back {}
        Ok(())
    };
    tokio::select! {
        ended = redrive(program) => ended,
        reached = watch => reached,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_sent_back_once_however_often_the_program_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zaqar.db");
    let mut program = start(&file).await.unwrap();
    die(&program).await.unwrap();
    let all: BTreeSet<u64> = (0..MESSAGES).collect();
    let (mut in_the_middle, mut in_both) = (0, 0);
    for back in BACK {
        redrive_until(&program, back).await.unwrap();
        program.child.kill().await.unwrap();
        program = start(&file).await.unwrap();
        let mut client = Client::connect(program.address).await.unwrap();
        let sent = bodies(&mut client, "q").await.unwrap();
        let dead = bodies(&mut client, "dead").await.unwrap();
        assert_eq!(&sent | &dead, all, "a message is in neither queue");
        in_the_middle += u64::from(!sent.is_empty() && !dead.is_empty());
        in_both += (&sent & &dead).len();
    }
    redrive(&program).await.unwrap();
    let mut client = Client::connect(program.address).await.unwrap();
    assert_eq!(bodies(&mut client, "q").await.unwrap(), all);
    assert_eq!(bodies(&mut client, "dead").await.unwrap(), BTreeSet::new());
    println!("{in_the_middle} kills in the middle, {in_both} messages in both queues after one");
    // A run whose every kill came before or after the redrive would have shown nothing.
    assert!(in_the_middle > 0, "no kill met a redrive");
    program.child.kill().await.unwrap();
}
