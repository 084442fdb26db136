//! The notifier as the configuration wants it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use zaqar_core::{JsonObject, QueueKey, Ttl};
use zaqar_engine::{Engine, SubscriberCheck};
use zaqar_notify::mail::{Mail, MailConfig, MailTemplate, MailTexts, MailTransport, SmtpSecurity};
use zaqar_notify::webhook::{
    AddressError, AddressRules, HostLimits, Network, Ports, TrustRules, Webhook, WebhookConfig,
    WebhookSigner, trusted_address,
};
use zaqar_notify::{
    Authorities, Channel, Confirmation, Notifier, NotifierConfig, PolicySource, PolicyUnreadable,
};

use crate::auth::Authentication;
use crate::auth::trusts::TokensOnTrust;
use crate::config::Config;
use crate::config::options::{Notification, SmtpMode, SmtpTls};
use crate::config::value::TextList;
use crate::rest::{ConfirmationKind, ConfirmationRequest, Confirmations};
use crate::serve::StartError;

/// How long a mail server or command may take beyond what a webhook may.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts the notifier. `owner` is the name under which connections of this process subscribe, and
/// `sockets` the way to reach them.
pub(crate) fn start(
    engine: &Engine,
    config: &Config,
    owner: &str,
    sockets: Arc<dyn Channel>,
    authentication: &Authentication,
) -> Result<Notifier, StartError> {
    let authorities = authorities(config)?;
    let mut webhook =
        Webhook::new(webhooks(config, authorities.clone())?, Arc::clone(engine.clock()))
            .map_err(|error| refused("notification", error))?;
    // Without Keystone nobody can have given a trust.
    if let Authentication::Keystone(keystone) = authentication {
        let tokens = Arc::new(TokensOnTrust(keystone.clone()));
        webhook = webhook.trusts(trust_rules(&config.notification), tokens);
    }
    let webhook: Arc<dyn Channel> = Arc::new(webhook);
    let mail = Mail::new(mails(config, authorities))
        .map_err(|error| refused("notification.smtp_host", error))?;
    let options = &config.notification;
    let settings = NotifierConfig::default()
        .workers_max(options.max_notifier_workers)
        .per_project_max(per_project_max(options))
        .poll(Duration::from_millis(options.poll_interval_ms))
        .lease(Ttl::from_secs_clamped(options.lease_ttl));
    Ok(Notifier::builder(engine.data_driver(), Arc::clone(engine.clock()))
        .config(settings)
        .policies(Arc::new(QueuePolicies(engine.clone())))
        .posted(engine.posted())
        .channel("http", Arc::clone(&webhook))
        .channel("https", Arc::clone(&webhook))
        .channel("trust+http", Arc::clone(&webhook))
        .channel("trust+https", webhook)
        .channel("mailto", Arc::new(mail))
        .local(owner, sockets)
        .start())
}

fn refused(option: &'static str, error: impl std::error::Error) -> StartError {
    StartError::Notification { option, reason: error.to_string() }
}

/// A quarter of the workers is out of reach of any one project.
fn per_project_max(options: &Notification) -> u32 {
    let workers = options.max_notifier_workers;
    options.per_project_max.min(workers - workers.div_ceil(4)).max(1)
}

fn authorities(config: &Config) -> Result<Authorities, StartError> {
    let file = &config.notification.ca_file;
    if file.is_empty() {
        return Ok(Authorities::default());
    }
    let wrong = |reason: String| StartError::Notification {
        option: "notification.ca_file",
        reason: format!("{file}: {reason}"),
    };
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    Authorities::from_pem(&pem).map_err(|error| wrong(error.to_string()))
}

fn webhooks(config: &Config, authorities: Authorities) -> Result<WebhookConfig, StartError> {
    let options = &config.notification;
    let signer = WebhookSigner::new(options.signing_secrets.expose())
        .map_err(|error| refused("notification.signing_secrets", error))?;
    let addresses = address_rules(config)?;
    Ok(WebhookConfig {
        connect_timeout: Duration::from_millis(options.connect_timeout_ms),
        request_timeout: Duration::from_millis(options.request_timeout_ms),
        response_bytes_max: usize::try_from(options.response_bytes_max).unwrap_or(usize::MAX),
        hosts: host_limits(options),
        addresses,
        signer,
        authorities,
    })
}

fn host_limits(options: &Notification) -> HostLimits {
    HostLimits {
        at_a_time: options.per_host_max,
        timeouts_max: options.host_timeouts_max,
        pause: Duration::from_millis(options.host_pause_ms),
    }
}

/// Where webhooks may be; else the option that cannot be read, and why.
pub(crate) fn addresses(options: &Notification) -> Result<AddressRules, (&'static str, String)> {
    let TextList(networks) = &options.allowed_networks;
    let network = |text: &String| {
        let wrong = |error| ("notification.allowed_networks", format!("`{text}` {error}"));
        text.parse::<Network>().map_err(wrong)
    };
    let networks = networks.iter().map(network).collect::<Result<_, _>>()?;
    let TextList(ports) = &options.allowed_ports;
    let port = |text: &String| {
        let reason = format!("`{text}` must be a port, or `*` alone for every one");
        text.parse::<u16>().map_err(|_| ("notification.allowed_ports", reason))
    };
    let ports = match ports.as_slice() {
        [any] if any == "*" => Ports::Any,
        ports => Ports::These(ports.iter().map(port).collect::<Result<_, _>>()?),
    };
    Ok(AddressRules { networks, ports })
}

fn address_rules(config: &Config) -> Result<AddressRules, StartError> {
    addresses(&config.notification)
        .map_err(|(option, reason)| StartError::Notification { option, reason })
}

