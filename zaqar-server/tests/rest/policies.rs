//! Who may do what: every route for every role, by the default policy and by one from a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use zaqar_auth::policy::{Policy, Rule};
use zaqar_engine::EngineConfig;
use zaqar_server::rest::{self, RestConfig};
use zaqar_server::signed_url::{Expiry, Grant, UrlSigner};

use crate::support::{PROJECT, Reply, Service};

const ROLES: [&str; 4] = ["admin", "member", "reader", "none"];

/// A policy as an operator may have it: members work, readers look, others may ask whether it works.
const FILE: &str = r#"
readers: role:reader or rule:members
members: role:member or rule:context_is_admin
"queues:get_all": rule:readers
"queues:create": rule:members
"queues:get": rule:readers
"queues:delete": rule:context_is_admin
"queues:update": rule:members
"queues:stats": rule:readers
"queues:share": rule:context_is_admin
"queues:purge": rule:context_is_admin
"messages:get_all": rule:readers
"messages:create": rule:members
"messages:get": rule:readers
"messages:delete": rule:members
"messages:delete_all": rule:members
"claims:create": rule:members
"claims:get": rule:readers
"claims:update": rule:members
"claims:delete": rule:members
"subscription:get_all": rule:readers
"subscription:create": rule:members
"subscription:get": rule:readers
"subscription:update": rule:members
"subscription:delete": rule:members
"subscription:confirm": rule:members
"topics:get_all": rule:readers
"topics:create": rule:members
"topics:get": rule:readers
"topics:delete": rule:context_is_admin
"topics:update": rule:members
"topics:stats": rule:readers
"topics:purge": rule:context_is_admin
"health:get": rule:context_is_admin
"#;

/// Every endpoint, the rule that guards it, and who gets in by [`FILE`]: `a`dmin, `m`ember,
/// `r`eader, `n`one of them.
const EXPECTED: [(&str, &str, &str); 64] = [
    ("GET /", "", "amrn"),
    ("GET /v2/", "", "amrn"),
    ("GET /v2/openapi.json", "openapi:get", "amrn"),
    ("GET /v2/ping", "ping:get", "amrn"),
    ("HEAD /v2/ping", "ping:get", "amrn"),
    ("GET /v2/health", "health:get", "a"),
    ("GET /v2/pools", "pools:get_all", "a"),
    ("GET /v2/pools/{id}", "pools:get", "a"),
    ("PUT /v2/pools/{id}", "pools:create", "a"),
    ("PATCH /v2/pools/{id}", "pools:update", "a"),
    ("DELETE /v2/pools/{id}", "pools:delete", "a"),
    ("GET /v2/moves", "moves:get_all", "a"),
    ("POST /v2/moves", "moves:create", "a"),
    ("GET /v2/flavors", "flavors:get_all", "amrn"),
    ("GET /v2/flavors/{id}", "flavors:get", "amrn"),
    ("PUT /v2/flavors/{id}", "flavors:create", "a"),
    ("PATCH /v2/flavors/{id}", "flavors:update", "a"),
    ("DELETE /v2/flavors/{id}", "flavors:delete", "a"),
    ("GET /v2/queues", "queues:get_all", "amr"),
    ("PUT /v2/queues/{queue}", "queues:create", "am"),
    ("GET /v2/queues/{queue}", "queues:get", "amr"),
    ("HEAD /v2/queues/{queue}", "queues:get", "amr"),
    ("PATCH /v2/queues/{queue}", "queues:update", "am"),
    ("DELETE /v2/queues/{queue}", "queues:delete", "a"),
    ("GET /v2/queues/{queue}/stats", "queues:stats", "amr"),
    ("POST /v2/queues/{queue}/share", "queues:share", "a"),
    ("POST /v2/queues/{queue}/purge", "queues:purge", "a"),
    ("GET /v2/queues/{queue}/dead_letters", "messages:get_all", "amr"),
    ("POST /v2/queues/{queue}/redrive", "messages:redrive", "am"),
    ("GET /v2/queues/{queue}/messages", "messages:get_all", "amr"),
    ("POST /v2/queues/{queue}/messages", "messages:create", "am"),
    ("DELETE /v2/queues/{queue}/messages", "messages:delete_all", "am"),
    ("GET /v2/queues/{queue}/messages/{id}", "messages:get", "amr"),
    ("DELETE /v2/queues/{queue}/messages/{id}", "messages:delete", "am"),
    ("POST /v2/queues/{queue}/claims", "claims:create", "am"),
    ("GET /v2/queues/{queue}/claims/{id}", "claims:get", "amr"),
    ("PATCH /v2/queues/{queue}/claims/{id}", "claims:update", "am"),
    ("DELETE /v2/queues/{queue}/claims/{id}", "claims:delete", "am"),
    ("GET /v2/queues/{queue}/subscriptions", "subscription:get_all", "amr"),
    ("POST /v2/queues/{queue}/subscriptions", "subscription:create", "am"),
    ("GET /v2/queues/{queue}/subscriptions/{id}", "subscription:get", "amr"),
    ("PATCH /v2/queues/{queue}/subscriptions/{id}", "subscription:update", "am"),
    ("DELETE /v2/queues/{queue}/subscriptions/{id}", "subscription:delete", "am"),
    ("PUT /v2/queues/{queue}/subscriptions/{id}/confirm", "subscription:confirm", "am"),
    ("GET /v2/topics", "topics:get_all", "amr"),
    ("PUT /v2/topics/{topic}", "topics:create", "am"),
    ("GET /v2/topics/{topic}", "topics:get", "amr"),
    ("HEAD /v2/topics/{topic}", "topics:get", "amr"),
    ("PATCH /v2/topics/{topic}", "topics:update", "am"),
    ("DELETE /v2/topics/{topic}", "topics:delete", "a"),
    ("GET /v2/topics/{topic}/stats", "topics:stats", "amr"),
    ("POST /v2/topics/{topic}/purge", "topics:purge", "a"),
    ("GET /v2/topics/{topic}/messages", "messages:get_all", "amr"),
    ("POST /v2/topics/{topic}/messages", "messages:create", "am"),
    ("DELETE /v2/topics/{topic}/messages", "messages:delete_all", "am"),
    ("GET /v2/topics/{topic}/messages/{id}", "messages:get", "amr"),
    ("DELETE /v2/topics/{topic}/messages/{id}", "messages:delete", "am"),
    ("GET /v2/topics/{topic}/subscriptions", "subscription:get_all", "amr"),
    ("POST /v2/topics/{topic}/subscriptions", "subscription:create", "am"),
    ("GET /v2/topics/{topic}/subscriptions/{id}", "subscription:get", "amr"),
    ("PATCH /v2/topics/{topic}/subscriptions/{id}", "subscription:update", "am"),
    ("DELETE /v2/topics/{topic}/subscriptions/{id}", "subscription:delete", "am"),
    ("PUT /v2/topics/{topic}/subscriptions/{id}/confirm", "subscription:confirm", "am"),
    ("OPTIONS /v2/queues", "", "amrn"),
];

