//! Changes to metadata.

use serde_json::{Value, json};

use crate::support::{Reply, Service};

const JSON_PATCH: [(&str, &str); 1] =
    [("content-type", "application/openstack-messaging-v2.0-json-patch")];

async fn patch(service: &Service, body: &str) -> Reply {
    service.call_with("PATCH /v2/queues/q", &JSON_PATCH, body).await
}

async fn queue(metadata: &str) -> Service {
    let service = Service::new();
    assert_eq!(service.call("PUT /v2/queues/q", metadata).await.status, 201);
    service
}

#[tokio::test]
async fn operations_apply_in_order_and_the_answer_is_the_new_document() {
    let service = queue(r#"{"a": 1, "b": 2, "_default_message_ttl": 300}"#).await;
    let reply = patch(
        &service,
        r#"[{"op": "add", "path": "/metadata/c", "value": {"x": 1}},
            {"op": "replace", "path": "/metadata/a", "value": 5},
            {"op": "replace", "path": "/metadata/_max_claim_count", "value": 3},
            {"op": "remove", "path": "/Metadata/b"},
            {"op": "remove", "path": "/metadata/_default_message_ttl"},
            {"op": "remove", "path": "/metadata/_dead_letter_queue"},
            {"op": "add", "path": "/metadata/b", "value": null}]"#,
    )
    .await;
    assert_eq!((reply.status, reply.header("location")), (200, ""));
    let document = reply.json();
    for (key, value) in [
        ("a", json!(5)),
        ("b", Value::Null),
        ("c", json!({"x": 1})),
        ("_max_claim_count", json!(3)),
        ("_default_message_ttl", json!(3600)),
    ] {
        assert_eq!(document[key], value, "{key}");
    }
    assert_eq!(service.call("GET /v2/queues/q", "").await.json(), document);
    assert_eq!(patch(&service, "[]").await.json(), document);
}

