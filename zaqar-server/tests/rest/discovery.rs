//! Versions, home document, ping, health.

use std::sync::Arc;

use serde_json::{Value, json};
use zaqar_core::{ControlDriver, DataDriver};
use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;

use crate::support::{Service, request};

fn admin() -> Service {
    let mut rest = RestConfig::default();
    rest.admin_mode = true;
    Service::with(rest, EngineConfig::default())
}

#[tokio::test]
async fn versions_need_no_headers_and_are_one_document() {
    let service = Service::new();
    let expected = json!({"versions": [{
        "id": "2",
        "status": "CURRENT",
        "updated": "2014-9-24T04:06:47Z",
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.messaging-v2+json",
        }],
        "links": [{"href": "/v2/", "rel": "self"}],
    }]});
    let bare = [("client-id", "-"), ("x-project-id", "-")];
    for headers in [&bare[..], &[]] {
        let reply = service.call_with("GET /", headers, "").await;
        assert_eq!((reply.status, reply.json()), (300, expected.clone()));
        assert_eq!(reply.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn the_home_document_lists_what_is_served_under_v2() {
    let service = Service::new();
    let reply = service.call("GET /v2/", "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/json-home");
    assert_eq!(reply.header("cache-control"), "max-age=86400");
    let document = reply.json();
    let resources = document["resources"].as_object().unwrap();
    let relations: Vec<&str> = resources.keys().map(String::as_str).collect();
    assert_eq!(
        relations,
        [
            "rel/queues",
            "rel/queue",
            "rel/queue_stats",
            "rel/queue_share",
            "rel/queue_purge",
            "rel/messages",
            "rel/post_messages",
            "rel/messages_delete",
            "rel/message_delete",
            "rel/message_get",
            "rel/claim",
            "rel/post_claim",
            "rel/patch_claim",
            "rel/delete_claim",
            "rel/subscriptions_get",
            "rel/subscriptions_post",
            "rel/subscription",
            "rel/subscription_patch",
            "rel/ping",
        ]
    );
    let json_only = json!({"application/json": {}});
    for (relation, resource) in resources {
        let template = resource["href-template"].as_str().unwrap();
        assert!(template.starts_with("/v2/"), "{relation}: {template}");
        assert_eq!(resource["hints"]["formats"], json_only, "{relation}");
    }
    assert_eq!(
        resources["rel/message_delete"],
        json!({
            "href-template": "/v2/queues/{queue_name}/messages/{message_id}{?claim}",
            "href-vars": {
                "queue_name": "param/queue_name",
                "message_id": "param/message_id",
                "claim": "param/claim_id",
            },
            "hints": {"allow": ["DELETE"], "formats": json_only},
        })
    );
    assert_eq!(resources["rel/post_claim"]["href-vars"]["limit"], "param/claim_limit");
    assert_eq!(resources["rel/post_claim"]["hints"]["accept-post"], json!(["application/json"]));
    assert_eq!(resources["rel/ping"].get("href-vars"), None);
}

#[tokio::test]
async fn every_listed_resource_answers_to_the_methods_that_it_lists() {
    let service = admin();
    let document = service.call("GET /v2/", "").await.json();
    for (relation, resource) in document["resources"].as_object().unwrap() {
        let template = resource["href-template"].as_str().or(resource["href"].as_str()).unwrap();
        let path = template.split("{?").next().unwrap().replace(['{', '}'], "");
        let allow = service.call(&format!("OPTIONS {path}"), "").await;
        for method in resource["hints"]["allow"].as_array().unwrap() {
            let method = method.as_str().unwrap();
            let allowed = allow.header("allow").split(", ").any(|served| served == method);
            assert!(allowed, "{relation}: {method} {path} not in {:?}", allow.header("allow"));
        }
    }
    assert_eq!(document["resources"]["rel/health"]["href"], "/v2/health");
}

#[tokio::test]
async fn ping_answers_without_a_body_and_fails_when_the_store_is_gone() {
    let service = Service::new();
    for line in ["GET /v2/ping", "HEAD /v2/ping"] {
        let reply = service.call(line, "").await;
        assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{line}");
        assert_eq!(reply.header("content-type"), "", "{line}");
    }
    DataDriver::close(&*service.data).await;
    let reply = service.call("GET /v2/ping", "").await;
    assert_eq!((reply.status, reply.text.as_str()), (503, ""));
    assert_eq!(service.call("HEAD /v2/ping", "").await.status, 204);
}

#[tokio::test]
async fn health_is_for_admins_in_admin_mode() {
    let roles = [("x-roles", "member,Admin")];
    let reply = Service::new().call_with("GET /v2/health", &roles, "").await;
    assert_eq!(reply.error().1, "404 Not Found");
    let service = admin();
    for headers in [&[][..], &[("x-roles", "member")]] {
        let reply = service.call_with("GET /v2/health", headers, "").await;
        let denied = "You are not authorized to complete this action.";
        assert_eq!(reply.error(), (403, "Not authorized".into(), denied.into()));
    }
    assert_eq!(service.call_with("GET /v2/health", &roles, "").await.status, 200);
}

#[tokio::test]
async fn health_tries_every_operation_and_leaves_nothing_behind() {
    let service = admin();
    service.post("kept", &["1", "2", "3"]).await;
    service.call("POST /v2/queues/kept/claims?limit=1", "").await;
    let reply = service.call_with("GET /v2/health", &[("x-roles", "admin")], "").await;
    let health = reply.json();
    assert_eq!(health["storage_reachable"], true);
    assert_eq!(health["message_volume"], json!({"free": 2, "claimed": 1, "total": 3}));
    let status = health["operation_status"].as_object().unwrap();
    let names: Vec<&str> = status.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "create_queue",
            "post_messages",
            "claim_messages",
            "list_messages",
            "delete_messages",
            "delete_claim",
            "bulk_delete_messages",
            "delete_queue",
        ]
    );
    for (name, status) in status {
        assert_eq!(status["succeeded"], true, "{name}");
        assert_eq!(status["ref"], Value::Null, "{name}");
        assert!(status["seconds"].is_f64(), "{name}");
    }
}

#[tokio::test]
async fn health_of_a_dead_store_is_unavailable() {
    let service = admin();
    ControlDriver::close(&*Arc::clone(&service.control)).await;
    let reply = service.send(request("GET /v2/health", &[("x-roles", "admin")], "")).await;
    let text = "Health status could not be read. Please try again in a few seconds.";
    assert_eq!(reply.error(), (503, "Service temporarily unavailable".into(), text.into()));
}
