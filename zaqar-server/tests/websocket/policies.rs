//! Who may do what: every action for every role, by the rules that guard the same over HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use zaqar_auth::policy::{Policy, Rule};
use zaqar_server::signed_url::{Expiry, Grant, UrlSigner};
use zaqar_server::websocket;

use crate::client::{CLIENT, Client, PROJECT, Reply};
use crate::world::World;

const ROLES: [&str; 4] = ["admin", "member", "reader", "none"];

const FILE: &str = r#"
readers: role:reader or rule:members
members: role:member or rule:context_is_admin
"queues:get_all": rule:readers
"queues:create": rule:members
"queues:get": rule:readers
"queues:delete": rule:context_is_admin
"queues:stats": rule:readers
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
"subscription:delete": rule:members
"#;

/// Every action, the rule that guards it, and who gets in by [`FILE`]: `a`dmin, `m`ember,
/// `r`eader, `n`one of them.
const EXPECTED: [(&str, &str, &str); 20] = [
    ("queue_list", "queues:get_all", "amr"),
    ("queue_create", "queues:create", "am"),
    ("queue_get", "queues:get", "amr"),
    ("queue_delete", "queues:delete", "a"),
    ("queue_get_stats", "queues:stats", "amr"),
    ("queue_purge", "queues:purge", "a"),
    ("message_post", "messages:create", "am"),
    ("message_list", "messages:get_all", "amr"),
    ("message_get", "messages:get", "amr"),
    ("message_get_many", "messages:get_all", "amr"),
    ("message_delete", "messages:delete", "am"),
    ("message_delete_many", "messages:delete_all", "am"),
    ("claim_create", "claims:create", "am"),
    ("claim_get", "claims:get", "amr"),
    ("claim_update", "claims:update", "am"),
    ("claim_delete", "claims:delete", "am"),
    ("subscription_list", "subscription:get_all", "amr"),
    ("subscription_create", "subscription:create", "am"),
    ("subscription_get", "subscription:get", "amr"),
    ("subscription_delete", "subscription:delete", "am"),
];

async fn world(policy: Policy) -> World {
    World::changed(|config| {
        config.policy = Arc::new(policy);
        config.url_signer = UrlSigner::new(["secret"]);
    })
    .await
}

fn policy(file: &str) -> Policy {
    Policy::from_text(file, "policy.yaml").unwrap()
}

/// A body with every field that some action needs; actions ignore those of others.
fn body() -> Value {
    json!({
        "queue_name": "q", "messages": [{"body": 1, "ttl": 300}], "message_id": "7",
        "message_ids": ["7"], "claim_id": "7", "subscription_id": "7",
        "subscriber": "http://example.org/hook"
    })
}

async fn call(client: &mut Client, action: &str, role: &str) -> Reply {
    let headers = json!({"Client-ID": CLIENT, "X-Project-ID": PROJECT, "X-Roles": role});
    client.send(action, body(), headers).await;
    client.reply().await
}

/// Whether the answer is the policy's refusal.
fn is_denied(reply: &Reply) -> bool {
    let text = "You are not authorized to complete this action.";
    let denied = reply.status == 403 && reply.body == json!({"exception": text, "error": text});
    assert!(denied || reply.status != 403, "{}", reply.body);
    denied
}

#[test]
fn every_action_is_expected_with_its_rule_but_the_one_that_says_who_asks() {
    let mut expected: BTreeSet<&str> = EXPECTED.iter().map(|(action, ..)| *action).collect();
    assert_eq!(expected.len(), EXPECTED.len());
    assert!(expected.insert("authenticate"));
    assert_eq!(expected, websocket::actions().collect());
    for (action, rule, _) in EXPECTED {
        assert!(Rule::named(rule).is_some(), "{action}: {rule}");
    }
}

#[tokio::test]
async fn by_default_everyone_may_do_everything() {
    let world = world(Policy::default()).await;
    let mut client = world.client().await;
    for (action, ..) in EXPECTED {
        for role in ROLES {
            let reply = call(&mut client, action, role).await;
            assert!(!is_denied(&reply), "{action} as {role}");
        }
    }
}

#[tokio::test]
async fn a_policy_file_decides_for_every_action_and_role() {
    let world = world(policy(FILE)).await;
    let mut client = world.client().await;
    for (action, _, allowed) in EXPECTED {
        for role in ROLES {
            let reply = call(&mut client, action, role).await;
            let denied = !allowed.contains(role.chars().next().unwrap());
            assert_eq!(is_denied(&reply), denied, "{action} as {role}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn each_action_asks_its_own_rule_and_no_other() {
    let rules: BTreeSet<&str> = EXPECTED.iter().map(|(_, rule, _)| *rule).collect();
    for rule in rules {
        let world = world(policy(&format!("\"{rule}\": \"!\"\n"))).await;
        let mut client = world.client().await;
        for (action, asked, _) in EXPECTED {
            let reply = call(&mut client, action, "admin").await;
            assert_eq!(is_denied(&reply), asked == rule, "{action}");
        }
    }
}

#[tokio::test]
async fn a_signed_request_is_nobody_of_its_project() {
    let expiry = Expiry::parse("2100-01-01T00:00:00").unwrap();
    let path = "/v2/queues/q/messages";
    let grant = Grant::new(vec![path.into()], vec!["GET".into()], PROJECT, expiry);
    let headers = json!({
        "Client-ID": CLIENT, "X-Project-ID": PROJECT, "X-Roles": "admin",
        "URL-Signature": UrlSigner::new(["secret"]).sign(&grant).unwrap(),
        "URL-Expires": "2100-01-01T00:00:00", "URL-Methods": ["GET"], "URL-Paths": [path]
    });
    for (rule, denied) in [
        ("project_id:%(project_id)s and 'q':%(queue_name)s", false),
        ("role:admin", true),
        ("not 'q':%(queue_name)s", true),
    ] {
        let world = world(policy(&format!("\"messages:get_all\": \"{rule}\"\n"))).await;
        let mut client = world.client().await;
        client.send("message_list", json!({"queue_name": "q"}), headers.clone()).await;
        assert_eq!(is_denied(&client.reply().await), denied, "{rule}");
    }
}
