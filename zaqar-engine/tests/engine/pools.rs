//! Queues in pools: where they are placed, that they stay there, and what one bad pool does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{
    Clock, ControlDriver, DataDriver, Effect, Error, FlavorName, Health, JsonObject, ListMessages,
    ManualClock, OpenError, PageLimit, PoolName, QueueKey, QueueRef,
};
use zaqar_engine::pools::{OpenedPool, PoolAddress, PoolOpener};
use zaqar_engine::{
    ChangePool, ClaimRequest, Engine, EngineConfig, EngineError, NewPool, PatchOperation,
    PoolOptions, Stores,
};

use crate::probe::{ProbeControl, ProbeData, Script};
use crate::world::{object, one, project, queue};

/// Data stores by their URI; which of them are down.
#[derive(Debug, Default)]
struct Shelf {
    stores: Mutex<BTreeMap<String, (ReferenceStore, Arc<Script>)>>,
    down: Mutex<Vec<String>>,
}

impl Shelf {
    fn store(&self, uri: &str) -> (ReferenceStore, Arc<Script>) {
        let mut stores = self.stores.lock().unwrap();
        // What follows a question mark does not make it another store.
        let name = uri.split('?').next().unwrap().to_owned();
        stores.entry(name).or_default().clone()
    }
}

#[derive(Debug)]
struct ShelfOpener(Arc<Shelf>, Arc<ManualClock>);

#[async_trait]
impl PoolOpener for ShelfOpener {
    async fn open(&self, address: &PoolAddress) -> Result<OpenedPool, OpenError> {
        if self.0.down.lock().unwrap().contains(&address.uri) {
            return Err(OpenError::Backend { source: "down".into() });
        }
        let (store, script) = self.0.store(&address.uri);
        let inner = Arc::new(store.data(Arc::<ManualClock>::clone(&self.1) as Arc<dyn Clock>));
        Ok(OpenedPool { data: Arc::new(ProbeData { inner, script }), clock: None })
    }
}

/// An installation with pools.
pub(crate) struct Installation {
    pub(crate) clock: Arc<ManualClock>,
    shelf: Arc<Shelf>,
    home: ReferenceStore,
}

impl Installation {
    pub(crate) fn new() -> Self {
        let home = ReferenceStore::new();
        Self { clock: Arc::default(), shelf: Arc::default(), home }
    }

    /// A head of it.
    pub(crate) fn head(&self, virtual_pool: bool) -> Engine {
        let control = self.home.control(Arc::<ManualClock>::clone(&self.clock) as _);
        self.head_over(Arc::new(control), virtual_pool, EngineConfig::default())
    }

    /// A head of it with settings of its own.
    pub(crate) fn head_with(&self, config: EngineConfig) -> Engine {
        let control = self.home.control(Arc::<ManualClock>::clone(&self.clock) as _);
        self.head_over(Arc::new(control), false, config)
    }

    /// Lets the home store be found under this address too.
    pub(crate) fn shelve_home(&self, uri: &str) {
        let home = (self.home.clone(), Arc::default());
        self.shelf.stores.lock().unwrap().insert(uri.to_owned(), home);
    }

    fn data(&self, uri: &str) -> impl DataDriver {
        self.shelf.store(uri).0.data(Arc::<ManualClock>::clone(&self.clock) as _)
    }

    /// Takes the first `n` steps of a move from a to b by hand.
    pub(crate) async fn steps(&self, queue: &QueueRef, n: usize) {
        let (a, b) = (self.data("memory://a"), self.data("memory://b"));
        let (queue, two) = (queue.at_epoch(1), PageLimit::new(2).unwrap());
        let (mut opening, mut part) = (None, None);
        for step in 0..n {
            match step {
                0 => drop(a.heads().head_move(&queue, 1).await.unwrap()),
                1 => opening = Some(a.moves().move_begin(&queue).await.unwrap()),
                2 => drop(b.moves().move_open(&queue, opening.as_ref().unwrap()).await.unwrap()),
                _ => match step % 4 {
                    3 => part = Some(a.moves().move_freeze(&queue, two).await.unwrap()),
                    0 => b.moves().move_insert(&queue, part.as_ref().unwrap()).await.unwrap(),
                    1 => a.moves().move_remove(&queue, part.as_ref().unwrap().from).await.unwrap(),
                    _ => b.moves().move_reveal(&queue, part.as_ref().unwrap().from).await.unwrap(),
                },
            }
        }
    }

