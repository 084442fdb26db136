//! Claims.

use serde_json::json;

use crate::support::Service;

const API: &str = "Invalid API request";
const BODY: &str = "Invalid request body";
const UNPARSABLE: &str = "Request body could not be parsed.";
const TTL: &str =
    "The TTL for a claim may not exceed 43200 seconds, and must be at least 60 seconds long.";
const GRACE: &str =
    "The grace for a claim may not exceed 43200 seconds, and must be at least 60 seconds long.";
const STRANGE_CLAIM: &str = "0123456789abcdef0123456789abcdef";

async fn claim(service: &Service, body: &str) -> String {
    let reply = service.call("POST /v2/queues/q/claims", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.header("location").to_owned()
}

#[tokio::test]
async fn a_claim_takes_ten_messages_unless_told_otherwise_oldest_first() {
    let service = Service::new();
    let bodies = ["0"; 25];
    let ids = service.post("q", &bodies).await;
    let ten = service.call("POST /v2/queues/q/claims", r#"{"limit": 3, "x": 1}"#).await;
    assert_eq!(ten.message_ids(), ids[..10]);
    let two = service.call("POST /v2/queues/q/claims?limit=2&whatever=1", "{}").await;
    assert_eq!(two.message_ids(), ids[10..12]);
    let rest = service.call("POST /v2/queues/q/claims?limit=20", "").await;
    assert_eq!(rest.message_ids(), ids[12..]);
    let nothing = service.call("POST /v2/queues/q/claims", "").await;
    assert_eq!((nothing.status, nothing.header("location")), (204, ""));
    assert_eq!(service.call("POST /v2/queues/missing/claims", "").await.status, 204);
    assert_eq!(service.call("HEAD /v2/queues/missing", "").await.status, 404);
}

#[tokio::test]
async fn a_claim_is_shown_with_its_age_and_messages() {
    let service = Service::new();
    let id = service.post("q", &["1"]).await.remove(0);
    service.advance_s(4);
    let location = claim(&service, r#"{"ttl": 100, "grace": 60}"#).await;
    service.advance_s(9);
    let reply = service.call(&format!("GET {location}"), "").await;
    let claim_id = location.rsplit('/').next().unwrap();
    let href = format!("/v2/queues/q/messages/{id}?claim_id={claim_id}");
    let message = json!({"id": id, "href": href, "ttl": 300, "age": 13, "body": 1});
    let expected = json!({"age": 9, "ttl": 100, "messages": [message], "href": location});
    assert_eq!((reply.status, reply.json()), (200, expected));
}

#[tokio::test]
async fn defaults_hold_for_what_is_missing_or_null() {
    let service = Service::new();
    for body in ["", "{}", r#"{"ttl": null, "grace": null}"#] {
        service.post("q", &["1"]).await;
        let location = claim(&service, body).await;
        assert_eq!(service.call(&format!("GET {location}"), "").await.json()["ttl"], 300);
    }
}

#[tokio::test]
async fn messages_live_until_their_claim_ends_and_the_grace_after() {
    let service = Service::new();
    service.post("q", &["1"]).await;
    let location = claim(&service, r#"{"ttl": 400, "grace": 60}"#).await;
    let shown = service.call(&format!("GET {location}"), "").await.json();
    assert_eq!(shown["messages"][0]["ttl"], 460);
    service.advance_s(399);
    assert_eq!(service.call("POST /v2/queues/q/claims", "").await.status, 204);
    service.advance_s(1);
    assert_eq!(service.call(&format!("GET {location}"), "").await.status, 404);
    let again = service.call("POST /v2/queues/q/claims", "").await;
    assert_eq!(again.message_ids().len(), 1);
}

#[tokio::test]
async fn renewing_starts_the_time_anew_and_missing_terms_fall_back_to_the_defaults() {
    let service = Service::new();
    service.post("q", &["1"]).await;
    let location = claim(&service, r#"{"ttl": 100, "grace": 60}"#).await;
    service.advance_s(50);
    let reply = service.call(&format!("PATCH {location}"), r#"{"ttl": 200}"#).await;
    assert_eq!((reply.status, reply.header("location"), reply.text.as_str()), (204, "", ""));
    let shown = service.call(&format!("GET {location}"), "").await.json();
    assert_eq!((&shown["age"], &shown["ttl"]), (&json!(0), &json!(200)));
    assert_eq!(service.call(&format!("PATCH {location}"), "{}").await.status, 204);
    assert_eq!(service.call(&format!("GET {location}"), "").await.json()["ttl"], 300);
}

#[tokio::test]
async fn a_released_claim_frees_its_messages_at_once() {
    let service = Service::new();
    let ids = service.post("q", &["1"]).await;
    let location = claim(&service, "").await;
    for line in [
        format!("DELETE {location}"),
        format!("DELETE {location}"),
        "DELETE /v2/queues/q/claims/nonsense".to_owned(),
        format!("DELETE /v2/queues/missing/claims/{STRANGE_CLAIM}"),
    ] {
        assert_eq!(service.call(&line, "").await.status, 204, "{line}");
    }
    let again = service.call("POST /v2/queues/q/claims", "").await;
    assert_eq!(again.message_ids(), ids);
}

#[tokio::test]
async fn claims_that_are_not_there_are_not_found() {
    let service = Service::new();
    let id = service.post("q", &["1"]).await.remove(0);
    let over = claim(&service, "").await;
    let claim_id = over.rsplit('/').next().unwrap();
    service.call(&format!("DELETE /v2/queues/q/messages/{id}?claim_id={claim_id}"), "").await;
    for (queue, claim) in
        [("q", "nonsense"), ("q", STRANGE_CLAIM), ("q", claim_id), ("missing", STRANGE_CLAIM)]
    {
        let text = format!("Claim {claim} does not exist in queue {queue} for project 480924");
        for (method, body) in [("GET", ""), ("PATCH", "{}")] {
            let line = format!("{method} /v2/queues/{queue}/claims/{claim}");
            service.refuses(&[(&line, body, 404, "Not found", &text)]).await;
        }
    }
}

#[tokio::test]
async fn each_fault_of_a_claim_has_its_text() {
    let service = Service::new();
    service.post("q", &["1", "2"]).await;
    let location = service.call("POST /v2/queues/q/claims?limit=1", "").await;
    let patch = format!("PATCH {}", location.header("location"));
    let doctype = "Document type not supported.";
    let ttl_type = "The value of the \"ttl\" field must be a int.";
    let grace_type = "The value of the \"grace\" field must be a int.";
    for line in ["POST /v2/queues/q/claims", &patch] {
        service
            .refuses(&[
                (line, "[", 400, BODY, UNPARSABLE),
                (line, ".", 400, BODY, UNPARSABLE),
                (line, "\"fail\"", 400, BODY, UNPARSABLE),
                (line, "[]", 400, BODY, doctype),
                (line, r#"{"ttl": 60.0}"#, 400, BODY, ttl_type),
                (line, r#"{"ttl": "60"}"#, 400, BODY, ttl_type),
                (line, r#"{"grace": {}}"#, 400, BODY, grace_type),
                (line, r#"{"ttl": 59}"#, 400, API, TTL),
                (line, r#"{"ttl": 43201}"#, 400, API, TTL),
                (line, r#"{"ttl": -60}"#, 400, API, TTL),
                (line, r#"{"grace": 59}"#, 400, API, GRACE),
                (line, r#"{"grace": 43201}"#, 400, API, GRACE),
            ])
            .await;
    }
    service.refuses(&[(&patch, "", 400, BODY, "Request body can not be empty")]).await;
    for limit in ["0", "-1", "21", "200"] {
        let line = format!("POST /v2/queues/q/claims?limit={limit}");
        let text = "Limit must be at least 1 and may not be greater than 20.";
        service.refuses(&[(&line, "", 400, API, text)]).await;
    }
    // The second message is still there to be claimed.
    let reply = service.call("POST /v2/queues/q/claims", "").await;
    assert_eq!(reply.message_ids().len(), 1);
}

#[tokio::test]
async fn a_message_claimed_too_often_moves_to_the_dead_letter_queue() {
    let service = Service::new();
    let metadata = r#"{"_max_claim_count": 2, "_dead_letter_queue": "dead",
        "_dead_letter_queue_messages_ttl": 1000}"#;
    service.call("PUT /v2/queues/q", metadata).await;
    let body = r#"{"messages": [{"body": "poison", "ttl": 1000}]}"#;
    service.call("POST /v2/queues/q/messages", body).await;
    for _ in 0..2 {
        claim(&service, r#"{"ttl": 60}"#).await;
        service.advance_s(60);
    }
    assert_eq!(service.call("POST /v2/queues/q/claims", "").await.status, 204);
    let dead = service.call("GET /v2/queues/dead/messages?echo=1", "").await.json();
    assert_eq!(dead["messages"][0]["body"], "poison");
    assert_eq!(dead["messages"][0]["ttl"], 1000);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_waits_gets_what_is_posted_meanwhile() {
    let service = Service::new();
    let waiting = service.call("POST /v2/queues/q/claims?wait=20", "");
    let (claimed, ids) = tokio::join!(waiting, service.post("q", &["1"]));
    assert_eq!((claimed.status, claimed.message_ids()), (201, ids));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_waited_for_nothing_ends_like_one_that_did_not_wait() {
    let service = Service::new();
    let begun = tokio::time::Instant::now();
    let reply = service.call("POST /v2/queues/q/claims?wait=7", "").await;
    assert_eq!((reply.status, reply.text.as_str(), begun.elapsed().as_secs()), (204, "", 7));
    let reply = service.call("POST /v2/queues/q/claims?wait=0", "").await;
    assert_eq!((reply.status, begun.elapsed().as_secs()), (204, 7));
}

#[tokio::test]
async fn a_wait_is_a_number_of_seconds_within_the_bound() {
    let service = Service::new();
    let bound = "Wait must be at least 0 and may not be greater than 20.";
    let number = "The \"wait\" parameter is invalid. The value must be an integer.";
    service
        .refuses(&[
            ("POST /v2/queues/q/claims?wait=21", "", 400, API, bound),
            ("POST /v2/queues/q/claims?wait=-1", "", 400, API, bound),
            ("POST /v2/queues/q/claims?wait=x", "", 400, "Invalid parameter", number),
            ("GET /v2/queues/q/messages?wait=21", "", 400, API, bound),
            ("GET /v2/queues/q/messages?wait=1.5", "", 400, "Invalid parameter", number),
        ])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_waits_gets_what_others_post_meanwhile() {
    let service = Service::new();
    let waiting = service.call("GET /v2/queues/q/messages?echo=true&wait=20", "");
    let (listed, ids) = tokio::join!(waiting, service.post("q", &["1"]));
    assert_eq!((listed.status, listed.message_ids()), (200, ids));
    let begun = tokio::time::Instant::now();
    let listed = service.call("GET /v2/queues/empty/messages?wait=3", "").await;
    assert_eq!((listed.status, begun.elapsed().as_secs()), (200, 3));
    assert_eq!(listed.json()["messages"], json!([]));
}
