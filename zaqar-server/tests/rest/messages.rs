//! Reading messages.

use serde_json::json;

use crate::support::{OTHER_CLIENT, Service};

const API: &str = "Invalid API request";
const LIMIT: &str = "Limit must be at least 1 and may not be greater than 20.";

#[tokio::test]
async fn following_the_links_meets_every_message_once_and_ends_on_an_empty_page() {
    let service = Service::new();
    let bodies: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let ids = service.post("q", &bodies).await;
    let mut next = "/v2/queues/q/messages?limit=3&echo=True".to_owned();
    let mut pages = Vec::new();
    loop {
        let reply = service.call(&format!("GET {next}"), "").await;
        let Some(link) = reply.next() else { break };
        pages.push(reply.message_ids());
        next = link;
    }
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 3, 3, 1]);
    assert_eq!(pages.concat(), ids);
}

#[tokio::test]
async fn a_link_repeats_what_was_asked_and_no_more() {
    let service = Service::new();
    let id = service.post("q", &["1"]).await.remove(0);
    let marker = service.call("GET /v2/queues/q/messages?echo=1", "").await.next().unwrap();
    let marker = marker.rsplit('=').next().unwrap().to_owned();
    let path = "/v2/queues/q/messages?";
    for (query, expected) in [
        ("echo=true", "echo=true&"),
        ("include_delayed=false&echo=t&x=y", "echo=true&include_delayed=false&"),
        (
            "limit=5&echo=yes&include_claimed=no&include_delayed=on",
            "limit=5&echo=true&include_claimed=false&include_delayed=true&",
        ),
    ] {
        let reply = service.call(&format!("GET {path}{query}"), "").await;
        assert_eq!(reply.next(), Some(format!("{path}{expected}marker={marker}")), "{query}");
    }
    // Clients page with ids too.
    let behind = service.call(&format!("GET {path}echo=1&marker={id}"), "").await;
    assert!(behind.message_ids().is_empty());
}

#[tokio::test]
async fn a_marker_of_a_deleted_message_is_still_a_place() {
    let service = Service::new();
    let ids = service.post("q", &["1", "2", "3"]).await;
    service.call(&format!("DELETE /v2/queues/q/messages/{}", ids[1]), "").await;
    let line = format!("GET /v2/queues/q/messages?echo=1&marker={}", ids[1]);
    assert_eq!(service.call(&line, "").await.message_ids(), [ids[2].as_str()]);
}

#[tokio::test]
async fn a_marker_that_is_no_place_and_a_missing_queue_list_nothing() {
    let service = Service::new();
    service.post("q", &["1"]).await;
    for line in [
        "GET /v2/queues/q/messages?echo=1&marker=garbage",
        "GET /v2/queues/q/messages?echo=1&marker=-1",
        "GET /v2/queues/missing/messages?echo=1",
    ] {
        let reply = service.call(line, "").await;
        let expected = (200, "{\"messages\": [], \"links\": []}");
        assert_eq!((reply.status, reply.text.as_str()), expected, "{line}");
    }
}

#[tokio::test]
async fn own_and_claimed_messages_are_shown_on_request() {
    let service = Service::new();
    let ids = service.post("q", &["1", "2"]).await;
    let claimed = service.call("POST /v2/queues/q/claims?limit=1", "").await;
    let claim = claimed.header("location").rsplit('/').next().unwrap().to_owned();
    let other = [("client-id", OTHER_CLIENT)];
    for (query, own, others) in [
        ("", 0, 1),
        ("?echo=true", 1, 1),
        ("?echo=true&include_claimed=true", 2, 2),
        ("?include_claimed=true", 0, 2),
    ] {
        let line = format!("GET /v2/queues/q/messages{query}");
        assert_eq!(service.call(&line, "").await.message_ids().len(), own, "{query}");
        let reply = service.call_with(&line, &other, "").await;
        assert_eq!(reply.message_ids().len(), others, "{query}");
    }
    let all = service.call("GET /v2/queues/q/messages?echo=1&include_claimed=1", "").await.json();
    let href = |at: usize| all["messages"][at]["href"].as_str().unwrap().to_owned();
    assert_eq!(href(0), format!("/v2/queues/q/messages/{}?claim_id={claim}", ids[0]));
    assert!(!href(1).contains('='));
    service.call(&format!("DELETE /v2/queues/q/claims/{claim}"), "").await;
    let all = service.call("GET /v2/queues/q/messages?echo=1", "").await;
    assert!(!all.text.contains("claim_id"), "{}", all.text);
}

