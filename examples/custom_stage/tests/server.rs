//! A server with the stage, over HTTP.

use std::process::Command;

use reqwest::StatusCode;
use serde_json::{Value, json};
use zaqar_server::config::{Config, Layers};
use zaqar_server::serve::{self, Ended, RunningServer};

const CONFIGURATION: &str = include_str!("../zaqar-server.toml");

/// The configuration of the example, on free ports and with a file of its own.
fn configuration(folder: &tempfile::TempDir) -> anyhow::Result<Config> {
    let uri = format!("sqlite:{}", folder.path().join("zaqar.db").display());
    let config = Layers::new()
        .text("zaqar-server.toml", CONFIGURATION)?
        .flag("test", "drivers.message_store.uri", &uri)
        .flag("test", "drivers.transport.wsgi.port", "0")
        .flag("test", "admin.port", "0")
        .load()?;
    Ok(config)
}

fn client() -> anyhow::Result<reqwest::Client> {
    // The crate's TLS needs to be told by whom; this test speaks none.
    rustls::crypto::ring::default_provider().install_default().ok();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn post(
    http: &reqwest::Client,
    server: &RunningServer,
    queue: &str,
    bodies: &[&str],
) -> anyhow::Result<(StatusCode, Value)> {
    let messages: Vec<Value> = bodies.iter().map(|body| json!({ "body": body })).collect();
    let url = format!("http://{}/v2/queues/{queue}/messages", server.address());
    let answer = http
        .post(url)
        .header("client-id", "3381af92-2b9e-11e3-b191-71861300734c")
        .header("x-project-id", "example")
        .header("content-type", "application/json")
        .body(json!({ "messages": messages }).to_string())
        .send()
        .await?;
    Ok((answer.status(), serde_json::from_slice(&answer.bytes().await?)?))
}

#[tokio::test]
async fn a_post_that_is_too_large_for_its_queue_is_refused_whole() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = serve::start_with(configuration(&folder)?, &custom_stage::stages()).await?;
    let http = client()?;
    // Fourteen letters and two quotes are the sixteen bytes that `pings` takes.
    let (fits, too_large) = ("fourteen chars", "fifteen letters");
    let (status, answer) = post(&http, &server, "pings", &[fits]).await?;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let (status, answer) = post(&http, &server, "pings", &[fits, too_large]).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let text = "body: must not have more than 16 bytes in this queue";
    assert_eq!(
        (&answer["title"], &answer["description"]),
        (&"Invalid API request".into(), &text.into())
    );
    let (status, answer) = post(&http, &server, "other", &[too_large]).await?;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    // Nothing of the refused post was stored, and the stage behind the filter never saw it.
    let admin = server.admin_address().expect("the operators' listener");
    let metrics = http.get(format!("http://{admin}/metrics")).send().await?.text().await?;
    for line in [
        "body_limit_refusals_total 1",
        "zaqar_storage_messages_total{operation=\"message_post\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert_eq!(server.shutdown().await, Ended::Finished);
    Ok(())
}

#[test]
fn the_program_checks_the_stages_that_its_configuration_names() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let check = |text: &str| {
        let file = folder.path().join("zaqar-server.toml");
        std::fs::write(&file, text)?;
        let mut program = Command::new(env!("CARGO_BIN_EXE_custom-stage"));
        let done = program.args(["config", "check", "--config"]).arg(&file).output()?;
        let said = [done.stdout, done.stderr].concat();
        anyhow::Ok((done.status.success(), String::from_utf8_lossy(&said).into_owned()))
    };
    assert_eq!(check(CONFIGURATION)?, (true, "the configuration is good\n".to_owned()));
    let (good, said) = check("[stages]\norder = ['body_limits']")?;
    let expected = "there is no stage `body_limits`; this program has: body_limit, metrics";
    assert!(!good && said.contains(expected), "{said}");
    let (good, said) =
        check("[stages]\norder = ['body_limit']\n[stages.body_limit]\nbytes_max = 0")?;
    let expected = "option stages.body_limit.bytes_max, set by";
    assert!(!good && said.contains(expected) && said.contains("must be at least 1"), "{said}");
    Ok(())
}