    fn head_over(
        &self,
        control: Arc<dyn ControlDriver>,
        virtual_pool: bool,
        config: EngineConfig,
    ) -> Engine {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let stores = Stores::new(control, Arc::new(self.home.data(Arc::clone(&clock))));
        let opener = Arc::new(ShelfOpener(Arc::clone(&self.shelf), Arc::clone(&self.clock)));
        let pools = PoolOptions::new(opener).virtual_pool(virtual_pool);
        Engine::builder(stores, clock).config(config).pools(pools).build()
    }

    /// A head whose calls to the control plane a script may hold.
    fn scripted_head(&self) -> (Engine, Arc<Script>) {
        let script = Arc::new(Script::default());
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let inner = Arc::new(self.home.control(Arc::clone(&clock)));
        let control = Arc::new(ProbeControl { inner, script: Arc::clone(&script) });
        (self.head_over(control, false, EngineConfig::default()), script)
    }

    pub(crate) async fn incarnation(&self, key: &QueueKey) -> QueueRef {
        let control = self.home.control(Arc::<ManualClock>::clone(&self.clock) as _);
        control.queues().queue_find(key).await.unwrap().unwrap().queue_ref()
    }

    /// Whether the store at `uri` has the head of the queue.
    pub(crate) async fn holds(&self, uri: &str, queue: &QueueRef) -> bool {
        // Whatever moves it saw.
        self.data(uri).heads().head_get(&queue.at_epoch(u64::MAX)).await.is_ok()
    }

    pub(crate) async fn home_holds(&self, queue: &QueueRef) -> bool {
        let data = self.home.data(Arc::<ManualClock>::clone(&self.clock) as _);
        data.heads().head_get(&queue.at_epoch(u64::MAX)).await.is_ok()
    }
}

pub(crate) fn name(text: &str) -> PoolName {
    PoolName::new(text).unwrap()
}

pub(crate) fn flavor(text: &str) -> FlavorName {
    FlavorName::new(text).unwrap()
}

pub(crate) fn pool(text: &str, weight: u32) -> NewPool {
    let uri = format!("memory://{text}");
    NewPool { name: name(text), uri, weight, flavor: None, options: JsonObject::new() }
}

pub(crate) async fn with_pools(pools: &[(&str, u32)]) -> (Installation, Engine) {
    let installation = Installation::new();
    let engine = installation.head(false);
    for (name, weight) in pools {
        engine.pool_put(pool(name, *weight)).await.unwrap();
    }
    (installation, engine)
}

pub(crate) async fn bodies(engine: &Engine, key: &QueueKey) -> Vec<String> {
    let page = engine.message_list(key, ListMessages::new()).await.unwrap();
    page.items.iter().map(|message| message.body.as_str().to_owned()).collect()
}

#[tokio::test]
async fn queues_are_spread_over_the_pools_that_have_weight() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 1), ("c", 0)]).await;
    let mut held = BTreeMap::<&str, u32>::new();
    for number in 0..40 {
        let key = queue(&format!("q{number}"));
        engine.message_post(&key, one("1")).await.unwrap();
        let found = installation.incarnation(&key).await;
        for uri in ["memory://a", "memory://b", "memory://c"] {
            *held.entry(uri).or_default() += u32::from(installation.holds(uri, &found).await);
        }
        assert!(!installation.home_holds(&found).await);
    }
    assert_eq!(held["memory://c"], 0);
    assert_eq!(held["memory://a"] + held["memory://b"], 40);
    // One chance in 2^39 that a fair draw leaves one of them out.
    assert!(held["memory://a"] > 0 && held["memory://b"] > 0, "{held:?}");
}

#[tokio::test]
async fn every_operation_on_a_queue_goes_to_its_pool_through_any_head() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 1)]).await;
    let other = installation.head(false);
    for number in 0..8 {
        let key = queue(&format!("q{number}"));
        let posted = engine.message_post(&key, one("\"x\"")).await.unwrap();
        assert_eq!(bodies(&other, &key).await, ["\"x\""]);
        assert_eq!(other.message_get(&key, posted.ids[0]).await.unwrap().body.as_str(), "\"x\"");
        let claimed = other.claim_create(&key, ClaimRequest::new()).await.unwrap().unwrap();
        assert_eq!(engine.queue_stats(&key).await.unwrap().claimed, 1);
        engine.message_delete(&key, posted.ids[0], Some(claimed.id)).await.unwrap();
        assert!(engine.message_get(&key, posted.ids[0]).await.is_err());
    }
}

