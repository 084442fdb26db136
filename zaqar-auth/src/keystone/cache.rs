//! What is remembered for a while, and asked for once however many want it.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use moka::ops::compute::Op;
use zaqar_core::{Clock, Timestamp};

/// A value, and until when it may be used.
#[derive(Debug, Clone)]
pub(super) struct Fresh<V> {
    pub(super) value: V,
    pub(super) until: Timestamp,
}

/// A bounded cache in which the clock says what is over.
///
/// The cache's own idea of time only frees memory early; nobody is given what is over by the clock.
pub(super) struct FlightCache<K, V> {
    entries: Cache<K, Fresh<V>>,
    clock: Arc<dyn Clock>,
}

impl<K, V> FlightCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty cache that keeps `entries_max` values, each for `life` at most.
    pub(super) fn new(clock: Arc<dyn Clock>, entries_max: u64, life: Duration) -> Self {
        // A life of no time would keep those who wait for one answer from sharing it.
        let life = life.max(Duration::from_secs(1));
        let entries = Cache::builder().max_capacity(entries_max).time_to_live(life).build();
        Self { entries, clock }
    }

    /// The value, if it may be used.
    pub(super) async fn get(&self, key: &K) -> Option<V> {
        let found = self.entries.get(key).await?;
        (self.clock.now() < found.until).then_some(found.value)
    }

    /// The value, which `init` makes if there is none. Of those who ask at a time for the same key
    /// one runs its `init`, and all get what comes of it; if that one gives up, another one goes on.
    pub(super) async fn get_or_try<E>(
        &self,
        key: K,
        init: impl Future<Output = Result<Fresh<V>, E>>,
    ) -> Result<V, E>
    where
        E: Clone + Send + Sync + 'static,
    {
        // One after another, so that nobody throws away what has just been made.
        let now = self.clock.now();
        self.remove_if(key.clone(), |known| known.until <= now).await;
        let made = self.entries.try_get_with(key, init).await;
        made.map(|fresh| fresh.value).map_err(|error| E::clone(&error))
    }

    /// Keeps a value.
    pub(super) async fn put(&self, key: K, value: Fresh<V>) {
        self.entries.insert(key, value).await;
    }

    /// Forgets the value if this is true of it.
    pub(super) async fn remove_if(&self, key: K, is_over: impl FnOnce(&Fresh<V>) -> bool) {
        let decide = |entry: Option<moka::Entry<K, Fresh<V>>>| {
            let goes = entry.is_some_and(|entry| is_over(entry.value()));
            std::future::ready(if goes { Op::Remove } else { Op::Nop })
        };
        self.entries.entry(key).and_compute_with(decide).await;
    }
}

/// A moment later by this span.
pub(super) fn later(moment: Timestamp, span: Duration) -> Timestamp {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(moment.as_millis().saturating_add(millis))
}
