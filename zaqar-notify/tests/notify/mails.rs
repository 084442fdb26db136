//! Mail, to a server that only remembers what it took.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use zaqar_notify::Authorities;
use zaqar_notify::mail::{Mail, MailConfig, MailTemplate, MailTexts, MailTransport, SmtpSecurity};
use zaqar_notify::webhook::HostLimits;

use crate::sink::{Security, Sink};
use crate::world::World;

fn channel(transport: MailTransport) -> Arc<Mail> {
    trusting(transport, Authorities::default())
}

/// A channel that believes these authorities besides the system's.
pub(crate) fn trusting(transport: MailTransport, authorities: Authorities) -> Arc<Mail> {
    let template = MailTemplate {
        topic: "t".into(),
        body: "b".into(),
        sender: "Zaqar <no-reply@zaqar.example>".into(),
    };
    let config = MailConfig {
        transport,
        authorities,
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
    let sink = Sink::new(Security::None, None, true).await;
    let options = json!({"subject": "News", "from": "tenant@example.org"});
    world.subscribe("mailto:reader@example.org", options).await;
    world.post(0..3).await;
    let security = SmtpSecurity::None;
    let (host, port) = ("127.0.0.1".to_owned(), sink.port());
    let transport = MailTransport::Smtp { host, port, security, login: None };
    let notifier = world.builder().channel("mailto", channel(transport)).start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    let mails = sink.mails();
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
