//! Pools, as an administrator's client sees them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{Capability, Clock, ManualClock, OpenError};
use zaqar_engine::EngineConfig;
use zaqar_engine::pools::{OpenedPool, PoolAddress, PoolOpener};
use zaqar_server::rest::RestConfig;

use crate::support::{Reply, Service};

/// Stores in memory by their URI. Those at `down:` do not answer, those at `plain:` can do less.
#[derive(Debug, Default)]
struct Shelf(Mutex<BTreeMap<String, ReferenceStore>>);

#[async_trait]
impl PoolOpener for Shelf {
    async fn open(&self, address: &PoolAddress) -> Result<OpenedPool, OpenError> {
        if address.uri.starts_with("down:") {
            return Err(OpenError::Backend { source: "down".into() });
        }
        let withheld: &[Capability] =
            if address.uri.starts_with("plain:") { &[Capability::Delay] } else { &[] };
        let make = || ReferenceStore::without(withheld);
        let mut stores = self.0.lock().unwrap();
        let store = stores.entry(address.uri.clone()).or_insert_with(make);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        Ok(OpenedPool { data: Arc::new(store.data(clock)), clock: None })
    }
}

/// A service with pools, still without any.
pub(crate) fn service() -> Service {
    let mut rest = RestConfig::default();
    rest.admin_mode = true;
    Service::pooled(rest, Arc::new(Shelf::default()))
}

pub(crate) async fn admin(service: &Service, line: &str, body: Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.call_with(line, &[("x-roles", "admin")], body).await
}

pub(crate) async fn pool(service: &Service, name: &str) {
    let body = json!({"uri": format!("memory://{name}"), "weight": 10});
    let reply = admin(service, &format!("PUT /v2/pools/{name}"), body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
}

#[tokio::test]
async fn a_pool_is_made_shown_replaced_and_removed() {
    let service = service();
    let uri = "memory://user:secret@host/?x=1";
    let body = json!({"uri": uri, "weight": 100, "options": {"a": 1}});
    for _ in 0..2 {
        let reply = admin(&service, "PUT /v2/pools/east", body.clone()).await;
        assert_eq!((reply.status, reply.text.as_str()), (201, ""));
        assert_eq!(reply.header("location"), "/v2/pools/east");
    }
    let shown = json!({
        "href": "/v2/pools/east", "name": "east", "flavor": null,
        "uri": "memory://user:***@host/?x=1", "weight": 100,
    });
    let reply = admin(&service, "GET /v2/pools/east", Value::Null).await;
    assert_eq!((reply.status, reply.json()), (200, shown.clone()));
    let reply = admin(&service, "GET /v2/pools/east?detailed=True", Value::Null).await;
    assert_eq!(reply.json()["options"], json!({"a": 1}));
    let reply = admin(&service, "PATCH /v2/pools/east", json!({"weight": 7, "other": 1})).await;
    assert_eq!((reply.status, &reply.json()["weight"]), (200, &json!(7)));
    for _ in 0..2 {
        let reply = admin(&service, "DELETE /v2/pools/east", Value::Null).await;
        assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    }
    let reply = admin(&service, "GET /v2/pools/east", Value::Null).await;
    assert_eq!(reply.error(), (404, "Not found".into(), "Pool east does not exist".into()));
}

#[tokio::test]
async fn pools_are_listed_in_pages_by_name() {
    let service = service();
    let empty = admin(&service, "GET /v2/pools", Value::Null).await;
    assert_eq!((empty.status, empty.json()), (200, json!({"links": [], "pools": []})));
    assert_eq!(empty.header("content-location"), "/v2/pools");
    for name in ["c", "a", "b"] {
        pool(&service, name).await;
    }
    let reply = admin(&service, "GET /v2/pools?limit=2&detailed=true", Value::Null).await;
    assert_eq!(reply.header("content-location"), "/v2/pools?limit=2&detailed=true");
    let page = reply.json();
    let names = |page: &Value| -> Vec<String> {
        let pools = page["pools"].as_array().unwrap();
        pools.iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&page), ["a", "b"]);
    assert_eq!(page["pools"][0]["options"], json!({}));
    let next = page["links"][0]["href"].as_str().unwrap();
    assert_eq!(next, "/v2/pools?marker=b&limit=2&detailed=true");
    let rest = admin(&service, &format!("GET {next}"), Value::Null).await;
    assert_eq!(names(&rest.json()), ["c"]);
    for (bad, text) in [
        ("limit=0", "Limit must be at least 1 and no greater than 20."),
        ("limit=21", "Limit must be at least 1 and no greater than 20."),
    ] {
        let reply = admin(&service, &format!("GET /v2/pools?{bad}"), Value::Null).await;
        assert_eq!(reply.error(), (400, "Invalid API request".into(), text.into()), "{bad}");
    }
}

