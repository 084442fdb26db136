//! Listing queues.

use serde_json::json;

use crate::support::{Reply, Service};

fn names(reply: &Reply) -> Vec<String> {
    let queues = reply.json()["queues"].as_array().unwrap().clone();
    queues.iter().map(|queue| queue["name"].as_str().unwrap().to_owned()).collect()
}

async fn with_queues(queues: &[(&str, &str)]) -> Service {
    let service = Service::new();
    for (name, metadata) in queues {
        let reply = service.call(&format!("PUT /v2/queues/{name}"), metadata).await;
        assert_eq!(reply.status, 201, "{name}");
    }
    service
}

#[tokio::test]
async fn an_empty_project_lists_nothing() {
    let reply = Service::new().call("GET /v2/queues?with_count=true", "").await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "{\"queues\": [], \"links\": []}"));
}

#[tokio::test]
async fn queues_are_listed_in_byte_order_to_their_project_alone() {
    let service = with_queues(&[("q1", ""), ("a.b", ""), ("Q3", "")]).await;
    let other = [("x-project-id", "other")];
    service.call_with("PUT /v2/queues/q0", &other, "").await;
    let reply = service.call("GET /v2/queues", "").await;
    assert_eq!(
        reply.json(),
        json!({
            "queues": [
                {"name": "Q3", "href": "/v2/queues/Q3"},
                {"name": "a.b", "href": "/v2/queues/a.b"},
                {"name": "q1", "href": "/v2/queues/q1"},
            ],
            "links": [{"rel": "next", "href": "/v2/queues?marker=q1"}],
        })
    );
}

#[tokio::test]
async fn following_the_links_meets_every_queue_once_and_ends_on_an_empty_page() {
    let service = Service::new();
    for number in 0..10 {
        service.call(&format!("PUT /v2/queues/q{number}"), r#"{"kind": "a,b"}"#).await;
    }
    service.call("PUT /v2/queues/zz", "").await;
    let mut next = "/v2/queues?limit=3&detailed=False&kind=a%2Cb&with_count=1&name=q".to_owned();
    let mut pages = Vec::new();
    loop {
        let reply = service.call(&format!("GET {next}"), "").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["count"], 11);
        let Some(link) = reply.next() else { break };
        pages.push(names(&reply));
        next = link;
    }
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 3, 3, 1]);
    let all: Vec<String> = (0..10).map(|number| format!("q{number}")).collect();
    assert_eq!(pages.concat(), all);
    let expected = "/v2/queues?limit=3&detailed=false&name=q&with_count=true&kind=a%2Cb&marker=q9";
    assert_eq!(next, expected);
}

#[tokio::test]
async fn a_page_holds_ten_unless_another_size_is_asked_for() {
    let service = Service::new();
    for number in 0..21 {
        service.call(&format!("PUT /v2/queues/q{number}"), "").await;
    }
    assert_eq!(names(&service.call("GET /v2/queues", "").await).len(), 10);
    assert_eq!(names(&service.call("GET /v2/queues?limit=20", "").await).len(), 20);
    assert_eq!(names(&service.call("GET /v2/queues?limit=", "").await).len(), 10);
    assert_eq!(names(&service.call("GET /v2/queues?limit=99&limit=1", "").await).len(), 1);
    for limit in ["21", "0", "-1", "200", "99999999999999999999"] {
        let reply = service.call(&format!("GET /v2/queues?limit={limit}"), "").await;
        let text = "Limit must be at least 1 and no greater than 20.";
        assert_eq!(reply.error(), (400, "Invalid API request".into(), text.into()), "{limit}");
    }
}

#[tokio::test]
async fn parameters_of_the_wrong_kind_are_refused() {
    let service = Service::new();
    for (query, description) in [
        ("limit=x", "The \"limit\" parameter is invalid. The value must be an integer."),
        (
            "detailed=None",
            "The \"detailed\" parameter is invalid. The value of the parameter must be \"true\" or \
             \"false\".",
        ),
        (
            "with_count=TRUE",
            "The \"with_count\" parameter is invalid. The value of the parameter must be \"true\" \
             or \"false\".",
        ),
    ] {
        let reply = service.call(&format!("GET /v2/queues?{query}"), "").await;
        assert_eq!(reply.error(), (400, "Invalid parameter".into(), description.into()));
    }
}

#[tokio::test]
async fn markers_need_not_be_names_of_queues() {
    let service = with_queues(&[("a", ""), ("b-1", ""), ("b.1", ""), ("c", "")]).await;
    for (marker, expected) in [
        ("a", &["b-1", "b.1", "c"][..]),
        ("aa", &["b-1", "b.1", "c"]),
        // A comma separates items; the last one is "b".
        ("b%2C", &["b-1", "b.1", "c"]),
        ("b~", &["c"]),
        ("b%20", &["b-1", "b.1", "c"]),
        ("%C3%BC", &[]),
        ("zzz", &[]),
        ("!", &["a", "b-1", "b.1", "c"]),
    ] {
        let reply = service.call(&format!("GET /v2/queues?marker={marker}"), "").await;
        assert_eq!(names(&reply), expected, "{marker}");
    }
}

#[tokio::test]
async fn filters_compare_names_and_stored_metadata() {
    let service = with_queues(&[
        ("fruit-apple", r#"{"node": 31, "zone": "31", "deep": {"er": "x,y"}}"#),
        ("fruit-pear", r#"{"node": 32, "zone": "west"}"#),
        ("stone", r#"{"node": 31}"#),
    ])
    .await;
    for (query, expected) in [
        ("name=fruit", &["fruit-apple", "fruit-pear"][..]),
        ("name=Fruit", &[]),
        ("name=ui.*", &[]),
        ("name=[", &[]),
        ("node=31", &["fruit-apple", "stone"]),
        ("node=31&name=t-a", &["fruit-apple"]),
        ("zone=31", &[]),
        ("zone=west", &["fruit-pear"]),
        ("deep.er=x,y", &["fruit-apple"]),
        ("deep.er=x&deep.er=y", &[]),
        ("_default_message_ttl=3600", &[]),
        ("node=31&zone=west", &[]),
    ] {
        let reply = service.call(&format!("GET /v2/queues?{query}"), "").await;
        assert_eq!(reply.status, 200, "{query}");
        assert_eq!(names(&reply), expected, "{query}");
    }
}

#[tokio::test]
async fn the_count_is_of_the_project_whatever_the_page() {
    let service = with_queues(&[("a", ""), ("b", ""), ("c", "")]).await;
    let reply = service.call("GET /v2/queues?limit=1&with_count=true&name=a", "").await;
    assert_eq!((names(&reply).len(), &reply.json()["count"]), (1, &json!(3)));
    assert_eq!(service.call("GET /v2/queues", "").await.json().get("count"), None);
}
