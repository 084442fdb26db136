//! The WebSocket transport: the same queues, messages, claims and subscriptions as over HTTP, one
//! request after another on a connection that stays open, and notifications pushed to it.
//!
//! `handshake` lets a connection in; `connection` reads, answers and pushes until it ends; `codec`
//! turns JSON and MessagePack into checked JSON text; `request` and `actions` answer one request,
//! if `proof` knows who asks.
//! `sockets` is the way of a notification to a connection, through its `mailbox`; `renewal` keeps
//! the subscriptions of a connection alive, `session` ends them with it.

mod actions;
mod codec;
mod config;
mod connection;
mod envelope;
mod fields;
#[cfg(test)]
mod fuzz;
mod handshake;
mod mailbox;
mod metrics;
mod msgpack;
mod proof;
mod refusal;
mod renewal;
mod request;
mod session;
mod signed;
mod sockets;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use http::Response;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use zaqar_engine::Engine;
use zaqar_notify::Channel;

pub use config::WebSocketConfig;

use crate::rest::Confirmations;
use sockets::Sockets;

/// Where the REST listener lets WebSocket clients in.
pub const PATH: &str = "/v2/ws";

/// The names of all actions.
pub fn actions() -> impl Iterator<Item = &'static str> {
    actions::names()
}

/// How long what was made on connections that are cut may still take to end.
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// Every action with the rule that guards it.
pub(crate) fn guards() -> impl Iterator<Item = (&'static str, zaqar_auth::policy::Rule)> {
    actions::guards()
}

/// The WebSocket service over an engine. Cloning shares it.
#[derive(Debug, Clone)]
pub struct WebSockets {
    shared: Arc<Shared>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    engine: Engine,
    config: WebSocketConfig,
    /// The name of this process, under which its connections subscribe.
    owner: String,
    sockets: Arc<Sockets>,
    /// There if subscribers have to confirm.
    confirmations: OnceLock<Arc<dyn Confirmations>>,
    places: Arc<Semaphore>,
    renewals: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    at_once: CancellationToken,
}

impl Shared {
    fn message_bytes_max(&self) -> usize {
        self.config.message_bytes_max(self.engine.config().limits.messages_post_size_max)
    }
}

/// A way in: a listener's address, and whether it serves nothing else.
#[derive(Debug, Clone)]
struct Door {
    shared: Arc<Shared>,
    authority: Arc<str>,
    is_own_port: bool,
}

impl Door {
    async fn answer(self, request: Request) -> Response<Body> {
        handshake::answer(&self, request)
    }
}

impl WebSockets {
    /// A service without connections yet.
    #[must_use]
    pub fn new(engine: Engine, config: WebSocketConfig) -> Self {
        let places = config.connections_max.min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            engine,
            config,
            owner: Uuid::new_v4().simple().to_string(),
            sockets: Arc::default(),
            confirmations: OnceLock::new(),
            places: Arc::new(Semaphore::new(places)),
            renewals: Arc::new(Semaphore::new(renewal::AT_ONCE)),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            at_once: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The name of this process, a new one at each start. Subscriptions of its connections bear it,
    /// and the notifier that reaches them asks for work under it.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.shared.owner
    }

    /// The way to push to the connections of this process.
    #[must_use]
    pub fn channel(&self) -> Arc<dyn Channel> {
        Arc::clone(&self.shared.sockets) as _
    }

    /// Says what carries messages to subscribers that have to confirm, for the first time that it is
    /// called; until then none is asked. The notifier carries them, which in turn needs this
    /// service, so it cannot be had at the start.
    pub fn confirm_by(&self, confirmations: Arc<dyn Confirmations>) {
        self.shared.confirmations.get_or_init(|| confirmations);
    }

    /// The service on a port of its own, under every path.
    pub fn own_port(&self, address: SocketAddr) -> Router {
        let door = self.door(address, true);
        Router::new().fallback(move |request: Request| door.answer(request))
    }

    /// The service under [`PATH`], to be merged into another router.
    pub fn path(&self, address: SocketAddr) -> Router {
        let door = self.door(address, false);
        Router::new().route(PATH, any(move |request: Request| door.answer(request)))
    }

    fn door(&self, address: SocketAddr, is_own_port: bool) -> Door {
        let authority = address.to_string().into();
        Door { shared: Arc::clone(&self.shared), authority, is_own_port }
    }

    /// Closes every connection and ends what was made on them, for `within` at most; whether all of
    /// it was finished.
    pub async fn shut_down(&self, within: Duration) -> bool {
        let shared = &self.shared;
        shared.stopping.cancel();
        shared.tasks.close();
        let finished = tokio::time::timeout(within, shared.tasks.wait()).await.is_ok();
        if !finished {
            shared.at_once.cancel();
            // A store that does not answer must not hold the server up for longer.
            tokio::time::timeout(LAST_MOMENT, shared.tasks.wait()).await.ok();
        }
        finished
    }
}
