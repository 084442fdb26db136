//! Dead letters over the API: listed with where they came from, and sent back.

use std::sync::Arc;

use serde_json::{Value, json};

use zaqar_auth::policy::Policy;
use zaqar_engine::EngineConfig;
use zaqar_server::limits::{ProjectRates, Rate, RateSettings};
use zaqar_server::rest::RestConfig;

use crate::support::Service;

const CLAIMS: &str = "POST /v2/queues/q/claims";
const LIST: &str = "GET /v2/queues/dead/dead_letters";
const REDRIVE: &str = "POST /v2/queues/dead/redrive";

/// A service where `bodies`, posted to queue `q`, have died into `dead`; the last claim of each.
async fn dead(bodies: &[&str]) -> (Service, String) {
    let service = Service::new();
    let claim = die(&service, bodies).await;
    (service, claim)
}

/// Posts `bodies` to queue `q` and lets them die into `dead`; answers the last claim of each.
async fn die(service: &Service, bodies: &[&str]) -> String {
    let metadata = json!({
        "_max_claim_count": 1,
        "_dead_letter_queue": "dead",
        "_dead_letter_queue_messages_ttl": 1_000,
    });
    assert_eq!(service.call("PUT /v2/queues/q", metadata.to_string()).await.status, 201);
    for body in bodies {
        let post = json!({"messages": [{"body": body, "ttl": 5_000}]}).to_string();
        assert_eq!(service.call("POST /v2/queues/q/messages", post).await.status, 201);
    }
    let claimed = service.call(CLAIMS, r#"{"ttl": 60, "grace": 60}"#).await;
    assert_eq!(claimed.status, 201);
    let claim = claimed.header("location").rsplit('/').next().unwrap().to_owned();
    service.advance_s(60);
    assert_eq!(service.call(CLAIMS, r#"{"ttl": 60, "grace": 60}"#).await.status, 204);
    claim
}

async fn bodies(service: &Service, queue: &str) -> Value {
    let line = format!("GET /v2/queues/{queue}/messages?echo=true&include_claimed=true");
    let read = service.call(&line, "").await.json();
    let messages = read["messages"].as_array().unwrap();
    messages.iter().map(|message| message["body"].clone()).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_with_where_they_came_from() {
    let (service, claim) = dead(&["one", "two"]).await;
    let post = r#"{"messages": [{"body": "posted here", "ttl": 300}]}"#;
    assert_eq!(service.call("POST /v2/queues/dead/messages", post).await.status, 201);
    service.advance_s(5);
    let listed = service.call(LIST, "").await;
    assert_eq!(listed.status, 200);
    let (document, plain) =
        (listed.json(), service.call("GET /v2/queues/dead/messages?echo=true", "").await.json());
    let (letters, messages) = (&document["messages"], &plain["messages"]);
    assert_eq!(letters.as_array().map(Vec::len), Some(3));
    for at in 0..3 {
        for (member, value) in messages[at].as_object().unwrap() {
            assert_eq!(&letters[at][member], value, "{member} of message {at}");
        }
    }
    let told = |at: usize| {
        let members = ["origin", "claim_count", "last_claim", "died_at"];
        members.map(|member| letters[at].get(member).cloned().unwrap())
    };
    let origin = [json!("q"), json!(1), json!(claim), json!("2033-05-18T03:34:20Z")];
    assert_eq!((told(0), told(1)), (origin.clone(), origin));
    assert_eq!(told(2), [Value::Null, Value::Null, Value::Null, Value::Null]);
}

#[tokio::test]
async fn the_list_is_read_page_by_page_and_shows_claimed_messages_if_asked() {
    let (service, _) = dead(&["one", "two"]).await;
    let first = service.call(&format!("{LIST}?limit=1"), "").await.json();
    assert_eq!(first["messages"][0]["body"], "one");
    let next = first["links"][0]["href"].as_str().unwrap().to_owned();
    assert!(next.starts_with("/v2/queues/dead/dead_letters?limit=1&marker="), "{next}");
    let second = service.call(&format!("GET {next}"), "").await.json();
    assert_eq!(second["messages"][0]["body"], "two");
    let claim = r#"{"ttl": 600, "grace": 60}"#;
    assert_eq!(service.call("POST /v2/queues/dead/claims?limit=1", claim).await.status, 201);
    for (query, count) in [("", 1), ("?include_claimed=true", 2)] {
        let listed = service.call(&format!("{LIST}{query}"), "").await.json();
        assert_eq!(listed["messages"].as_array().map(Vec::len), Some(count), "{query}");
    }
    for empty in ["GET /v2/queues/none/dead_letters", &format!("{LIST}?marker=nonsense")] {
        let listed = service.call(empty, "").await;
        assert_eq!(
            (listed.status, listed.text.as_str()),
            (200, r#"{"messages": [], "links": []}"#)
        );
    }
    assert_eq!(service.call(&format!("{LIST}?limit=0"), "").await.status, 400);
}

#[tokio::test]
async fn dead_letters_are_redriven_in_steps_until_next_is_null() {
    let (service, _) = dead(&["one", "two", "three"]).await;
    let first = service.call(REDRIVE, r#"{"limit": 2}"#).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let first = first.json();
    assert_eq!((&first["redriven"], &first["left"]), (&json!(2), &json!([])));
    let rest = json!({"limit": 2, "marker": first["next"]}).to_string();
    let second = service.call(REDRIVE, rest).await.json();
    assert_eq!((&second["redriven"], second["next"].is_null()), (&json!(1), false));
    let end = service.call(REDRIVE, json!({"marker": second["next"]}).to_string()).await.json();
    assert_eq!(end, json!({"redriven": 0, "left": [], "next": null}));
    assert_eq!(service.call(REDRIVE, "").await.json(), end, "a repeat finds nothing");
    assert_eq!(bodies(&service, "q").await, json!(["one", "two", "three"]));
    assert_eq!(bodies(&service, "dead").await, json!([]));
}

#[tokio::test]
async fn what_is_chosen_goes_where_it_is_sent_and_what_is_left_says_why() {
    let (service, _) = dead(&["one", "two", "three"]).await;
    let listed = service.call(LIST, "").await.json();
    let id = |at: usize| listed["messages"][at]["id"].clone();
    let wanted = json!({"ids": [id(1)], "to": "repaired", "ttl": 700, "marker": null}).to_string();
    let chosen = service.call(REDRIVE, wanted).await.json();
    assert_eq!(chosen, json!({"redriven": 1, "left": [], "next": null}));
    assert_eq!(bodies(&service, "repaired").await, json!(["two"]));
    let other = service.call(REDRIVE, r#"{"origin": "other"}"#).await.json();
    assert_eq!((&other["redriven"], &other["left"]), (&json!(0), &json!([])));

    let claim = r#"{"ttl": 600, "grace": 60}"#;
    assert_eq!(service.call("POST /v2/queues/dead/claims?limit=1", claim).await.status, 201);
    assert_eq!(service.call("DELETE /v2/queues/q", "").await.status, 204);
    let left = service.call(REDRIVE, r#"{"origin": "q"}"#).await.json();
    let reasons = json!([
        {"id": id(0), "reason": "claimed"},
        {"id": id(2), "reason": "origin_gone"},
    ]);
    assert_eq!((&left["redriven"], &left["left"]), (&json!(0), &reasons));
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 404, "it was made again");
    assert_eq!(bodies(&service, "dead").await, json!(["one", "three"]));
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_by_the_name_of_its_field() {
    let (service, _) = dead(&["one"]).await;
    for (body, word) in [
        (r#"{"surplus": 1}"#, "surplus"),
        (r#"{"to": 1}"#, "to"),
        (r#"{"to": "a b"}"#, "to"),
        (r#"{"to": "dead"}"#, "itself"),
        (r#"{"origin": []}"#, "origin"),
        (r#"{"ids": "x"}"#, "ids"),
        (r#"{"ids": ["x"]}"#, "ids"),
        (r#"{"ids": []}"#, "ids"),
        (r#"{"ttl": 59}"#, "TTL"),
        (r#"{"ttl": "long"}"#, "ttl"),
        (r#"{"limit": 0}"#, "limit"),
        (r#"{"limit": 21}"#, "20"),
        (r#"{"limit": -1}"#, "limit"),
        (r#"{"marker": "x"}"#, "marker"),
        ("[]", "not supported"),
        ("{", "parsed"),
    ] {
        let refused = service.call(REDRIVE, body).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(refused.text.contains(word), "{body}: {}", refused.text);
    }
    assert_eq!(bodies(&service, "dead").await, json!(["one"]));
}

#[tokio::test]
async fn what_is_redriven_counts_as_posted() {
    let mut rates = RateSettings::default();
    rates.all = ProjectRates::new(None, Rate::new(1, 4));
    let service = Service::limited(rates, EngineConfig::default());
    die(&service, &["one", "two", "three"]).await;
    assert_eq!(service.call(REDRIVE, r#"{"limit": 2}"#).await.json()["redriven"], 2);
    assert_eq!(service.post("other", &["1", "2"]).await.len(), 2);
    let refused = service.call(REDRIVE, "").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text);
    assert_eq!(bodies(&service, "dead").await, json!(["three"]));
    service.advance_s(1);
    assert_eq!(service.call(REDRIVE, "").await.json()["redriven"], 1);
}

#[tokio::test]
async fn nothing_goes_to_a_queue_that_the_policy_closes() {
    let file = "\"messages:redrive\": \"'dead':%(queue_name)s or 'open':%(queue_name)s\"\n";
    let mut rest = RestConfig::default();
    rest.policy = Arc::new(Policy::from_text(file, "policy.yaml").unwrap());
    let service = Service::with(rest, EngineConfig::default());
    die(&service, &["one", "two"]).await;
    for closed in [r#"{"to": "shut"}"#, ""] {
        assert_eq!(service.call(REDRIVE, closed).await.status, 403, "{closed}");
    }
    assert_eq!(bodies(&service, "dead").await, json!(["one", "two"]));
    let open = service.call(REDRIVE, r#"{"to": "open"}"#).await.json();
    assert_eq!(open["redriven"], 2);
    assert_eq!(bodies(&service, "open").await, json!(["one", "two"]));
}
