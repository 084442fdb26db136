//! A web server that answers as it is told, and remembers what it was sent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) text: String,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// The posted body.
    pub(crate) fn body(&self) -> Value {
        self.json()["body"].clone()
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    With(u16, &'static str, String),
    Hang,
}

type Rule = dyn Fn(&Received, usize) -> Answer + Send + Sync;

/// A web server on a port of its own.
#[derive(Debug)]
pub(crate) struct Receiver {
    scheme: &'static str,
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    server: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn ok() -> Self {
        Self::new(|_, _| Answer::Status(200)).await
    }

    /// A server that answers by this rule, which is told how many requests came before.
    pub(crate) async fn new(
        rule: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start(None, Arc::new(rule)).await
    }

    /// A server that takes everything, behind TLS.
    pub(crate) async fn secured(acceptor: TlsAcceptor) -> Self {
        Self::start(Some(acceptor), Arc::new(|_: &Received, _| Answer::Status(200))).await
    }

    async fn start(tls: Option<TlsAcceptor>, rule: Arc<Rule>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, rule) = (Arc::clone(&kept), Arc::clone(&rule));
                match tls.clone() {
                    None => drop(tokio::spawn(serve(stream, kept, rule))),
                    Some(tls) => drop(tokio::spawn(async move {
                        // Who does not like the certificate is gone.
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, kept, rule).await;
                        }
                    })),
                }
            }
        });
        Self { scheme, address, received, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}/hook", self.scheme, self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.received().iter().map(Received::body).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    received: Arc<Mutex<Vec<Received>>>,
    rule: Arc<Rule>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let before = {
            let mut received = received.lock().unwrap();
            received.push(request.clone());
            received.len() - 1
        };
        let head = match rule(&request, before) {
            Answer::Status(status) => format!("HTTP/1.1 {status} x\r\n"),
            Answer::With(status, name, value) => {
                format!("HTTP/1.1 {status} x\r\n{name}: {value}\r\n")
            }
            Answer::Hang => std::future::pending().await,
        };
        let answer = format!("{head}content-length: 2\r\n\r\nok");
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    assert!(line.starts_with("POST "), "{line}");
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length: usize = headers["content-length"].parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { path, headers, text: String::from_utf8(body).unwrap() })
}
