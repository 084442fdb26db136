//! Flavors, as clients see them.

use serde_json::{Value, json};

use crate::pools::{admin, pool, service};
use crate::support::Service;

async fn with_pools() -> Service {
    let service = service();
    for name in ["p0", "p1", "p2"] {
        pool(&service, name).await;
    }
    service
}

async fn flavor_of(service: &Service, pool: &str) -> Value {
    admin(service, &format!("GET /v2/pools/{pool}"), Value::Null).await.json()["flavor"].clone()
}

#[tokio::test]
async fn a_flavor_tags_its_pools_until_it_is_removed() {
    let service = with_pools().await;
    let body = json!({"pool_list": ["p1", "p0"], "capabilities": {"any": "thing"}});
    for _ in 0..2 {
        let reply = admin(&service, "PUT /v2/flavors/gold", body.clone()).await;
        assert_eq!((reply.status, reply.text.as_str()), (201, ""));
        assert_eq!(reply.header("location"), "/v2/flavors/gold");
    }
    // Everybody may look.
    let reply = service.call("GET /v2/flavors/gold", "").await;
    let shown = json!({
        "href": "/v2/flavors/gold", "name": "gold", "pool_list": ["p0", "p1"],
        "capabilities": ["FIFO", "CLAIMS", "AOD"],
    });
    assert_eq!((reply.status, reply.json()), (200, shown));
    assert_eq!(flavor_of(&service, "p0").await, json!("gold"));
    let reply = admin(&service, "PATCH /v2/flavors/gold", json!({"pool_list": ["p2"], "x": 1}));
    let reply = reply.await;
    assert_eq!((reply.status, &reply.json()["pool_list"]), (200, &json!(["p2"])));
    assert_eq!(flavor_of(&service, "p0").await, Value::Null);
    let refused = admin(&service, "DELETE /v2/pools/p2", Value::Null).await.error();
    let text = "This pool is used by flavors gold; It cannot be deleted.";
    assert_eq!(refused, (403, "Unable to delete".into(), text.into()));
    for _ in 0..2 {
        assert_eq!(admin(&service, "DELETE /v2/flavors/gold", Value::Null).await.status, 204);
    }
    assert_eq!(flavor_of(&service, "p2").await, Value::Null);
    let missing = service.call("GET /v2/flavors/gold", "").await.error();
    assert_eq!(missing, (404, "Not found".into(), "Flavor gold does not exist".into()));
}

#[tokio::test]
async fn flavors_are_a_projects_own() {
    let service = with_pools().await;
    admin(&service, "PUT /v2/flavors/gold", json!({"pool_list": ["p0"]})).await;
    let stranger = [("x-project-id", "stranger"), ("x-roles", "admin")];
    assert_eq!(service.call_with("GET /v2/flavors/gold", &stranger, "").await.status, 404);
    let listed = service.call_with("GET /v2/flavors", &stranger, "").await;
    assert_eq!(listed.json(), json!({"links": [], "flavors": []}));
    assert_eq!(service.call_with("DELETE /v2/flavors/gold", &stranger, "").await.status, 204);
    let theirs = r#"{"pool_list": ["p1"]}"#;
    assert_eq!(service.call_with("PATCH /v2/flavors/gold", &stranger, theirs).await.status, 404);
    let refused = service.call_with("PUT /v2/queues/q", &stranger, r#"{"_flavor": "gold"}"#).await;
    let text = "Flavor gold does not exist";
    assert_eq!(refused.error(), (400, "Invalid API request".into(), text.into()));
    assert_eq!(service.call("GET /v2/flavors/gold", "").await.json()["pool_list"], json!(["p0"]));
    assert_eq!(service.call("PUT /v2/queues/q", r#"{"_flavor": "gold"}"#).await.status, 201);
}

#[tokio::test]
async fn flavors_are_listed_in_pages_by_name() {
    let service = with_pools().await;
    for (name, pool) in [("c", "p0"), ("a", "p1"), ("b", "p2")] {
        let body = json!({"pool_list": [pool]});
        let reply = admin(&service, &format!("PUT /v2/flavors/{name}"), body).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
    }
    let page = service.call("GET /v2/flavors?limit=2", "").await.json();
    let first = json!({"href": "/v2/flavors/a", "name": "a", "pool_list": ["p1"]});
    assert_eq!(page["flavors"][0], first);
    let next = page["links"][0]["href"].as_str().unwrap();
    assert_eq!(next, "/v2/flavors?marker=b&limit=2");
    let rest = service.call(&format!("GET {next}&detailed=true"), "").await.json();
    assert_eq!(rest["flavors"][0]["name"], "c");
    assert_eq!(rest["flavors"][0]["capabilities"], json!(["FIFO", "CLAIMS", "AOD"]));
}

#[tokio::test]
async fn what_is_no_flavor_is_refused_in_the_words_that_clients_know() {
    let service = with_pools().await;
    let put = |body: Value| admin(&service, "PUT /v2/flavors/gold", body);
    let empty = put(json!({"pool_list": []})).await;
    assert_eq!(empty.header("location"), "/v2/flavors/gold");
    assert_eq!(empty.error(), (400, "Unable to create".into(), "Bad Request".into()));
    let text = "Flavor gold could not be created, error:Pool none does not exist";
    let unknown = put(json!({"pool_list": ["p0", "none"]})).await;
    assert_eq!(unknown.error(), (400, "Unable to create".into(), text.into()));
    assert_eq!(flavor_of(&service, "p0").await, Value::Null);
    for bad in [json!({}), json!({"pool_list": "p0"}), json!({"pool_list": ["p0"], "x": 1})] {
        assert_eq!(put(bad).await.error().1, "Invalid request body");
    }
    let change = |body: Value| admin(&service, "PATCH /v2/flavors/gold", body);
    let missing = change(json!({"pool_list": ["none"]})).await.error();
    assert_eq!(missing, (404, "Not found".into(), "Flavor gold does not exist".into()));
    assert_eq!(put(json!({"pool_list": ["p0"]})).await.status, 201);
    let text = "Flavor gold cant be updated, error:Pool none does not exist";
    let refused = change(json!({"pool_list": ["none"]})).await.error();
    assert_eq!(refused, (400, "updatefail".into(), text.into()));
    let refused = change(json!({})).await.error();
    let text = "`pool_list` needs to be specified";
    assert_eq!(refused, (400, "Invalid request body".into(), text.into()));
    let refused = change(json!({"pool_list": []})).await.error();
    assert_eq!(refused, (400, "Unable to create".into(), "Bad Request".into()));
}

#[tokio::test]
async fn the_flavor_of_a_queue_cannot_be_changed() {
    let service = with_pools().await;
    admin(&service, "PUT /v2/flavors/gold", json!({"pool_list": ["p0"]})).await;
    assert_eq!(service.call("PUT /v2/queues/q", "").await.status, 201);
    let patch = "application/openstack-messaging-v2.0-json-patch";
    let change = |flavor: &str| {
        let body = json!([{"op": "add", "path": "/metadata/_flavor", "value": flavor}]).to_string();
        let service = &service;
        async move {
            service.call_with("PATCH /v2/queues/q", &[("content-type", patch)], body).await.error()
        }
    };
    let unknown = change("tin").await;
    assert_eq!(unknown, (404, "Not found".into(), "Flavor tin does not exist".into()));
    let text = "_flavor can not be changed once the queue is made.";
    assert_eq!(change("gold").await, (400, "Invalid request body".into(), text.into()));
}
