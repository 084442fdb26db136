//! Browsers of other origins.

use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;

use crate::support::{Reply, Service};

const PAGE: &str = "https://horizon.example";

fn allowing(origin: &str) -> Service {
    let mut rest = RestConfig::default();
    rest.cors.allowed_origin = vec![origin.to_owned()];
    Service::with(rest, EngineConfig::default())
}

fn cors_headers(reply: &Reply) -> Vec<&str> {
    let names = reply.headers.keys().map(|name| name.as_str());
    names.filter(|name| name.starts_with("access-control")).collect()
}

#[tokio::test]
async fn options_always_succeeds_and_names_the_methods_of_a_valid_request() {
    let service = Service::new();
    let known = service.call("OPTIONS /v2/queues/q", "").await;
    assert_eq!((known.status, known.header("allow")), (200, "DELETE, GET, HEAD, PATCH, PUT"));
    for (line, headers) in [
        ("OPTIONS /nowhere", &[][..]),
        ("OPTIONS /v2/queues/q", &[("client-id", "-")]),
        ("OPTIONS /v2/queues/b@d", &[]),
    ] {
        let reply = service.call_with(line, headers, "").await;
        assert_eq!((reply.status, reply.text.as_str()), (200, ""), "{line}");
        assert_eq!(reply.header("allow"), "");
        assert!(reply.header("x-openstack-request-id").starts_with("req-"));
    }
}

#[tokio::test]
async fn nothing_is_added_until_an_origin_is_allowed() {
    let origin = [("origin", PAGE), ("access-control-request-method", "GET")];
    for service in [Service::new(), allowing("https://elsewhere.example")] {
        for line in ["GET /v2/queues", "OPTIONS /v2/queues", "GET /nowhere"] {
            let reply = service.call_with(line, &origin, "").await;
            assert!(cors_headers(&reply).is_empty(), "{line}");
            assert!(!reply.header("vary").contains("Origin"));
        }
    }
}

#[tokio::test]
async fn an_allowed_page_may_read_answers_and_errors() {
    let service = allowing(PAGE);
    for (line, vary) in
        [("GET /v2/queues", "Origin"), ("GET /", "Origin"), ("GET /nowhere", "Accept,Origin")]
    {
        let reply = service.call_with(line, &[("origin", PAGE)], "").await;
        assert_eq!(reply.header("access-control-allow-origin"), PAGE);
        assert_eq!(reply.header("access-control-allow-credentials"), "true");
        assert_eq!(
            reply.header("access-control-expose-headers"),
            "X-Auth-Token,X-Subject-Token,X-Service-Token,X-OpenStack-Request-ID"
        );
        assert_eq!(reply.header("vary"), vary, "{line}");
    }
}

#[tokio::test]
async fn any_page_gets_no_credentials() {
    let reply = allowing("*").call_with("GET /v2/queues", &[("origin", PAGE)], "").await;
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn a_preflight_is_granted_as_a_whole_or_not_at_all() {
    let service = allowing(PAGE);
    let ask = |method, headers| {
        [
            ("origin", PAGE),
            ("access-control-request-method", method),
            ("access-control-request-headers", headers),
        ]
    };
    let granted = ask("PUT", "client-ID, Content-Type,X-Auth-Token,idempotency-key");
    let reply = service.call_with("OPTIONS /v2/queues/q", &granted, "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), PAGE);
    assert_eq!(reply.header("access-control-max-age"), "3600");
    assert_eq!(reply.header("access-control-allow-methods"), "PUT");
    assert_eq!(
        reply.header("access-control-allow-headers"),
        "client-ID, Content-Type,X-Auth-Token,idempotency-key"
    );
    assert_eq!(reply.header("vary"), "Origin");
    for refused in [ask("BREW", "Client-ID"), ask("PUT", "Client-ID,X-Project-Id")] {
        let reply = service.call_with("OPTIONS /v2/queues/q", &refused, "").await;
        assert_eq!(reply.status, 200);
        assert!(cors_headers(&reply).is_empty());
    }
}
