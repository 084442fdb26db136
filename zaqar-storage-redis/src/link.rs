//! The connection to one server: shared by all callers, made when it is needed, replaced when it is
//! cut. Nothing is ever sent twice from here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, Value,
};

use crate::checks::{Checks, Findings};
use crate::config::Config;
use crate::error::{Failure, answered};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_000);
/// Requests that may wait for the socket of one connection.
const PIPELINE: usize = 4_096;

/// A server.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    pub(crate) address: (String, u16),
    response_timeout: Duration,
    checks: Option<Arc<Checks>>,
    /// Whether connections are asked for the server's run.
    asks_run: bool,
    live: Mutex<Live>,
    /// Held while a connection is made, so that one is.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Live {
    connection: Option<Connection>,
    /// How often a connection was tried; counts up with each end of a trial.
    tries: u64,
    failed: Option<Arc<RedisError>>,
}

/// A live connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    multiplexed: MultiplexedConnection,
    number: u64,
    /// Which run of which server it is to, where writes wait for copies; else empty.
    pub(crate) run: Arc<str>,
}

impl Link {
    /// A server that is connected to when it is first used. With `checks`, a server that is set up to
    /// lose data is not used (G15).
    pub(crate) fn new(
        config: &Config,
        address: (String, u16),
        checks: Option<Arc<Checks>>,
    ) -> Result<Self, RedisError> {
        let redis = settings(config.username.as_deref(), config.password.as_deref(), config.db);
        Self::with(config, address, redis, checks)
    }

    /// A sentinel.
    pub(crate) fn sentinel(config: &Config, address: (String, u16)) -> Result<Self, RedisError> {
        let (user, password) = (&config.sentinel_username, &config.sentinel_password);
        let redis = settings(user.as_deref(), password.as_deref(), 0);
        Self::with(config, address, redis, None)
    }

    fn with(
        config: &Config,
        address: (String, u16),
        redis: RedisConnectionInfo,
        checks: Option<Arc<Checks>>,
    ) -> Result<Self, RedisError> {
        let (host, port) = address.clone();
        let place = if config.tls {
            // The client takes the process's own way of encryption; without one it would panic. One
            // that is there already is as good.
            drop(rustls::crypto::ring::default_provider().install_default());
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = place.into_connection_info()?.set_redis_settings(redis);
        Ok(Self {
            client: Client::open(info)?,
            address,
            response_timeout: config.response_timeout,
            asks_run: checks.is_some() && config.waits(),
            checks,
            live: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        // Nothing panics while it is held.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if there is one: without waiting.
    pub(crate) fn connected(&self) -> Option<Connection> {
        self.live().connection.clone()
    }

    /// The connection, made if there is none. Whoever waited while a trial failed shares its failure:
    /// a server that is away must not be asked by each caller in turn.
    pub(crate) async fn connection(&self) -> Result<Connection, Failure> {
        let tries = {
            let live = self.live();
            if let Some(connection) = &live.connection {
                return Ok(connection.clone());
            }
            live.tries
        };
        let _only = self.connecting.lock().await;
        {
            let live = self.live();
            if let Some(connection) = &live.connection {
                return Ok(connection.clone());
            }
            if let (true, Some(error)) = (live.tries > tries, &live.failed) {
                return Err(Failure::NotSent(Arc::clone(error)));
            }
        }
        let made = self.connect().await;
        let mut live = self.live();
        live.tries += 1;
        match made {
            Ok((multiplexed, run)) => {
                let connection = Connection { multiplexed, number: live.tries, run };
                live.connection = Some(connection.clone());
                live.failed = None;
                Ok(connection)
            }
            Err(error) => {
                let error = Arc::new(error);
                live.failed = Some(Arc::clone(&error));
                Err(Failure::NotSent(error))
            }
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, Arc<str>), RedisError> {
        // The library's own time-outs are off: ours decides, and replaces the connection.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        let mut connection = connected.map_err(|_| too_late())??;
        if let Some(checks) = self.checks.as_ref().filter(|checks| checks.is_enforced()) {
            let checking = checks.examine(&mut connection);
            let findings = tokio::time::timeout(self.response_timeout, checking).await;
            findings.map_err(|_| too_late())??.permit(checks.unreliable)?;
        }
        let run = self.run(&mut connection).await?;
        Ok((connection, run))
    }

    /// Each start of a server has a random number; a connection never outlives it.
    async fn run(&self, connection: &mut MultiplexedConnection) -> Result<Arc<str>, RedisError> {
        if !self.asks_run {
            return Ok("".into());
        }
        let mut ask = redis::cmd("INFO");
        ask.arg("server");
        let asking = ask.query_async::<String>(connection);
        let info = tokio::time::timeout(self.response_timeout, asking).await;
        let info = info.map_err(|_| too_late())??;
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let unknown =
            || RedisError::from((ErrorKind::UnexpectedReturnType, "INFO names no run_id"));
        Ok(run.ok_or_else(unknown)?.trim().into())
    }

    /// Examines the server's settings now.
    pub(crate) async fn examine(&self, checks: &Checks) -> Result<Findings, Failure> {
        let mut connection = self.connection().await?;
        let checking = checks.examine(&mut connection.multiplexed);
        match tokio::time::timeout(self.response_timeout, checking).await {
            Ok(Ok(findings)) => Ok(findings),
            Ok(Err(error)) => {
                self.drop_connection(&connection);
                Err(Failure::of(error))
            }
            Err(_) => {
                self.drop_connection(&connection);
                Err(Failure::Silent)
            }
        }
    }

    /// Forgets a connection that failed, unless another has taken its place.
    fn drop_connection(&self, failed: &Connection) {
        let mut live = self.live();
        if live.connection.as_ref().is_some_and(|present| present.number == failed.number) {
            live.connection = None;
        }
    }

    /// Forgets whatever connection there is.
    pub(crate) fn disconnect(&self) {
        self.live().connection = None;
    }

    /// Sends one command, which is on its way as soon as this was polled.
    pub(crate) async fn send(
        &self,
        connection: Connection,
        command: &redis::Cmd,
    ) -> Result<Value, Failure> {
        let mut multiplexed = connection.multiplexed.clone();
        let answer = multiplexed.send_packed_command(command);
        let answer = tokio::time::timeout(self.response_timeout, answer).await;
        self.judge(&connection, answer.map(answered))
    }

    /// Sends commands that run one after the other, with nothing of this connection between them;
    /// answers what each came to.
    pub(crate) async fn send_all(
        &self,
        connection: Connection,
        commands: &redis::Pipeline,
        count: usize,
    ) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let mut multiplexed = connection.multiplexed.clone();
        let answers = multiplexed.send_packed_commands(commands, 0, count);
        let answers = tokio::time::timeout(self.response_timeout, answers).await;
        let each =
            |values: Vec<Value>| values.into_iter().map(|value| answered(Ok(value))).collect();
        self.judge(&connection, answers.map(|all| all.map(each).map_err(Failure::of)))
    }

    fn judge<T>(
        &self,
        connection: &Connection,
        answer: Result<Result<T, Failure>, tokio::time::error::Elapsed>,
    ) -> Result<T, Failure> {
        let failure = match answer {
            Ok(Err(failure @ Failure::InDoubt(_))) => failure,
            Ok(other) => return other,
            Err(_) => Failure::Silent,
        };
        self.drop_connection(connection);
        Err(failure)
    }
}

fn settings(username: Option<&str>, password: Option<&str>, db: i64) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_db(db).set_skip_set_lib_name();
    if let Some(username) = username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    settings
}

fn too_late() -> RedisError {
    (ErrorKind::Io, "no connection in time").into()
}
