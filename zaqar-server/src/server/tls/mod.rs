//! TLS in front of HTTP: one connection's handshake, bounded in time and in number.
//!
//! A handshake runs in its connection's own task, so nobody is kept from being accepted by one that
//! stalls. [`certificate`] holds what is shown to clients and takes a renewed one.

pub(crate) mod certificate;
mod turns;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::io::WatchedStream;
use crate::telemetry::metrics;
use turns::Turns;

/// What a record of a TLS handshake begins with.
const HANDSHAKE_RECORD: u8 = 22;

/// What a client is told that begins with anything else, as one does that was given `http://`.
const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 42\r\nconnection: close\r\n\r\nThis port speaks HTTPS: say https:// here.";

/// The protocols that a listener offers within TLS, the best one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocols {
    /// HTTP/2 and HTTP/1.1.
    Http,
    /// HTTP/1.1 alone: a WebSocket begins with it.
    WebSocket,
}

impl Protocols {
    fn names(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Http => &[b"h2", b"http/1.1"],
            Self::WebSocket => &[b"http/1.1"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// How handshakes are bounded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandshakeLimits {
    /// From the connection's beginning to the end of its handshake.
    pub(crate) timeout: Duration,
    /// How many may run at a time.
    pub(crate) running_max: u32,
}

/// Secures the connections of one listener. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    turns: Arc<Turns>,
    timeout: Duration,
    listener: &'static str,
}

/// Why a connection was not secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// The client does not speak TLS.
    Plain,
    /// Client and server did not agree, or one of them broke the protocol.
    Refused,
    /// The client left.
    Left,
    /// It took too long.
    Late,
}

impl Failed {
    fn of(error: &io::Error) -> Self {
        // Whatever TLS objects to is data that is not valid; all else befell the connection.
        if error.kind() == io::ErrorKind::InvalidData { Self::Refused } else { Self::Left }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Refused => "refused",
            Self::Left => "left",
            Self::Late => "timeout",
        }
    }
}

impl Tls {
    /// TLS 1.2 and 1.3 with this certificate, for the listener called `listener`.
    ///
    /// # Errors
    /// What the library objects to.
    pub(crate) fn new(
        certificate: Arc<dyn ResolvesServerCert>,
        protocols: Protocols,
        limits: HandshakeLimits,
        listener: &'static str,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        config.alpn_protocols = protocols.names();
        Ok(Self {
            config: Arc::new(config),
            turns: Arc::new(Turns::new(limits.running_max)),
            timeout: limits.timeout,
            listener,
        })
    }

    /// Shakes hands; `None` if it came to nothing, which is counted.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        activity: &Arc<Activity>,
    ) -> Option<TlsStream<WatchedStream>> {
        let handshake = Box::pin(self.shake_hands(stream, peer, activity));
        let failed = match tokio::time::timeout(self.timeout, handshake).await {
            Ok(Ok(secured)) => {
                activity.ready();
                return Some(secured);
            }
            Ok(Err(failed)) => failed,
            Err(_) => Failed::Late,
        };
        metrics::handshake_failed(self.listener, failed.name());
        tracing::debug!(%peer, reason = failed.name(), "a TLS handshake failed");
        None
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        activity: &Arc<Activity>,
    ) -> Result<TlsStream<WatchedStream>, Failed> {
        let mut first = [0];
        // Whoever says nothing has no turn to take from others.
        let count = stream.peek(&mut first).await.map_err(|_| Failed::Left)?;
        let stream = WatchedStream::new(stream, Arc::clone(activity));
        if count == 0 {
            return Err(Failed::Left);
        }
        if first != [HANDSHAKE_RECORD] {
            hang_up(stream, PLAIN).await;
            return Err(Failed::Plain);
        }
        let turn = self.turns.take(peer).await;
        let accepted =
            TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).into_fallible().await;
        drop(turn);
        match accepted {
            Ok(secured) => Ok(secured),
            Err((error, stream)) => {
                tracing::debug!(%error, "TLS objects");
                // The alert that says why is on its way already.
                hang_up(stream, "").await;
                Err(Failed::of(&error))
            }
        }
    }
}

/// Ends a connection in a way that lets the last words arrive.
async fn hang_up(mut stream: WatchedStream, last_words: &str) {
    let said = stream.write_all(last_words.as_bytes()).await;
    if let Err(error) = said.and(stream.shutdown().await) {
        tracing::debug!(%error, "a client without TLS was gone before it was told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_plain_request_is_as_long_as_it_says() {
        let (head, body) = PLAIN.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
