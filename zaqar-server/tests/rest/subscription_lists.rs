//! Listing subscriptions.

use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;

use crate::support::{Reply, Service};

const PATH: &str = "/v2/queues/q/subscriptions";

fn ids(reply: &Reply) -> Vec<String> {
    let items = reply.json()["subscriptions"].as_array().unwrap().clone();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

async fn with_subscriptions(service: &Service, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for number in 0..count {
        let body = format!(r#"{{"subscriber": "http://{number}.example"}}"#);
        let reply = service.call(&format!("POST {PATH}"), body).await;
        made.push(reply.json()["subscription_id"].as_str().unwrap().to_owned());
    }
    made.sort_unstable();
    made
}

#[tokio::test]
async fn a_queue_without_subscriptions_lists_none() {
    let service = Service::new();
    for _ in 0..2 {
        let reply = service.call(&format!("GET {PATH}"), "").await;
        assert_eq!(
            (reply.status, reply.text.as_str()),
            (200, "{\"subscriptions\": [], \"links\": []}")
        );
        service.call("PUT /v2/queues/q", "").await;
    }
}

#[tokio::test]
async fn following_the_links_meets_every_subscription_once_and_ends_on_an_empty_page() {
    let service = Service::new();
    let made = with_subscriptions(&service, 10).await;
    let mut next = format!("{PATH}?detailed=False&limit=3");
    let mut pages = Vec::new();
    loop {
        let reply = service.call(&format!("GET {next}"), "").await;
        assert_eq!(reply.status, 200);
        let Some(link) = reply.next() else { break };
        pages.push(ids(&reply));
        next = link;
    }
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 3, 3, 1]);
    assert_eq!(pages.concat(), made);
    assert_eq!(next, format!("{PATH}?limit=3&marker={}", made[9]));
}

#[tokio::test]
async fn an_item_of_a_listing_is_what_reading_it_shows() {
    let service = Service::new();
    let made = with_subscriptions(&service, 1).await;
    let listed = service.call(&format!("GET {PATH}"), "").await.json();
    let read = service.call(&format!("GET {PATH}/{}", made[0]), "").await.json();
    assert_eq!(listed["subscriptions"][0], read);
}

#[tokio::test]
async fn markers_may_be_any_text_and_are_exclusive() {
    let service = Service::new();
    let made = with_subscriptions(&service, 3).await;
    let page =
        async |marker: &str| ids(&service.call(&format!("GET {PATH}?marker={marker}"), "").await);
    assert_eq!(page(&made[0]).await, made[1..]);
    assert!(page(&made[2]).await.is_empty());
    assert!(page("nonsense").await.is_empty());
    assert_eq!(page("").await, made);
    service.call(&format!("DELETE {PATH}/{}", made[1]), "").await;
    assert_eq!(page(&made[1]).await, made[2..]);
}

#[tokio::test]
async fn a_page_holds_ten_unless_another_size_is_asked_for() {
    let service = Service::new();
    with_subscriptions(&service, 21).await;
    for (query, count) in [("", 10), ("?limit=", 10), ("?limit=20", 20), ("?limit=1", 1)] {
        let reply = service.call(&format!("GET {PATH}{query}"), "").await;
        assert_eq!(ids(&reply).len(), count, "{query}");
    }
    let line = format!("GET {PATH}?limit=");
    let range = "Limit must be at least 1 and may not be greater than 20.";
    let number = "The \"limit\" parameter is invalid. The value must be an integer.";
    for (limit, title, text) in [
        ("0", "Invalid API request", range),
        ("-1", "Invalid API request", range),
        ("21", "Invalid API request", range),
        ("x", "Invalid parameter", number),
    ] {
        let reply = service.call(&format!("{line}{limit}"), "").await;
        assert_eq!(reply.error(), (400, title.into(), text.into()), "{limit}");
    }
}

#[tokio::test]
async fn an_operator_sets_the_largest_page() {
    let mut engine = EngineConfig::default();
    engine.limits.subscriptions_per_page_max = 2;
    let service = Service::with(RestConfig::default(), engine);
    with_subscriptions(&service, 3).await;
    let reply = service.call(&format!("GET {PATH}?limit=2"), "").await;
    assert_eq!(ids(&reply).len(), 2);
    let reply = service.call(&format!("GET {PATH}?limit=3"), "").await;
    let text = "Limit must be at least 1 and may not be greater than 2.";
    assert_eq!(reply.error(), (400, "Invalid API request".into(), text.into()));
}
