//! Requests that carry a signature instead of a token.

use serde_json::{Value, json};
use zaqar_server::signed_url::{Expiry, Grant, UrlSigner};

use crate::client::{CLIENT, Client, PROJECT};
use crate::world::World;

const UNTIL: &str = "2100-01-01T00:00:00";

async fn world() -> World {
    World::changed(|config| config.url_signer = UrlSigner::new(["secret"])).await
}

/// Headers that give leave to send `method` to `path`.
fn headers(path: &str, method: &str, until: &str) -> Value {
    let expiry = Expiry::parse(until).unwrap();
    let grant = Grant::new(vec![path.into()], vec![method.into()], PROJECT, expiry);
    let signature = UrlSigner::new(["secret"]).sign(&grant).unwrap();
    json!({
        "Client-ID": CLIENT, "X-Project-ID": PROJECT, "URL-Signature": signature,
        "URL-Expires": until, "URL-Methods": [method], "URL-Paths": [path]
    })
}

async fn status(client: &mut Client, action: &str, body: Value, headers: Value) -> u64 {
    client.send(action, body, headers).await;
    let reply = client.reply().await;
    if reply.status == 403 {
        assert_eq!(reply.body, json!({"error": "Not authentified."}));
    }
    reply.status
}

#[tokio::test]
async fn a_signature_opens_its_queue_to_its_method_and_nothing_else() {
    let world = world().await;
    let mut client = world.client().await;
    let path = "/v2/queues/mine/messages";
    let mine = json!({"queue_name": "mine"});
    let post = json!({"queue_name": "mine", "messages": [{"body": 1}]});
    let rows = [
        ("message_list", mine.clone(), headers(path, "GET", UNTIL), 200),
        ("message_post", post.clone(), headers(path, "POST", UNTIL), 201),
        ("message_post", post, headers(path, "GET", UNTIL), 403),
        ("message_list", json!({"queue_name": "other"}), headers(path, "GET", UNTIL), 403),
        ("message_list", json!({"queue_name": "mine2"}), headers(path, "GET", UNTIL), 403),
        ("message_list", mine.clone(), headers("/v2/queues/mine/claims", "GET", UNTIL), 403),
        ("message_list", mine.clone(), headers(path, "GET", "1971-01-01T00:00:00"), 403),
        ("queue_get", mine.clone(), headers(path, "GET", UNTIL), 403),
        ("claim_create", mine, headers(path, "POST", UNTIL), 403),
    ];
    for (action, body, headers, expected) in rows {
        let found = status(&mut client, action, body.clone(), headers).await;
        assert_eq!(found, expected, "{action} {body}");
    }
}

#[tokio::test]
async fn a_signature_that_is_incomplete_or_altered_opens_nothing() {
    let world = world().await;
    let mut client = world.client().await;
    let good = headers("/v2/queues/mine/messages", "GET", UNTIL);
    for name in ["URL-Expires", "URL-Methods", "URL-Paths"] {
        let mut lacking = good.clone();
        lacking.as_object_mut().unwrap().remove(name);
        let body = json!({"queue_name": "mine"});
        assert_eq!(status(&mut client, "message_list", body, lacking).await, 403, "{name}");
    }
    for (name, value) in [
        ("URL-Signature", json!("")),
        ("URL-Signature", json!(null)),
        ("URL-Signature", json!("00")),
        ("URL-Expires", json!("2100-01-02T00:00:00")),
        ("URL-Paths", json!(["/v2/queues/mine/messages", "/v2/queues"])),
        ("URL-Paths", json!({})),
        ("URL-Methods", json!(["GET", "POST"])),
        ("X-Project-ID", json!("another")),
    ] {
        let mut altered = good.clone();
        altered[name] = value;
        let body = json!({"queue_name": "mine"});
        assert_eq!(status(&mut client, "message_list", body, altered).await, 403, "{name}");
    }
}

#[tokio::test]
async fn without_a_secret_every_signature_is_wrong() {
    let world = World::new().await;
    let mut client = world.client().await;
    let headers = headers("/v2/queues/mine/messages", "GET", UNTIL);
    let body = json!({"queue_name": "mine"});
    assert_eq!(status(&mut client, "message_list", body, headers).await, 403);
}
