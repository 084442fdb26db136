//! Asking subscribers to confirm, and what they answer.

use zaqar_engine::EngineConfig;
use zaqar_server::rest::{ConfirmationKind, ConfirmationRequest, RestConfig};
use zaqar_server::signed_url::UrlSigner;

use crate::support::{OTHER_CLIENT, PROJECT, Service};

const PATH: &str = "/v2/queues/q/subscriptions";

/// A service that demands confirmation.
fn strict() -> Service {
    let mut rest = RestConfig::default();
    rest.url_signer = UrlSigner::new(["secret"]);
    let mut engine = EngineConfig::default();
    engine.subscribers.require_confirmation = true;
    Service::with(rest, engine)
}

async fn subscribe(service: &Service, path: &str, subscriber: &str, ttl: u64) -> String {
    let body = format!(r#"{{"subscriber": "{subscriber}", "ttl": {ttl}}}"#);
    let reply = service.call(&format!("POST {path}"), body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.json()["subscription_id"].as_str().unwrap().to_owned()
}

/// The one message that a subscriber was sent.
fn only(service: &Service) -> ConfirmationRequest {
    let mut asked = service.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked.remove(0)
}

/// Answers with nothing but what the message gave leave to do.
async fn answer(service: &Service, request: &ConfirmationRequest, body: &str) -> u16 {
    let grant = &request.grant;
    let (methods, paths) = (grant.methods().join(","), grant.paths().join(","));
    let expires = grant.expiry().to_string();
    let headers = [
        ("client-id", OTHER_CLIENT),
        ("url-signature", request.signature.as_str()),
        ("url-methods", methods.as_str()),
        ("url-paths", paths.as_str()),
        ("url-expires", expires.as_str()),
        ("x-project-id", grant.project()),
    ];
    service.call_with(&format!("{methods} {paths}"), &headers, body).await.status
}

async fn confirmed(service: &Service, path: &str) -> bool {
    service.call(&format!("GET {path}"), "").await.json()["confirmed"].as_bool().unwrap()
}

#[tokio::test]
async fn a_new_subscriber_is_asked_and_answers_with_the_signature_alone() {
    let service = strict();
    for collection in [PATH, "/v2/topics/q/subscriptions"] {
        let id = subscribe(&service, collection, "http://a.example", 100).await;
        let path = format!("{collection}/{id}");
        let asked = only(&service);
        assert_eq!(asked.kind, ConfirmationKind::Subscribe);
        assert_eq!(asked.subscription.id.to_string(), id);
        assert_eq!(asked.subscription.subscriber, "http://a.example");
        assert_eq!(asked.queue.name.as_str(), "q");
        assert_eq!(asked.grant.project(), PROJECT);
        assert_eq!(asked.grant.methods(), ["PUT"]);
        assert_eq!(asked.grant.paths(), [format!("{path}/confirm")]);
        assert_eq!(asked.grant.expiry().to_string(), "2033-05-18T03:35:00");
        assert_eq!(answer(&service, &asked, r#"{"confirmed": true}"#).await, 204);
        assert!(confirmed(&service, &path).await);
    }
}

#[tokio::test]
async fn who_subscribes_again_is_asked_again_until_it_has_confirmed() {
    let service = strict();
    let id = subscribe(&service, PATH, "http://a.example", 100).await;
    only(&service);
    service.advance_s(50);
    assert_eq!(subscribe(&service, PATH, "http://a.example", 200).await, id);
    let asked = only(&service);
    assert_eq!(asked.subscription.ttl.as_secs(), 100);
    assert_eq!(asked.grant.expiry().to_string(), "2033-05-18T03:37:30");
    assert_eq!(answer(&service, &asked, r#"{"confirmed": true}"#).await, 204);
    let again = r#"{"subscriber": "http://a.example"}"#;
    assert_eq!(service.call(&format!("POST {PATH}"), again).await.status, 409);
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn another_address_is_asked_and_the_old_one_is_not() {
    let service = strict();
    let id = subscribe(&service, PATH, "http://a.example", 100).await;
    let path = format!("{PATH}/{id}");
    let asked = only(&service);
    answer(&service, &asked, r#"{"confirmed": true}"#).await;
    let patch = format!("PATCH {path}");
    for unchanged in [r#"{"ttl": 300}"#, r#"{"subscriber": "http://a.example"}"#] {
        assert_eq!(service.call(&patch, unchanged).await.status, 204);
        assert!(service.asked().is_empty(), "{unchanged}");
    }
    assert_eq!(service.call(&patch, r#"{"subscriber": "http://b.example"}"#).await.status, 204);
    assert!(!confirmed(&service, &path).await);
    let asked = only(&service);
    assert_eq!(asked.subscription.subscriber, "http://b.example");
    assert_eq!(asked.grant.expiry().to_string(), "2033-05-18T03:38:20");
}

#[tokio::test]
async fn who_leaves_is_told_how_to_come_back() {
    let service = strict();
    let id = subscribe(&service, PATH, "http://a.example", 100).await;
    let path = format!("{PATH}/{id}");
    let asked = only(&service);
    answer(&service, &asked, r#"{"confirmed": true}"#).await;
    assert!(service.asked().is_empty());
    assert_eq!(answer(&service, &asked, r#"{"confirmed": false}"#).await, 204);
    assert!(!confirmed(&service, &path).await);
    let told = only(&service);
    assert_eq!(told.kind, ConfirmationKind::Unsubscribe);
    assert_eq!(told.grant.paths(), [format!("{path}/confirm")]);
    // For the default life of a subscription, which is not that of this one.
    assert_eq!(told.grant.expiry().to_string(), "2033-05-18T04:33:20");
    assert_eq!(answer(&service, &told, r#"{"confirmed": true}"#).await, 204);
    assert!(confirmed(&service, &path).await);
}

#[tokio::test]
async fn the_leave_to_answer_is_for_one_subscription_and_one_span() {
    let service = strict();
    let id = subscribe(&service, PATH, "http://a.example", 100).await;
    let asked = only(&service);
    let other = subscribe(&service, PATH, "http://b.example", 100).await;
    let expires = asked.grant.expiry().to_string();
    let signed = format!("{PATH}/{id}/confirm");
    let headers = [
        ("url-signature", asked.signature.as_str()),
        ("url-methods", "PUT"),
        ("url-paths", signed.as_str()),
        ("url-expires", expires.as_str()),
    ];
    for line in [
        format!("PUT {PATH}/{other}/confirm"),
        format!("PUT /v2/queues/r/subscriptions/{id}/confirm"),
        format!("PUT /v2/topics/q/subscriptions/{id}/confirm"),
        format!("GET {PATH}/{id}"),
        format!("DELETE {PATH}/{id}"),
    ] {
        let reply = service.call_with(&line, &headers, r#"{"confirmed": true}"#).await;
        assert_eq!(reply.error().1, "404 Not Found", "{line}");
    }
    service.advance_s(100);
    assert_eq!(answer(&service, &asked, r#"{"confirmed": true}"#).await, 404);
}

#[tokio::test]
async fn without_a_signature_the_project_itself_may_confirm_and_no_other() {
    let service = strict();
    for collection in [PATH, "/v2/topics/q/subscriptions"] {
        let id = subscribe(&service, collection, "http://a.example", 100).await;
        let path = format!("{collection}/{id}");
        let line = format!("PUT {path}/confirm");
        let yes = r#"{"confirmed": true}"#;
        let stranger = service.call_with(&line, &[("x-project-id", "other")], yes).await;
        assert_eq!(stranger.error().2, format!("Subscription {id} does not exist"));
        assert_eq!(stranger.status, 404);
        // A signature that is there and empty is a wrong one, not none.
        let empty = service.call_with(&line, &[("url-signature", "")], yes).await;
        assert_eq!(empty.error(), (404, "404 Not Found".to_owned(), String::new()));
        assert!(!confirmed(&service, &path).await);
        let own = service.call(&line, yes).await;
        assert_eq!((own.status, own.header("location")), (204, format!("{path}/confirm").as_str()));
        assert!(confirmed(&service, &path).await);
    }
}

#[tokio::test]
async fn nobody_is_asked_unless_the_operator_demands_it() {
    let service = Service::new();
    let id = subscribe(&service, PATH, "http://a.example", 100).await;
    let path = format!("{PATH}/{id}");
    service.call(&format!("PATCH {path}"), r#"{"subscriber": "http://b.example"}"#).await;
    assert!(service.asked().is_empty());
}