/// Who refuses addresses where nothing is delivered when they are given.
pub(crate) fn subscriber_check(config: &Config) -> Result<Arc<dyn SubscriberCheck>, StartError> {
    let addresses = address_rules(config)?;
    Ok(Arc::new(Subscribers { addresses, trusts: trust_rules(&config.notification) }))
}

fn trust_rules(options: &Notification) -> TrustRules {
    TrustRules { hosts: options.trusted_hosts.0.clone(), plain_http: options.trusted_plain_http }
}

#[derive(Debug)]
struct Subscribers {
    addresses: AddressRules,
    trusts: TrustRules,
}

impl SubscriberCheck for Subscribers {
    fn check(&self, subscriber: &str) -> Result<(), String> {
        self.addresses.check_subscriber(subscriber).map_err(|error| error.to_string())?;
        match trusted_address(subscriber).map(str::parse) {
            Some(Ok(url)) => self.trusts.check(&url).map_err(|error| error.to_string()),
            Some(Err(_)) => Err(AddressError::NotUrl.to_string()),
            None => Ok(()),
        }
    }
}

fn mails(config: &Config, authorities: Authorities) -> MailConfig {
    let options = &config.notification;
    let transport = match options.smtp_mode {
        SmtpMode::ThirdPart => MailTransport::Command(
            options.smtp_command.split_whitespace().map(str::to_owned).collect(),
        ),
        SmtpMode::SelfLocal => MailTransport::Smtp {
            host: options.smtp_host.clone(),
            port: options.smtp_port,
            security: match options.smtp_tls {
                SmtpTls::Implicit => SmtpSecurity::Implicit,
                SmtpTls::StartTls => SmtpSecurity::StartTls,
                SmtpTls::None => SmtpSecurity::None,
            },
            login: (!options.smtp_user_name.is_empty()).then(|| {
                let password = options.smtp_user_password.expose().to_owned();
                (options.smtp_user_name.clone(), password)
            }),
        },
    };
    let template = |topic: &str, body: &str, sender: &str| MailTemplate {
        topic: topic.to_owned(),
        body: body.to_owned(),
        sender: sender.to_owned(),
    };
    let (subscribe, unsubscribe) = (&config.subscribe_mail, &config.unsubscribe_mail);
    MailConfig {
        transport,
        authorities,
        timeout: MAIL_TIMEOUT,
        limits: host_limits(options),
        texts: MailTexts {
            sender: options.mail_sender.clone(),
            subscribe: template(&subscribe.topic, &subscribe.body, &subscribe.sender),
            unsubscribe: template(&unsubscribe.topic, &unsubscribe.body, &unsubscribe.sender),
            confirmation_url: options.external_confirmation_url.clone(),
        },
    }
}

/// The queues' retry policies, from their metadata.
#[derive(Debug)]
struct QueuePolicies(Engine);

#[async_trait]
impl PolicySource for QueuePolicies {
    async fn queue_policy(
        &self,
        queue: &QueueKey,
    ) -> Result<Option<Arc<JsonObject>>, PolicyUnreadable> {
        self.0.queue_retry_policy(queue).await.map_err(|error| {
            tracing::debug!(%error, "a queue's retry policy cannot be read now");
            PolicyUnreadable
        })
    }
}

/// What carries confirmations; `None` if no subscriber has to confirm.
pub(crate) fn confirmations(
    notifier: &Notifier,
    config: &Config,
) -> Option<Arc<dyn Confirmations>> {
    let options = &config.notification;
    let base = |url: &str| (!url.is_empty()).then(|| url.trim_end_matches('/').to_owned());
    options.require_confirmation.then(|| {
        Arc::new(Courier {
            confirmations: notifier.confirmations(),
            url: base(&options.public_url),
            websocket_url: base(&options.public_websocket_url),
        }) as _
    })
}

#[derive(Debug)]
struct Courier {
    confirmations: zaqar_notify::Confirmations,
    url: Option<String>,
    websocket_url: Option<String>,
}

impl Confirmations for Courier {
    fn send(&self, request: ConfirmationRequest) {
        let path = request.grant.paths().join(",");
        let whole = |base: &Option<String>| base.as_ref().map(|base| format!("{base}{path}"));
        self.confirmations.send(Confirmation {
            kind: match request.kind {
                ConfirmationKind::Subscribe => zaqar_notify::ConfirmationKind::Subscribe,
                ConfirmationKind::Unsubscribe => zaqar_notify::ConfirmationKind::Unsubscribe,
            },
            queue: request.queue,
            subscription: request.subscription,
            method: request.grant.methods().join(","),
            expires: request.grant.expiry().to_string(),
            signature: request.signature,
            url: whole(&self.url),
            websocket_url: whole(&self.websocket_url),
            path,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_that_is_sent_tokens_must_be_at_a_host_that_the_operator_names() {
        let mut config = Config::default();
        let may = |config: &Config, subscriber: &str| {
            subscriber_check(config).unwrap().check(subscriber).is_ok()
        };
        assert!(may(&config, "https://a.example/"));
        assert!(!may(&config, "trust+https://a.example/"));
        config.notification.trusted_hosts = ["a.example"].into();
        assert!(may(&config, "trust+https://a.example/"));
        for other in ["trust+https://b.example/", "trust+http://a.example/", "trust+https://"] {
            assert!(!may(&config, other), "{other}");
        }
        config.notification.trusted_plain_http = true;
        assert!(may(&config, "Trust+HTTP://a.example/"));
        assert!(!may(&config, "trust+http://127.0.0.1/"));
    }
}
