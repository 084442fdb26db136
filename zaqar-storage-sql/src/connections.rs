//! Connections to a server: opened when needed, kept for the next operation, dropped when in doubt.
//!
//! The gate in front decides how many operations run, so this never makes anybody wait. A
//! connection is given back only by an operation that finished with it; whatever else happens to its
//! holder (an error, a panic, a cancelled task) closes it, and the server rolls back what was open.
//! So nobody ever meets a transaction that another operation left behind. sqlx's own pool would
//! also do, but it asks the server for a sign of life after each use: a round trip for every
//! operation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::Connection;

/// How long a connection may rest before it is asked for a sign of life: firewalls forget idle ones.
const REST_MAX: Duration = Duration::from_secs(30);
/// How long opening a connection may take.
const DIAL_MAX: Duration = Duration::from_secs(10);

/// Opens connections that are ready to be used.
#[async_trait]
pub(crate) trait Dial: std::fmt::Debug + Send + Sync + 'static {
    /// The connection.
    type Connection: Connection + 'static;

    /// Opens one; an error if it is not what it must be.
    async fn dial(&self) -> Result<Self::Connection, sqlx::Error>;
}

/// The connections of a store.
pub(crate) struct Connections<D: Dial> {
    dial: D,
    resting: Mutex<Vec<Resting<D::Connection>>>,
    /// Connections of an earlier generation are not used again.
    generation: AtomicU64,
    closed: AtomicBool,
}

struct Resting<C> {
    connection: C,
    generation: u64,
    since: Instant,
}

/// A connection in use. Dropping it closes it; [`Held::give_back`] keeps it.
pub(crate) struct Held<D: Dial> {
    connection: D::Connection,
    generation: u64,
    home: Arc<Connections<D>>,
}

impl<D: Dial> std::fmt::Debug for Connections<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("dial", &self.dial).finish_non_exhaustive()
    }
}

impl<D: Dial> Connections<D> {
    /// The connections of a store whose first one is open already.
    pub(crate) fn with(dial: D, connection: D::Connection) -> Arc<Self> {
        let first = Resting { connection, generation: 0, since: Instant::now() };
        Arc::new(Self {
            dial,
            resting: Mutex::new(vec![first]),
            generation: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// A connection that is alive as far as anybody knows.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Held<D>, sqlx::Error> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(sqlx::Error::PoolClosed);
            }
            let generation = self.generation.load(Ordering::Acquire);
            let resting = self.lock().pop();
            let Some(mut resting) = resting else {
                let dialled = tokio::time::timeout(DIAL_MAX, self.dial.dial()).await;
                let connection = dialled.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
                return Ok(Held { connection, generation, home: Arc::clone(self) });
            };
            let alive = resting.generation == generation
                && (resting.since.elapsed() < REST_MAX || resting.connection.ping().await.is_ok());
            if alive {
                let Resting { connection, generation, .. } = resting;
                return Ok(Held { connection, generation, home: Arc::clone(self) });
            }
        }
    }

    /// The server was lost or changed its role: what rests is not to be trusted any more.
    pub(crate) fn distrust(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Says good-bye on all connections; those in use are closed when they come back.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let resting = std::mem::take(&mut *self.lock());
        for one in resting {
            if let Err(error) = one.connection.close().await {
                tracing::debug!(%error, "a connection was gone before it was closed");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Resting<D::Connection>>> {
        // Nothing panics while it is held; if something did, the list is whole all the same.
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Dial> Held<D> {
    /// The connection itself.
    pub(crate) fn connection(&mut self) -> &mut D::Connection {
        &mut self.connection
    }

    /// Keeps it for the next operation: its last answer was read, and no transaction is open.
    pub(crate) fn give_back(self) {
        let Self { connection, generation, home } = self;
        if home.closed.load(Ordering::Acquire) {
            return;
        }
        home.lock().push(Resting { connection, generation, since: Instant::now() });
    }
}