#[tokio::test]
async fn a_queue_made_anew_may_live_elsewhere_and_no_head_is_misled() {
    let (installation, engine) = with_pools(&[("a", 1)]).await;
    let other = installation.head(false);
    let key = queue("q");
    engine.message_post(&key, one("\"old\"")).await.unwrap();
    assert_eq!(bodies(&other, &key).await, ["\"old\""]);
    engine.pool_put(pool("b", 1)).await.unwrap();
    let drain = ChangePool { weight: Some(0), ..ChangePool::default() };
    engine.pool_update(&name("a"), drain).await.unwrap();
    assert_eq!(bodies(&engine, &key).await, ["\"old\""], "weight 0 moves nothing");
    engine.queue_delete(&key).await.unwrap();
    engine.message_post(&key, one("\"new\"")).await.unwrap();
    let found = installation.incarnation(&key).await;
    assert!(installation.holds("memory://b", &found).await);
    // It remembers the former incarnation and the former pool.
    other.message_post(&key, one("\"newer\"")).await.unwrap();
    assert_eq!(bodies(&engine, &key).await, ["\"new\"", "\"newer\""]);
}

#[tokio::test]
async fn without_a_pool_a_queue_is_made_at_home_only_if_that_is_allowed() {
    let installation = Installation::new();
    let refused = installation.head(false).message_post(&queue("q"), one("1")).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, EngineError::Store(Error::QueueNotMapped { .. })), "{refused:?}");
    let engine = installation.head(true);
    engine.message_post(&queue("q"), one("1")).await.unwrap();
    assert!(installation.home_holds(&installation.incarnation(&queue("q")).await).await);
    // Once there is a pool it takes what is new, and what was at home stays reachable.
    engine.pool_put(pool("a", 1)).await.unwrap();
    engine.message_post(&queue("r"), one("2")).await.unwrap();
    let found = installation.incarnation(&queue("r")).await;
    assert!(installation.holds("memory://a", &found).await);
    engine.message_post(&queue("q"), one("3")).await.unwrap();
    assert_eq!(bodies(&engine, &queue("q")).await, ["1", "3"]);
}

#[tokio::test]
async fn a_flavor_places_a_queue_and_cannot_be_changed_afterwards() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 1)]).await;
    engine.flavor_put(&project(), &flavor("gold"), vec![name("b")]).await.unwrap();
    let view = engine.flavor_get(&project(), &flavor("gold")).await.unwrap();
    assert_eq!(view.pools, [name("b")]);
    for number in 0..8 {
        let key = queue(&format!("gold{number}"));
        engine.queue_create(&key, object(json!({"_flavor": "gold"}))).await.unwrap();
        assert!(installation.holds("memory://b", &installation.incarnation(&key).await).await);
        let key = queue(&format!("plain{number}"));
        engine.queue_create(&key, JsonObject::new()).await.unwrap();
        assert!(installation.holds("memory://a", &installation.incarnation(&key).await).await);
    }
    let unknown = engine.queue_create(&queue("x"), object(json!({"_flavor": "tin"}))).await;
    assert_eq!(unknown.unwrap_err().to_string(), "Flavor tin does not exist");
    assert!(!engine.queue_exists(&queue("x")).await.unwrap());

    let (key, value) = ("_flavor".to_owned(), json!("gold"));
    let change = [PatchOperation::Add { key: key.clone(), value }];
    let refused = engine.queue_patch(&queue("plain0"), &change).await.unwrap_err();
    assert!(refused.to_string().starts_with("_flavor can not be changed"), "{refused}");
    let removal = [PatchOperation::Remove { key }];
    assert!(engine.queue_patch(&queue("gold0"), &removal).await.is_err());
    // What says nothing of it moves nothing.
    let other = [PatchOperation::Add { key: "note".to_owned(), value: json!(1) }];
    engine.queue_patch(&queue("gold0"), &other).await.unwrap();
    let found = installation.incarnation(&queue("gold0")).await;
    assert!(installation.holds("memory://b", &found).await);
}

