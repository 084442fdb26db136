//! The conformance suite over two pools between which every queue is moved, all the time: whoever
//! uses the engine notices nothing (G17).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use zaqar_conformance::reference::ReferenceStore;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};
use zaqar_core::{Clock, ControlDriver, GcOptions, JsonObject, OpenError, PageLimit, PoolName};
use zaqar_engine::pools::{OpenedPool, PoolAddress, PoolOpener};
use zaqar_engine::{Engine, EngineConfig, NewPool, PoolOptions, Stores};

/// The stores of a namespace.
#[derive(Debug, Default, Clone)]
struct Shelf {
    /// The control plane that the suite works on: its cases make pools of their own.
    examined: ReferenceStore,
    /// The control plane of the installation, and its home store.
    home: ReferenceStore,
    pools: [ReferenceStore; 2],
}

/// Opens the pools of a shelf by their number.
#[derive(Debug)]
struct ShelfOpener {
    shelf: Shelf,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl PoolOpener for ShelfOpener {
    async fn open(&self, address: &PoolAddress) -> Result<OpenedPool, OpenError> {
        let number: Option<usize> = address.uri.parse().ok();
        let store = number.and_then(|number| self.shelf.pools.get(number));
        let store = store.ok_or_else(|| OpenError::InvalidUri { reason: address.uri.clone() })?;
        Ok(OpenedPool { data: Arc::new(store.data(Arc::clone(&self.clock))), clock: None })
    }
}

/// What a queue on its way need not do, and what this harness does itself: by the beginnings of the
/// cases' ids.
const WAIVED: &[(&str, &[&str])] = &[
    (
        "a claim takes what lies before a part that is on its way, though there be more behind it",
        &["claim.delete.frees_at_once", "claim.depth.", "delay.depth.", "expiry.sweep."],
    ),
    (
        "what was posted at either end is delivered from there, under leases of its own",
        &["delivery.", "outbox."],
    ),
    (
        "a subscription's age is taken over as it was read, and cases turn the clock in between",
        &["subscription.create.reads_as_made"],
    ),
    (
        "of messages at both ends some may be deleted when their claim ends in between: in doubt",
        &["loss.concurrent.many_producers"],
    ),
    ("a stale route is told that there may be something: who looks finds out", &["available."]),
    (
        "a move that a node with a clock ahead carries on leaves behind what is over by that clock",
        &["clock.ahead.ends_lives_"],
    ),
    (
        "the harness moves the heads itself, and collects what they leave",
        &[
            "cancel.head.move_",
            "expiry.gc.",
            "head.move.",
            "head.open.",
            "incarnation.gc.",
            "purge.gc.",
        ],
    ),
];

/// The trials among them.
const TRIALS: [&str; 1] = ["loss.concurrent.many_producers_many_claimers"];

/// Longer than any case: what is stale is found out by the fence alone.
const CACHE_TTL: Duration = Duration::from_secs(3_600);

/// Begins a move of every queue that is not on its way, and carries all of them on, until the store
/// is let go of.
async fn move_about(engine: Engine, control: Arc<dyn ControlDriver>) {
    let Ok(left) = PoolName::new("left") else { return };
    let Ok(right) = PoolName::new("right") else { return };
    let mut rounds = tokio::time::interval(Duration::from_millis(5));
    loop {
        rounds.tick().await;
        for (from, to) in [(&left, &right), (&right, &left)] {
            let limit = PageLimit::default();
            let catalogue = control.catalogue();
            let Ok(page) = catalogue.catalogue_list_by_pool(from, None, limit).await else {
                return;
            };
            for entry in page.items.iter().filter(|entry| entry.source.is_none()) {
                // Another head may have been faster.
                drop(catalogue.catalogue_move(&entry.queue, to, entry.epoch + 1).await);
            }
        }
        if engine.moves_carry_on().await.is_err() {
            return;
        }
        // A queue comes back only to a store that has collected what it left there.
        drop(engine.gc(GcOptions::new()).await);
    }
}

#[derive(Debug, Default)]
struct RestlessHarness(Mutex<BTreeMap<Namespace, Shelf>>);

#[async_trait]
impl Harness for RestlessHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "pools".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "memory".into(),
            mode: "restless pools".into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let shelf = {
            let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            shelves.entry(ns.clone()).or_default().clone()
        };
        let home = Stores::new(
            Arc::new(shelf.home.control(Arc::clone(&clock))),
            Arc::new(shelf.home.data(Arc::clone(&clock))),
        );
        let control = Arc::new(shelf.examined.control(Arc::clone(&clock)));
        let opener = Arc::new(ShelfOpener { shelf, clock: Arc::clone(&clock) });
        let restless = Arc::clone(&home.control);
        let mut config = EngineConfig::default();
        config.queue_cache_ttl = CACHE_TTL;
        config.moves.messages_per_part = 1_000;
        config.moves.takeover_after = Duration::ZERO;
        let builder = Engine::builder(home, clock).config(config);
        let engine = builder.pools(PoolOptions::new(opener)).build();
        for (number, name) in ["left", "right"].into_iter().enumerate() {
            let pool = NewPool {
                name: PoolName::new(name)?,
                uri: number.to_string(),
                weight: 1,
                flavor: None,
                options: JsonObject::new(),
            };
            engine.pool_put(pool).await?;
        }
        tokio::spawn(move_about(engine.clone(), restless));
        Ok(Drivers { control, data: engine.data_driver() })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ns);
        Ok(())
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        let waive = |id: &str| {
            let reason = WAIVED.iter().find_map(|(reason, begins)| {
                begins.iter().any(|begin| id.starts_with(begin)).then_some(*reason)
            });
            reason.map(|reason| Waiver { case: id.into(), reason: reason.into() })
        };
        let cases = zaqar_conformance::suite::cases().into_iter().map(|case| case.id);
        cases.chain(TRIALS).filter_map(waive).collect()
    }
}

zaqar_conformance::main!(RestlessHarness::default);
