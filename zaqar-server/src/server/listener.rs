//! Accepts connections, refuses those that are too many, and stops on demand.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::HeaderMap;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::activity::Activity;
use super::answers::AnswerHeaders;
use super::connection::{ConnectionLimits, Stop, drive, http};
use super::gate::{Gate, Pass, Refusal};
use super::io::WatchedStream;
use super::request::{RequestService, RequestTimeouts};
use super::takeover::Held;
use super::tls::Tls;
use crate::telemetry::metrics::{self, HttpMetrics};

/// What a server that listens needs to know.
#[derive(Debug, Clone)]
pub(crate) struct ListenerConfig {
    pub(crate) limits: ConnectionLimits,
    pub(crate) request: RequestTimeouts,
    pub(crate) slow: Duration,
    pub(crate) gate: Gate,
    pub(crate) metrics: Arc<HttpMetrics>,
    pub(crate) answers: Arc<AnswerHeaders>,
    /// Whether, and how, connections are secured.
    pub(crate) tls: Option<Tls>,
}

/// A server that accepts connections.
#[derive(Debug)]
pub(crate) struct Running {
    address: SocketAddr,
    stop: Stop,
    tasks: TaskTracker,
}

/// How long to wait after the system could not hand out a connection (out of files, of memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that is bound, and where.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Begins to accept.
pub(crate) fn serve(bound: Bound, router: Router, config: ListenerConfig) -> Running {
    let Bound { socket, address } = bound;
    let (stop, tasks) = (Stop::default(), TaskTracker::new());
    let acceptor = Acceptor { router, config, stop: stop.clone(), tasks: tasks.clone() };
    tasks.spawn(acceptor.run(socket));
    Running { address, stop, tasks }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.at_once.cancel();
        self.stop.gently.cancel();
    }
}

impl Running {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, finishes what was accepted, for `drain` at most; whether all finished.
    pub(crate) async fn shut_down(&self, drain: Duration) -> bool {
        self.stop.gently.cancel();
        self.tasks.close();
        let finished = tokio::time::timeout(drain, self.tasks.wait()).await.is_ok();
        if !finished {
            self.stop.at_once.cancel();
            self.tasks.wait().await;
        }
        finished
    }
}

struct Acceptor {
    router: Router,
    config: ListenerConfig,
    stop: Stop,
    tasks: TaskTracker,
}

impl Acceptor {
    async fn run(self, socket: TcpListener) {
        let http = http(&self.config.limits);
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.gently.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match self.config.gate.enter(peer.ip()) {
                    Ok(pass) => self.spawn(stream, peer.ip(), &http, pass),
                    Err(refusal) => self.refuse(&stream, refusal),
                },
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "cannot accept connections for the moment");
                    tokio::select! {
                        () = self.stop.gently.cancelled() => return,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        http: &hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>,
        pass: Pass,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection was gone before it began");
            return;
        }
        let activity = Arc::new(Activity::new());
        let held = Held::new(self.config.metrics.connection(), pass);
        let service = RequestService {
            router: self.router.clone(),
            activity: Arc::clone(&activity),
            timeouts: self.config.request,
            metrics: Arc::clone(&self.config.metrics),
            slow: self.config.slow,
            held: held.clone(),
            answers: Arc::clone(&self.config.answers),
        };
        let timeouts = self.config.limits.timeouts;
        let (http, stop, tls) = (http.clone(), self.stop.clone(), self.config.tls.clone());
        self.tasks.spawn(async move {
            match tls {
                None => {
                    let stream = WatchedStream::new(stream, Arc::clone(&activity));
                    drive(stream, activity, service, http, timeouts, stop).await;
                }
                Some(tls) => {
                    let secured = tokio::select! {
                        // No request was accepted yet, so there is none to finish.
                        () = stop.gently.cancelled() => None,
                        secured = tls.secure(stream, peer, &activity) => secured,
                    };
                    if let Some(stream) = secured {
                        drive(stream, activity, service, http, timeouts, stop).await;
                    }
                }
            }
            drop(held);
        });
    }

    /// Answers once, without waiting, and disconnects. Over TLS an answer would cost a handshake,
    /// which is what there is no room for.
    fn refuse(&self, stream: &TcpStream, refusal: Refusal) {
        metrics::connection_refused(match refusal {
            Refusal::Full => "full",
            Refusal::PeerFull => "peer_full",
        });
        if self.config.tls.is_some() {
            return;
        }
        if let Err(error) = stream.try_write(refused(&self.config.answers).as_bytes()) {
            tracing::debug!(error = %error, "a refused connection could not be told why");
        }
    }
}

/// Errors of one connection that was gone before it was accepted.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What a connection is told for which there is no room.
fn refused(answers: &AnswerHeaders) -> String {
    const BODY: &str = r#"{"title": "Service temporarily unavailable", "description": "Too many connections.", "stored": false}"#;
    let mut headers = HeaderMap::new();
    answers.complete(&mut headers);
    let headers: String = headers
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}: {}\r\n", value.to_str().ok()?)))
        .collect();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n{headers}\
         content-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    )
}
