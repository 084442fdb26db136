//! What every request must say about itself, in the order in which it is checked, and what every
//! answer says.

use zaqar_engine::EngineConfig;
use zaqar_server::rest::{ClientIdRule, RestConfig};

use crate::support::{CLIENT, OTHER_CLIENT, PROJECT, Service};

const EMPTY_PROJECT: &str =
    "X-PROJECT-ID cannot be an empty string. Specify the right header X-PROJECT-ID and retry.";
const BAD_NAME: &str = "The format of the submitted queue name or project id is not valid.";

#[tokio::test]
async fn every_answer_carries_a_fresh_request_id() {
    let service = Service::new();
    let sent = "req-00000000-0000-0000-0000-000000000000";
    let mut seen = vec![sent.to_owned()];
    for line in ["GET /", "GET /nowhere", "PUT /v2/queues/q", "GET /v2/queues/b@d", "POST /v2/"] {
        let reply = service.call_with(line, &[("x-openstack-request-id", sent)], "").await;
        let id = reply.header("x-openstack-request-id").to_owned();
        let uuid = id.strip_prefix("req-").unwrap();
        assert!(uuid.parse::<uuid::Uuid>().is_ok(), "{id}");
        assert!(!seen.contains(&id));
        seen.push(id);
    }
}

#[tokio::test]
async fn errors_and_empty_answers_have_the_headers_that_clients_know() {
    let service = Service::new();
    let error = service.call("GET /nowhere", "").await;
    assert_eq!(error.text, "{\"title\": \"404 Not Found\"}");
    assert_eq!(error.header("vary"), "Accept");
    assert_eq!(error.header("content-type"), "application/json");
    assert_eq!(error.header("content-length"), "26");
    let created = service.call("PUT /v2/queues/q", "").await;
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(created.header("content-length"), "0");
    assert_eq!(created.header("vary"), "");
    let nothing = service.call("DELETE /v2/queues/q", "").await;
    assert_eq!((nothing.status, nothing.header("content-type")), (204, ""));
}

#[tokio::test]
async fn a_client_must_say_who_it_is() {
    let service = Service::new();
    let missing = service.call_with("GET /v2/queues", &[("client-id", "-")], "").await;
    let text = "The \"Client-Id\" header is required.";
    assert_eq!(missing.error(), (400, "Missing header value".into(), text.into()));
    for bad in ["", "0xdeadbeef", "3381af922b9e11e3b19171861300734", "textid", "\u{fc}"] {
        for line in ["GET /v2/queues", "GET /v2/", "GET /v2/ping", "PUT /v2/queues/q"] {
            let reply = service.call_with(line, &[("client-id", bad)], "").await;
            let text = "Malformed hexadecimal UUID.";
            assert_eq!(reply.error(), (400, "Wrong UUID value".into(), text.into()), "{bad}");
        }
    }
}

#[tokio::test]
async fn spellings_of_one_uuid_are_one_client_and_echo_is_suppressed_for_all() {
    let service = Service::new();
    service.post("q", &["1"]).await;
    for (client, shown) in [
        (CLIENT, 0),
        ("3381af922b9e11e3b19171861300734c", 0),
        ("URN:UUID:", 0),
        ("urn:uuid:3381AF92-2b9e-11e3-b191-71861300734c", 0),
        ("{3381af92-2b9e-11e3-b191-71861300734c}", 0),
        (OTHER_CLIENT, 1),
    ] {
        let headers = [("client-id", client)];
        let reply = service.call_with("GET /v2/queues/q/messages", &headers, "").await;
        if client == "URN:UUID:" {
            assert_eq!(reply.status, 400);
        } else {
            assert_eq!(reply.message_ids().len(), shown, "{client}");
        }
    }
}

