//! Removing messages.

use serde_json::{Value, json};
use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;

use crate::support::Service;

const API: &str = "Invalid API request";
const UNDELETABLE: &str = "Unable to delete";
const CLAIMED: &str = "This message is claimed; it cannot be deleted without a valid claim ID.";
const UNCLAIMED: &str = "A claim was specified, but the message is not currently claimed.";
const NO_CLAIM: &str = "The specified claim does not exist or has expired.";
const STRANGE_CLAIM: &str = "0123456789abcdef0123456789abcdef";

async fn claim(service: &Service, limit: u32) -> (String, Vec<String>) {
    let reply = service.call(&format!("POST /v2/queues/q/claims?limit={limit}"), "").await;
    assert_eq!(reply.status, 201);
    let id = reply.header("location").rsplit('/').next().unwrap().to_owned();
    (id, reply.message_ids())
}

async fn left(service: &Service) -> usize {
    let line = "GET /v2/queues/q/messages?echo=1&include_claimed=1&limit=20";
    service.call(line, "").await.message_ids().len()
}

#[tokio::test]
async fn a_free_message_goes_and_going_twice_is_fine() {
    let service = Service::new();
    let id = service.post("q", &["1"]).await.remove(0);
    for line in [
        format!("DELETE /v2/queues/q/messages/{id}"),
        format!("DELETE /v2/queues/q/messages/{id}"),
        "DELETE /v2/queues/q/messages/nonsense".to_owned(),
        "DELETE /v2/queues/q/messages/nonsense?claim_id=nonsense".to_owned(),
        format!("DELETE /v2/queues/missing/messages/{id}?claim_id={STRANGE_CLAIM}"),
    ] {
        assert_eq!(service.call(&line, "").await.status, 204, "{line}");
    }
    assert_eq!(left(&service).await, 0);
}

#[tokio::test]
async fn a_claim_named_for_a_free_message_is_refused() {
    let service = Service::new();
    let id = service.post("q", &["1"]).await.remove(0);
    let line = format!("DELETE /v2/queues/q/messages/{id}?claim_id=");
    service
        .refuses(&[
            (&format!("{line}invalid"), "", 400, UNDELETABLE, NO_CLAIM),
            (&format!("{line}{STRANGE_CLAIM}"), "", 400, UNDELETABLE, UNCLAIMED),
        ])
        .await;
    assert_eq!(left(&service).await, 1);
}

#[tokio::test]
async fn a_claimed_message_goes_only_with_its_claim() {
    let service = Service::new();
    service.post("q", &["1", "2"]).await;
    let (first, ids) = claim(&service, 1).await;
    let (second, _) = claim(&service, 1).await;
    let line = format!("DELETE /v2/queues/q/messages/{}", ids[0]);
    service
        .refuses(&[
            (&line, "", 403, UNDELETABLE, CLAIMED),
            (&format!("{line}?claim_id="), "", 403, UNDELETABLE, CLAIMED),
            (&format!("{line}?claim_id=invalid"), "", 400, UNDELETABLE, NO_CLAIM),
            (&format!("{line}?claim_id={second}"), "", 403, UNDELETABLE, CLAIMED),
        ])
        .await;
    assert_eq!(left(&service).await, 2);
    assert_eq!(service.call(&format!("{line}?claim_id={first}"), "").await.status, 204);
    assert_eq!(left(&service).await, 1);
}

#[tokio::test]
async fn several_go_by_id_claimed_ones_too() {
    let service = Service::new();
    let ids = service.post("q", &["1", "2", "3"]).await;
    claim(&service, 1).await;
    let line = format!("DELETE /v2/queues/q/messages?ids={},nonsense&ids={}", ids[0], ids[2]);
    for _ in 0..2 {
        assert_eq!(service.call(&line, "").await.status, 204);
    }
    assert_eq!(left(&service).await, 1);
    let line = format!("DELETE /v2/queues/missing/messages?ids={}", ids[1]);
    assert_eq!(service.call(&line, "").await.status, 204);
    assert_eq!(left(&service).await, 1);
}

