//! What `/v2/health` tells of pools.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{Clock, ControlDriver, DataDriver, ManualClock, OpenError};
use zaqar_engine::EngineConfig;
use zaqar_engine::pools::{OpenedPool, PoolAddress, PoolOpener};
use zaqar_server::rest::RestConfig;

use crate::broken::{Broken, Mishap};
use crate::pools::{admin, pool};
use crate::support::Service;

const OPERATIONS: [&str; 8] = [
    "create_queue",
    "post_messages",
    "claim_messages",
    "list_messages",
    "delete_messages",
    "delete_claim",
    "bulk_delete_messages",
    "delete_queue",
];

/// What is wrong with a pool.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// Its store refuses to be opened.
    Down,
    /// Opening it never ends.
    Silent,
    /// What is done with messages goes wrong.
    Operations(Mishap),
}

/// Stores in memory by their URI, and what became of them.
#[derive(Debug, Default)]
struct Shelf {
    stores: Mutex<BTreeMap<String, ReferenceStore>>,
    troubles: Mutex<BTreeMap<String, Trouble>>,
}

impl Shelf {
    fn trouble(&self, pool: &str, trouble: Trouble) {
        self.troubles.lock().unwrap().insert(format!("memory://{pool}"), trouble);
    }
}

#[async_trait]
impl PoolOpener for Shelf {
    async fn open(&self, address: &PoolAddress) -> Result<OpenedPool, OpenError> {
        let store = self.stores.lock().unwrap().entry(address.uri.clone()).or_default().clone();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let inner: Arc<dyn DataDriver> = Arc::new(store.data(clock));
        let trouble = self.troubles.lock().unwrap().get(&address.uri).copied();
        let data = match trouble {
            None => inner,
            Some(Trouble::Down) => return Err(OpenError::Backend { source: "down".into() }),
            Some(Trouble::Silent) => std::future::pending().await,
            Some(Trouble::Operations(mishap)) => Arc::new(Broken { inner, mishap }),
        };
        Ok(OpenedPool { data, clock: None })
    }
}

fn service() -> (Service, Arc<Shelf>) {
    let mut rest = RestConfig::default();
    rest.admin_mode = true;
    let shelf = Arc::new(Shelf::default());
    (Service::pooled(rest, Arc::<Shelf>::clone(&shelf)), shelf)
}

async fn health(service: &Service) -> Value {
    let reply = admin(service, "GET /v2/health", Value::Null).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Asserts that all went well in a pool with this many messages.
#[track_caller]
fn assert_well(pool: &Value, free: u64) {
    assert_eq!(members(pool), ["storage_reachable", "operation_status", "message_volume"]);
    assert_eq!(pool["storage_reachable"], true);
    assert_eq!(members(&pool["operation_status"]), OPERATIONS);
    for (name, status) in pool["operation_status"].as_object().unwrap() {
        assert_eq!((&status["succeeded"], &status["ref"]), (&json!(true), &Value::Null), "{name}");
        assert!(status["seconds"].is_f64(), "{name}");
    }
    assert_eq!(pool["message_volume"], json!({"free": free, "claimed": 0, "total": free}));
}

#[track_caller]
fn assert_unreachable(pool: &Value) {
    assert_eq!(*pool, json!({"storage_reachable": false, "operation_status": {}}));
}

#[tokio::test]
async fn every_pool_is_tried_whatever_its_weight_and_flavor_and_nothing_is_left_behind() {
    let (service, _shelf) = service();
    assert_eq!(health(&service).await, json!({"catalog_reachable": true}));
    pool(&service, "east").await;
    service.post("q", &["1", "2"]).await;
    for (name, weight) in [("idle", 0), ("gold", 1), ("catalog_reachable", 1)] {
        let body = json!({"uri": format!("memory://{name}"), "weight": weight});
        let line = format!("PUT /v2/pools/{name}");
        assert_eq!(admin(&service, &line, body).await.status, 201);
    }
    let flavor = json!({"pool_list": ["gold"]});
    assert_eq!(admin(&service, "PUT /v2/flavors/gold", flavor).await.status, 201);
    for _ in 0..2 {
        let health = health(&service).await;
        assert_eq!(members(&health), ["catalog_reachable", "east", "gold", "idle"]);
        assert_eq!(health["catalog_reachable"], true);
        assert_well(&health["east"], 2);
        assert_well(&health["gold"], 0);
        assert_well(&health["idle"], 0);
    }
    let reply = admin(&service, "DELETE /v2/pools/idle", Value::Null).await;
    assert_eq!(reply.status, 204, "{}", reply.text);
    assert_eq!(members(&health(&service).await), ["catalog_reachable", "east", "gold"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_down_hides_no_other_and_one_that_says_nothing_is_waited_for_once() {
    let (service, shelf) = service();
    for name in ["down", "silent", "still", "well"] {
        pool(&service, name).await;
    }
    shelf.trouble("down", Trouble::Down);
    shelf.trouble("silent", Trouble::Silent);
    shelf.trouble("still", Trouble::Operations(Mishap::Stillness));
    let start = Instant::now();
    let health = health(&service).await;
    assert_eq!(start.elapsed().as_secs(), EngineConfig::default().operation_timeout.as_secs());
    assert_eq!(members(&health), ["catalog_reachable", "down", "silent", "still", "well"]);
    assert_unreachable(&health["down"]);
    assert_unreachable(&health["silent"]);
    assert_well(&health["well"], 0);
    let still = &health["still"];
    assert_eq!(still["storage_reachable"], true);
    let tried = members(&still["operation_status"]);
    assert_eq!(tried, ["create_queue", "post_messages", "delete_queue"]);
    assert_eq!(still["operation_status"]["post_messages"]["succeeded"], false);
}

#[tokio::test]
async fn a_pool_that_fails_an_operation_says_which_and_where_to_look() {
    let (service, shelf) = service();
    pool(&service, "east").await;
    shelf.trouble("east", Trouble::Operations(Mishap::Silence));
    let health = health(&service).await;
    assert_eq!(health["east"]["storage_reachable"], true);
    let status = &health["east"]["operation_status"];
    assert_eq!(members(status), ["create_queue", "post_messages", "delete_queue"]);
    assert_eq!(status["create_queue"]["succeeded"], true);
    assert_eq!(status["post_messages"]["succeeded"], false);
    let reference = status["post_messages"]["ref"].as_str().unwrap();
    assert!(uuid::Uuid::parse_str(reference).is_ok(), "{reference}");
    assert_eq!(status["delete_queue"]["succeeded"], true);
    assert!(!health.to_string().contains("secret"), "{health}");
}

#[tokio::test]
async fn a_catalogue_that_is_gone_is_told() {
    let (service, _shelf) = service();
    pool(&service, "east").await;
    ControlDriver::close(&*Arc::clone(&service.control)).await;
    assert_eq!(health(&service).await, json!({"catalog_reachable": false}));
}
