//! Envelopes: what is no request, and what every answer looks like.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{CLIENT, Client, Format, PROJECT};
use crate::world::{World, everywhere};

#[tokio::test]
async fn an_answer_echoes_its_request_whole() {
    everywhere(async |_, client| {
        let headers = json!({"Client-ID": CLIENT, "X-Project-ID": PROJECT, "my-id": "17"});
        let body = json!({"queue_name": "q", "metadata": {"a": 1}});
        client.send("queue_create", body.clone(), headers.clone()).await;
        let reply = client.reply().await;
        let echo = json!({"action": "queue_create", "body": body, "headers": headers, "api": "v2"});
        assert_eq!(reply.request, echo);
        assert_eq!((reply.status, reply.body), (201, json!("Queue q created.")));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_decoded_is_refused_in_its_own_encoding() {
    let world = World::new().await;
    let mut client = world.client().await;
    for text in ["", "nonsense", "{", "{\"a\": NaN}", "{\"a\": 9223372036854775808}"] {
        client.send_message(Message::text(text)).await;
        let reply = client.reply().await;
        let (status, error) = reply.error();
        assert_eq!(status, 400, "{text}");
        assert!(error.starts_with("Can't decode text (JSON) request. ValueError: "), "{error}");
        assert_eq!(reply.request["headers"], json!({}));
    }
    client.format = Format::MessagePack;
    // Cut short, a byte string, an extension, not a number, a number for a key.
    let bad: [&[u8]; 5] = [
        &[0x92, 0x01],
        &[0x81, 0xa1, b'a', 0xc4, 0x01, 0x00],
        &[0x81, 0xa1, b'a', 0xd4, 0x01, 0x00],
        &[0x81, 0xa1, b'a', 0xca, 0x7f, 0xc0, 0x00, 0x00],
        &[0x81, 0x01, 0x01],
    ];
    for packed in bad {
        client.send_message(Message::binary(Bytes::from_static(packed))).await;
        let reply = client.reply().await;
        let (status, error) = reply.error();
        assert_eq!(status, 400, "{packed:?}");
        let start = "Can't decode binary (MessagePack) request. ValueError: ";
        assert!(error.starts_with(start), "{error}");
    }
}

#[tokio::test]
async fn nesting_is_bounded_in_both_encodings() {
    everywhere(async |_, client| {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let headers = json!({"Client-ID": CLIENT, "X-Project-ID": PROJECT});
        let request =
            |depth| json!({"action": "queue_list", "headers": headers, "x": nested(depth)});
        client.send_value(&request(63)).await;
        assert_eq!(client.reply().await.status, 200);
        client.send_value(&request(64)).await;
        assert_eq!(client.reply().await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_map_is_refused() {
    everywhere(async |_, client| {
        for value in [json!([]), json!(1), json!("x"), json!(null), json!([{"action": "x"}])] {
            client.send_value(&value).await;
            let reply = client.reply().await;
            let text = "Unexpected body type. Expected dict or dict like.";
            assert_eq!(reply.error(), (400, text), "{value}");
            assert_eq!(reply.request["headers"], json!({}));
        }
    })
    .await;
}

#[tokio::test]
async fn an_action_that_is_none_is_named() {
    everywhere(async |_, client| {
        for (action, name) in [
            (json!("queue_patch"), "queue_patch"),
            (json!("get_home_doc"), "get_home_doc"),
            (json!("pool_create"), "pool_create"),
            (json!(""), ""),
            (json!(null), "None"),
            (json!(7), "7"),
        ] {
            client.send_value(&json!({"action": action, "headers": {}})).await;
            let reply = client.reply().await;
            assert_eq!(reply.error(), (400, format!("{name} is not a valid action").as_str()));
        }
        client.send_value(&json!({})).await;
        assert_eq!(client.reply().await.error(), (400, "None is not a valid action"));
    })
    .await;
}

#[tokio::test]
async fn a_request_that_lacks_something_or_has_it_of_a_wrong_type_is_refused() {
    everywhere(async |_, client| {
        let good = json!({"Client-ID": CLIENT, "X-Project-ID": PROJECT});
        let rows: [(Value, Value); 9] = [
            (json!({"Client-ID": CLIENT}), json!({"queue_name": "q"})),
            (json!({"X-Project-ID": PROJECT}), json!({"queue_name": "q"})),
            (json!({"Client-ID": CLIENT, "X-Project-ID": 5}), json!({"queue_name": "q"})),
            (json!([]), json!({"queue_name": "q"})),
            (good.clone(), json!({})),
            (good.clone(), json!({"queue_name": 5})),
            (good.clone(), json!({"queue_name": "q", "metadata": []})),
            (good.clone(), json!([])),
            (good, json!(null)),
        ];
        for (headers, body) in rows {
            client.send("queue_create", body.clone(), headers.clone()).await;
            let reply = client.reply().await;
            assert_eq!(reply.error(), (400, "Schema validation failed."), "{headers} {body}");
        }
        client.send_value(&json!({"action": "queue_list"})).await;
        assert_eq!(client.reply().await.error(), (400, "Schema validation failed."));
    })
    .await;
}

#[tokio::test]
async fn projects_are_checked() {
    everywhere(async |_, client| {
        for project in ["", &"x".repeat(257)] {
            client.project = project.to_owned();
            let reply = client.call("queue_create", json!({"queue_name": "q"})).await;
            assert_eq!(reply.status, 400, "{}", reply.body);
        }
        client.project = "x".repeat(256);
        client.queue("q").await;
    })
    .await;
}

#[tokio::test]
async fn whoever_authenticates_is_welcome_and_its_token_is_not_sent_back() {
    everywhere(async |_, client| {
        let headers = json!({"X-Project-ID": PROJECT, "X-Auth-Token": "secret"});
        client.send("authenticate", json!({}), headers).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, &reply.body), (200, &json!({"message": "Authentified."})));
        assert!(!reply.request.to_string().contains("secret"));
        client.send("authenticate", json!({}), json!({"X-Project-ID": PROJECT})).await;
        assert_eq!(client.reply().await.error(), (400, "Schema validation failed."));
    })
    .await;
}

#[tokio::test]
async fn requests_are_answered_in_order_and_each_in_its_encoding() {
    let world = World::new().await;
    let mut client = world.client().await;
    let headers = json!({"Client-ID": CLIENT, "X-Project-ID": PROJECT});
    let formats = |n: usize| if n.is_multiple_of(2) { Format::Json } else { Format::MessagePack };
    for n in 0..20 {
        client.format = formats(n);
        let body = json!({"queue_name": format!("q{n}")});
        client.send("queue_create", body, headers.clone()).await;
    }
    for n in 0..20 {
        client.format = formats(n);
        assert_eq!(client.reply().await.expect(201), json!(format!("Queue q{n} created.")));
    }
}

#[tokio::test]
async fn a_text_body_keeps_its_text() {
    let world = World::new().await;
    let mut client = world.client().await;
    let body = r#"{"b" : 1e2,"a":[ 1.50 , "\u00e9" ]}"#;
    let text = format!(
        r#"{{"action": "message_post", "headers": {{"Client-ID": "{CLIENT}", "X-Project-ID":
        "{PROJECT}"}}, "body": {{"queue_name": "q", "messages": [{{"body": {body}}}]}}}}"#
    );
    client.send_message(Message::text(text)).await;
    let id = client.reply().await.expect(201)["message_ids"][0].as_str().unwrap().to_owned();
    let id = id.parse().unwrap();
    let stored = world.engine.message_get(&crate::world::key("q"), id).await.unwrap();
    assert_eq!(stored.body.as_str(), body);
}

#[tokio::test]
async fn both_encodings_show_the_same() {
    let world = World::new().await;
    let mut packed = Client::open(world.address, Format::MessagePack).await;
    let mut text = world.client().await;
    let body = json!({"i": -5, "big": i64::MAX, "f": 0.1, "s": "ü", "n": null, "l": [true, {}]});
    let id = packed.post("q", std::slice::from_ref(&body)).await.remove(0);
    let wanted = json!({"queue_name": "q", "message_id": id});
    let one = packed.call("message_get", wanted.clone()).await.expect(200);
    let other = text.call("message_get", wanted).await.expect(200);
    assert_eq!(one, other);
    assert_eq!(one["messages"]["body"], body);
}
