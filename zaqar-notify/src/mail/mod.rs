//! Subscribers that are told by mail: `mailto:someone@example.org?subject=…`.

mod compose;
mod send;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::Address;

pub use self::compose::{MailTemplate, MailTexts};
pub use self::send::{InvalidMailServer, MailTransport, SmtpSecurity};

use self::send::Sender;
use crate::authorities::Authorities;
use crate::channel::{Channel, Notification, Verdict};
use crate::confirmation::Confirmation;
use crate::limits::{HostLimits, Hosts, Refusal};

/// The mail server under which all mail is limited together.
const HOST: &str = "mail";

/// What an operator may set about mail.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// Who takes the mail.
    pub transport: MailTransport,
    /// Who certifies the mail server, besides the system's authorities.
    pub authorities: Authorities,
    /// How long handing over one mail may take.
    pub timeout: Duration,
    /// How many mails are handed over at a time, and when there is a pause.
    pub limits: HostLimits,
    /// What mails say.
    pub texts: MailTexts,
}

/// Delivers by mail.
#[derive(Debug)]
pub struct Mail {
    sender: Sender,
    timeout: Duration,
    hosts: Arc<Hosts>,
    texts: MailTexts,
}

impl Mail {
    /// A channel with these settings.
    ///
    /// # Errors
    /// [`InvalidMailServer`] if the transport cannot be used.
    pub fn new(config: MailConfig) -> Result<Self, InvalidMailServer> {
        Ok(Self {
            sender: Sender::new(config.transport, &config.authorities, config.timeout)?,
            timeout: config.timeout,
            hosts: Hosts::new(config.limits),
            texts: config.texts,
        })
    }

    async fn send(&self, mail: Option<lettre::Message>) -> Verdict {
        let Some(mail) = mail else {
            return Verdict::hopeless("no mail can be made for this subscriber");
        };
        let turn = match self.hosts.begin(HOST) {
            Ok(turn) => turn,
            // Mail waits in the outbox for its server; nothing is given up for a pause.
            Err(Refusal::Full | Refusal::Stuck | Refusal::Paused(_)) => return Verdict::Busy,
        };
        let sent = tokio::time::timeout(self.timeout, self.sender.send(mail)).await;
        turn.finish(sent.is_err());
        match sent {
            Ok(Ok(())) => Verdict::Delivered,
            Ok(Err(reason)) => Verdict::failed(reason),
            Err(_elapsed) => Verdict::failed("the mail was not taken in time"),
        }
    }
}

/// The address of a `mailto:` URI; `None` if it is none, or more than one.
pub(crate) fn recipient(subscriber: &str) -> Option<Address> {
    let (_, rest) = subscriber.split_once(':')?;
    let address = rest.split_once('?').map_or(rest, |(address, _)| address);
    address.parse().ok()
}

#[async_trait]
impl Channel for Mail {
    async fn deliver(&self, notification: &Notification) -> Verdict {
        self.send(self.texts.notification(notification)).await
    }

    async fn confirm(&self, confirmation: &Confirmation) -> Verdict {
        if self.texts.confirmation_url.is_empty() {
            return Verdict::hopeless("notification.external_confirmation_url is not set");
        }
        self.send(self.texts.confirmation(confirmation)).await
    }
}