#[tokio::test]
async fn sizes_and_switches_out_of_range_are_refused() {
    let service = Service::new();
    let switch = "parameter is invalid. The value of the parameter must be \"true\" or \"false\".";
    for limit in ["0", "-1", "21"] {
        let line = format!("GET /v2/queues/q/messages?limit={limit}");
        service.refuses(&[(&line, "", 400, API, LIMIT)]).await;
    }
    for name in ["echo", "include_claimed", "include_delayed"] {
        let line = format!("GET /v2/queues/q/messages?{name}=maybe");
        let description = format!("The \"{name}\" {switch}");
        service.refuses(&[(&line, "", 400, "Invalid parameter", &description)]).await;
    }
}

#[tokio::test]
async fn messages_are_had_by_their_ids_in_either_spelling() {
    let service = Service::new();
    let ids = service.post("q", &["1", "2", "3"]).await;
    service.call("POST /v2/queues/q/claims?limit=1", "").await;
    let (a, b) = (&ids[2], &ids[0]);
    for query in [
        format!("ids={a},{b}"),
        format!("ids={a}&ids={b}"),
        format!("ids={a}%2C{b}"),
        format!("ids={a},,nonsense,{b}&ids={a}&limit=nonsense"),
    ] {
        let reply = service.call(&format!("GET /v2/queues/q/messages?{query}"), "").await;
        assert_eq!(
            (reply.status, reply.message_ids()),
            (200, vec![a.clone(), b.clone()]),
            "{query}"
        );
        assert_eq!(reply.json().get("links"), None);
    }
}

#[tokio::test]
async fn ids_of_which_none_is_there_are_not_found() {
    let service = Service::new();
    let id = service.post("q", &["1"]).await.remove(0);
    for (line, list, queue) in [
        ("GET /v2/queues/q/messages?ids=a,b'c", "['a', 'b\\'c']".to_owned(), "q"),
        (&format!("GET /v2/queues/missing/messages?ids={id}"), format!("['{id}']"), "missing"),
        (&format!("GET /v2/queues/other/messages?ids={id}"), format!("['{id}']"), "other"),
    ] {
        if queue == "other" {
            service.call("PUT /v2/queues/other", "").await;
        }
        let text =
            format!("No messages with IDs: {list} found in the queue {queue} for project 480924.");
        service.refuses(&[(line, "", 404, "Not found", &text)]).await;
    }
    let many = vec!["x"; 21].join(",");
    let line = format!("GET /v2/queues/q/messages?ids={many}");
    service.refuses(&[(&line, "", 400, API, LIMIT)]).await;
    let blank = service.call("GET /v2/queues/q/messages?ids=&echo=true", "").await;
    assert_eq!(blank.message_ids(), [id]);
}

#[tokio::test]
async fn one_message_is_had_whatever_its_state() {
    let service = Service::new();
    let id = service.post("q", &[r#"{"x": 1}"#]).await.remove(0);
    service.advance_s(7);
    let claimed = service.call("POST /v2/queues/q/claims", r#"{"ttl": 100, "grace": 60}"#).await;
    let href = claimed.json()["messages"][0]["href"].as_str().unwrap().to_owned();
    let reply = service.call(&format!("GET {href}"), "").await;
    let expected = json!({"id": id, "href": href, "ttl": 300, "age": 7, "body": {"x": 1}});
    assert_eq!((reply.status, reply.json()), (200, expected));

    for (queue, id) in [("q", "nonsense"), ("q", "000000000100000000000063"), ("missing", &*id)] {
        let text = format!("Message {id} does not exist in queue {queue} for project 480924");
        let line = format!("GET /v2/queues/{queue}/messages/{id}");
        service.refuses(&[(&line, "", 404, "Not found", &text)]).await;
    }
}