#[tokio::test]
async fn a_pool_that_holds_queues_cannot_be_removed() {
    let (_installation, engine) = with_pools(&[("a", 1)]).await;
    engine.message_post(&queue("q"), one("1")).await.unwrap();
    let refused = engine.pool_delete(&name("a")).await.unwrap_err();
    assert!(matches!(refused, EngineError::PoolHoldsQueues { .. }), "{refused:?}");
    assert_eq!(bodies(&engine, &queue("q")).await, ["1"]);
    engine.queue_delete(&queue("q")).await.unwrap();
    engine.pool_delete(&name("a")).await.unwrap();
    engine.pool_delete(&name("a")).await.unwrap();
    let listed = engine.pool_list(None, PageLimit::default()).await.unwrap();
    assert!(listed.items.is_empty());
}

#[tokio::test]
async fn a_head_that_remembers_a_removed_pool_places_nothing_in_it() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 1)]).await;
    engine.queue_create(&queue("first"), JsonObject::new()).await.unwrap();
    engine.queue_delete(&queue("first")).await.unwrap();
    installation.head(false).pool_delete(&name("a")).await.unwrap();
    for number in 0..12 {
        let key = queue(&format!("q{number}"));
        engine.message_post(&key, one("1")).await.unwrap();
        let found = installation.incarnation(&key).await;
        assert!(installation.holds("memory://b", &found).await);
        assert_eq!(bodies(&installation.head(false), &key).await, ["1"]);
    }
}

#[tokio::test]
async fn a_pool_that_gets_a_queue_while_it_is_removed_stays() {
    let (installation, engine) = with_pools(&[("a", 1)]).await;
    let (other, script) = installation.scripted_head();
    let gate = script.hold("pool_delete");
    let removal = tokio::spawn(async move { other.pool_delete(&name("a")).await });
    script.reached("pool_delete", 1).await;
    engine.message_post(&queue("q"), one("1")).await.unwrap();
    gate.open();
    let refused = removal.await.unwrap().unwrap_err();
    assert!(matches!(refused, EngineError::PoolHoldsQueues { .. }), "{refused:?}");
    assert_eq!(bodies(&installation.head(false), &queue("q")).await, ["1"]);
}

