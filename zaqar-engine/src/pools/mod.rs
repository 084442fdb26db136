//! Pools: many data stores behind one control plane.
//!
//! A queue is placed in a pool once, when it is made ([`placement`]), and the catalogue remembers
//! where. Every operation on it goes there (`routing`). A queue that the catalogue
//! does not know lives in the *home* store, the one that the engine was built with: so pools can be
//! added to an installation that has queues already.
//!
//! What is remembered here about a queue may be stale. The queue's head refuses what comes to the
//! wrong store; the memory is dropped then, and the fence tries again.

mod admin;
mod alone;
mod available;
mod connections;
mod driver;
mod flavors;
mod joined;
mod listing;
mod moves;
mod opener;
mod outbox;
pub mod placement;
mod routing;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use moka::future::Cache;
use zaqar_core::{ControlDriver, DataDriver, Incarnation, Pool, PoolName};

use crate::config::EngineConfig;
use crate::health::StoreHealth;

use connections::Connections;
use listing::Listing;
use moves::{Pace, Watched};
use routing::Place;

pub use admin::{ChangePool, NewPool};
pub use flavors::FlavorView;
pub use moves::{DrainReport, MovesReport, MovingQueue, QueuePlace};
pub use opener::{OpenedPool, PoolAddress, PoolOpener, RegistryOpener};

/// Queues whose pool is remembered; beyond it the least used are dropped.
const PLACES_MAX: u64 = 100_000;

/// How an engine uses pools.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoolOptions {
    /// Opens the data store of a pool.
    pub opener: Arc<dyn PoolOpener>,
    /// Whether a queue for which there is no pool is made in the engine's own data store.
    pub virtual_pool: bool,
}

impl PoolOptions {
    /// Pools that `opener` opens, and no queue anywhere else.
    #[must_use]
    pub fn new(opener: Arc<dyn PoolOpener>) -> Self {
        Self { opener, virtual_pool: false }
    }

    /// Sets whether a queue for which there is no pool is made in the engine's own data store.
    #[must_use]
    pub fn virtual_pool(mut self, enabled: bool) -> Self {
        self.virtual_pool = enabled;
        self
    }
}

/// The pools of an installation as one engine knows them. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Pools(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Arc<dyn ControlDriver>,
    home: Arc<dyn DataDriver>,
    virtual_pool: bool,
    connections: Connections,
    listing: Listing,
    places: Cache<Incarnation, Arc<Place>>,
    /// Where the next round over all stores begins.
    turn: AtomicUsize,
    watched: Watched,
    pace: Pace,
}

impl Pools {
    pub(crate) fn new(
        control: Arc<dyn ControlDriver>,
        home: Arc<dyn DataDriver>,
        options: PoolOptions,
        config: &EngineConfig,
    ) -> Self {
        let cache_ttl = config.queue_cache_ttl;
        let places = Cache::builder().max_capacity(PLACES_MAX).time_to_live(cache_ttl).build();
        Self(Arc::new(Inner {
            listing: Listing::new(cache_ttl),
            connections: Connections::new(options.opener, cache_ttl),
            virtual_pool: options.virtual_pool,
            control,
            home,
            places,
            turn: AtomicUsize::new(0),
            watched: Watched::new(config.moves.takeover_after),
            pace: Pace::new(config.moves.messages_per_second_max),
        }))
    }

    /// Asks every pool how it is, ascending by name; one that takes longer does not answer.
    pub(crate) async fn health(&self, timeout: Duration) -> Vec<(PoolName, StoreHealth)> {
        let pools = match self.all().await {
            Ok(pools) => pools,
            Err(error) => {
                tracing::warn!(%error, "the pools are not known");
                return Vec::new();
            }
        };
        let looks = pools.iter().map(|pool| async {
            let look = tokio::time::timeout(timeout, self.look(pool)).await;
            (pool.name.clone(), look.unwrap_or_else(|_elapsed| StoreHealth::unreachable_pool()))
        });
        futures_util::future::join_all(looks).await
    }

    async fn look(&self, pool: &Pool) -> StoreHealth {
        match self.0.connections.get(pool).await {
            Ok(connection) => {
                let answer = connection.data.health().await.map_err(Into::into);
                StoreHealth::new(connection.data.info(), answer)
            }
            Err(_told_already) => StoreHealth::unreachable_pool(),
        }
    }

    /// Draws the conclusions from a look at a pool.
    pub(crate) fn note(&self, pool: &PoolName, health: &StoreHealth, unreliable: bool) {
        if let Some(connection) = self.0.connections.peek(pool) {
            connection.watch.note(health, unreliable);
        }
    }
}
