//! A mail server that only remembers what it took.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How the sink secures its connections.
#[derive(Clone)]
pub(crate) enum Security {
    None,
    Implicit(TlsAcceptor),
    StartTls(TlsAcceptor),
}

/// What the sink has seen.
#[derive(Debug, Default)]
struct Seen {
    mails: Vec<String>,
    /// Whether anything of a mail came over a connection that was not secured.
    in_the_clear: bool,
}

/// A mail server on a port of its own.
pub(crate) struct Sink {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    server: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Sink {
    /// `login` is what a client must present, as `AUTH PLAIN` has it; with `refuses_first` the mail
    /// of the first connection is refused for now.
    pub(crate) async fn new(
        security: Security,
        login: Option<&'static str>,
        refuses_first: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::default());
        let kept = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            let mut refuse = refuses_first;
            while let Ok((stream, _)) = listener.accept().await {
                let rules = Rules { seen: Arc::clone(&kept), login, refuse };
                refuse = false;
                // Who does not like the certificate is gone, and so is the conversation.
                tokio::spawn(meet(stream, security.clone(), rules));
            }
        });
        Self { port, seen, server }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn mails(&self) -> Vec<String> {
        self.seen.lock().unwrap().mails.clone()
    }

    pub(crate) fn saw_in_the_clear(&self) -> bool {
        self.seen.lock().unwrap().in_the_clear
    }
}

struct Rules {
    seen: Arc<Mutex<Seen>>,
    login: Option<&'static str>,
    refuse: bool,
}

/// What follows a conversation.
enum End {
    Bye,
    Secure,
}

async fn meet(stream: TcpStream, security: Security, rules: Rules) -> std::io::Result<()> {
    match security {
        Security::None => converse(stream, &rules, true, false, false).await.map(|_| ()),
        Security::Implicit(tls) => {
            converse(tls.accept(stream).await?, &rules, true, true, false).await.map(|_| ())
        }
        Security::StartTls(tls) => {
            let mut stream = stream;
            match converse(&mut stream, &rules, true, false, true).await? {
                End::Bye => Ok(()),
                End::Secure => {
                    let stream = tls.accept(stream).await?;
                    converse(stream, &rules, false, true, false).await.map(|_| ())
                }
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    rules: &Rules,
    greets: bool,
    is_secure: bool,
    can_secure: bool,
) -> std::io::Result<End> {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.get_mut().write_all(b"220 sink\r\n").await?;
    }
    let mut is_known = rules.login.is_none();
    let (mut mail, mut in_data) = (String::new(), false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(End::Bye);
        }
        if in_data {
            if line == ".\r\n" {
                in_data = false;
                rules.seen.lock().unwrap().mails.push(std::mem::take(&mut mail));
                stream.get_mut().write_all(b"250 taken\r\n").await?;
            } else {
                mail.push_str(&line);
            }
            continue;
        }
        let word = line.get(..4).unwrap_or_default();
        if matches!(word, "AUTH" | "MAIL") && !is_secure {
            rules.seen.lock().unwrap().in_the_clear = true;
        }
        let answer: &[u8] = match word {
            "EHLO" if can_secure => b"250-sink\r\n250 STARTTLS\r\n",
            "EHLO" if rules.login.is_some() => b"250-sink\r\n250 AUTH PLAIN\r\n",
            "EHLO" => b"250 sink\r\n",
            "STAR" => {
                stream.get_mut().write_all(b"220 go on\r\n").await?;
                return Ok(End::Secure);
            }
            "AUTH" => {
                is_known = rules.login.is_some_and(|login| line.trim_end().ends_with(login));
                if is_known { b"235 welcome\r\n" } else { b"535 who are you\r\n" }
            }
            "MAIL" if !is_known => b"530 who are you\r\n",
            "RCPT" if rules.refuse => b"450 later\r\n",
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