#[tokio::test]
async fn a_pool_may_go_to_where_its_queues_are_and_nowhere_else() {
    let (_installation, engine) = with_pools(&[("a", 1)]).await;
    engine.message_post(&queue("q"), one("1")).await.unwrap();
    let to = |uri: &str| ChangePool { uri: Some(uri.to_owned()), ..ChangePool::default() };
    let refused = engine.pool_update(&name("a"), to("memory://empty")).await.unwrap_err();
    assert!(matches!(refused, EngineError::PoolHoldsQueues { .. }), "{refused:?}");
    let refused = engine.pool_put(NewPool { uri: "memory://x".into(), ..pool("a", 1) }).await;
    assert!(matches!(refused, Err(EngineError::PoolHoldsQueues { .. })), "{refused:?}");
    let same_store = engine.pool_update(&name("a"), to("memory://a?timeout=3")).await.unwrap();
    assert_eq!(same_store.uri, "memory://a?timeout=3");
    assert_eq!(bodies(&engine, &queue("q")).await, ["1"]);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_makes_no_pool() {
    let installation = Installation::new();
    let engine = installation.head(false);
    installation.shelf.down.lock().unwrap().push("memory://a".to_owned());
    let refused = engine.pool_put(pool("a", 1)).await.unwrap_err();
    assert!(matches!(refused, EngineError::PoolUnreachable), "{refused:?}");
    let missing = engine.pool_get(&name("a")).await.unwrap_err();
    assert!(matches!(missing, EngineError::Store(Error::PoolNotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_pool_that_is_down_takes_nothing_from_the_others() {
    let (installation, engine) = with_pools(&[("a", 1)]).await;
    engine.message_post(&queue("q"), one("1")).await.unwrap();
    engine.pool_put(pool("b", 1)).await.unwrap();
    let drain = ChangePool { weight: Some(0), ..ChangePool::default() };
    engine.pool_update(&name("a"), drain).await.unwrap();
    installation.shelf.down.lock().unwrap().push("memory://a".to_owned());
    // A head that starts now.
    let fresh = installation.head(false);
    let failed = fresh.message_post(&queue("q"), one("2")).await.unwrap_err();
    assert_eq!(failed.effect(), Effect::None);
    fresh.message_post(&queue("r"), one("3")).await.unwrap();
    assert_eq!(bodies(&fresh, &queue("r")).await, ["3"]);
    fresh.sweep().await.unwrap();
    fresh.ping().await.unwrap();
    let health = fresh.pools_health().await;
    let reachable: Vec<_> =
        health.iter().map(|(name, health)| (name.as_str(), health.reachable)).collect();
    assert_eq!(reachable, [("a", false), ("b", true)]);
    assert!(fresh.health().await.is_good());
}

#[tokio::test]
async fn queues_that_could_not_be_made_do_not_keep_their_pool() {
    let (installation, engine) = with_pools(&[("a", 1)]).await;
    engine.flavor_put(&project(), &flavor("gold"), vec![name("a")]).await.unwrap();
    engine.pool_put(pool("b", 1)).await.unwrap();
    let all = ["memory://a", "memory://b"].map(str::to_owned);
    installation.shelf.down.lock().unwrap().extend(all);
    engine.message_post(&queue("q"), one("1")).await.unwrap_err();
    engine.queue_create(&queue("r"), object(json!({"_flavor": "gold"}))).await.unwrap_err();
    engine.flavor_delete(&project(), &flavor("gold")).await.unwrap();
    engine.pool_delete(&name("a")).await.unwrap();
    engine.pool_delete(&name("b")).await.unwrap();
}

#[tokio::test]
async fn an_unsafe_pool_takes_no_posts_until_it_is_safe_again() {
    let (installation, engine) = with_pools(&[("a", 1)]).await;
    engine.message_post(&queue("q"), one("1")).await.unwrap();
    let script = installation.shelf.store("memory://a").1;
    let mut unsafe_now = Health::good(installation.clock.now());
    unsafe_now.safe = false;
    script.claim_health(Some(unsafe_now));
    engine.watch().await;
    let refused = engine.message_post(&queue("q"), one("2")).await.unwrap_err();
    assert_eq!(refused.effect(), Effect::None);
    assert_eq!(bodies(&engine, &queue("q")).await, ["1"], "what it holds stays readable");
    script.claim_health(None);
    engine.watch().await;
    engine.message_post(&queue("q"), one("3")).await.unwrap();
}

#[tokio::test]
async fn dead_letters_go_from_pool_to_pool() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 1)]).await;
    engine.flavor_put(&project(), &flavor("gold"), vec![name("b")]).await.unwrap();
    engine.queue_create(&queue("dead"), object(json!({"_flavor": "gold"}))).await.unwrap();
    let policy = json!({"_dead_letter_queue": "dead", "_max_claim_count": 1});
    engine.queue_create(&queue("q"), object(policy)).await.unwrap();
    engine.message_post(&queue("q"), one("\"late\"")).await.unwrap();
    for _ in 0..2 {
        engine.claim_create(&queue("q"), ClaimRequest::new().ttl(60)).await.unwrap();
        installation.clock.advance(std::time::Duration::from_secs(61));
    }
    engine.claim_create(&queue("q"), ClaimRequest::new().ttl(60)).await.unwrap();
    assert_eq!(bodies(&engine, &queue("dead")).await, ["\"late\""]);
    assert!(bodies(&engine, &queue("q")).await.is_empty());
}

#[tokio::test]
async fn projects_that_have_no_such_flavor_cannot_take_it_from_its_pools() {
    let (_installation, engine) = with_pools(&[("a", 1), ("b", 1)]).await;
    engine.flavor_put(&project(), &flavor("gold"), vec![name("b")]).await.unwrap();
    let stranger = zaqar_core::ProjectId::new("stranger").unwrap();
    engine.flavor_delete(&stranger, &flavor("gold")).await.unwrap();
    let view = engine.flavor_get(&project(), &flavor("gold")).await.unwrap();
    assert_eq!(view.pools, [name("b")]);
    let view = engine.flavor_update(&project(), &flavor("gold"), vec![name("a")]).await.unwrap();
    assert_eq!(view.pools, [name("a")]);
    assert_eq!(engine.pool_get(&name("b")).await.unwrap().flavor, None);
    engine.flavor_delete(&project(), &flavor("gold")).await.unwrap();
    assert_eq!(engine.pool_get(&name("a")).await.unwrap().flavor, None);
}