#[tokio::test]
async fn what_is_no_pool_is_refused_and_nothing_stored() {
    let service = service();
    for bad in [
        "",
        "{",
        "[]",
        r#"{"weight": 1}"#,
        r#"{"uri": "memory://x"}"#,
        r#"{"uri": "memory://x", "weight": -1}"#,
        r#"{"uri": "memory://x", "weight": 1.0}"#,
        r#"{"uri": "memory://x", "weight": 4294967296}"#,
        r#"{"uri": 7, "weight": 1}"#,
        r#"{"uri": "memory://x", "weight": 1, "group": "g"}"#,
        r#"{"uri": "memory://x", "weight": 1, "options": []}"#,
        r#"{"uri": "memory://x", "weight": 1, "flavor": "no flavor"}"#,
    ] {
        let line = "PUT /v2/pools/east";
        let reply = service.call_with(line, &[("x-roles", "admin")], bad).await;
        let (status, title, _) = reply.error();
        assert_eq!((status, title.as_str()), (400, "Invalid request body"), "{bad}");
    }
    let long = json!({"uri": format!("memory://{}", "x".repeat(255)), "weight": 1});
    assert_eq!(admin(&service, "PUT /v2/pools/east", long).await.status, 400);
    let body = json!({"uri": "memory://x", "weight": 1});
    assert_eq!(admin(&service, "PUT /v2/pools/a%20b", body.clone()).await.status, 400);
    let down = json!({"uri": "down://user:secret@host/", "weight": 1});
    let reply = admin(&service, "PUT /v2/pools/east", down).await;
    let text = "cannot connect to down://user:***@host/";
    assert_eq!(reply.error(), (400, "Invalid request body".into(), text.into()));
    assert_eq!(admin(&service, "GET /v2/pools/east", Value::Null).await.status, 404);

    pool(&service, "west").await;
    let taken = json!({"uri": "memory://west", "weight": 1});
    let reply = admin(&service, "PUT /v2/pools/east", taken).await;
    let text = "The database URI is in use by another pool.";
    assert_eq!(reply.error(), (409, "Resource conflict".into(), text.into()));
    let plain = json!({"uri": "plain://x", "weight": 1});
    let reply = admin(&service, "PUT /v2/pools/east", plain).await;
    let text = "The pool being added does not support the minimum set of capabilities";
    assert_eq!(reply.error(), (400, "Unable to create pool".into(), text.into()));

    let reply = admin(&service, "PATCH /v2/pools/west", json!({})).await;
    let text = "One of `uri`, `weight`, `flavor`, or `options` needs to be specified";
    assert_eq!(reply.error(), (400, "Invalid request body".into(), text.into()));
    let reply = admin(&service, "PATCH /v2/pools/none", json!({"weight": 1})).await;
    assert_eq!(reply.error(), (404, "Not found".into(), "Pool none does not exist".into()));
}

#[tokio::test]
async fn queues_are_refused_without_a_pool_and_keep_theirs() {
    let service = service();
    let reply = service.call("PUT /v2/queues/q", "").await;
    assert_eq!(reply.status, 503);
    assert!(reply.text.contains("Queue could not be created."), "{}", reply.text);
    pool(&service, "east").await;
    assert_eq!(service.call("PUT /v2/queues/q", "").await.status, 201);
    service.post("q", &["1"]).await;
    let reply = admin(&service, "DELETE /v2/pools/east", Value::Null).await;
    let (status, title, _) = reply.error();
    assert_eq!((status, title.as_str()), (403, "Unable to delete"));
    let elsewhere = json!({"uri": "memory://elsewhere"});
    assert_eq!(admin(&service, "PATCH /v2/pools/east", elsewhere).await.status, 403);
    let listed = service.call("GET /v2/queues/q/messages?echo=true", "").await.json();
    assert_eq!(listed["messages"].as_array().unwrap().len(), 1);
    assert_eq!(service.call("DELETE /v2/queues/q", "").await.status, 204);
    assert_eq!(admin(&service, "DELETE /v2/pools/east", Value::Null).await.status, 204);
}

#[tokio::test]
async fn without_pooling_there_is_nothing_of_the_kind() {
    let mut rest = RestConfig::default();
    rest.admin_mode = true;
    let service = Service::with(rest, EngineConfig::default());
    for line in [
        "GET /v2/pools",
        "GET /v2/pools/p",
        "PUT /v2/pools/p",
        "PATCH /v2/pools/p",
        "DELETE /v2/pools/p",
        "GET /v2/moves",
        "POST /v2/moves",
        "GET /v2/flavors",
        "GET /v2/flavors/f",
        "PUT /v2/flavors/f",
        "PATCH /v2/flavors/f",
        "DELETE /v2/flavors/f",
    ] {
        let reply = admin(&service, line, Value::Null).await;
        assert_eq!(
            (reply.status, &reply.json()["title"]),
            (404, &json!("404 Not Found")),
            "{line}"
        );
    }
}
