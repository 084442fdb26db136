//! One connection, from its handshake to its end.
//!
//! Requests are taken one at a time and answered in order. While one is being worked on nothing
//! more is read, and while the client takes nothing nothing more is read either: what it sends
//! meanwhile waits in its own socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::codec::{Encoding, Incoming};
use super::mailbox::Push;
use super::proof::Proof;
use super::session::Session;
use super::{Shared, metrics, proof, request};

/// Connections are many and mostly silent, so each has a small buffer to read into.
const READ_BUFFER_BYTES: usize = 4_096;
/// How long a connection that ends may take to say so.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client closed it, or is not there any more.
    Gone,
    /// The server stops.
    Away,
    /// The client was silent, or took nothing, for too long.
    Silent,
    /// The client sent a message larger than may be.
    TooBig,
    /// A subscription ended while the store was away, which only a new connection mends.
    Lapsed,
    /// What the client has shown of itself does not hold any more.
    Unproven,
    /// The client broke the protocol.
    Protocol,
    /// The client sent a text that is none.
    NotText,
}

impl End {
    fn of(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TooBig,
            Error::Protocol(_) => Self::Protocol,
            Error::Utf8(_) => Self::NotText,
            _ => Self::Gone,
        }
    }

    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Gone => return None,
            Self::Away => (CloseCode::Away, "The server stops."),
            Self::Silent => (CloseCode::Policy, "No sign of life for too long."),
            Self::TooBig => (CloseCode::Size, "The message is too large."),
            Self::Lapsed => (CloseCode::Error, "A subscription has ended: subscribe anew."),
            Self::Unproven => (CloseCode::from(4003), "Authentication expired."),
            Self::Protocol => (CloseCode::Protocol, "The protocol was broken."),
            Self::NotText => (CloseCode::Invalid, "The text is not UTF-8."),
        };
        Some(CloseFrame { code, reason: reason.into() })
    }
}

/// Serves a connection whose handshake is done, to its end, and ends what was made on it.
pub(super) async fn serve<S>(stream: S, shared: Arc<Shared>, authority: Arc<str>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let bytes_max = shared.message_bytes_max();
    let settings = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(bytes_max))
        .max_frame_size(Some(bytes_max));
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(settings)).await;
    let (session, pushes) = Session::new(&authority);
    shared.sockets.add(&session);
    let kept = Kept { session: Some(session), shared: Arc::clone(&shared) };
    let open = metrics::OpenConnection::begin();
    if let Some(session) = &kept.session {
        let talk = Talk { socket, pushes, session, shared: &shared, asked_at: None };
        tokio::select! {
            () = shared.at_once.cancelled() => {}
            () = talk.run() => {}
        }
    }
    drop((open, kept));
}

/// A session that is ended however its connection ends.
struct Kept {
    session: Option<Session>,
    shared: Arc<Shared>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        self.shared.sockets.remove(&session);
        let engine = self.shared.engine.clone();
        self.shared.tasks.spawn(async move { session.end(&engine).await });
    }
}

struct Talk<'s, S> {
    socket: WebSocketStream<S>,
    pushes: mpsc::Receiver<Push>,
    session: &'s Session,
    shared: &'s Shared,
    /// When the client was first asked for a sign of life that it has not given yet.
    asked_at: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<'_, S> {
    async fn run(mut self) {
        let end = match self.converse().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // Whoever waits for a push is told now, not after the farewell.
        self.pushes.close();
        while self.pushes.try_recv().is_ok() {}
        let farewell = async {
            if self.socket.close(end.frame()).await.is_ok() {
                hang_up(self.socket.get_mut()).await;
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::debug!(?end, "a WebSocket client did not take its farewell");
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        let config = &self.shared.config;
        let patience = config.idle_timeout.saturating_sub(config.ping_period);
        let mut ping_at = Instant::now() + config.ping_period;
        loop {
            let silent_at = self.asked_at.map(|asked_at| asked_at + patience);
            let proof = self.session.shown().proof();
            let left = proof.as_ref().map(|proof| proof.left(self.shared.engine.clock().now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(End::Unproven);
            }
            let over_at = left.and_then(|left| Instant::now().checked_add(left));
            tokio::select! {
                // What has come in counts before time that is up: a process that stood still must
                // not take its clients for dead.
                biased;
                () = self.shared.stopping.cancelled() => return Err(End::Away),
                received = self.socket.next() => {
                    self.asked_at = None;
                    if let Some(incoming) = received_message(received)? {
                        self.work(incoming).await?;
                    }
                }
                Some(push) = self.pushes.recv() => self.push(push).await?,
                () = self.session.holdings().lapsed() => return Err(End::Lapsed),
                () = disproved(proof.as_deref()) => return Err(End::Unproven),
                // The clock says whether it is over.
                () = until(over_at) => {}
                () = until(silent_at) => return Err(End::Silent),
                () = tokio::time::sleep_until(ping_at) => {
                    proof::look_again(self.shared, self.session);
                    self.send(Message::Ping(Bytes::new())).await?;
                    let now = Instant::now();
                    self.asked_at.get_or_insert(now);
                    ping_at = now + config.ping_period;
                }
            }
        }
    }

    /// Works on a request and answers it; what is to be pushed meanwhile is pushed.
    async fn work(&mut self, incoming: Incoming) -> Result<(), End> {
        let (shared, session) = (self.shared, self.session);
        let mut answer = Box::pin(request::answer(shared, session, &incoming));
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                Some(push) = self.pushes.recv() => self.push(push).await?,
            }
        };
        self.send(answer).await
    }

    async fn push(&mut self, mut push: Push) -> Result<(), End> {
        let mailbox = self.session.mailbox();
        if !mailbox.begin(&push) {
            return Ok(());
        }
        if let Some(message) = push.message() {
            self.send(message).await?;
            metrics::pushed();
        }
        mailbox.written(push);
        Ok(())
    }

    /// Sends a message whole; a client that takes nothing for too long is given up.
    async fn send(&mut self, message: Message) -> Result<(), End> {
        let mailbox = self.session.mailbox();
        mailbox.sending();
        let patience = self.shared.config.idle_timeout;
        let sent = tokio::time::timeout(patience, self.socket.send(message)).await;
        mailbox.sent();
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::of(&error)),
            Err(_) => Err(End::Silent),
        }
    }
}

/// Tells the client that nothing follows, and reads away what it still sends: a connection that is
/// dropped with something unread takes the last words with it.
async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scratch = [0; 4_096];
    while stream.read(&mut scratch).await.is_ok_and(|count| count > 0) {}
}

/// Waits until a moment, for ever if there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits until a proof does not hold any more, for ever if there is none.
async fn disproved(proof: Option<&Proof>) {
    match proof {
        Some(proof) => proof.over().await,
        None => std::future::pending().await,
    }
}

/// The request in what was received, if it is one.
fn received_message(received: Option<Result<Message, Error>>) -> Result<Option<Incoming>, End> {
    match received {
        None => Err(End::Gone),
        Some(Err(error)) => Err(End::of(&error)),
        Some(Ok(Message::Text(text))) => {
            Ok(Some(Incoming { encoding: Encoding::Json, bytes: text.into() }))
        }
        Some(Ok(Message::Binary(bytes))) => {
            Ok(Some(Incoming { encoding: Encoding::MessagePack, bytes }))
        }
        Some(Ok(Message::Close(_))) => Err(End::Gone),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
    }
}
