//! Topics: what queues do but claims, under names of their own.

use serde_json::json;

use crate::support::Service;

const MEDIA: [(&str, &str); 1] =
    [("content-type", "application/openstack-messaging-v2.0-json-patch")];

#[tokio::test]
async fn a_topic_lives_as_a_queue_does_with_hrefs_of_its_own() {
    let service = Service::new();
    for status in [201, 204] {
        let reply = service.call("PUT /v2/topics/t", r#"{"a": 1}"#).await;
        assert_eq!((reply.status, reply.header("location")), (status, "/v2/topics/t"));
    }
    let shown = service.call("GET /v2/topics/t", "").await;
    let defaults = json!({
        "a": 1,
        "_max_messages_post_size": 262_144,
        "_default_message_ttl": 3600,
        "_default_message_delay": 0,
    });
    assert_eq!((shown.status, shown.json()), (200, defaults.clone()));
    let patch = r#"[{"op": "replace", "path": "/metadata/a", "value": 2}]"#;
    let patched = service.call_with("PATCH /v2/topics/t", &MEDIA, patch).await;
    assert_eq!((patched.status, &patched.json()["a"]), (200, &json!(2)));
    assert_eq!(service.call("HEAD /v2/topics/t", "").await.status, 204);

    let listed = service.call("GET /v2/topics?detailed=true", "").await.json();
    let mut metadata = defaults;
    metadata["a"] = json!(2);
    assert_eq!(
        listed,
        json!({
            "topics": [{"name": "t", "href": "/v2/topics/t", "metadata": metadata}],
            "links": [{"rel": "next", "href": "/v2/topics?detailed=true&marker=t"}],
        })
    );
    assert_eq!(service.call("DELETE /v2/topics/t", "").await.status, 204);
    assert_eq!(service.call("HEAD /v2/topics/t", "").await.status, 404);
    assert_eq!(service.call("GET /v2/topics/t", "").await.json()["_default_message_ttl"], 3600);
}

#[tokio::test]
async fn a_topics_messages_are_posted_listed_read_and_removed() {
    let service = Service::new();
    let body = r#"{"messages": [{"body": 1, "ttl": 60}, {"body": 2}, {"body": 3}]}"#;
    let posted = service.call("POST /v2/topics/t/messages", body).await;
    let ids = posted.ids();
    assert_eq!(posted.status, 201);
    assert_eq!(posted.header("location"), format!("/v2/topics/t/messages?ids={}", ids.join(",")));
    assert_eq!(posted.json()["resources"][0], format!("/v2/topics/t/messages/{}", ids[0]));

    let page = service.call("GET /v2/topics/t/messages?echo=true&limit=2", "").await;
    assert_eq!(page.message_ids(), ids[..2]);
    let next = page.next().unwrap();
    assert!(next.starts_with("/v2/topics/t/messages?limit=2&echo=true&marker="), "{next}");
    assert_eq!(service.call(&format!("GET {next}"), "").await.message_ids(), ids[2..]);

    let one = service.call(&format!("GET /v2/topics/t/messages/{}", ids[0]), "").await;
    let href = format!("/v2/topics/t/messages/{}", ids[0]);
    let expected = json!({"id": ids[0], "href": href, "ttl": 60, "age": 0, "body": 1});
    assert_eq!(one.json(), expected);

    let line = format!("DELETE /v2/topics/t/messages/{}", ids[0]);
    assert_eq!(service.call(&line, "").await.status, 204);
    let popped = service.call("DELETE /v2/topics/t/messages?pop=1", "").await;
    assert_eq!(popped.message_ids(), ids[1..2]);
    let line = format!("DELETE /v2/topics/t/messages?ids={}", ids[2]);
    assert_eq!(service.call(&line, "").await.status, 204);
    let left = service.call("GET /v2/topics/t/messages?echo=true", "").await;
    assert!(left.message_ids().is_empty());
}

#[tokio::test]
async fn a_topics_statistics_count_without_claims() {
    let service = Service::new();
    let missing = service.call("GET /v2/topics/t/stats", "").await.json();
    assert_eq!(missing, json!({"messages": {"claimed": 0, "free": 0, "total": 0}}));
    service.call("PUT /v2/topics/t", "").await;
    let empty = service.call("GET /v2/topics/t/stats", "").await.json();
    assert_eq!(empty, json!({"messages": {"total": 0}}));
    let body = r#"{"messages": [{"body": 1}, {"body": 2}]}"#;
    let ids = service.call("POST /v2/topics/t/messages", body).await.ids();
    service.advance_s(2);
    let stats = service.call("GET /v2/topics/t/stats", "").await.json();
    let edge = |id: &str| {
        let href = format!("/v2/topics/t/messages/{id}");
        json!({"age": 2, "created": "2033-05-18T03:33:20Z", "href": href})
    };
    let expected =
        json!({"messages": {"total": 2, "oldest": edge(&ids[0]), "newest": edge(&ids[1])}});
    assert_eq!(stats, expected);
}

#[tokio::test]
async fn a_topic_and_the_queue_of_its_name_share_nothing() {
    let service = Service::new();
    let of_queue = service.post("x", &["1"]).await;
    assert!(
        service.call("GET /v2/topics", "").await.json()["topics"].as_array().unwrap().is_empty()
    );
    let posted = service.call("POST /v2/topics/x/messages", r#"{"messages": [{"body": 2}]}"#).await;
    let of_topic = posted.ids();
    let list = async |path: &str| {
        let line = format!("GET {path}/messages?echo=true&include_claimed=true");
        service.call(&line, "").await.message_ids()
    };
    assert_eq!(
        (list("/v2/queues/x").await, list("/v2/topics/x").await),
        (of_queue.clone(), of_topic.clone())
    );
    for (path, id) in [("/v2/queues/x", &of_topic[0]), ("/v2/topics/x", &of_queue[0])] {
        assert_eq!(service.call(&format!("GET {path}/messages/{id}"), "").await.status, 404);
        service.call(&format!("DELETE {path}/messages/{id}"), "").await;
    }
    let subscriber = r#"{"subscriber": "http://a.example"}"#;
    let mut ids = Vec::new();
    for path in ["/v2/queues/x", "/v2/topics/x"] {
        let reply = service.call(&format!("POST {path}/subscriptions"), subscriber).await;
        assert_eq!(reply.header("location"), format!("{path}/subscriptions"));
        ids.push(reply.json()["subscription_id"].as_str().unwrap().to_owned());
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(service.call("POST /v2/topics/x/purge", "").await.status, 204);
    assert_eq!(
        (list("/v2/queues/x").await, list("/v2/topics/x").await),
        (of_queue.clone(), vec![])
    );
    assert_eq!(service.call("DELETE /v2/topics/x", "").await.status, 204);
    assert_eq!(list("/v2/queues/x").await, of_queue);
    let line = format!("GET /v2/queues/x/subscriptions/{}", ids[0]);
    assert_eq!(service.call(&line, "").await.status, 200);
    assert_eq!(service.call("GET /v2/queues?with_count=1", "").await.json()["count"], 1);
}

#[tokio::test]
async fn a_topics_subscriptions_make_it_and_are_listed_with_its_hrefs() {
    let service = Service::new();
    let body = r#"{"subscriber": "http://a.example"}"#;
    let reply = service.call("POST /v2/topics/t/subscriptions", body).await;
    let id = reply.json()["subscription_id"].as_str().unwrap().to_owned();
    assert_eq!(service.call("HEAD /v2/topics/t", "").await.status, 204);
    assert_eq!(service.call("HEAD /v2/queues/t", "").await.status, 404);
    let listed = service.call("GET /v2/topics/t/subscriptions", "").await;
    assert_eq!(listed.json()["subscriptions"][0]["source"], "t");
    let next = format!("/v2/topics/t/subscriptions?marker={id}");
    assert_eq!(listed.next(), Some(next));
    let path = format!("/v2/topics/t/subscriptions/{id}");
    let changed = service.call(&format!("PATCH {path}"), r#"{"ttl": 100}"#).await;
    assert_eq!((changed.status, changed.header("location")), (204, path.as_str()));
    let confirm = format!("{path}/confirm");
    let confirmed = service.call(&format!("PUT {confirm}"), r#"{"confirmed": true}"#).await;
    assert_eq!((confirmed.status, confirmed.header("location")), (204, confirm.as_str()));
    let shown = service.call(&format!("GET {path}"), "").await.json();
    assert_eq!((&shown["ttl"], &shown["confirmed"]), (&json!(100), &json!(true)));
    assert_eq!(service.call(&format!("DELETE {path}"), "").await.status, 204);
    assert_eq!(service.call(&format!("GET {path}"), "").await.status, 404);
}

#[tokio::test]
async fn topics_are_listed_by_name_filtered_and_not_counted() {
    let service = Service::new();
    for (name, metadata) in [("b", r#"{"with_count": 1}"#), ("a", ""), ("B", r#"{"k": "v"}"#)] {
        assert_eq!(service.call(&format!("PUT /v2/topics/{name}"), metadata).await.status, 201);
    }
    let names = async |query: &str| {
        let reply = service.call(&format!("GET /v2/topics{query}"), "").await;
        assert_eq!(reply.status, 200, "{query}");
        assert!(reply.json().get("count").is_none());
        let topics = reply.json()["topics"].as_array().unwrap().clone();
        topics.iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["B", "a", "b"]);
    assert_eq!(names("?marker=B&limit=1").await, ["a"]);
    assert_eq!(names("?k=v").await, ["B"]);
    assert_eq!(names("?name=b").await, ["b"]);
    // No parameter of this listing, so a filter like any other.
    assert_eq!(names("?with_count=1").await, ["b"]);
}

#[tokio::test]
async fn errors_speak_of_topics() {
    let service = Service::new();
    let identification = "The format of the submitted topic name or project id is not valid.";
    let id = "000000000100000000000001";
    let message = format!("Message {id} does not exist in topic t for project 480924");
    let none = format!("No messages with IDs: ['{id}'] found in the topic t for project 480924.");
    let (one, some) =
        (format!("GET /v2/topics/t/messages/{id}"), format!("GET /v2/topics/t/messages?ids={id}"));
    service
        .refuses(&[
            ("GET /v2/topics/", "", 400, "Invalid topic identification", identification),
            ("PUT /v2/topics/a@b", "", 400, "Invalid topic identification", identification),
            ("POST /v2/topics/a@b/messages", "", 400, "Invalid topic identification", identification),
            (&one, "", 404, "Not found", &message),
            (&some, "", 404, "Not found", &none),
            ("POST /v2/topics/t/claims", "", 404, "404 Not Found", ""),
            ("POST /v2/topics/t/share", "{}", 404, "404 Not Found", ""),
            (
                "PUT /v2/topics/t",
                r#"{"_default_message_ttl": 1}"#,
                400,
                "Invalid API request",
                "_default_message_ttl can not exceed 1209600 seconds, and must be at least 60 seconds \
                 long.",
            ),
        ])
        .await;
    let patch = r#"[{"op": "add", "path": "/metadata/a", "value": 1}]"#;
    let missing = service.call_with("PATCH /v2/topics/t", &MEDIA, patch).await;
    let text = "Topic t does not exist for project 480924";
    assert_eq!(missing.error(), (404, "Not found".into(), text.into()));
    let long = "x".repeat(257);
    let reply = service.call_with("GET /v2/topics/t", &[("x-project-id", &long)], "").await;
    assert_eq!(reply.error().1, "Invalid topic identification");

    service.data.close().await;
    service.control.close().await;
    for (line, stem) in [
        ("GET /v2/topics", "Topics could not be listed."),
        ("PUT /v2/topics/t", "Topic could not be created."),
        ("GET /v2/topics/t", "Topic metadata could not be retrieved."),
        ("DELETE /v2/topics/t", "Topic could not be deleted."),
        ("GET /v2/topics/t/stats", "Topic stats could not be read."),
        ("POST /v2/topics/t/purge", "Topic could not be purged."),
    ] {
        let text = format!("{stem} Please try again in a few seconds.");
        assert_eq!(service.call(line, "").await.error().2, text, "{line}");
    }
    let reply = service.call_with("PATCH /v2/topics/t", &MEDIA, patch).await;
    let text = "Topic could not be updated. Please try again in a few seconds.";
    assert_eq!(reply.error().2, text);
}