fn service(policy: Policy) -> Service {
    let mut rest = RestConfig::default();
    rest.admin_mode = true;
    rest.policy = Arc::new(policy);
    rest.url_signer = UrlSigner::new(["secret"]);
    Service::with(rest, EngineConfig::default())
}

fn policy(file: &str) -> Policy {
    Policy::from_text(file, "policy.yaml").unwrap()
}

async fn call(service: &Service, endpoint: &str, role: &str) -> Reply {
    let line = endpoint.replace("{queue}", "q").replace("{topic}", "t").replace("{id}", "7");
    service.call_with(&line, &[("x-roles", role)], "").await
}

/// Whether the answer is the policy's refusal.
fn is_denied(reply: &Reply, endpoint: &str) -> bool {
    if reply.status != 403 {
        return false;
    }
    if !endpoint.starts_with("HEAD ") {
        let text = "You are not authorized to complete this action.";
        assert_eq!(reply.error(), (403, "Not authorized".into(), text.into()), "{endpoint}");
    }
    true
}

#[test]
fn every_route_is_expected_with_its_rule() {
    let expected: BTreeMap<&str, &str> =
        EXPECTED.iter().map(|(endpoint, rule, _)| (*endpoint, *rule)).collect();
    assert_eq!(expected.len(), EXPECTED.len());
    let served: Vec<String> =
        rest::endpoints(true).map(|(method, path)| format!("{method} {path}")).collect();
    for endpoint in &served {
        assert!(expected.contains_key(endpoint.as_str()), "who may {endpoint}?");
    }
    for (endpoint, rule, _) in EXPECTED {
        assert!(served.iter().any(|s| s == endpoint) || endpoint.starts_with("OPTIONS "));
        assert!(rule.is_empty() || Rule::named(rule).is_some(), "{endpoint}: {rule}");
    }
}

#[test]
fn every_rule_guards_a_route() {
    for rule in Rule::ALL {
        let is_asked = EXPECTED.iter().any(|(_, asked, _)| *asked == rule.name());
        assert!(is_asked, "{}", rule.name());
    }
}

#[tokio::test]
async fn by_default_everyone_may_do_everything_but_what_is_the_operators() {
    let service = service(Policy::default());
    for (endpoint, rule, _) in EXPECTED {
        for role in ROLES {
            let reply = call(&service, endpoint, role).await;
            let is_open = matches!(rule, "flavors:get_all" | "flavors:get");
            let of_operators = ["health:", "pools:", "moves:", "flavors:"];
            let is_operators = of_operators.iter().any(|stem| rule.starts_with(stem));
            let denied = is_operators && !is_open && role != "admin";
            assert_eq!(is_denied(&reply, endpoint), denied, "{endpoint} as {role}");
        }
    }
}

