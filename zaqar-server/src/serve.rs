//! Puts listeners, stores, engine and router together, and takes them apart again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use zaqar_core::{Clock, DisciplinedClock, OpenError};
use zaqar_engine::{Engine, EngineBuilder, Maintenance, StoreOptions, Stores, registry};
use zaqar_notify::Notifier;

use crate::config::options::AuthStrategy;
use crate::config::{Config, ConfigError};
use crate::server::listener::{self, Bound, Running};
use crate::server::progress::NoteRoute;
use crate::server::tls::Protocols;
use crate::stages::Stages;
use crate::telemetry::metrics;
use crate::tls::Secured;
use crate::websocket::WebSockets;
use crate::{admin, assemble, auth, data_file, notifications, policy, rest};

/// Why a server did not start. Each is one line that names what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} (options {section}.bind and {section}.port): {reason}")]
    Listen {
        /// The section that names the address.
        section: &'static str,
        /// The address.
        address: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The folder of the data file cannot be made.
    #[error("cannot make the folder for {file} (option drivers.message_store.uri): {reason}")]
    DataFolder {
        /// The data file.
        file: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The certificate cannot be used.
    #[error("cannot serve TLS (option {option}): {reason}")]
    Tls {
        /// The option at fault.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Callers cannot be authenticated as configured.
    #[error("cannot authenticate callers (option {option}): {reason}")]
    Authentication {
        /// The option at fault.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Notifications cannot be delivered as configured.
    #[error("cannot deliver notifications (option {option}): {reason}")]
    Notification {
        /// The option at fault.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The stages or the policy are not as they must be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A store cannot be opened.
    #[error("cannot open the store {location} (option {option}): {}", chain(.reason))]
    Store {
        /// The option that names it.
        option: &'static str,
        /// Where it is, without password.
        location: String,
        /// The driver's reason.
        reason: OpenError,
    },
}

/// An error with its causes, in one line.
fn chain(error: &OpenError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string().replace('\n', " "));
        source = cause.source();
    }
    text
}

/// A server that serves.
#[derive(Debug)]
#[must_use = "a server that is dropped, not shut down, drops the requests that it handles"]
pub struct RunningServer {
    engine: Engine,
    maintenance: Maintenance,
    notifier: Notifier,
    api: Running,
    sockets: WebSockets,
    websocket: Option<Running>,
    admin: Option<Running>,
    stopping: CancellationToken,
    upkeep: (JoinHandle<()>, DropGuard),
    /// There if connections are secured.
    renewal: Option<AbortOnDropHandle<()>>,
    drain: Duration,
    location: String,
    asks_for_tokens: bool,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was accepted was finished.
    Finished,
    /// Some requests were still running when the time for them was over.
    CutOff,
}

/// Starts a server. Must be called within a tokio runtime; whoever wants logs starts them before
/// ([`crate::telemetry::log::init`]).
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start(config: Config) -> Result<RunningServer, StartError> {
    start_with(config, &Stages::new()).await
}

/// The same for a program that has stages of its own.
///
/// # Errors
/// As for [`start`].
pub async fn start_with(config: Config, stages: &Stages) -> Result<RunningServer, StartError> {
    let recorder = metrics::recorder();
    let stages = stages.assemble(&config)?;
    let policy = policy::load(&config)?;
    let secured = Secured::open(&config)?;
    // Both addresses before the store: a second server on one machine must fail on its port, not
    // open the first one's file.
    let api = bind("drivers.transport.wsgi", &config.listen.bind, config.listen.port).await?;
    let admin = match config.admin.bind.as_str() {
        "" => None,
        host => Some(bind("admin", host, config.admin.port).await?),
    };
    let websocket = match &config.websocket {
        options if options.enabled => {
            Some(bind("drivers.transport.websocket", &options.bind, options.port).await?)
        }
        _ => None,
    };
    if config.general.auth_strategy == AuthStrategy::None {
        for listening in [Some(&api), websocket.as_ref()].into_iter().flatten() {
            warn_of_strangers(listening.address);
        }
    }
    let disciplined = Arc::new(DisciplinedClock::from_system());
    let clock: Arc<dyn Clock> = Arc::clone(&disciplined) as _;
    let stores = open_stores(&config, &clock).await?;
    let location = stores.data.info().location;
    let builder = Engine::builder(stores, clock)
        .config(assemble::engine(&config))
        .subscriber_check(notifications::subscriber_check(&config)?)
        .disciplines(disciplined);
    let builder = match assemble::pools(&config) {
        Some(pools) => builder.pools(pools),
        None => builder,
    };
    let engine = stages.into_iter().fold(builder, EngineBuilder::stage).build();
    // The first look sets the clock, before anything is given a time.
    engine.watch().await;
    let stopping = CancellationToken::new();

    let authentication = auth::open(&config, engine.clock())?;
    let mut settings = assemble::rest(&config, &policy, authentication);
    settings.rates = assemble::rates(&config, engine.clock());
    let sockets = WebSockets::new(engine.clone(), assemble::websocket(&config, &settings));
    let (owner, channel) = (sockets.owner(), sockets.channel());
    let notifier =
        notifications::start(&engine, &config, owner, channel, &settings.authentication)?;
    let confirmations = notifications::confirmations(&notifier, &config);
    if let Some(confirmations) = &confirmations {
        sockets.confirm_by(Arc::clone(confirmations));
    }
    let mut router = rest::router(engine.clone(), settings, confirmations);
    if config.websocket.on_api_port {
        router = router.merge(sockets.path(api.address));
    }
    let router = router.layer(NoteRoute);
    let mut api_listener = assemble::listener(&config);
    let mut websocket_listener = assemble::websocket_listener(&config);
    if let Some(secured) = &secured {
        api_listener.tls = Some(secured.listener(Protocols::Http, "api")?);
        websocket_listener.tls = Some(secured.listener(Protocols::WebSocket, "websocket")?);
    }
    let websocket = websocket.map(|bound| {
        let router = sockets.own_port(bound.address).layer(NoteRoute);
        listener::serve(bound, router, websocket_listener)
    });
    let api = listener::serve(api, router, api_listener);
    let admin = admin.map(|bound| {
        let router = admin::router(engine.clone(), stopping.clone()).layer(NoteRoute);
        listener::serve(bound, router, assemble::admin_listener(&config))
    });
    let token = CancellationToken::new();
    let upkeep = tokio::spawn(keep_up(recorder, token.clone()));
    Ok(RunningServer {
        maintenance: engine.spawn_maintenance(),
        notifier,
        engine,
        api,
        sockets,
        websocket,
        admin,
        stopping,
        upkeep: (upkeep, token.drop_guard()),
        renewal: secured.map(Secured::keep_renewed),
        drain: Duration::from_millis(config.limits.drain_timeout_ms),
        location,
        asks_for_tokens: config.general.auth_strategy != AuthStrategy::None,
    })
}

/// Nobody is authenticated, so whoever reaches the address has every tenant's queues.
fn warn_of_strangers(address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "callers are not authenticated and the address is not loopback");
    }
}

