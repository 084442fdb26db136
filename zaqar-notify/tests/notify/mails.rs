//! Mail, to a server that only remembers what it took.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use zaqar_notify::mail::{Mail, MailConfig, MailTemplate, MailTexts, MailTransport, SmtpSecurity};
use zaqar_notify::webhook::HostLimits;

use crate::world::World;

type Mails = Arc<Mutex<Vec<String>>>;

/// A mail server that refuses the first mail for now.
async fn sink() -> (u16, Mails) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, mails) = (listener.local_addr().unwrap().port(), Mails::default());
    let kept = Arc::clone(&mails);
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((stream, _)) = listener.accept().await {
            let refuse = std::mem::take(&mut is_first);
            tokio::spawn(converse(stream, Arc::clone(&kept), refuse));
        }
    });
    (port, mails)
}

async fn converse(stream: TcpStream, mails: Mails, refuse: bool) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 sink\r\n").await?;
    let (mut mail, mut in_data) = (String::new(), false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if in_data {
            if line == ".\r\n" {
                in_data = false;
                mails.lock().unwrap().push(std::mem::take(&mut mail));
                stream.get_mut().write_all(b"250 taken\r\n").await?;
            } else {
                mail.push_str(&line);
            }
            continue;
        }
        let answer: &[u8] = match line.get(..4).unwrap_or_default() {
            "EHLO" => b"250 sink\r\n",
            "RCPT" if refuse => b"450 later\r\n",
            "RCPT" | "MAIL" => {
                mail.push_str(&line);
                b"250 ok\r\n"
            }
            "DATA" => {
                in_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        stream.get_mut().write_all(answer).await?;
    }
}

fn channel(transport: MailTransport) -> Arc<Mail> {
    let template = MailTemplate {
        topic: "t".into(),
        body: "b".into(),
        sender: "Zaqar <no-reply@zaqar.example>".into(),
    };
    let config = MailConfig {
        transport,
        timeout: Duration::from_secs(20),
        limits: HostLimits::default(),
        texts: MailTexts {
            sender: String::new(),
            subscribe: template.clone(),
            unsubscribe: template,
            confirmation_url: String::new(),
        },
    };
    Arc::new(Mail::new(config).unwrap())
}

#[tokio::test]
async fn mails_are_handed_to_the_server_one_for_each_message_and_again_if_refused() {
    let world = World::new().await;
    let (port, mails) = sink().await;
    let options = json!({"subject": "News", "from": "tenant@example.org"});
    world.subscribe("mailto:reader@example.org", options).await;
    world.post(0..3).await;
    let security = SmtpSecurity::None;
    let transport = MailTransport::Smtp { host: "127.0.0.1".into(), port, security, login: None };
    let notifier = world.builder().channel("mailto", channel(transport)).start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    let mails = mails.lock().unwrap().clone();
    assert_eq!(mails.len(), 3);
    for number in 0..3 {
        let body = format!("\"body\": {number}");
        let mail = mails.iter().find(|mail| mail.replace("=\r\n", "").contains(&body)).unwrap();
        assert!(mail.contains("RCPT TO:<reader@example.org>\r\n"), "{mail}");
        assert!(mail.contains("MAIL FROM:<tenant@example.org>"), "{mail}");
        assert!(mail.contains("Subject: News\r\n"), "{mail}");
    }
    assert!(world.exhausted().await.is_empty());
}

#[tokio::test]
async fn a_command_that_fails_is_no_delivery() {
    let world = World::new().await;
    world.subscribe("mailto:reader@example.org", crate::world::two_attempts()).await;
    world.post(0..1).await;
    let command = MailTransport::Command(vec!["false".into()]);
    let notifier = world.builder().channel("mailto", channel(command)).start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    let reason = &world.exhausted().await[0].reason;
    assert!(reason.starts_with("the mail command"), "{reason}");
}

#[tokio::test]
async fn a_command_gets_the_mail_and_no_shell_reads_it() {
    let world = World::new().await;
    world.subscribe("mailto:reader@example.org", json!({"subject": "$(false) `x`"})).await;
    world.post(0..1).await;
    let command =
        MailTransport::Command(vec!["grep".into(), "-q".into(), "Subject: \\$(false) `x`".into()]);
    let notifier = world.builder().channel("mailto", channel(command)).start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert!(world.exhausted().await.is_empty());
}
