//! REST: a token decides who asks, and nothing else does.

use std::time::Duration;

use crate::stub::Mood;
use crate::world::World;

const QUEUES: &str = "GET /v2/queues";
const BODY: &str = r#"{"messages": [{"body": "hello", "ttl": 300}]}"#;

/// Names of the queues that a token shows.
async fn names(world: &World, headers: &[(&str, &str)]) -> Vec<String> {
    let reply = world.call(QUEUES, headers, "").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let json = reply.json();
    let name = |queue: &serde_json::Value| queue["name"].as_str().unwrap().to_owned();
    json["queues"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn the_project_is_the_token_s() {
    let world = World::new().await;
    world.stub.issue("one", "p1", &["member"], 3_600);
    world.stub.issue("two", "p2", &["member"], 3_600);
    for (token, queue) in [("one", "a"), ("two", "b")] {
        let made = world.ask(&format!("PUT /v2/queues/{queue}"), token, "").await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    assert_eq!(names(&world, &[("x-auth-token", "one")]).await, ["a"]);
    assert_eq!(names(&world, &[("x-auth-token", "two")]).await, ["b"]);
}

#[tokio::test]
async fn whoever_shows_no_token_that_holds_is_told_where_to_get_one() {
    let world = World::new().await;
    world.stub.issue("t", "p", &["admin"], 3_600);
    let oversized = "x".repeat(8_193);
    let rows: &[&[(&str, &str)]] = &[
        &[],
        &[("x-project-id", "p"), ("x-roles", "admin")],
        &[("x-auth-token", "")],
        &[("x-auth-token", " ")],
        &[("x-auth-token", "t"), ("x-auth-token", "t")],
        &[("x-auth-token", "t t")],
        &[("x-auth-token", "unknown")],
        &[("x-auth-token", &oversized)],
        &[("x-service-token", "t")],
        &[("x-storage-token", "t")],
        &[("x-identity-status", "Confirmed"), ("x-project-id", "p")],
        &[("x-auth-token", "unknown"), ("x-identity-status", "Confirmed")],
        &[("extra-spec", "messagecode:1"), ("x-project-id", "p")],
    ];
    for line in
        ["GET /v2/queues", "GET /v2/", "GET /v2/ping", "GET /v2/health", "GET /nowhere", "GET /v2"]
    {
        for headers in rows {
            let reply = world.call(line, headers, "").await;
            assert_eq!(reply.status, 401, "{line} {headers:?}: {}", reply.text);
            let challenge = "Keystone uri=\"https://keystone.example/v3\"";
            assert_eq!(reply.header("www-authenticate"), challenge);
            let error = reply.json()["error"].clone();
            assert_eq!((&error["code"], &error["title"]), (&401.into(), &"Unauthorized".into()));
        }
    }
    // Only the one token was ever worth a question.
    assert_eq!(world.stub.validations(), 1);
}

#[tokio::test]
async fn the_list_of_versions_needs_no_token_and_unknown_paths_are_only_told_to_who_has_one() {
    let world = World::new().await;
    world.stub.issue("t", "p", &[], 3_600);
    assert_eq!(world.call("GET /", &[], "").await.status, 300);
    assert_eq!(world.ask("GET /nowhere", "t", "").await.status, 404);
    assert_eq!(world.ask("GET /v2/", "t", "").await.status, 200);
    assert_eq!(world.ask("GET /v2/ping", "t", "").await.status, 204);
    assert_eq!(world.call("OPTIONS /v2/queues", &[], "").await.text, "");
}

#[tokio::test]
async fn what_a_request_says_of_its_caller_beside_its_token_counts_for_nothing() {
    let world = World::new().await;
    world.stub.issue("t", "mine", &["member"], 3_600);
    world.stub.issue("boss", "mine", &["admin"], 3_600);
    assert_eq!(world.ask("PUT /v2/queues/q", "t", "").await.status, 201);
    let forged = [
        ("x-auth-token", "t"),
        ("x-project-id", "theirs"),
        ("x-tenant-id", "theirs"),
        ("x-tenant", "theirs"),
        ("x-roles", "admin"),
        ("x-role", "admin"),
        ("x-user-id", "root"),
        ("x-user-domain-id", "d"),
        ("x-project-domain-id", "d"),
        ("x-domain-id", "d"),
        ("x-is-admin-project", "True"),
        ("x-identity-status", "Confirmed"),
        ("x-service-roles", "admin"),
        ("openstack-system-scope", "all"),
    ];
    assert_eq!(names(&world, &forged).await, ["q"]);
    assert_eq!(world.call("GET /v2/health", &forged, "").await.status, 403);
    assert_eq!(world.ask("GET /v2/health", "boss", "").await.status, 200);
    for name in ["x-project-id", "x-tenant-id", "x-roles", "x-identity-status"] {
        let one = [("x-auth-token", "t"), (name, "")];
        assert_eq!(names(&world, &one).await, ["q"], "{name}");
    }
}

#[tokio::test]
async fn a_token_for_no_project_is_told_that_it_needs_one() {
    let world = World::new().await;
    world.stub.issue_unscoped("t", 3_600);
    let reply = world.call(QUEUES, &[("x-auth-token", "t"), ("x-project-id", "p")], "").await;
    assert_eq!((reply.status, &reply.json()["title"]), (400, &"Project-Id Missing".into()));
    assert!(reply.text.contains("scoped to no project"), "{}", reply.text);
}

#[tokio::test]
async fn signed_requests_need_no_token_and_have_the_signed_project_and_no_role() {
    let world = World::new().await;
    world.stub.issue("t", "p", &["admin"], 3_600);
    world.stub.issue("other", "p2", &["admin"], 3_600);
    let path = "POST /v2/queues/q/messages";
    assert_eq!(world.ask(path, "t", BODY).await.status, 201);
    let shared = world.ask("POST /v2/queues/q/share", "t", "{}").await;
    assert_eq!(shared.status, 200, "{}", shared.text);
    let shared = shared.json();
    let (signature, expires) =
        (shared["signature"].as_str().unwrap(), shared["expires"].as_str().unwrap());
    let signed = [
        ("url-signature", signature),
        ("url-expires", expires),
        ("url-methods", "GET"),
        ("url-paths", "/v2/queues/q/messages"),
        ("x-project-id", "p"),
    ];
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = signed.to_vec();
        all.extend(more.iter().copied());
        all
    };
    let read = "GET /v2/queues/q/messages?echo=true";
    for headers in [with(&[]), with(&[("x-auth-token", "other"), ("x-roles", "admin")])] {
        let reply = world.call(read, &headers, "").await;
        assert_eq!((reply.status, reply.text.contains("hello")), (200, true), "{}", reply.text);
    }
    // A token does not mend a signature, and a signature opens nothing else.
    for (line, headers) in [
        (read, with(&[("url-signature", "")])),
        (read, vec![("url-signature", ""), ("x-auth-token", "t")]),
        (read, vec![("url-signature", "x"), ("x-project-id", "p"), ("x-roles", "admin")]),
        (path, with(&[("x-auth-token", "t")])),
        ("GET /v2/health", with(&[("x-roles", "admin")])),
        ("GET /v2/queues", with(&[])),
        ("GET /nowhere", with(&[])),
    ] {
        let reply = world.call(line, &headers, BODY).await;
        assert_eq!(reply.status, 404, "{line} {headers:?}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_keystone_that_does_not_help_is_told_apart_from_a_token_that_does_not_hold() {
    let mut world = World::with(|config| config.request_timeout = Duration::from_secs(2)).await;
    world.stub.issue("known", "p", &[], 3_600);
    while world.ask(QUEUES, "known", "").await.status != 200 {}
    world.stub.be(Mood::Hanging);
    let late = world.ask(QUEUES, "late", "").await;
    assert_eq!((late.status, late.header("retry-after")), (503, "5"));
    for (n, mood) in [
        Mood::Forgetful,
        Mood::Status(500),
        Mood::Status(401),
        Mood::Status(403),
        Mood::Nonsense("<html>".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        world.stub.be(mood);
        let reply = world.ask(QUEUES, &format!("t{n}"), "").await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, "5"), "{}", reply.text);
        assert_eq!(reply.json()["title"], "Service Unavailable");
        assert_eq!(world.ask(QUEUES, "known", "").await.status, 200);
    }
    world.stub.end();
    assert_eq!(world.ask(QUEUES, "new", "").await.status, 503);
    assert_eq!(world.ask(QUEUES, "known", "").await.status, 200);
    world.advance_s(300);
    assert_eq!(world.ask(QUEUES, "known", "").await.status, 503);
}

#[tokio::test]
async fn a_revoked_token_and_an_ended_one_stop_serving() {
    let world = World::new().await;
    world.stub.issue("revoked", "p", &[], 86_400);
    world.stub.issue("short", "p", &[], 100);
    for token in ["revoked", "short"] {
        assert_eq!(world.ask(QUEUES, token, "").await.status, 200);
    }
    world.stub.revoke("revoked");
    world.advance_s(100);
    assert_eq!(world.ask(QUEUES, "short", "").await.status, 401);
    assert_eq!(world.ask(QUEUES, "revoked", "").await.status, 200);
    world.advance_s(200);
    assert_eq!(world.ask(QUEUES, "revoked", "").await.status, 401);
}
