//! Hands mails to a mail server, or to a command.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::authorities::Authorities;

/// How the connection to the mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// From its first byte on.
    Implicit,
    /// By STARTTLS, or not used at all.
    StartTls,
    /// Not at all.
    None,
}

/// Who takes the mail.
#[derive(Clone)]
pub enum MailTransport {
    /// A program with its arguments, which reads the mail from its standard input.
    Command(Vec<String>),
    /// A mail server.
    Smtp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is secured.
        security: SmtpSecurity,
        /// Who logs in, and the password.
        login: Option<(String, String)>,
    },
}

/// The password stays unseen.
impl fmt::Debug for MailTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(words) => f.debug_tuple("Command").field(words).finish(),
            Self::Smtp { host, port, security, login } => f
                .debug_struct("Smtp")
                .field("host", host)
                .field("port", port)
                .field("security", security)
                .field("user", &login.as_ref().map(|(user, _)| user))
                .finish(),
        }
    }
}

/// The mail transport cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMailServer {
    /// TLS cannot be set up for it.
    #[error("TLS cannot be set up for the mail server")]
    Tls(#[from] lettre::transport::smtp::Error),
    /// There is no command.
    #[error("the mail command is empty")]
    NoCommand,
}

#[derive(Debug)]
pub(super) enum Sender {
    Command { program: String, arguments: Vec<String> },
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

impl Sender {
    pub(super) fn new(
        transport: MailTransport,
        authorities: &Authorities,
        timeout: Duration,
    ) -> Result<Self, InvalidMailServer> {
        match transport {
            MailTransport::Command(words) => {
                let mut words = words.into_iter();
                let program = words.next().ok_or(InvalidMailServer::NoCommand)?;
                Ok(Self::Command { program, arguments: words.collect() })
            }
            MailTransport::Smtp { host, port, security, login } => {
                let tls = match security {
                    SmtpSecurity::Implicit => Tls::Wrapper(tls(&host, authorities)?),
                    SmtpSecurity::StartTls => Tls::Required(tls(&host, authorities)?),
                    SmtpSecurity::None => Tls::None,
                };
                let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host);
                let mut builder = builder.port(port).tls(tls).timeout(Some(timeout));
                if let Some((user, password)) = login {
                    builder = builder.credentials(Credentials::new(user, password));
                }
                Ok(Self::Smtp(builder.build()))
            }
        }
    }

    /// Hands one mail over; what went wrong is said without anything that the mail holds.
    pub(super) async fn send(&self, mail: Message) -> Result<(), String> {
        match self {
            Self::Smtp(smtp) => match smtp.send(mail).await {
                Ok(_taken) => Ok(()),
                Err(error) => Err(smtp_reason(&error)),
            },
            Self::Command { program, arguments } => run(program, arguments, &mail).await,
        }
    }
}

/// TLS with the system's authorities and these, for a server of this name.
fn tls(host: &str, authorities: &Authorities) -> Result<TlsParameters, InvalidMailServer> {
    let mut builder = TlsParameters::builder(host.to_owned());
    for certificate in authorities.certificates() {
        builder = builder.add_root_certificate(Certificate::from_der(certificate.to_vec())?);
    }
    Ok(builder.build()?)
}

fn smtp_reason(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_timeout() => "the mail server did not answer in time".to_owned(),
        None if error.is_tls() => "no secure connection to the mail server".to_owned(),
        None => "no connection to the mail server".to_owned(),
    }
}

/// Runs the command without a shell. It ends with the attempt.
async fn run(program: &str, arguments: &[String], mail: &Message) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the mail command failed: {}", error.kind());
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&mail.formatted()).await.map_err(failed)?;
        input.shutdown().await.map_err(failed)?;
    }
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(match status.code() {
        Some(code) => format!("the mail command ended with {code}"),
        None => "the mail command was killed".to_owned(),
    })
}