#[tokio::test]
async fn a_deletion_says_which_or_how_many() {
    let service = Service::new();
    service.post("q", &["1"]).await;
    let neither = "The request should have either \"ids\" or \"pop\" parameter in the request, to \
                   be able to delete.";
    let both = "pop and id params cannot be present together in the delete request.";
    let number = "The \"pop\" parameter is invalid. The value must be an integer.";
    let range = "Pop value must be at least 1 and may not be greater than 20.";
    let ids = "ids parameter should have at least 1 and not greater than 20 values.";
    let path = "DELETE /v2/queues/q/messages";
    let many = format!("{path}?ids={}", vec!["x"; 22].join(","));
    service
        .refuses(&[
            (path, "", 400, API, neither),
            ("DELETE /v2/queues/q/messages?pop=", "", 400, API, neither),
            ("DELETE /v2/queues/q/messages?ids=", "", 400, API, neither),
            ("DELETE /v2/queues/q/messages?ids=a&pop=1", "", 400, API, both),
            ("DELETE /v2/queues/q/messages?pop=one", "", 400, "Invalid parameter", number),
            ("DELETE /v2/queues/q/messages?pop=0", "", 400, API, range),
            ("DELETE /v2/queues/q/messages?pop=-1", "", 400, API, range),
            ("DELETE /v2/queues/q/messages?pop=1000000", "", 400, API, range),
            (&many, "", 400, API, ids),
        ])
        .await;
    assert_eq!(left(&service).await, 1);
}

#[tokio::test]
async fn popping_takes_the_oldest_that_nobody_holds() {
    let service = Service::new();
    let ids = service.post("q", &["1", "{\"x\": 2}", "3"]).await;
    claim(&service, 1).await;
    service.advance_s(3);
    let reply = service.call("DELETE /v2/queues/q/messages?pop=1", "").await;
    let expected = json!({
        "id": ids[1], "age": 3, "ttl": 300, "claim_count": 0, "body": {"x": 2}, "claim_id": null,
    });
    assert_eq!((reply.status, reply.json()), (200, json!({"messages": [expected]})));
    let rest = service.call("DELETE /v2/queues/q/messages?pop=20", "").await;
    assert_eq!(rest.message_ids(), [ids[2].as_str()]);
    for queue in ["q", "missing"] {
        let line = format!("DELETE /v2/queues/{queue}/messages?pop=5");
        let reply = service.call(&line, "").await;
        assert_eq!((reply.status, reply.text.as_str()), (200, "{\"messages\": []}"));
    }
}

#[tokio::test]
async fn a_popped_message_tells_how_often_it_was_claimed() {
    let service = Service::new();
    service.post("q", &["1"]).await;
    let (id, _) = claim(&service, 1).await;
    service.call(&format!("DELETE /v2/queues/q/claims/{id}"), "").await;
    let popped = service.call("DELETE /v2/queues/q/messages?pop=1", "").await.json();
    assert_eq!(popped["messages"][0]["claim_count"], 1);
    assert_eq!(popped["messages"][0]["claim_id"], Value::Null);
}

#[tokio::test]
async fn where_claims_must_be_named_they_must_hold_what_goes() {
    let mut rest = RestConfig::default();
    rest.message_delete_with_claim_id = true;
    let service = Service::with(rest, EngineConfig::default());
    service.post("q", &["1", "2", "3"]).await;
    let (held, ids) = claim(&service, 1).await;
    let free = service.call("GET /v2/queues/q/messages?echo=1&limit=1", "").await.message_ids();
    let both = "The request should have both \"ids\" and \"claim_ids\" parameter in the request \
                when message_delete_with_claim_id is True.";
    let path = "DELETE /v2/queues/q/messages?";
    let (ids, free) = (&ids[0], &free[0]);
    service
        .refuses(&[
            (&format!("{path}ids={ids}"), "", 400, API, both),
            (&format!("{path}claim_ids={held}"), "", 400, API, both),
            (&format!("{path}ids={free}&claim_ids={held}"), "", 400, UNDELETABLE, UNCLAIMED),
            (&format!("{path}ids={ids}&claim_ids={STRANGE_CLAIM}"), "", 403, UNDELETABLE, CLAIMED),
            // One that can be no claim id holds nothing; it does not lift the condition.
            (&format!("{path}ids={ids}&claim_ids=nonsense"), "", 400, UNDELETABLE, NO_CLAIM),
        ])
        .await;
    assert_eq!(left(&service).await, 3);
    let line = format!("{path}ids={ids}&claim_ids={held},{STRANGE_CLAIM}");
    assert_eq!(service.call(&line, "").await.status, 204);
    let line = format!("DELETE /v2/queues/q/messages/{free}");
    assert_eq!(service.call(&line, "").await.status, 204);
    assert_eq!(service.call(&format!("{path}pop=1"), "").await.message_ids().len(), 1);
}
