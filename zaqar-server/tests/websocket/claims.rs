//! Claims over WebSocket.

use serde_json::{Value, json};

use crate::world::everywhere;

fn in_queue(fields: Value) -> Value {
    let mut body = fields;
    body["queue_name"] = json!("q");
    body
}

#[tokio::test]
async fn a_claim_lives_from_its_creation_to_its_end() {
    everywhere(async |world, client| {
        let id = client.post("q", &[json!("x")]).await.remove(0);
        let made = client.call("claim_create", in_queue(json!({}))).await.expect(201);
        let claim = made["claim_id"].as_str().unwrap().to_owned();
        let message =
            |age| json!({"id": id, "claim_id": claim, "ttl": 300, "age": age, "body": "x"});
        assert_eq!(made["messages"], json!([message(0)]));
        let second = client.call("claim_create", in_queue(json!({}))).await.expect(204);
        assert_eq!(second, json!({"claim_id": null}));

        world.advance_s(10);
        let named = in_queue(json!({"claim_id": claim}));
        let shown = client.call("claim_get", named.clone()).await.expect(200);
        assert_eq!(shown, json!({"age": 10, "ttl": 300, "messages": [message(10)]}));
        let longer = in_queue(json!({"claim_id": claim, "ttl": 600, "grace": 60}));
        let renewed = client.call("claim_update", longer).await.expect(204);
        assert_eq!(renewed, json!(format!("Claim {claim} updated.")));
        let shown = client.call("claim_get", named.clone()).await.expect(200);
        assert_eq!(shown["ttl"], 600);

        let delete = in_queue(json!({"message_id": id}));
        let refused = client.call("message_delete", delete).await;
        let text = "This message is claimed; it cannot be deleted without a valid claim ID.";
        assert_eq!(refused.error(), (403, text));
        assert_eq!(refused.body["error"], text);
        for _ in 0..2 {
            let ended = client.call("claim_delete", named.clone()).await.expect(204);
            assert_eq!(ended, json!(format!("Claim {claim} deleted.")));
        }
        let delete = in_queue(json!({"message_id": id, "claim_id": claim}));
        let text = "A claim was specified, but the message is not currently claimed.";
        let refused = client.call("message_delete", delete).await;
        assert_eq!((refused.error(), &refused.body["error"]), ((400, text), &json!(text)));
        client.call("message_get", in_queue(json!({"message_id": id}))).await.expect(200);
        for action in ["claim_get", "claim_update"] {
            let refused = client.call(action, named.clone()).await;
            assert_eq!(refused.status, 404);
            assert_eq!(refused.body["error"], format!("Claim {claim} does not exist."));
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_is_removed_under_its_claim() {
    everywhere(async |_, client| {
        let id = client.post("q", &[json!("x")]).await.remove(0);
        let made = client.call("claim_create", in_queue(json!({}))).await.expect(201);
        let wrong = in_queue(json!({"message_id": id, "claim_id": "none"}));
        let text = "The specified claim does not exist or has expired.";
        assert_eq!(client.call("message_delete", wrong).await.error(), (400, text));
        let right = in_queue(json!({"message_id": id, "claim_id": made["claim_id"]}));
        client.call("message_delete", right).await.expect(204);
        client.call("message_get", in_queue(json!({"message_id": id}))).await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn terms_are_checked() {
    everywhere(async |_, client| {
        client.post("q", &[json!("x")]).await;
        let made = client.call("claim_create", in_queue(json!({}))).await.expect(201);
        for terms in [
            json!({"ttl": 59}),
            json!({"ttl": 43_201}),
            json!({"ttl": -1}),
            json!({"grace": 59}),
            json!({"grace": 43_201}),
        ] {
            let reply = client.call("claim_create", in_queue(terms.clone())).await;
            assert_eq!(reply.status, 400, "{terms}");
            let mut update = in_queue(terms.clone());
            update["claim_id"] = made["claim_id"].clone();
            assert_eq!(client.call("claim_update", update).await.status, 400, "{terms}");
        }
        for limit in [0, 21] {
            let reply = client.call("claim_create", in_queue(json!({"limit": limit}))).await;
            assert_eq!(reply.status, 400, "{limit}");
        }
        for terms in [json!({"ttl": "60"}), json!({"grace": null}), json!({"limit": 1.5})] {
            let reply = client.call("claim_create", in_queue(terms.clone())).await;
            assert_eq!(reply.error(), (400, "Schema validation failed."), "{terms}");
        }
        let none = client.call("claim_create", json!({"queue_name": "none"})).await.expect(204);
        assert_eq!(none, json!({"claim_id": null}));
    })
    .await;
}
