//! From a post over REST to a web server that subscribed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Ended, Server};

pub(crate) type Received = Arc<Mutex<Vec<Value>>>;

/// A web server that takes everything, but for the first request.
pub(crate) async fn receiver() -> anyhow::Result<(u16, Received)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (port, received) = (listener.local_addr()?.port(), Received::default());
    let kept = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take(BufReader::new(stream), Arc::clone(&kept)));
        }
    });
    Ok((port, received))
}

async fn take(mut stream: BufReader<TcpStream>, received: Received) -> anyhow::Result<()> {
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = bytes.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let is_first = {
            let mut received = received.lock().unwrap();
            received.push(serde_json::from_slice(&body)?);
            received.len() == 1
        };
        let status = if is_first { "500 Oops" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}

#[tokio::test]
async fn what_is_posted_reaches_a_subscriber_once_and_again_if_it_failed() -> anyhow::Result<()> {
    let (port, received) = receiver().await?;
    let server = Server::start(|config| {
        config.notification.allowed_networks.0 = vec!["127.0.0.0/8".to_owned()];
        config.notification.allowed_ports.0 = vec![port.to_string()];
    })
    .await?;
    let mut client = server.client().await?;
    let subscription = json!({"subscriber": format!("http://127.0.0.1:{port}/"), "ttl": 600});
    let path = "/v2/queues/orders/subscriptions";
    let answer = client.call(Method::POST, path, subscription.to_string()).await?;
    assert_eq!(answer.status, 201, "{}", answer.text());
    for number in 0..30 {
        let post = json!({"messages": [{"body": number, "ttl": 300}]});
        let path = "/v2/queues/orders/messages";
        let answer = client.call(Method::POST, path, post.to_string()).await?;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let all = async {
        while received.lock().unwrap().len() < 31 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await?;
    assert_eq!(server.stop().await, Ended::Finished);
    let received = received.lock().unwrap();
    let mut bodies: Vec<_> = received.iter().filter_map(|sent| sent["body"].as_u64()).collect();
    bodies.sort_unstable();
    // The first one failed once; none of the others came twice.
    assert_eq!(bodies, std::iter::once(0).chain(0..30).collect::<Vec<_>>());
    assert_eq!(received[0], *received.iter().skip(1).find(|sent| sent["body"] == 0).unwrap());
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_to_ask_for_confirmation_needs_a_key_to_sign_with() {
    let layers = zaqar_server::config::Layers::new();
    let layers = layers.flag("a flag", "notification.require_confirmation", "true");
    let error = layers.load().unwrap_err().to_string();
    assert!(error.contains("signed_url.secret_key"), "{error}");
}

#[tokio::test]
async fn an_address_inside_the_operators_network_is_refused_when_it_is_given() -> anyhow::Result<()>
{
    let server = Server::start(|_| {}).await?;
    let mut client = server.client().await?;
    let path = "/v2/queues/orders/subscriptions";
    let body = json!({"subscriber": "http://receiver.example/", "ttl": 600}).to_string();
    let made = client.call(Method::POST, path, body).await?;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json()?;
    let id = made["subscription_id"].as_str().unwrap_or_default();
    let one = format!("{path}/{id}");
    let closed = "The subscriber's address is in a network that is not delivered to.";
    for (subscriber, text) in [
        ("http://127.0.0.1:8889/metrics", closed),
        ("http://169.254.169.254/latest/meta-data", closed),
        ("https://[::1]/", closed),
        ("http://2130706433/", closed),
        (
            "http://me:word@receiver.example/",
            "The subscriber's address must not hold a user name or password.",
        ),
        ("http://", "The subscriber's address is no valid URL."),
        ("mailto:nobody", "The subscriber's mail address is not valid."),
    ] {
        for (method, path) in [(Method::POST, path), (Method::PATCH, one.as_str())] {
            let body = json!({"subscriber": subscriber, "ttl": 600}).to_string();
            let answer = client.call(method, path, body).await?;
            assert_eq!(answer.status, 400, "{subscriber}: {}", answer.text());
            assert_eq!(answer.json()?["description"], text, "{subscriber}");
        }
    }
    let kept = client.get(&one).await?.json()?;
    assert_eq!(kept["subscriber"], "http://receiver.example/");
    assert_eq!(server.stop().await, Ended::Finished);
    Ok(())
}

#[tokio::test]
async fn authorities_that_cannot_be_read_keep_the_server_from_starting() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate")?;
    for (file, reason) in
        [(empty, "must hold certificates"), (folder.path().join("none"), "No such file")]
    {
        let name = file.display().to_string();
        let started = Server::start(|config| config.notification.ca_file.clone_from(&name)).await;
        let error = started.err().map(|error| error.to_string()).unwrap_or_default();
        let option = "cannot deliver notifications (option notification.ca_file): ";
        assert!(error.starts_with(option) && error.contains(reason), "{error}");
    }
    Ok(())
}

#[test]
fn the_mail_servers_password_comes_from_a_file_or_the_environment_and_is_never_shown() {
    use zaqar_server::config::{Layers, document};
    let toml = "[notification]\nsmtp_user_name = 'mailer'\nsmtp_user_password = 'from-file'\n";
    let file = || Layers::new().text("zaqar.toml", toml).unwrap();
    let variable = ("ZAQAR__NOTIFICATION__SMTP_USER_PASSWORD".into(), "from-env".into());
    for (layers, password) in [(file(), "from-file"), (file().env([variable]).unwrap(), "from-env")]
    {
        let config = layers.load().unwrap();
        assert_eq!(config.notification.smtp_user_password.expose(), password);
        let shown = format!("{}{config:?}", document::show(&config));
        assert!(shown.contains("mailer") && !shown.contains(password), "{shown}");
    }
}
