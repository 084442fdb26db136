//! Discovery: the versions at `/`, and the home document of version 2.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answers::{Answer, Outcome};
use super::routes::Call;

/// Discovery clients compare this document as a whole, the one-digit month included.
const VERSIONS: &str = "{\"versions\": [{\"id\": \"2\", \"status\": \"CURRENT\", \"updated\": \
    \"2014-9-24T04:06:47Z\", \"media-types\": [{\"base\": \"application/json\", \"type\": \
    \"application/vnd.openstack.messaging-v2+json\"}], \"links\": [{\"href\": \"/v2/\", \"rel\": \
    \"self\"}]}]}";

/// `GET /`
pub(crate) fn versions() -> Answer {
    Answer::json(StatusCode::MULTIPLE_CHOICES, VERSIONS)
}

/// `GET /v2/`
pub(crate) async fn home(call: &Call<'_>) -> Outcome {
    Ok(Answer::ok(call.home_document())
        .content_type(HeaderValue::from_static("application/json-home"))
        .header(CACHE_CONTROL, "max-age=86400"))
}

/// One resource: relation, template, variables (each with the name of its parameter where that is
/// another), methods, and whether it takes a JSON document by POST or PATCH.
struct Resource {
    relation: &'static str,
    template: &'static str,
    variables: &'static [(&'static str, &'static str)],
    allow: &'static [&'static str],
    takes_document: bool,
}

const fn resource(
    relation: &'static str,
    template: &'static str,
    variables: &'static [(&'static str, &'static str)],
    allow: &'static [&'static str],
) -> Resource {
    Resource { relation, template, variables, allow, takes_document: false }
}

const fn taking_document(
    relation: &'static str,
    template: &'static str,
    variables: &'static [(&'static str, &'static str)],
    allow: &'static [&'static str],
) -> Resource {
    Resource { relation, template, variables, allow, takes_document: true }
}

const QUEUE: (&str, &str) = ("queue_name", "queue_name");
const MESSAGE: (&str, &str) = ("message_id", "message_id");
const CLAIM: (&str, &str) = ("claim_id", "claim_id");
const SUBSCRIPTION: (&str, &str) = ("subscriptions_id", "subscriptions_id");
const SUBSCRIPTION_LIMIT: (&str, &str) = ("limit", "subscription_limit");

const RESOURCES: &[Resource] = &[
    resource(
        "rel/queues",
        "/v2/queues{?marker,limit,detailed}",
        &[("marker", "marker"), ("limit", "queue_limit"), ("detailed", "detailed")],
        &["GET"],
    ),
    resource("rel/queue", "/v2/queues/{queue_name}", &[QUEUE], &["GET", "PUT", "DELETE", "PATCH"]),
    resource("rel/queue_stats", "/v2/queues/{queue_name}/stats", &[QUEUE], &["GET"]),
    taking_document("rel/queue_share", "/v2/queues/{queue_name}/share", &[QUEUE], &["POST"]),
    taking_document("rel/queue_purge", "/v2/queues/{queue_name}/purge", &[QUEUE], &["POST"]),
    resource(
        "rel/messages",
        "/v2/queues/{queue_name}/messages{?marker,limit,echo,include_claimed}",
        &[
            QUEUE,
            ("marker", "marker"),
            ("limit", "messages_limit"),
            ("echo", "echo"),
            ("include_claimed", "include_claimed"),
        ],
        &["GET"],
    ),
    taking_document("rel/post_messages", "/v2/queues/{queue_name}/messages", &[QUEUE], &["POST"]),
    resource(
        "rel/messages_delete",
        "/v2/queues/{queue_name}/messages{?ids,pop}",
        &[QUEUE, ("ids", "ids"), ("pop", "pop")],
        &["DELETE"],
    ),
    resource(
        "rel/message_delete",
        "/v2/queues/{queue_name}/messages/{message_id}{?claim}",
        &[QUEUE, MESSAGE, ("claim", "claim_id")],
        &["DELETE"],
    ),
    resource(
        "rel/message_get",
        "/v2/queues/{queue_name}/messages/{message_id}",
        &[QUEUE, MESSAGE],
        &["GET"],
    ),
    resource("rel/claim", "/v2/queues/{queue_name}/claims/{claim_id}", &[QUEUE, CLAIM], &["GET"]),
    taking_document(
        "rel/post_claim",
        "/v2/queues/{queue_name}/claims{?limit}",
        &[QUEUE, ("limit", "claim_limit")],
        &["POST"],
    ),
    taking_document(
        "rel/patch_claim",
        "/v2/queues/{queue_name}/claims/{claim_id}",
        &[QUEUE, CLAIM],
        &["PATCH"],
    ),
    resource(
        "rel/delete_claim",
        "/v2/queues/{queue_name}/claims/{claim_id}",
        &[QUEUE, CLAIM],
        &["DELETE"],
    ),
    resource(
        "rel/subscriptions_get",
        "/v2/queues/{queue_name}/subscriptions{?marker,limit}",
        &[QUEUE, ("marker", "marker"), SUBSCRIPTION_LIMIT],
        &["GET"],
    ),
    taking_document(
        "rel/subscriptions_post",
        "/v2/queues/{queue_name}/subscriptions",
        &[QUEUE, SUBSCRIPTION_LIMIT],
        &["POST"],
    ),
    resource(
        "rel/subscription",
        "/v2/queues/{queue_name}/subscriptions/{subscriptions_id}",
        &[QUEUE, SUBSCRIPTION],
        &["GET", "DELETE"],
    ),
    taking_document(
        "rel/subscription_patch",
        "/v2/queues/{queue_name}/subscriptions/{subscriptions_id}",
        &[QUEUE, SUBSCRIPTION],
        &["PATCH"],
    ),
    resource("rel/ping", "/v2/ping", &[], &["GET"]),
];

