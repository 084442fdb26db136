//! Subscriptions: making, showing, changing, removing.

use serde_json::{Value, json};
use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;

use crate::support::{Refusal, Reply, Service};

const API: &str = "Invalid API request";
const PATH: &str = "/v2/queues/q/subscriptions";
const TYPES: &str = "The subscriber type of subscription must be supported in the list ['http', \
                     'https', 'mailto', 'trust+http', 'trust+https'].";
const STRANGE_ID: &str = "00000000ff00000000000001";

/// Subscribes with this body and returns the id.
async fn subscribe(service: &Service, body: &str) -> String {
    let reply = service.call(&format!("POST {PATH}"), body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.json()["subscription_id"].as_str().unwrap().to_owned()
}

async fn read(service: &Service, id: &str) -> Reply {
    service.call(&format!("GET {PATH}/{id}"), "").await
}

#[tokio::test]
async fn a_subscription_is_shown_with_all_seven_members() {
    let service = Service::new();
    let body = r#"{"subscriber": "HTTP://trigger.example/ü", "ttl": 600, "extra": 1,
        "options": {"post_headers": {"X": "y"}, "n": 1.50}}"#;
    let reply = service.call(&format!("POST {PATH}"), body).await;
    let id = reply.json()["subscription_id"].as_str().unwrap().to_owned();
    assert_eq!((reply.status, reply.header("location")), (201, PATH));
    assert_eq!(reply.text, format!("{{\"subscription_id\": \"{id}\"}}"));
    service.advance_s(7);
    let shown = read(&service, &id).await;
    assert_eq!(shown.status, 200);
    assert_eq!(
        shown.text,
        format!(
            "{{\"id\": \"{id}\", \"source\": \"q\", \"subscriber\": \"HTTP://trigger.example/ü\", \
             \"ttl\": 600, \"age\": 7, \"options\": {{\"post_headers\": {{\"X\": \"y\"}}, \"n\": 1.5}}, \
             \"confirmed\": false}}"
        )
    );
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 204);
}