#[tokio::test]
async fn any_text_names_a_client_where_the_operator_says_so() {
    let mut rest = RestConfig::default();
    rest.client_id = ClientIdRule::Off { length_min: 10, length_max: 36 };
    let service = Service::with(rest, EngineConfig::default());
    let text = "The \"Client-Id\" header must have at least 10 and at most 36 characters.";
    for bad in ["", "123456789", &"x".repeat(37)] {
        let reply = service.call_with("GET /v2/queues", &[("client-id", bad)], "").await;
        assert_eq!(reply.error(), (400, "Invalid header value".into(), text.into()), "{bad}");
    }
    let headers = [("client-id", "tenletters")];
    let body = r#"{"messages": [{"body": 1}]}"#;
    let posted = service.call_with("POST /v2/queues/q/messages", &headers, body).await;
    assert_eq!(posted.status, 201);
    let own = service.call_with("GET /v2/queues/q/messages", &headers, "").await;
    assert!(own.message_ids().is_empty());
    let long = "x".repeat(36);
    let other = [("client-id", long.as_str())];
    let listed = service.call_with("GET /v2/queues/q/messages", &other, "").await;
    assert_eq!(listed.message_ids().len(), 1);
}

#[tokio::test]
async fn a_project_must_be_named_and_separates_tenants() {
    let service = Service::new();
    let without = [("x-project-id", "-")];
    let missing = service.call_with("GET /v2/queues", &without, "").await;
    let text = "The header X-PROJECT-ID was missing";
    assert_eq!(missing.error(), (400, "Project-Id Missing".into(), text.into()));
    let empty = service.call_with("GET /v2/queues", &[("x-project-id", "")], "").await;
    let title = "Empty project header not allowed";
    assert_eq!(empty.error(), (400, title.into(), EMPTY_PROJECT.into()));
    let long = "x".repeat(264);
    let reply = service.call_with("PUT /v2/queues/q", &[("x-project-id", &long)], "").await;
    let title = "Invalid queue identification";
    assert_eq!(reply.error(), (400, title.into(), BAD_NAME.into()));

    let jam = [("x-project-id", "JAM Project")];
    assert_eq!(service.call_with("PUT /v2/queues/q", &jam, "").await.status, 201);
    assert_eq!(service.call("PUT /v2/queues/q", "").await.status, 201);
    let fallback = [("x-project-id", "-"), ("x-tenant-id", "JAM Project")];
    assert_eq!(service.call_with("PUT /v2/queues/q", &fallback, "").await.status, 204);
    let id = service.post("q", &["1"]).await.remove(0);
    let line = format!("GET /v2/queues/q/messages/{id}");
    assert_eq!(service.call(&line, "").await.status, 200);
    let reply = service.call_with(&line, &jam, "").await;
    let text = format!("Message {id} does not exist in queue q for project JAM Project");
    assert_eq!(reply.error(), (404, "Not found".into(), text));
}

#[tokio::test]
async fn queue_names_are_checked_for_every_method() {
    let service = Service::new();
    let title = "Invalid queue identification";
    let long = "x".repeat(65);
    for name in ["", "Nice-Bo@t", "a%0A", "%C3%BC", "%FC", "a%20b", &long] {
        for line in ["PUT ", "GET ", "DELETE ", "HEAD ", "BREW "] {
            let reply = service.call(&format!("{line}/v2/queues/{name}"), "").await;
            assert_eq!(reply.status, 400, "{line}{name}");
            if line != "HEAD " {
                assert_eq!(reply.error(), (400, title.into(), BAD_NAME.into()), "{name}");
            }
        }
        let line = format!("POST /v2/queues/{name}/messages");
        assert_eq!(service.call(&line, "{").await.error().1, title, "{name}");
    }
    for name in ["a.b", "-_9", &"x".repeat(64), "%61"] {
        assert_eq!(service.call(&format!("PUT /v2/queues/{name}"), "").await.status, 201, "{name}");
    }
    assert_eq!(service.call("PUT /v2/queues/a", "").await.status, 204);
}

#[tokio::test]
async fn unknown_routes_are_not_found_before_any_header_is_looked_at() {
    let service = Service::new();
    for path in [
        "/v2",
        "/v1/queues",
        "/v1.1/queues/q",
        "/v2/queues/q/",
        "/v2/queues/a%2Fb",
        "/v2/queues/q/metadata",
        "/v2/queues/q/messages/1/2",
        "/v2/health",
        "/v2/pools",
        "/v2/moves",
        "/v2/flavors",
        "/v2/topics/t/claims",
        "/v2/topics/t/share",
        "/v2/queues/q/subscriptions/1/confirm/2",
        "//",
    ] {
        for headers in [&[][..], &[("client-id", "-"), ("accept", "text/plain")]] {
            let reply = service.call_with(&format!("GET {path}"), headers, "").await;
            assert_eq!(reply.error(), (404, "404 Not Found".into(), String::new()), "{path}");
        }
    }
}