/// What is served in admin mode alone; pools and flavors are there whether or not there are any.
const ADMIN_RESOURCES: &[Resource] = &[
    resource(
        "rel/pools",
        "/v2/pools{?detailed,limit,marker}",
        &[("detailed", "detailed"), ("limit", "pool_limit"), ("marker", "marker")],
        &["GET"],
    ),
    resource(
        "rel/pool",
        "/v2/pools/{pool_name}",
        &[("pool_name", "pool_name")],
        &["GET", "PUT", "PATCH", "DELETE"],
    ),
    resource(
        "rel/flavors",
        "/v2/flavors{?detailed,limit,marker}",
        &[("detailed", "detailed"), ("limit", "flavor_limit"), ("marker", "marker")],
        &["GET"],
    ),
    resource(
        "rel/flavor",
        "/v2/flavors/{flavor_name}",
        &[("flavor_name", "flavor_name")],
        &["GET", "PUT", "PATCH", "DELETE"],
    ),
];

/// The home document: the resources that are served, in the form that clients look them up.
pub(crate) fn document(admin_mode: bool) -> Bytes {
    let mut resources: Map<String, Value> =
        RESOURCES.iter().map(|r| (r.relation.to_owned(), r.describe())).collect();
    if admin_mode {
        resources.extend(ADMIN_RESOURCES.iter().map(|r| (r.relation.to_owned(), r.describe())));
        let health = json!({
            "href": "/v2/health",
            "hints": {"allow": ["GET"], "formats": {"application/json": {}}},
        });
        resources.insert("rel/health".to_owned(), health);
    }
    let mut bytes = Vec::with_capacity(8_192);
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indent);
    // Writing to a vector cannot fail, and JSON's own types always serialise.
    json!({"resources": resources}).serialize(&mut serializer).unwrap_or_default();
    bytes.into()
}

impl Resource {
    fn describe(&self) -> Value {
        let mut described = Map::new();
        described.insert("href-template".to_owned(), self.template.into());
        if !self.variables.is_empty() {
            let variable = |&(name, parameter): &(&str, &str)| {
                (name.to_owned(), Value::from(format!("param/{parameter}")))
            };
            let variables: Map<String, Value> = self.variables.iter().map(variable).collect();
            described.insert("href-vars".to_owned(), variables.into());
        }
        let mut hints = json!({"allow": self.allow, "formats": {"application/json": {}}});
        if let (true, Value::Object(hints)) = (self.takes_document, &mut hints) {
            hints.insert("accept-post".to_owned(), json!(["application/json"]));
        }
        described.insert("hints".to_owned(), hints);
        described.into()
    }
}
