//! Handing out signatures.

use serde_json::{Value, json};
use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;
use zaqar_server::signed_url::UrlSigner;

use crate::support::Service;

const API: &str = "Invalid API request";
const LINE: &str = "POST /v2/queues/demo/share";

/// A service with the secret of the known signatures.
fn service() -> Service {
    let mut rest = RestConfig::default();
    rest.url_signer = UrlSigner::new(["secret"]);
    Service::with(rest, EngineConfig::default())
}

async fn share(body: &str) -> Value {
    let reply = service().call_with(LINE, &[("x-project-id", "p1")], body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[tokio::test]
async fn a_signature_is_the_one_that_clients_know() {
    let service = service();
    let project = [("x-project-id", "p1")];
    let body = r#"{"paths": ["messages", "claims"], "methods": ["POST", "GET"],
        "expires": "2100-01-01T02:00:00.123+02:00"}"#;
    let reply = service.call_with(LINE, &project, body).await;
    assert_eq!((reply.status, reply.header("location")), (200, ""));
    assert_eq!(
        reply.text,
        "{\"paths\": [\"/v2/queues/demo/claims\", \"/v2/queues/demo/messages\"], \"methods\": \
         [\"GET\", \"POST\"], \"project\": \"p1\", \"expires\": \"2100-01-01T00:00:00\", \
         \"signature\": \"d6ee8e645fcad4af5d7513008fa695c8ac360b2162bc948d671f0770ef042301\"}"
    );
    let exists = service.call_with("HEAD /v2/queues/demo", &project, "").await;
    assert_eq!(exists.status, 404);
}

#[tokio::test]
async fn whoever_says_nothing_gets_reading_of_messages_for_a_day() {
    for body in [
        "{}",
        r#"{"paths": null, "methods": null, "expires": null}"#,
        r#"{"paths": [], "methods": []}"#,
    ] {
        let shared = share(body).await;
        assert_eq!(shared["paths"], json!(["/v2/queues/demo/messages"]));
        assert_eq!(shared["methods"], json!(["GET"]));
        assert_eq!(shared["expires"], "2033-05-19T03:33:20");
    }
    let shared = share(r#"{"expires": "2100-01-01"}"#).await;
    let known = "3652cb8345628f3fb7964604707161713e46124bf6aa4668e5ab782797bf8b41";
    assert_eq!(shared["signature"], known);
}

#[tokio::test]
async fn what_cannot_be_shared_is_refused_with_the_reason() {
    let date = "`expires` should be date format, for example 2016-01-01T00:00:00, not integer value: \
                12345";
    let methods = "`methods` should be a list";
    let past = "`expires` is lower than the current time";
    let rows = [
        (r#"{"foo": 1, "paths": []}"#, "Unknown keys: {'foo'}"),
        (r#"{"project_id": null}"#, "Unknown keys: {'project_id'}"),
        (r#"{"paths": ["messages", "x", "stats"]}"#, "Invalid paths: {'x', 'stats'}"),
        (r#"{"paths": "messages"}"#, "`paths` should be a list"),
        (r#"{"paths": [["messages"]]}"#, "`paths` should be a list"),
        (r#"{"methods": "GET"}"#, methods),
        (r#"{"methods": [1]}"#, methods),
        (r#"{"methods": {}}"#, methods),
        (r#"{"methods": ["GET", "PUT\\nother"]}"#, "Invalid methods: {'PUT\\nother'}"),
        (r#"{"methods": ["GET,PUT"]}"#, "Invalid methods: {'GET,PUT'}"),
        (r#"{"methods": [""]}"#, "Invalid methods: {''}"),
        (r#"{"expires": 12345}"#, date),
        (r#"{"expires": "12345"}"#, date),
        (r#"{"expires": "garbage"}"#, "Unable to parse date string 'garbage'"),
        (r#"{"expires": ""}"#, "Unable to parse date string ''"),
        (r#"{"expires": ["2100-01-01"]}"#, "Unable to parse date string '[\"2100-01-01\"]'"),
        (r#"{"expires": "2033-05-18T03:33:20"}"#, past),
        (r#"{"expires": "2000-01-01T00:00:00Z"}"#, past),
    ];
    let service = service();
    for (body, text) in rows {
        service.refuses(&[(LINE, body, 400, API, text)]).await;
    }
    let body = "Invalid request body";
    service
        .refuses(&[
            (LINE, "", 400, body, "Request body can not be empty"),
            (LINE, "{", 400, body, "Request body could not be parsed."),
            (LINE, "[]", 400, body, "Document type not supported."),
        ])
        .await;
}

#[tokio::test]
async fn without_a_secret_nothing_is_shared() {
    let text = "The `key` can't be None";
    Service::new().refuses(&[(LINE, "{}", 400, API, text)]).await;
}