#[tokio::test]
async fn a_change_that_does_not_fit_changes_nothing() {
    let service = queue(r#"{"a": 1}"#).await;
    let before = service.call("GET /v2/queues/q", "").await.text;
    let first = r#"{"op": "replace", "path": "/metadata/a", "value": 2}"#;
    for (second, status, title, description) in [
        (
            r#"{"op": "replace", "path": "/metadata/z", "value": 1}"#,
            409,
            "Resource conflict",
            "Can't replace non-existent object z.",
        ),
        (
            r#"{"op": "remove", "path": "/metadata/z"}"#,
            409,
            "Resource conflict",
            "Can't remove non-existent object z.",
        ),
        (
            r#"{"op": "replace", "path": "/metadata/_flavor", "value": "f"}"#,
            409,
            "Resource conflict",
            "Can't replace non-existent object _flavor.",
        ),
        (
            r#"{"op": "add", "path": "/metadata/_default_message_ttl", "value": 1}"#,
            400,
            "Invalid request body",
            "_default_message_ttl can not exceed 1209600 seconds, and must be at least 60 seconds \
             long.",
        ),
    ] {
        let reply = patch(&service, &format!("[{first}, {second}]")).await;
        assert_eq!(reply.error(), (status, title.into(), description.into()), "{second}");
        assert_eq!(service.call("GET /v2/queues/q", "").await.text, before);
    }
}

#[tokio::test]
async fn a_missing_queue_is_not_made() {
    let service = Service::new();
    let reply = patch(&service, r#"[{"op": "add", "path": "/metadata/a", "value": 1}]"#).await;
    let text = "Queue q does not exist for project 480924";
    assert_eq!(reply.error(), (404, "Not found".into(), text.into()));
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 404);
}

#[tokio::test]
async fn only_the_patch_media_type_is_taken_exactly() {
    let service = queue("").await;
    let accepted = "Accepted media type for PATCH: {'Accept-Patch': \
                    'application/openstack-messaging-v2.0-json-patch'}.";
    for media_type in [
        "application/json",
        "application/json-patch+json",
        "application/openstack-messaging-v2.0-json-patch; charset=utf-8",
        "-",
    ] {
        let headers = [("content-type", media_type)];
        let reply = service.call_with("PATCH /v2/queues/q", &headers, "[]").await;
        let expected = (415, "415 Unsupported Media Type".into(), accepted.into());
        assert_eq!(reply.error(), expected, "{media_type}");
    }
}

#[tokio::test]
async fn each_fault_of_a_patch_has_its_text() {
    let service = queue("").await;
    let known = "It must be one of the following: add, remove, replace.";
    let op = |rest: &str| format!(r#"[{{"op": "add", "value": 1, {rest}}}]"#);
    let path = |path: &str| op(&format!(r#""path": "{path}""#));
    let resource =
        |path: &str| format!("Invalid JSON pointer for this resource: '{path}, e.g /metadata/key'");
    let rows: Vec<(String, String)> = vec![
        (String::new(), "PATCH body could not be empty for update.".into()),
        ("{".into(), "Request body could not be parsed.".into()),
        ("[1e999]".into(), "Request body could not be parsed.".into()),
        ("[99999999999999999999]".into(), "JSON contains integer that is too large.".into()),
        ("{}".into(), "Document type not supported.".into()),
        ("[5]".into(), "Operations must be JSON objects.".into()),
        ("[[]]".into(), "Operations must be JSON objects.".into()),
        ("[{}]".into(), format!("Unable to find `op` in JSON Schema change. {known}")),
        (r#"[{"op": "test"}]"#.into(), format!("Invalid operation: `test`. {known}")),
        (r#"[{"op": 5}]"#.into(), format!("Invalid operation: `5`. {known}")),
        (r#"[{"op": "add"}]"#.into(), "Unable to find 'path' in JSON Schema change".into()),
        (path("a"), "Pointer `a` does not start with \"/\".".into()),
        (op(r#""path": 5"#), "Pointer `5` does not start with \"/\".".into()),
        (path("/a//b"), "Pointer `/a//b` contains adjacent \"/\".".into()),
        (path("/a/ /b"), "Pointer `/a/ /b` contains adjacent \"/\".".into()),
        (path("/metadata/"), "Pointer `/metadata/` end with \"/\".".into()),
        (
            path("/metadata/a~2"),
            "Pointer `/metadata/a~2` contains \"~\" not part of a recognized escape sequence."
                .into(),
        ),
        (
            path("/metadata/a~"),
            "Pointer `/metadata/a~` contains \"~\" not part of a recognized escape sequence."
                .into(),
        ),
        (path("/a"), resource("/a")),
        (path("/"), resource("/")),
        (path("/metadata/a/b"), resource("/metadata/a/b")),
        (path("/other/a"), "The root of path must be metadata, e.g /metadata/key.".into()),
        (
            r#"[{"op": "replace", "path": "/metadata/a"}]"#.into(),
            "Operation \"replace\" requires a member named \"value\".".into(),
        ),
        (
            format!(r#"[{{"op": "add", "path": "/{}"}}]"#, "x".repeat(65_536)),
            "Queue metadata is too large. Max size: 65536".into(),
        ),
    ];
    for (body, description) in rows {
        let reply = patch(&service, &body).await;
        assert_eq!(reply.error(), (400, "Invalid request body".into(), description));
    }
}

#[tokio::test]
async fn a_client_that_replaces_the_whole_document_gets_what_it_set() {
    // What the Python client does: replace what has a value, add what has none, remove the rest.
    let service = queue(r#"{"old": 1, "kept": 2}"#).await;
    let current = service.call("GET /v2/queues/q", "").await.json();
    let wanted = json!({"kept": 3, "_max_claim_count": 2, "new": true});
    let mut operations = Vec::new();
    for (key, value) in wanted.as_object().unwrap() {
        let present = !current.get(key).unwrap_or(&Value::Null).is_null();
        let op = if present { "replace" } else { "add" };
        operations.push(json!({"op": op, "path": format!("/metadata/{key}"), "value": value}));
    }
    for key in current.as_object().unwrap().keys().filter(|key| wanted.get(key).is_none()) {
        operations.push(json!({"op": "remove", "path": format!("/metadata/{key}")}));
    }
    let reply = patch(&service, &Value::from(operations).to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let document = reply.json();
    assert_eq!((&document["kept"], &document["_max_claim_count"]), (&json!(3), &json!(2)));
    assert_eq!((&document["new"], document.get("old")), (&json!(true), None));
}
