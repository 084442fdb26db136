//! Deliveries over TLS: to whom an authority certifies, and to nobody else.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use zaqar_notify::mail::{MailTransport, SmtpSecurity};
use zaqar_notify::webhook::WebhookSigner;

use crate::certificates::Authority;
use crate::mails::trusting;
use crate::receiver::{Answer, Receiver};
use crate::sink::{Security, Sink};
use crate::world::{World, two_attempts};

/// `AUTH PLAIN` of `mailer` with the password `hush-hush`.
const LOGIN: &str = "AG1haWxlcgBodXNoLWh1c2g=";

#[tokio::test]
async fn an_https_receiver_that_the_operators_authority_certifies_is_delivered_to() {
    let (world, authority) = (World::new().await, Authority::new());
    let receiver = Receiver::secured(authority.server("127.0.0.1")).await;
    world.subscribe(&receiver.url(), json!({})).await;
    world.post(0..20).await;
    let webhook = world.webhook(|config| config.authorities = authority.trusted());
    let notifier = world.builder().channel("https", webhook).start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert_eq!(receiver.bodies(), (0..20).map(Into::into).collect::<Vec<serde_json::Value>>());
    assert!(world.exhausted().await.is_empty());
}

#[tokio::test]
async fn an_https_receiver_with_a_wrong_certificate_gets_nothing() {
    let (world, authority) = (World::new().await, Authority::new());
    let strange = Receiver::secured(Authority::new().server("127.0.0.1")).await;
    let misnamed = Receiver::secured(authority.server("receiver.example")).await;
    for receiver in [&strange, &misnamed] {
        world.subscribe(&receiver.url(), two_attempts()).await;
    }
    world.post(0..1).await;
    let webhook = world.webhook(|config| config.authorities = authority.trusted());
    let notifier = world.builder().channel("https", webhook).start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert_eq!((strange.count(), misnamed.count()), (0, 0));
    let exhausted = world.exhausted().await;
    assert_eq!(exhausted.len(), 2);
    assert!(exhausted.iter().all(|given_up| given_up.reason == "no connection"), "{exhausted:?}");
}

fn smtp(sink: &Sink, security: SmtpSecurity, password: &str) -> MailTransport {
    MailTransport::Smtp {
        host: "127.0.0.1".to_owned(),
        port: sink.port(),
        security,
        login: Some(("mailer".to_owned(), password.to_owned())),
    }
}

#[tokio::test]
async fn mail_goes_over_tls_from_the_first_byte_or_by_starttls_with_a_login() {
    let authority = Authority::new();
    let acceptor = authority.server("127.0.0.1");
    for (served, spoken) in [
        (Security::Implicit(acceptor.clone()), SmtpSecurity::Implicit),
        (Security::StartTls(acceptor.clone()), SmtpSecurity::StartTls),
    ] {
        let world = World::new().await;
        let sink = Sink::new(served, Some(LOGIN), false).await;
        let options = json!({"from": "tenant@example.org"});
        world.subscribe("mailto:reader@example.org", options).await;
        world.post(0..3).await;
        let mail = trusting(smtp(&sink, spoken, "hush-hush"), authority.trusted());
        let notifier = world.builder().channel("mailto", mail).start();
        world.done(Duration::ZERO).await;
        notifier.stop().await;
        assert_eq!(sink.mails().len(), 3, "{spoken:?}");
        assert!(!sink.saw_in_the_clear(), "{spoken:?}");
        assert!(world.exhausted().await.is_empty(), "{spoken:?}");
    }
}

#[tokio::test]
async fn a_mail_server_that_is_not_certified_or_not_secured_is_told_nothing() {
    let authority = Authority::new();
    let wrong = [
        (Security::Implicit(Authority::new().server("127.0.0.1")), SmtpSecurity::Implicit),
        (Security::StartTls(Authority::new().server("127.0.0.1")), SmtpSecurity::StartTls),
        (Security::Implicit(authority.server("mail.example")), SmtpSecurity::Implicit),
        // It does not offer STARTTLS, as one would see with somebody in between.
        (Security::None, SmtpSecurity::StartTls),
    ];
    for (served, spoken) in wrong {
        let world = World::new().await;
        let sink = Sink::new(served, Some(LOGIN), false).await;
        world.subscribe("mailto:reader@example.org", two_attempts()).await;
        world.post(0..1).await;
        let mail = trusting(smtp(&sink, spoken, "hush-hush"), authority.trusted());
        let notifier = world.builder().channel("mailto", mail).start();
        world.done(Duration::ZERO).await;
        notifier.stop().await;
        assert!(sink.mails().is_empty() && !sink.saw_in_the_clear(), "{spoken:?}");
        assert_eq!(world.exhausted().await.len(), 1, "{spoken:?}");
    }
}

/// What was logged, by whichever test of this process: what one thread alone logs depends on what
/// the others do.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_password_nor_key_nor_what_is_sent_is_ever_logged() {
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Log).init();
    let (world, authority) = (World::new().await, Authority::new());
    let acceptor = authority.server("127.0.0.1");
    let sink = Sink::new(Security::Implicit(acceptor), Some("something else"), false).await;
    let receiver = Receiver::new(|_, _| Answer::Status(500)).await;
    let mut options = two_attempts();
    options["post_headers"] = json!({"x-api-key": "tenants-key"});
    world.subscribe("mailto:reader@example.org", options.clone()).await;
    world.subscribe(&format!("{}?token=tenants-token", receiver.url()), options).await;
    world.post(4_711_815..4_711_816).await;
    let webhook = world.webhook(|config| {
        config.signer = WebhookSigner::new(["operators-key"]).unwrap();
    });
    let mail = trusting(smtp(&sink, SmtpSecurity::Implicit, "hush-hush"), authority.trusted());
    let builder = world.builder().channel("mailto", mail).channel("http", webhook);
    let notifier = builder.start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert_eq!(world.exhausted().await.len(), 2);
    let text = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert!(text.contains("a delivery was given up"), "{text}");
    let signature = &receiver.received()[0].headers["webhook-signature"];
    let secrets =
        ["hush-hush", LOGIN, "tenants-key", "tenants-token", "operators-key", "4711815", signature];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in the log:\n{text}");
    }
}
