//! What a tenant has, what an attacker knows of it, and the same of things that never were.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::answers::masked;
use crate::tenant::Tenant;

/// Incarnations that no store gives out, as ids begin with them: of a queue, and of a topic.
const NO_QUEUE: &str = "7fffffffff";
const NO_TOPIC: &str = "7ffffffffe";
const TTL_S: u32 = 80_000;

/// Twelve characters that nobody else uses.
pub(crate) fn fresh() -> String {
    Uuid::new_v4().simple().to_string().split_off(20)
}

/// Names of a queue and a topic.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) queue: String,
    pub(crate) topic: String,
}

impl Names {
    pub(crate) fn fresh() -> Self {
        Self { queue: format!("queue-{}", fresh()), topic: format!("topic-{}", fresh()) }
    }
}

/// What is known of a tenant's things: words for the holes in a request.
#[derive(Debug, Clone)]
pub(crate) struct Leak {
    words: Vec<(&'static str, String)>,
    /// Headers that open the queue's messages, claims and subscriptions.
    pub(crate) signature: [(&'static str, String); 4],
}

impl Leak {
    /// A text with each `{word}` replaced by what is known under it.
    pub(crate) fn fill(&self, template: &str) -> String {
        let replaced = |text: String, (word, value): &(&str, String)| {
            text.replace(&format!("{{{word}}}"), value)
        };
        self.words.iter().fold(template.to_owned(), replaced)
    }

    /// A text in which what is known is called by its word again.
    pub(crate) fn hide(&self, text: &str) -> String {
        let [(_, signature), ..] = &self.signature;
        let replaced = |text: String, (word, value): &(&str, String)| {
            text.replace(value.as_str(), &format!("{{{word}}}"))
        };
        self.words.iter().fold(text.replace(signature.as_str(), "{signature}"), replaced)
    }

    pub(crate) fn word(&self, wanted: &str) -> &str {
        self.words.iter().find(|(word, _)| *word == wanted).map_or("", |(_, value)| value)
    }

    /// The same of things that never were, of queues with these names. Everything is as long.
    pub(crate) fn of_nothing(&self, names: &Names) -> Self {
        let absent = |(word, value): &(&'static str, String)| {
            let value = match *word {
                "queue" => names.queue.clone(),
                "topic" => names.topic.clone(),
                "claim" => Uuid::new_v4().simple().to_string(),
                "hook" => format!("{}{}", &value[..value.len() - 12], fresh()),
                "topic_message" | "topic_subscription" => {
                    format!("{NO_TOPIC}{}", &value[NO_TOPIC.len()..])
                }
                _ => format!("{NO_QUEUE}{}", &value[NO_QUEUE.len()..]),
            };
            (*word, value)
        };
        let mut nothing = Self {
            words: self.words.iter().map(absent).collect(),
            signature: self.signature.clone(),
        };
        for (name, value) in &mut nothing.signature {
            *value = match *name {
                "url-signature" => format!("{0}{0}", Uuid::new_v4().simple()),
                _ => value.replace(self.word("queue"), &names.queue),
            };
        }
        nothing
    }
}

/// Gives a tenant a queue and a topic with everything that can be in them; what it would leak.
pub(crate) async fn settle(tenant: &mut Tenant, names: &Names) -> Leak {
    let (queue, topic) = (&names.queue, &names.topic);
    let secret = format!("a secret of {}", tenant.project());
    let metadata = json!({"note": secret, "_default_message_ttl": 3_000});
    for line in [format!("PUT /v2/queues/{queue}"), format!("PUT /v2/topics/{topic}")] {
        tenant.does(&line, &metadata).await;
    }
    let posted = async |tenant: &mut Tenant, path: &str| {
        let message = |n: u32| json!({"body": {"n": n, "text": secret}, "ttl": TTL_S});
        let late = json!({"body": {"late": secret}, "ttl": TTL_S, "delay": 900});
        let messages: Vec<Value> = (0..4).map(message).chain([late]).collect();
        let made = tenant.does(&format!("POST {path}"), &json!({"messages": messages})).await;
        ids(&made["resources"])
    };
    let messages = posted(tenant, &format!("/v2/queues/{queue}/messages")).await;
    let topic_messages = posted(tenant, &format!("/v2/topics/{topic}/messages")).await;

    let terms = json!({"ttl": 40_000, "grace": 60});
    let claimed = tenant.does(&format!("POST /v2/queues/{queue}/claims?limit=2"), &terms).await;
    let href = claimed["messages"][0]["href"].as_str().unwrap();
    let (_, claim) = href.split_once("claim_id=").unwrap();
    let line = format!("GET /v2/queues/{queue}/messages?limit=1&echo=true");
    let page = tenant.does(&line, &Value::Null).await;
    let next = page["links"][0]["href"].as_str().unwrap();
    let marker = next.split(['?', '&']).find_map(|pair| pair.strip_prefix("marker=")).unwrap();

    let subscribed = async |tenant: &mut Tenant, path: &str| {
        let hook = hook(tenant);
        let wanted = json!({"subscriber": hook, "ttl": TTL_S, "options": {"note": secret}});
        let made = tenant.does(&format!("POST {path}"), &wanted).await;
        made["subscription_id"].as_str().unwrap().to_owned()
    };
    let subscription = subscribed(tenant, &format!("/v2/queues/{queue}/subscriptions")).await;
    let topical = subscribed(tenant, &format!("/v2/topics/{topic}/subscriptions")).await;
    let words = vec![
        ("queue", queue.clone()),
        ("topic", topic.clone()),
        ("claimed", messages[0].clone()),
        ("message", messages[2].clone()),
        ("delayed", messages[4].clone()),
        ("topic_message", topic_messages[0].clone()),
        ("claim", claim.to_owned()),
        ("marker", marker.to_owned()),
        ("subscription", subscription),
        ("topic_subscription", topical),
        ("hook", hook(tenant)),
    ];
    Leak { words, signature: signature(tenant, queue).await }
}

/// An address where nobody listens.
fn hook(tenant: &Tenant) -> String {
    format!("http://127.0.0.1:9/{}", tenant.project())
}

async fn signature(tenant: &mut Tenant, queue: &str) -> [(&'static str, String); 4] {
    let methods = json!(["DELETE", "GET", "PATCH", "POST", "PUT"]);
    let wanted = json!({"paths": ["messages", "claims", "subscriptions"], "methods": methods});
    let shared = tenant.does(&format!("POST /v2/queues/{queue}/share"), &wanted).await;
    let list = |member: &str| {
        let items = shared[member].as_array().unwrap().iter();
        items.map(|item| item.as_str().unwrap()).collect::<Vec<_>>().join(",")
    };
    [
        ("url-signature", shared["signature"].as_str().unwrap().to_owned()),
        ("url-expires", shared["expires"].as_str().unwrap().to_owned()),
        ("url-methods", list("methods")),
        ("url-paths", list("paths")),
    ]
}

fn ids(resources: &Value) -> Vec<String> {
    let id = |path: &Value| path.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    resources.as_array().unwrap().iter().map(id).collect()
}

/// Everything that a tenant can see of what it has; only ages are left out.
pub(crate) async fn inventory(tenant: &mut Tenant, leak: &Leak) -> Vec<String> {
    const ALL: &str = "limit=20&echo=true&include_claimed=true&include_delayed=true";
    let paths = [
        "/v2/queues?detailed=true&with_count=true".to_owned(),
        "/v2/topics?detailed=true&limit=20".to_owned(),
        "/v2/queues/{queue}".to_owned(),
        "/v2/topics/{topic}".to_owned(),
        "/v2/queues/{queue}/stats".to_owned(),
        "/v2/topics/{topic}/stats".to_owned(),
        format!("/v2/queues/{{queue}}/messages?{ALL}"),
        format!("/v2/topics/{{topic}}/messages?{ALL}"),
        "/v2/queues/{queue}/messages?limit=20&echo=true".to_owned(),
        "/v2/queues/{queue}/messages/{claimed}".to_owned(),
        "/v2/queues/{queue}/messages/{delayed}".to_owned(),
        "/v2/queues/{queue}/claims/{claim}".to_owned(),
        "/v2/queues/{queue}/subscriptions".to_owned(),
        "/v2/queues/{queue}/subscriptions/{subscription}".to_owned(),
        "/v2/topics/{topic}/subscriptions".to_owned(),
        "/v2/topics/{topic}/subscriptions/{topic_subscription}".to_owned(),
    ];
    let mut seen = Vec::with_capacity(paths.len());
    for path in paths {
        seen.push(masked(&tenant.sees(&leak.fill(&path)).await));
    }
    seen
}
