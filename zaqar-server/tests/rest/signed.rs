//! Using signatures instead of tokens.

use serde_json::Value;
use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;
use zaqar_server::signed_url::UrlSigner;

use crate::support::{Reply, Service};

fn service_with(secrets: &[&str]) -> Service {
    let mut rest = RestConfig::default();
    rest.url_signer = UrlSigner::new(secrets);
    rest.admin_mode = true;
    Service::with(rest, EngineConfig::default())
}

fn service() -> Service {
    service_with(&["secret"])
}

/// The headers of a signed request.
#[derive(Clone)]
struct Signed(Vec<(String, String)>);

impl Signed {
    /// What the service gives for a share of the queue `q`.
    async fn of(service: &Service, body: &str) -> Self {
        let shared = service.call("POST /v2/queues/q/share", body).await;
        assert_eq!(shared.status, 200, "{}", shared.text);
        let shared = shared.json();
        let text = |member: &str| shared[member].as_str().unwrap().to_owned();
        let list = |member: &str| {
            let items = shared[member].as_array().unwrap();
            items.iter().map(|item| item.as_str().unwrap()).rev().collect::<Vec<_>>().join(",")
        };
        let headers = [
            ("url-signature", text("signature")),
            ("url-expires", text("expires")),
            ("url-methods", list("methods")),
            ("url-paths", list("paths")),
        ];
        Self(headers.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    /// The same with one header set to another value; `-` leaves it out.
    fn but(&self, name: &str, value: &str) -> Self {
        let mut headers = self.0.clone();
        headers.retain(|(known, _)| known != name);
        headers.push((name.to_owned(), value.to_owned()));
        Self(headers)
    }

    async fn call(&self, service: &Service, line: &str, body: &str) -> Reply {
        let headers: Vec<_> = self.0.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        service.call_with(line, &headers, body).await
    }

    /// Checks that there is no such route for this request.
    async fn is_lost(&self, service: &Service, line: &str) {
        let reply = self.call(service, line, "").await;
        let expected = (404, "404 Not Found".to_owned(), String::new());
        assert_eq!(reply.error(), expected, "{line} {:?}", self.0);
    }
}

const MESSAGES: &str = "/v2/queues/q/messages";

#[tokio::test]
async fn a_signature_opens_its_paths_and_what_is_below_to_its_methods() {
    let service = service();
    let id = service.post("q", &["1"]).await.remove(0);
    let body = r#"{"paths": ["messages", "claims"], "methods": ["GET", "POST"]}"#;
    let signed = Signed::of(&service, body).await;
    let post = r#"{"messages": [{"body": 2}]}"#;
    for (line, body, status) in [
        (format!("GET {MESSAGES}?echo=true&limit=5"), "", 200),
        (format!("GET {MESSAGES}?ids={id}"), "", 200),
        (format!("GET {MESSAGES}/{id}"), "", 200),
        (format!("POST {MESSAGES}"), post, 201),
        ("POST /v2/queues/q/claims".into(), "", 201),
        ("GET /v2/queues/q/claims/0123456789abcdef0123456789abcdef".into(), "", 404),
    ] {
        let reply = signed.call(&service, &line, body).await;
        assert_eq!(reply.status, status, "{line}: {}", reply.text);
        assert_ne!(reply.error().1, "404 Not Found", "{line}");
    }
    for line in [
        format!("DELETE {MESSAGES}/{id}"),
        format!("DELETE {MESSAGES}?pop=1"),
        format!("OPTION {MESSAGES}"),
        format!("get {MESSAGES}"),
        "GET /v2/queues/q".into(),
        "GET /v2/queues/q/stats".into(),
        "GET /v2/queues/q/subscriptions".into(),
        "POST /v2/queues/q/share".into(),
        "POST /v2/queues/q/purge".into(),
        "GET /v2/queues/qq/messages".into(),
        "GET /v2/queues/other/messages".into(),
        "GET /v2/topics/q/messages".into(),
        "GET /v2/queues".into(),
        "GET /v2/health".into(),
        "GET /v2/".into(),
        "GET /".into(),
    ] {
        signed.is_lost(&service, &line).await;
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_signature_there_is_no_such_route() {
    let service = service();
    service.post("q", &["1"]).await;
    let good = Signed::of(&service, "{}").await;
    let line = format!("GET {MESSAGES}");
    assert_eq!(good.call(&service, &line, "").await.status, 200);
    let signature = good.0[0].1.clone();
    for (name, value) in [
        ("url-signature", ""),
        ("url-signature", "nonsense"),
        ("url-signature", &signature[1..]),
        ("url-signature", &format!("{signature}00")),
        ("url-signature", &signature.replace(['1', '2', '3'], "4")),
        ("url-expires", "-"),
        ("url-expires", ""),
        ("url-expires", "garbage"),
        ("url-expires", "2033-05-19T03:33:21"),
        ("url-expires", "2100-01-01T00:00:00"),
        ("url-methods", "-"),
        ("url-methods", ""),
        ("url-methods", "GET,POST"),
        ("url-methods", "POST"),
        ("url-paths", "-"),
        ("url-paths", ""),
        ("url-paths", "/v2"),
        ("url-paths", "/v2/queues/q/messages,"),
        ("url-paths", "/v2/queues/./messages"),
        ("x-project-id", "-"),
        ("x-project-id", ""),
        ("x-project-id", "other"),
    ] {
        good.but(name, value).is_lost(&service, &line).await;
    }
    // It is looked at before anything else about the request.
    good.but("url-signature", "").but("client-id", "-").is_lost(&service, &line).await;
    good.but("url-signature", "").but("accept", "text/html").is_lost(&service, &line).await;
    // A header that comes twice is one too many.
    let mut twice = good.0.clone();
    twice.push(("url-methods".into(), "POST".into()));
    Signed(twice).is_lost(&service, &line).await;
}

#[tokio::test]
async fn a_moment_may_be_spelled_in_another_way() {
    let service = service();
    let good = Signed::of(&service, r#"{"expires": "2040-01-02T03:04:05"}"#).await;
    let line = format!("GET {MESSAGES}");
    for same in ["2040-01-02T03:04:05Z", "2040-01-02T05:04:05.5+02:00", "2040-01-02 03:04:05"] {
        assert_eq!(good.but("url-expires", same).call(&service, &line, "").await.status, 200);
    }
}

#[tokio::test]
async fn a_signature_ends_at_its_moment() {
    let service = service();
    let signed = Signed::of(&service, r#"{"expires": "2033-05-18T03:33:30Z"}"#).await;
    let line = format!("GET {MESSAGES}");
    service.advance_s(9);
    assert_eq!(signed.call(&service, &line, "").await.status, 200);
    service.advance_s(1);
    signed.is_lost(&service, &line).await;
}

#[tokio::test]
async fn a_signed_request_still_names_its_client() {
    let service = service();
    let signed = Signed::of(&service, "{}").await;
    let line = format!("GET {MESSAGES}");
    let missing = signed.but("client-id", "-").call(&service, &line, "").await;
    assert_eq!(missing.error().1, "Missing header value");
    let malformed = signed.but("client-id", "x").call(&service, &line, "").await;
    assert_eq!(malformed.error().1, "Wrong UUID value");
}

#[tokio::test]
async fn who_else_the_headers_name_does_not_matter_to_a_signed_request() {
    let service = service();
    service.post("q", &["1"]).await;
    let signed = Signed::of(&service, "{}").await;
    let line = format!("GET {MESSAGES}?echo=1");
    let posing = signed
        .but("x-tenant-id", "other")
        .but("x-tenant", "other")
        .but("x-roles", "admin")
        .but("x-user-id", "root");
    assert_eq!(posing.call(&service, &line, "").await.message_ids().len(), 1);
    // The project is the signed one alone, wherever else one may stand.
    let elsewhere = signed.but("x-project-id", "-").but("x-tenant-id", crate::support::PROJECT);
    elsewhere.is_lost(&service, &line).await;
}

#[tokio::test]
async fn a_name_with_a_dot_is_that_name_only_and_spelled_as_it_likes() {
    let service = service();
    let shared = service.call("POST /v2/queues/a.b/share", "{}").await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let signed = Signed(vec![
        ("url-signature".into(), text(&shared["signature"])),
        ("url-expires".into(), text(&shared["expires"])),
        ("url-methods".into(), "GET".into()),
        ("url-paths".into(), text(&shared["paths"][0])),
    ]);
    for line in ["GET /v2/queues/a.b/messages", "GET /v2/queues/%61.b/messages"] {
        assert_eq!(signed.call(&service, line, "").await.status, 200, "{line}");
    }
    for line in [
        "GET /v2/queues/axb/messages",
        "GET /v2/queues/a.b/messages%2F..%2F..%2Fother%2Fmessages",
        "GET /v2/queues/a%252Eb/messages",
    ] {
        signed.is_lost(&service, line).await;
    }
}

#[tokio::test]
async fn a_retired_secret_is_recognised_as_long_as_it_is_listed() {
    let old = service_with(&["old"]);
    let signed = Signed::of(&old, r#"{"expires": "2040-01-01"}"#).await;
    let line = format!("GET {MESSAGES}");
    let both = service_with(&["new", "old"]);
    assert_eq!(signed.call(&both, &line, "").await.status, 200);
    signed.is_lost(&service_with(&["new"]), &line).await;
    signed.is_lost(&Service::new(), &line).await;
    let renewed = Signed::of(&both, r#"{"expires": "2040-01-01"}"#).await;
    assert_eq!(renewed.call(&service_with(&["new"]), &line, "").await.status, 200);
}

#[tokio::test]
async fn headers_that_only_look_like_a_way_in_are_none() {
    let service = service();
    let reply = service.call_with("GET /v2/health", &[("extra-spec", "x:y")], "").await;
    assert_eq!(reply.status, 403);
}
