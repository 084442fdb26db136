//! The pools that are in use: each is opened once, on first use, and again when its address changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use tokio::time::Instant;
use zaqar_core::{DataDriver, Effect, Error, Pool, PoolName, Result, Retry};

use crate::health::StoreHealth;
use crate::watch::Watch;

use super::opener::{PoolAddress, PoolOpener};

/// How long a pool that could not be opened, or failed in the background, is left alone: callers
/// are told at once, and a store that is down is not asked by every one of them.
const REST: Duration = Duration::from_secs(1);
/// Pools whose turn-taking is remembered.
const TURNS_MAX: u64 = 10_000;

/// A pool in use.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) pool: PoolName,
    pub(crate) data: Arc<dyn DataDriver>,
    /// What the latest look at it found.
    pub(crate) watch: Watch,
    address: PoolAddress,
}

impl Connection {
    /// Whether nothing may be removed from it now.
    pub(crate) fn keeps_everything(&self) -> bool {
        self.watch.is_downgraded() || self.watch.is_time_suspect()
    }
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<PoolName, Arc<Connection>>,
    failed: HashMap<PoolName, (PoolAddress, Instant)>,
    closed: bool,
}

/// All pools in use.
#[derive(Debug)]
pub(crate) struct Connections {
    opener: Arc<dyn PoolOpener>,
    state: Mutex<State>,
    /// How long others may still remember a connection that was replaced.
    linger: Duration,
    turns: Cache<PoolName, Arc<tokio::sync::Mutex<()>>>,
}

impl Connections {
    /// `linger`: how long a connection may be remembered outside after it was replaced.
    pub(crate) fn new(opener: Arc<dyn PoolOpener>, linger: Duration) -> Self {
        let turns = Cache::builder().max_capacity(TURNS_MAX).build();
        Self { opener, state: Mutex::default(), linger, turns }
    }

    pub(crate) fn opener(&self) -> &dyn PoolOpener {
        &*self.opener
    }

    /// The connection to a pool, opened if need be. Cost: a look at a map once it is open.
    pub(crate) async fn get(&self, pool: &Pool) -> Result<Arc<Connection>> {
        let address = PoolAddress { uri: pool.uri.clone(), options: pool.options.clone() };
        if let Some(known) = self.known(&pool.name, &address)? {
            return Ok(known);
        }
        let turn = self.turns.get_with_by_ref(&pool.name, async { Arc::default() }).await;
        let _turn = turn.lock().await;
        if let Some(known) = self.known(&pool.name, &address)? {
            return Ok(known);
        }
        match self.opener.open(&address).await {
            Ok(opened) => {
                let connection = Arc::new(Connection {
                    pool: pool.name.clone(),
                    data: opened.data,
                    watch: Watch::new(opened.clock),
                    address,
                });
                // The first look sets the clock, before anything is given a time.
                let answer = connection.data.health().await.map_err(Into::into);
                let health = StoreHealth::new(connection.data.info(), answer);
                connection.watch.note(&health, false);
                self.replace(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                tracing::warn!(pool = %pool.name, error = %error, "a pool cannot be opened");
                let failed = (address, Instant::now());
                self.lock().failed.insert(pool.name.clone(), failed);
                Err(unreachable(&pool.name))
            }
        }
    }

    /// The connection to a pool, if it is in use.
    pub(crate) fn peek(&self, name: &PoolName) -> Option<Arc<Connection>> {
        self.lock().open.get(name).cloned()
    }

    /// The open connection, if there is one to this address.
    fn known(&self, name: &PoolName, address: &PoolAddress) -> Result<Option<Arc<Connection>>> {
        let state = self.lock();
        if state.closed {
            let reason = "the pools were let go of";
            return Err(Error::backend("pool_open", Effect::None, Retry::AfterReopen, reason));
        }
        let open = state.open.get(name).filter(|connection| connection.address == *address);
        if let Some(connection) = open {
            return Ok(Some(Arc::clone(connection)));
        }
        let failed = state.failed.get(name).filter(|(failed, _)| failed == address);
        match failed {
            Some((_, at)) if at.elapsed() < REST => Err(unreachable(name)),
            _ => Ok(None),
        }
    }

    fn replace(&self, connection: Arc<Connection>) {
        let before = {
            let mut state = self.lock();
            state.failed.remove(&connection.pool);
            state.open.insert(connection.pool.clone(), connection)
        };
        if let Some(before) = before {
            let linger = self.linger;
            tokio::spawn(async move {
                tokio::time::sleep(linger).await;
                before.data.close().await;
            });
        }
    }

    /// Lets go of a pool that is no more.
    pub(crate) async fn forget(&self, name: &PoolName) {
        let gone = self.lock().open.remove(name);
        if let Some(gone) = gone {
            gone.data.close().await;
        }
    }

    /// Finishes what was accepted and lets go of all.
    pub(crate) async fn close(&self) {
        let open: Vec<_> = {
            let mut state = self.lock();
            state.closed = true;
            state.open.drain().map(|(_, connection)| connection).collect()
        };
        futures_util::future::join_all(open.iter().map(|connection| connection.data.close())).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreachable(pool: &PoolName) -> Error {
    let reason = format!("pool {pool} cannot be opened");
    Error::backend("pool_open", Effect::None, Retry::Later, reason)
}