#[tokio::test]
async fn what_is_left_out_has_its_default() {
    let service = Service::new();
    for (subscriber, options) in
        [("a", ""), ("b", r#", "options": null"#), ("c", r#", "options": []"#)]
    {
        let body = format!(r#"{{"subscriber": "mailto:{subscriber}@x.example"{options}}}"#);
        let id = subscribe(&service, &body).await;
        let shown = read(&service, &id).await.json();
        assert_eq!((&shown["ttl"], &shown["options"]), (&json!(3600), &json!({})));
    }
}

#[tokio::test]
async fn subscribing_again_finds_the_same_until_it_is_confirmed() {
    let service = Service::new();
    let first = subscribe(&service, r#"{"subscriber": "http://a.example", "ttl": 100}"#).await;
    let again = r#"{"subscriber": "http://a.example", "ttl": 900, "options": {"a": 1}}"#;
    assert_eq!(subscribe(&service, again).await, first);
    let shown = read(&service, &first).await.json();
    assert_eq!((&shown["ttl"], &shown["options"]), (&json!(100), &json!({})));

    let confirm = format!("PUT {PATH}/{first}/confirm");
    assert_eq!(service.call(&confirm, r#"{"confirmed": true}"#).await.status, 204);
    let refused = service.call(&format!("POST {PATH}"), again).await;
    let text = "Such subscription already exists.Subscriptions are unique by project + queue + \
                subscriber URI.";
    assert_eq!(refused.error(), (409, "Resource conflict".into(), text.into()));
    assert_eq!(refused.header("location"), PATH);
    // It is one of this queue and this project only.
    for (path, headers) in
        [("/v2/queues/r/subscriptions", &[][..]), (PATH, &[("x-project-id", "other")][..])]
    {
        let reply = service.call_with(&format!("POST {path}"), headers, again).await;
        assert_eq!(reply.status, 201);
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_ttl() {
    let service = Service::new();
    let body = r#"{"subscriber": "http://a.example", "ttl": 60}"#;
    let id = subscribe(&service, body).await;
    service.advance_s(59);
    assert_eq!(read(&service, &id).await.status, 200);
    service.advance_s(1);
    let text = format!("Subscription {id} does not exist");
    assert_eq!(read(&service, &id).await.error(), (404, "Not found".into(), text));
    let listed = service.call(&format!("GET {PATH}"), "").await;
    assert_eq!(listed.text, "{\"subscriptions\": [], \"links\": []}");
    assert_ne!(subscribe(&service, body).await, id);
}

/// What a POST and a PATCH refuse alike: the body and the description.
const FIELDS: &[(&str, &str)] = &[
    (r#"{"subscriber": "fake:x"}"#, TYPES),
    (r#"{"subscriber": "x"}"#, TYPES),
    (r#"{"subscriber": ""}"#, TYPES),
    (r#"{"subscriber": 5}"#, TYPES),
    (r#"{"subscriber": ["http://a.example"]}"#, TYPES),
    (r#"{"subscriber": "http//a.example"}"#, TYPES),
    (
        r#"{"subscriber": "trust+http://a.example"}"#,
        "A subscriber of type trust+http needs an authenticated user.",
    ),
    (r#"{"subscriber": "http://a.example", "options": 5}"#, "Options must be a dict."),
    (r#"{"subscriber": "http://a.example", "options": [1]}"#, "Options must be a dict."),
    (r#"{"subscriber": "http://a.example", "options": "x"}"#, "Options must be a dict."),
    (
        r#"{"subscriber": "http://a.example", "options": {"trust_id": "x"}}"#,
        "Options must not hold trust_id: the service sets it.",
    ),
    (
        r#"{"subscriber": "http://a.example", "options": {"_retry_policy": 5}}"#,
        "retry_policy must be a dict.",
    ),
    (
        r#"{"subscriber": "http://a.example", "options": {"_retry_policy": {"minimum_delay": "1"}}}"#,
        "Retry policy: minimum_delay must be a integer.",
    ),
    (
        r#"{"subscriber": "http://a.example", "options": {"_retry_policy": {"maximum_delay": 4}}}"#,
        "minimum_delay must less than maximum_delay.",
    ),
    (r#"{"subscriber": "http://a.example", "ttl": "60"}"#, "TTL must be an integer."),
    (r#"{"subscriber": "http://a.example", "ttl": 60.5}"#, "TTL must be an integer."),
    (r#"{"subscriber": "http://a.example", "ttl": {}}"#, "TTL must be an integer."),
    (r#"{"subscriber": "http://a.example", "ttl": 59}"#, SHORT),
    (r#"{"subscriber": "http://a.example", "ttl": 0}"#, SHORT),
    (r#"{"subscriber": "http://a.example", "ttl": -1}"#, SHORT),
    (r#"{"subscriber": "http://a.example", "ttl": true}"#, SHORT),
    (r#"{"subscriber": "http://a.example", "ttl": 251402300800}"#, LONG),
    (r#"{"subscriber": "http://a.example", "ttl": 9223372036854775807}"#, LONG),
];
const SHORT: &str = "The TTL for a subscription must be at least 60 seconds long.";
const LONG: &str = "The TTL seconds for a subscription plus current time must be less than \
                    9999-12-31 23:59:59.999999.";

fn rows<'a>(line: &'a str) -> Vec<Refusal<'a>> {
    FIELDS.iter().map(|&(body, description)| (line, body, 400, API, description)).collect()
}

#[tokio::test]
async fn bad_subscriptions_are_refused_and_make_no_queue() {
    let line = format!("POST {PATH}");
    let line = line.as_str();
    let missing = "Missing parameter subscriber in body.";
    let unparsable = "Request body could not be parsed.";
    let mut all = rows(line);
    all.extend([
        (line, "", 400, API, missing),
        (line, "{}", 400, API, missing),
        (line, r#"{"ttl": 100}"#, 400, API, missing),
        (line, r#"{"subscriber": null}"#, 400, API, TYPES),
        (
            line,
            r#"{"subscriber": "http://a.example", "ttl": null}"#,
            400,
            API,
            "TTL must be an integer.",
        ),
        (line, "[]", 400, API, "Subscriptions must be a dict."),
        (
            line,
            r#"[{"subscriber": "http://a.example"}]"#,
            400,
            API,
            "Subscriptions must be a dict.",
        ),
        (line, "{", 400, "Invalid request body", unparsable),
        (line, "5", 400, "Invalid request body", unparsable),
    ]);
    let service = Service::new();
    service.refuses(&all).await;
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 404);
}

#[tokio::test]
async fn a_life_may_last_to_the_end_of_the_calendar() {
    let service = Service::new();
    let id =
        subscribe(&service, r#"{"subscriber": "http://a.example", "ttl": 251402300799}"#).await;
    assert_eq!(read(&service, &id).await.json()["ttl"], 251_402_300_799_u64);
}

#[tokio::test]
async fn an_operator_chooses_the_types() {
    let mut engine = EngineConfig::default();
    engine.subscribers.types = vec!["https".into()];
    let service = Service::with(RestConfig::default(), engine);
    let refused = "The subscriber type of subscription must be supported in the list ['https'].";
    let line = format!("POST {PATH}");
    let body = r#"{"subscriber": "http://a.example"}"#;
    service.refuses(&[(&line, body, 400, API, refused)]).await;
    subscribe(&service, r#"{"subscriber": "https://a.example"}"#).await;
}

#[tokio::test]
async fn a_change_replaces_what_it_names() {
    let service = Service::new();
    let id = subscribe(
        &service,
        r#"{"subscriber": "http://a.example", "ttl": 100, "options": {"a": 1}}"#,
    )
    .await;
    let path = format!("{PATH}/{id}");
    service.advance_s(50);
    for (body, subscriber, ttl, options) in [
        (r#"{"ttl": 200, "confirmed": true, "x": 1}"#, "http://a.example", 200, json!({"a": 1})),
        (r#"{"options": {"b": 2}, "ttl": null}"#, "http://a.example", 200, json!({"b": 2})),
        // As the command line client sends it.
        (
            r#"{"subscriber": "http://b.example", "ttl": null, "options": {}}"#,
            "http://b.example",
            200,
            json!({}),
        ),
    ] {
        let reply = service.call(&format!("PATCH {path}"), body).await;
        assert_eq!((reply.status, reply.header("location")), (204, path.as_str()), "{body}");
        let shown = read(&service, &id).await.json();
        let expected = json!({
            "id": id, "source": "q", "subscriber": subscriber, "ttl": ttl, "age": 50,
            "options": options, "confirmed": false,
        });
        assert_eq!(shown, expected, "{body}");
    }
    // Its life has begun anew.
    service.advance_s(199);
    assert_eq!(read(&service, &id).await.status, 200);
    service.advance_s(1);
    assert_eq!(read(&service, &id).await.status, 404);
}

#[tokio::test]
async fn another_address_must_confirm_anew() {
    let service = Service::new();
    let id = subscribe(&service, r#"{"subscriber": "http://a.example"}"#).await;
    let path = format!("{PATH}/{id}");
    service.call(&format!("PUT {path}/confirm"), r#"{"confirmed": true}"#).await;
    service.call(&format!("PATCH {path}"), r#"{"subscriber": "http://a.example"}"#).await;
    assert_eq!(read(&service, &id).await.json()["confirmed"], true);
    service.call(&format!("PATCH {path}"), r#"{"subscriber": "http://b.example"}"#).await;
    assert_eq!(read(&service, &id).await.json()["confirmed"], false);
}

#[tokio::test]
async fn bad_changes_are_refused_and_change_nothing() {
    let service = Service::new();
    let id = subscribe(&service, r#"{"subscriber": "http://a.example"}"#).await;
    subscribe(&service, r#"{"subscriber": "http://b.example"}"#).await;
    let before = read(&service, &id).await.text;
    let line = format!("PATCH {PATH}/{id}");
    let line = line.as_str();
    let nothing = "No subscription to create.";
    let unable =
        ("Unable to update subscription", format!("Subscription {id} could not be updated."));
    let conflict = "Such subscription already exists. Subscriptions are unique by project + queue \
                    + subscriber URI.";
    let mut all = rows(line);
    all.extend([
        (line, "", 400, API, nothing),
        (line, "{}", 400, API, nothing),
        (line, "[]", 400, API, nothing),
        (line, "[1]", 400, API, "Subscriptions must be a dict."),
        (line, "{", 400, "Invalid request body", "Request body could not be parsed."),
        (line, r#"{"confirmed": true}"#, 400, unable.0, unable.1.as_str()),
        (line, r#"{"ttl": null, "subscriber": null}"#, 400, unable.0, unable.1.as_str()),
        (line, r#"{"subscriber": "http://b.example"}"#, 409, "Resource conflict", conflict),
    ]);
    service.refuses(&all).await;
    assert_eq!(read(&service, &id).await.text, before);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let service = Service::new();
    let id = subscribe(&service, r#"{"subscriber": "http://a.example"}"#).await;
    let elsewhere = "/v2/queues/r/subscriptions";
    subscribe(&service, r#"{"subscriber": "http://b.example"}"#).await;
    let rows = [
        (PATH, STRANGE_ID),
        (PATH, "nonsense"),
        (elsewhere, id.as_str()),
        ("/v2/topics/q/subscriptions", id.as_str()),
    ];
    for (path, id) in rows {
        let text = format!("Subscription {id} does not exist");
        let missing = (404, "Not found".to_owned(), text);
        let confirm = format!("PUT {path}/{id}/confirm");
        assert_eq!(service.call(&format!("GET {path}/{id}"), "").await.error(), missing);
        let change = service.call(&format!("PATCH {path}/{id}"), r#"{"ttl": 60}"#).await;
        assert_eq!(change.error(), missing);
        assert_eq!(service.call(&confirm, r#"{"confirmed": true}"#).await.error(), missing);
        assert_eq!(service.call(&format!("DELETE {path}/{id}"), "").await.status, 204);
    }
    let stranger = [("x-project-id", "other")];
    let reply = service.call_with(&format!("GET {PATH}/{id}"), &stranger, "").await;
    assert_eq!(reply.status, 404);
    assert_eq!(read(&service, &id).await.status, 200);
}

#[tokio::test]
async fn a_deleted_subscription_is_gone_and_deleting_twice_is_fine() {
    let service = Service::new();
    let id = subscribe(&service, r#"{"subscriber": "http://a.example"}"#).await;
    for _ in 0..2 {
        assert_eq!(service.call(&format!("DELETE {PATH}/{id}"), "").await.status, 204);
    }
    assert_eq!(read(&service, &id).await.status, 404);
}

#[tokio::test]
async fn a_purge_and_a_new_queue_of_the_name_have_none_of_the_old_ones() {
    let service = Service::new();
    let listed = async || {
        let reply = service.call(&format!("GET {PATH}"), "").await;
        reply.json()["subscriptions"].as_array().unwrap().len()
    };
    for (line, body, left) in [
        ("POST /v2/queues/q/purge", r#"{"resource_types": ["messages"]}"#, 10),
        ("POST /v2/queues/q/purge", r#"{"resource_types": ["subscriptions"]}"#, 0),
        ("POST /v2/queues/q/purge", "", 0),
        ("DELETE /v2/queues/q", "", 0),
    ] {
        for number in 0..12 {
            let body = format!(r#"{{"subscriber": "http://{number}.example"}}"#);
            subscribe(&service, &body).await;
        }
        assert_eq!(service.call(line, body).await.status, 204);
        assert_eq!(listed().await, left, "{line} {body}");
    }
}

#[tokio::test]
async fn confirming_takes_a_boolean_and_nothing_else() {
    let service = Service::new();
    let id = subscribe(&service, r#"{"subscriber": "http://a.example"}"#).await;
    let path = format!("{PATH}/{id}/confirm");
    let line = format!("PUT {path}");
    for confirmed in [true, false] {
        let body = json!({"confirmed": confirmed, "x": 1}).to_string();
        let reply = service.call(&line, body).await;
        assert_eq!((reply.status, reply.header("location")), (204, path.as_str()));
        assert_eq!(read(&service, &id).await.json()["confirmed"], Value::Bool(confirmed));
    }
    let boolean = "The 'confirmed' should be boolean.";
    let unable = format!("Subscription {id} could not be confirmed.");
    let line = line.as_str();
    service
        .refuses(&[
            (line, "", 400, API, boolean),
            (line, "{}", 400, API, boolean),
            (line, r#"{"confirmed": "true"}"#, 400, API, boolean),
            (line, r#"{"confirmed": 1}"#, 400, API, boolean),
            (line, r#"{"confirmed": null}"#, 400, API, boolean),
            (line, "[true]", 400, "Unable to confirm subscription", unable.as_str()),
            (line, "{", 400, "Invalid request body", "Request body could not be parsed."),
        ])
        .await;
    assert_eq!(read(&service, &id).await.json()["confirmed"], false);
}