async fn bind(section: &'static str, host: &str, port: u16) -> Result<Bound, StartError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let bound = TcpListener::bind((host, port)).await;
    let bound = bound.and_then(|socket| Ok(Bound { address: socket.local_addr()?, socket }));
    bound.map_err(|reason| {
        let address =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        StartError::Listen { section, address, reason }
    })
}

/// An engine on the stores of the configuration, for a command: it serves nobody and keeps nothing up.
///
/// # Errors
/// [`StartError::Store`].
pub(crate) async fn open_engine(config: &Config) -> Result<Engine, StartError> {
    let disciplined = Arc::new(DisciplinedClock::from_system());
    let clock: Arc<dyn Clock> = Arc::clone(&disciplined) as _;
    let stores = open_stores(config, &clock).await?;
    let builder = Engine::builder(stores, clock).config(assemble::engine(config));
    let builder = builder.disciplines(disciplined);
    let builder = match assemble::pools(config) {
        Some(pools) => builder.pools(pools),
        None => builder,
    };
    let engine = builder.build();
    engine.watch().await;
    Ok(engine)
}

async fn open_stores(config: &Config, clock: &Arc<dyn Clock>) -> Result<Stores, StartError> {
    let options = StoreOptions::new(Arc::clone(clock)).unreliable(config.general.unreliable);
    let message_uri = if config.message_store.uri.is_set() {
        config.message_store.uri.clone()
    } else {
        let file = data_file::default_path(|name| std::env::var_os(name));
        data_file::make_folder(&file).map_err(|reason| StartError::DataFolder {
            file: file.display().to_string(),
            reason,
        })?;
        format!("sqlite:{}", file.display()).as_str().into()
    };
    let open = |option, uri: crate::config::value::StoreUri| {
        let options = options.clone();
        async move {
            registry::open(uri.expose(), &options).await.map_err(|reason| StartError::Store {
                option,
                location: uri.redacted(),
                reason,
            })
        }
    };
    let messages = open("drivers.message_store.uri", message_uri.clone()).await?;
    let management_uri = &config.management_store.uri;
    if !management_uri.is_set() || *management_uri == message_uri {
        return Ok(messages);
    }
    let management = open("drivers.management_store.uri", management_uri.clone()).await?;
    Ok(Stores::new(management.control, messages.data))
}

/// Folds samples into the histograms now and then, so that they take no memory for ever.
async fn keep_up(
    recorder: Option<&'static metrics_exporter_prometheus::PrometheusHandle>,
    stop: CancellationToken,
) {
    let Some(recorder) = recorder else { return };
    let mut ticks = tokio::time::interval(metrics::UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => recorder.run_upkeep(),
        }
    }
}

impl RunningServer {
    /// Where the API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// The URL of the API, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.renewal.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Where WebSocket has a port of its own, if it has one.
    #[must_use]
    pub fn websocket_address(&self) -> Option<SocketAddr> {
        self.websocket.as_ref().map(Running::address)
    }

    /// Where the operators' listener is, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Running::address)
    }

    /// Where messages are kept, without password.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether callers need a token.
    pub(crate) fn asks_for_tokens(&self) -> bool {
        self.asks_for_tokens
    }

    /// Stops accepting, finishes what was accepted, for the configured time at most, and lets go
    /// of the stores.
    pub async fn shutdown(self) -> Ended {
        self.stopping.cancel();
        self.engine.end_waiting();
        let websocket = async {
            match &self.websocket {
                Some(listener) => listener.shut_down(self.drain).await,
                None => true,
            }
        };
        let (api, sockets, websocket) = tokio::join!(
            self.api.shut_down(self.drain),
            self.sockets.shut_down(self.drain),
            websocket
        );
        let finished = api && sockets && websocket;
        self.notifier.stop().await;
        self.maintenance.stop().await;
        self.engine.shutdown().await;
        if let Some(admin) = &self.admin {
            admin.shut_down(Duration::from_secs(1)).await;
        }
        let (upkeep, stop) = self.upkeep;
        drop(stop);
        if let Err(error) = upkeep.await {
            tracing::error!(error = %error, "the upkeep of the metrics had died");
        }
        if finished { Ended::Finished } else { Ended::CutOff }
    }
}
