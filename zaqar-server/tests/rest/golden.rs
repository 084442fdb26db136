//! One life of a queue, its messages and a claim.

use serde_json::json;

use crate::support::Service;

#[tokio::test]
async fn a_queue_lives_as_clients_have_always_seen_it() {
    let service = Service::new();
    for status in [201, 204] {
        let reply = service.call("PUT /v2/queues/demo", "").await;
        assert_eq!((reply.status, reply.header("location")), (status, "/v2/queues/demo"));
        assert_eq!(reply.text, "");
    }

    let posted = service
        .call("POST /v2/queues/demo/messages", r#"{"messages":[{"body":{"a":1},"ttl":60}]}"#)
        .await;
    let id = posted.ids().remove(0);
    assert_eq!(posted.status, 201);
    assert_eq!(posted.header("location"), format!("/v2/queues/demo/messages?ids={id}"));
    assert_eq!(posted.text, format!("{{\"resources\": [\"/v2/queues/demo/messages/{id}\"]}}"));

    let own = service.call("GET /v2/queues/demo/messages", "").await;
    assert_eq!((own.status, own.text.as_str()), (200, "{\"messages\": [], \"links\": []}"));
    let echoed = service.call("GET /v2/queues/demo/messages?echo=true", "").await;
    assert_eq!(echoed.message_ids(), [id.as_str()]);
    assert!(echoed.next().is_some());

    let claimed = service.call("POST /v2/queues/demo/claims", r#"{"ttl":300,"grace":60}"#).await;
    assert_eq!(claimed.status, 201);
    let location = claimed.header("location").to_owned();
    let claim = location.strip_prefix("/v2/queues/demo/claims/").unwrap();
    let href = format!("/v2/queues/demo/messages/{id}?claim_id={claim}");
    let message = json!({"id": id, "href": href, "ttl": 360, "age": 0, "body": {"a": 1}});
    assert_eq!(claimed.json(), json!({"messages": [message]}));
    assert_eq!(service.call("POST /v2/queues/demo/claims", "").await.status, 204);

    let message = format!("/v2/queues/demo/messages/{id}");
    let rows = [
        (format!("DELETE {message}"), 403, "Unable to delete"),
        (format!("DELETE {message}?claim_id={claim}"), 204, ""),
        (format!("DELETE {message}?claim_id={claim}"), 204, ""),
        (format!("GET {message}"), 404, "Not found"),
        (format!("GET /v2/queues/demo/messages?ids={id}"), 404, "Not found"),
        (format!("DELETE {location}"), 204, ""),
        ("DELETE /v2/queues/demo".to_owned(), 204, ""),
    ];
    for (line, status, title) in rows {
        let reply = service.call(&line, "").await;
        assert_eq!((reply.status, reply.error().1.as_str()), (status, title), "{line}");
    }
    let defaults = json!({
        "_max_messages_post_size": 262_144,
        "_default_message_ttl": 3600,
        "_default_message_delay": 0,
        "_dead_letter_queue": null,
        "_dead_letter_queue_messages_ttl": null,
        "_max_claim_count": null,
        "_enable_encrypt_messages": false,
    });
    let gone = service.call("GET /v2/queues/demo", "").await;
    assert_eq!((gone.status, gone.json()), (200, defaults));
}