#[tokio::test]
async fn the_first_fault_in_the_agreed_order_answers() {
    let service = Service::new();
    let line = "POST /v2/queues/b@d";
    let form = ("content-type", "application/x-www-form-urlencoded");
    let faults = [
        (form, "Invalid Content-Type"),
        (("accept", "text/plain"), "406 Not Acceptable"),
        (("client-id", "x"), "Wrong UUID value"),
        (("x-project-id", ""), "Empty project header not allowed"),
    ];
    for first in 0..faults.len() {
        let headers: Vec<(&str, &str)> =
            faults[first..].iter().map(|(header, _)| *header).collect();
        let reply = service.call_with(line, &headers, "{").await;
        assert_eq!(reply.error().1, faults[first].1);
    }
    assert_eq!(service.call(line, "{").await.error().1, "Invalid queue identification");
    assert_eq!(service.call("POST /v2/queues/q", "{").await.status, 405);
}

#[tokio::test]
async fn only_json_can_be_had() {
    let service = Service::new();
    for line in ["GET /", "GET /v2/", "GET /v2/queues", "GET /v2/queues/q", "PUT /v2/queues/q"] {
        let reply = service.call_with(line, &[("accept", "application/xml")], "").await;
        assert_eq!(reply.status, 406, "{line}");
        assert_eq!(reply.json()["title"], "406 Not Acceptable");
        assert_eq!(
            reply.json()["description"],
            "Endpoint only serves `application/json`; specify client-side media type support with \
             the \"Accept\" header."
        );
        assert_eq!(reply.json()["link"]["rel"], "help");
    }
}

#[tokio::test]
async fn forms_are_refused_only_if_they_say_how_long_they_are() {
    let service = Service::new();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let zero = ("content-length", "0");
    let refused = service.call_with("PUT /v2/queues/q", &[form, zero], "").await;
    assert_eq!(refused.error().1, "Invalid Content-Type");
    assert_eq!(service.call_with("PUT /v2/queues/q", &[form], "").await.status, 201);
    let with_parameters = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let reply = service.call_with("PUT /v2/queues/q", &[with_parameters, zero], "").await;
    assert_eq!(reply.status, 204);
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_there_are() {
    let service = Service::new();
    for (line, allow) in [
        ("POST /v2/queues/q", "DELETE, GET, HEAD, PATCH, PUT, OPTIONS"),
        ("PUT /v2/queues/q/messages", "DELETE, GET, POST, OPTIONS"),
        ("PATCH /v2/queues/q/messages/1", "DELETE, GET, OPTIONS"),
        ("GET /v2/queues/q/claims", "POST, OPTIONS"),
        ("PUT /v2/queues/q/claims/1", "DELETE, GET, PATCH, OPTIONS"),
        ("DELETE /v2/queues", "GET, OPTIONS"),
        ("POST /", "GET, OPTIONS"),
        ("POST /v2/ping", "GET, HEAD, OPTIONS"),
        ("BREW /v2/queues/q/stats", "GET, OPTIONS"),
        ("GET /v2/queues/q/purge", "POST, OPTIONS"),
    ] {
        let reply = service.call(line, "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, allow), "{line}");
        assert_eq!(reply.text, "{\"title\": \"405 Method Not Allowed\"}");
    }
    let head = service.call("HEAD /v2/queues", "").await;
    assert_eq!((head.status, head.text.as_str()), (405, ""));
}

#[tokio::test]
async fn without_a_secret_signed_requests_are_refused_whatever_the_signature() {
    let service = Service::new();
    for signature in ["", "abc"] {
        let headers = [("url-signature", signature), ("x-roles", "admin"), ("client-id", "-")];
        let reply = service.call_with("GET /v2/queues/q/messages", &headers, "").await;
        assert_eq!(reply.error(), (404, "404 Not Found".into(), String::new()));
    }
}

#[tokio::test]
async fn a_signature_plugin_header_of_old_is_ignored() {
    let service = Service::new();
    let headers = [("extra-spec", "messagecode:x"), ("x-project-id", PROJECT)];
    assert_eq!(service.call_with("GET /v2/queues", &headers, "").await.status, 200);
}
