//! The program as a newcomer meets it.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::support::client::Client;
use crate::support::program::{Program, command};

/// Takes a shell line apart: words, and text in single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut parts = line.split('\'');
    while let Some(plain) = parts.next() {
        words.extend(plain.split_whitespace().map(str::to_owned));
        words.extend(parts.next().map(str::to_owned));
    }
    words
}

/// The request that a `curl` line sends.
fn request_of(line: &str) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().header("host", "localhost");
    let mut body = String::new();
    let mut words = words(line).into_iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match word.as_str() {
            "curl" | "-i" => {}
            "-X" => request = request.method(value().as_str()),
            "-H" => {
                let header = value();
                let (name, text) = header.split_once(": ").unwrap_or_default();
                request = request.header(name, text);
            }
            "-d" => body = value(),
            url => request = request.uri(url),
        }
    }
    Ok(request.body(Full::new(body.into()))?)
}

#[tokio::test]
async fn without_arguments_but_ports_it_names_its_file_and_a_curl_line_that_works() {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(&["--port", "0", "--admin-port", "0"]);
    let program = Program::start(command.env("XDG_DATA_HOME", home.path())).await.unwrap();
    let file = home.path().join("zaqar/zaqar.db");
    let banner = program.banner.join("\n");
    assert!(banner.contains(&file.display().to_string()), "{banner}");
    assert!(file.exists());

    let curl = program.banner.last().unwrap();
    let request = request_of(curl).unwrap();
    assert_eq!(request.uri().authority().unwrap().as_str(), program.address.to_string());
    let mut client = Client::connect(program.address).await.unwrap();
    let posted = client.send(request).await.unwrap();
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.text());
    let ended = program.terminate().await.unwrap();
    assert_eq!(ended.code(), Some(0));
}

/// The program ends with code 2 and one line that has these words.
async fn refused(arguments: &[&str], words: &[&str]) -> anyhow::Result<()> {
    let output = command(arguments).output().await?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{arguments:?}: `{word}` is not in: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn what_it_cannot_start_with_is_one_line_that_names_it() {
    let taken = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("a.db").display());
    let store = store.as_str();
    let rest = ["--storage", store, "--admin-port", "0"];
    refused(
        &[&["--port", &port], rest.as_slice()].concat(),
        &[&format!("127.0.0.1:{port}"), "drivers.transport.wsgi.port", "in use"],
    )
    .await
    .unwrap();
    refused(
        &["--storage", store, "--port", "0", "--admin-port", &port],
        &[&format!("127.0.0.1:{port}"), "admin.port", "in use"],
    )
    .await
    .unwrap();
    let ports = ["--port", "0", "--admin-port", "0", "--storage"];
    for (uri, words) in [
        ("nonsense", ["drivers.message_store.uri", "scheme"]),
        ("oracle://u:hidden@h/x", ["oracle://u:***@h/x", "sqlite"]),
        ("sqlite:/nowhere/at/all/zaqar.db", ["/nowhere/at/all/zaqar.db", "drivers.message_store"]),
    ] {
        refused(&[ports.as_slice(), &[uri]].concat(), &words).await.unwrap();
    }
    refused(&["--config", "/nowhere.toml"], &["/nowhere.toml", "No such file"]).await.unwrap();
    refused(&["--set", "transport.max_ttl=1"], &["transport.max_ttl", "no such option"])
        .await
        .unwrap();
    refused(&["config", "check", "--port", "x"], &["flag --port", "whole number"]).await.unwrap();
}

#[tokio::test]
async fn the_config_commands_write_check_show_and_import() {
    let run = async |arguments: &[&str]| {
        let output = command(arguments).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zaqar.toml");
    let ini = folder.path().join("zaqar.conf");
    let (file_name, ini_name) = (file.to_str().unwrap(), ini.to_str().unwrap());

    std::fs::write(&file, run(&["config", "sample"]).await.0).unwrap();
    run(&["config", "check", "--config", file_name]).await;
    let shown = run(&["config", "show", "--storage", "sqlite:/x?password=hidden"]).await.0;
    assert!(shown.contains("sqlite:/x?password=***"), "{shown}");

    std::fs::write(&ini, "[transport]\nmax_claim_ttl = 900\n[trustee]\nuser = x\n").unwrap();
    let (toml, left) = run(&["config", "import", ini_name]).await;
    assert!(left.contains("[trustee] user"), "{left}");
    std::fs::write(&file, toml).unwrap();
    let shown = run(&["config", "show", "--config", file_name]).await.0;
    assert!(shown.contains("max_claim_ttl = 900"), "{shown}");
}