#[tokio::test]
async fn a_policy_file_decides_for_every_route_and_role() {
    let service = service(policy(FILE));
    for (endpoint, _, allowed) in EXPECTED {
        for role in ROLES {
            let reply = call(&service, endpoint, role).await;
            let denied = !allowed.contains(role.chars().next().unwrap());
            assert_eq!(is_denied(&reply, endpoint), denied, "{endpoint} as {role}");
        }
    }
}

#[tokio::test]
async fn each_route_asks_its_own_rule_and_no_other() {
    for rule in Rule::ALL {
        let closed = service(policy(&format!("\"{}\": \"!\"\n", rule.name())));
        for (endpoint, asked, _) in EXPECTED {
            let reply = call(&closed, endpoint, "admin").await;
            // Whoever redrives posts and deletes, so unless it is said otherwise, may do both.
            let is_part = matches!(rule, Rule::MessagesCreate | Rule::MessagesDelete)
                && asked == Rule::MessagesRedrive.name();
            assert_eq!(is_denied(&reply, endpoint), asked == rule.name() || is_part, "{endpoint}");
        }
    }
}

#[tokio::test]
async fn the_policy_is_asked_after_the_headers_and_before_query_and_body() {
    let service = service(policy("\"messages:create\": \"!\"\n\"messages:get_all\": \"!\"\n"));
    let path = "/v2/queues/q/messages";
    for (line, headers, body, status) in [
        (format!("POST {path}"), &[][..], "no json", 403),
        (format!("GET {path}?limit=-1"), &[], "", 403),
        (format!("POST {path}"), &[("client-id", "-")], "", 400),
        (format!("POST {path}"), &[("x-project-id", "-")], "", 400),
        (format!("POST {path}"), &[("accept", "text/html")], "", 406),
        ("POST /v2/queues/a%20b/messages".to_owned(), &[], "", 400),
        (format!("PUT {path}"), &[], "", 405),
        ("POST /v2/queues/q/nothing".to_owned(), &[], "", 404),
    ] {
        let reply = service.call_with(&line, headers, body).await;
        assert_eq!(reply.status, status, "{line} {headers:?}");
    }
    // The refused post has not made the queue.
    assert_eq!(service.call("GET /v2/queues", "").await.json()["queues"], serde_json::json!([]));
}

#[tokio::test]
async fn a_signed_request_is_nobody_of_its_project() {
    let expiry = Expiry::parse("2100-01-01T00:00:00").unwrap();
    let path = "/v2/queues/q/messages";
    let grant = Grant::new(vec![path.into()], vec!["GET".into()], PROJECT, expiry);
    let signature = UrlSigner::new(["secret"]).sign(&grant).unwrap();
    let signed = [
        ("url-signature", signature.as_str()),
        ("url-expires", "2100-01-01T00:00:00"),
        ("url-methods", "GET"),
        ("url-paths", path),
        ("x-roles", "admin"),
        ("x-user-id", "u1"),
    ];
    for (rule, status) in [
        ("@", 200),
        ("project_id:%(project_id)s", 200),
        ("rule:admin_or_owner", 200),
        ("'q':%(queue_name)s", 200),
        ("role:admin", 403),
        ("is_admin:True", 403),
        ("user_id:u1", 403),
        ("not project_id:%(project_id)s", 403),
        ("'p':%(queue_name)s", 403),
        ("!", 403),
    ] {
        let service = service(policy(&format!("\"messages:get_all\": \"{rule}\"\n")));
        let reply = service.call_with(&format!("GET {path}"), &signed, "").await;
        assert_eq!(reply.status, status, "{rule}");
    }
}

#[tokio::test]
async fn rules_see_who_asks_and_what_the_path_names() {
    let who = [("x-user-id", "u1"), ("x-user-domain-id", "d1"), ("openstack-system-scope", "all")];
    for (rule, line, allowed) in [
        ("user_id:u1 and user_domain_id:d1 and system_scope:all", "GET /v2/queues/q", true),
        ("user_id:u2", "GET /v2/queues/q", false),
        ("'q':%(queue_name)s", "GET /v2/queues/q", true),
        ("'q':%(queue_name)s", "GET /v2/queues/p", false),
        ("'q':%(topic_name)s", "GET /v2/queues/q", false),
    ] {
        let service = service(policy(&format!("\"queues:get\": \"{rule}\"\n")));
        let reply = service.call_with(line, &who, "").await;
        assert_eq!(!is_denied(&reply, line), allowed, "{rule} for {line}");
    }
    let topics = service(policy("\"topics:get\": \"'t':%(topic_name)s\"\n"));
    assert!(!is_denied(&topics.call("GET /v2/topics/t", "").await, "GET"));
    assert!(is_denied(&topics.call("GET /v2/topics/u", "").await, "GET"));
    // The service's health is no project's.
    let health = service(policy("\"health:get\": \"project_id:%(project_id)s\"\n"));
    assert!(is_denied(&health.call("GET /v2/health", "").await, "GET"));
}
