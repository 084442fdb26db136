//! The service's description in OpenAPI 3.1, as `GET /v2/openapi.json` serves it.
//!
//! Paths, methods and policy rules are those of the table of routes; `operations` says what each
//! takes and answers, `components.json` of which form that is, and the bounds are the server's own.

mod operations;

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};
use zaqar_engine::Limits;

use super::answers::{Answer, Outcome};
use super::json::write::to_text;
use super::request_id::REQUEST_ID;
use super::routes::{self, Call, Guard};
use operations::{OPERATIONS, Operation, Takes};

const COMPONENTS: &str = include_str!("components.json");
const DESCRIPTION: &str = "Durable message queues: the messaging API of OpenStack, version 2. \
    Errors are JSON objects with a `title` and, mostly, a `description`; after a failure of the \
    server `stored` says whether the request may have taken effect.";

/// What every operation but the list of versions may end in.
const FAILURES: [(&str, &str, &str); 7] = [
    ("400", "Something in the request is not as it must be", "Error"),
    ("401", "The token is missing or does not hold", "Unauthenticated"),
    ("403", "The caller may not do this, or a quota is used up", "Error"),
    ("404", "There is no such thing, or the signature does not cover it", "Error"),
    ("406", "The client takes no JSON", "Error"),
    ("500", "A defect of the server, which its log names under the request's id", "Error"),
    ("503", "Not now; `Retry-After` may say when", "Error"),
];

/// `GET /v2/openapi.json`
pub(super) async fn get(call: &Call<'_>) -> Outcome {
    Ok(Answer::ok(call.description()))
}

/// The document's text.
pub(super) fn text(limits: &Limits, admin_mode: bool) -> Bytes {
    to_text(&document(limits, admin_mode)).into()
}

/// The document: what is served with these limits, in admin mode what is served then alone, too.
#[must_use]
pub fn document(limits: &Limits, admin_mode: bool) -> Value {
    let mut paths = Map::new();
    for (method, path, guard) in routes::guards(admin_mode) {
        let Some(operation) = described(method, path) else { continue };
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[method.as_str().to_ascii_lowercase()] = operation.show(path, guard);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Zaqar",
            "version": "2",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": components(limits),
    })
}

/// What is said of a method of a path.
fn described(method: &Method, path: &str) -> Option<&'static Operation> {
    let path = path.replace("/topics", "/queues").replace("{topic}", "{queue}");
    let line = format!("{method} {path}");
    OPERATIONS.iter().find(|operation| operation.line == line)
}

fn components(limits: &Limits) -> Value {
    // The text is part of the program, and a test reads it.
    let mut components: Value = serde_json::from_str(COMPONENTS).unwrap_or_default();
    let bounds = [
        ("/parameters/QueuesLimit/schema/maximum", limits.queues_per_page_max),
        ("/parameters/MessagesLimit/schema/maximum", limits.messages_per_page_max),
        ("/parameters/SubscriptionsLimit/schema/maximum", limits.subscriptions_per_page_max),
        ("/parameters/PoolsLimit/schema/maximum", limits.pools_per_page_max),
        ("/parameters/FlavorsLimit/schema/maximum", limits.flavors_per_page_max),
        ("/parameters/ClaimLimit/schema/maximum", limits.messages_per_claim_or_pop_max),
        ("/parameters/Wait/schema/maximum", limits.wait_max),
        ("/parameters/Pop/schema/maximum", limits.messages_per_claim_or_pop_max),
        ("/parameters/Ids/schema/maxItems", limits.messages_per_page_max),
        ("/schemas/NewMessages/properties/messages/maxItems", limits.messages_per_post_max),
        ("/schemas/NewMessage/properties/ttl/maximum", limits.message_ttl_max),
        ("/schemas/NewMessage/properties/delay/maximum", limits.message_delay_max),
        ("/schemas/ClaimTerms/properties/ttl/maximum", limits.claim_ttl_max),
        ("/schemas/ClaimTerms/properties/grace/maximum", limits.claim_grace_max),
    ];
    for (pointer, bound) in bounds {
        let Some((parent, member)) = pointer.rsplit_once('/') else { continue };
        if let Some(Value::Object(schema)) = components.pointer_mut(parent) {
            schema.insert(member.to_owned(), bound.into());
        }
    }
    components
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn parameter(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

impl Operation {
    /// The operation as the document has it at this path.
    fn show(&self, path: &str, guard: Guard) -> Value {
        let kind = if path.starts_with("/v2/topics") { "topic" } else { "queue" };
        let is_about_kind = self.line.contains("/v2/queues");
        let id = if is_about_kind { format!("{kind}_{}", self.id) } else { self.id.to_owned() };
        let mut shown = Map::new();
        let mut add = |member: &str, value: Value| shown.insert(member.to_owned(), value);
        add("operationId", id.into());
        add("summary", self.summary.replace("queue", kind).into());
        add("parameters", self.parameters(path));
        add("responses", self.responses(path));
        match guard {
            Guard::Rule(rule) => add("x-policy-rule", rule.name().into()),
            Guard::Nothing => add("security", json!([])),
        };
        if let Some(body) = self.body() {
            add("requestBody", body);
        }
        shown.into()
    }

    fn parameters(&self, path: &str) -> Value {
        let mut names = Vec::new();
        if path != "/" {
            names.extend(["ClientId", "ProjectId"]);
        }
        for (variable, name) in [("{queue}", "Queue"), ("{topic}", "Topic"), ("{id}", "Id")] {
            names.extend(path.contains(variable).then_some(name));
        }
        // Topics are not counted: there the word selects by metadata, like any other.
        let is_known = |name: &&&str| !(path == "/v2/topics" && **name == "WithCount");
        names.extend(self.parameters.iter().filter(is_known));
        names.into_iter().map(parameter).collect()
    }

    fn body(&self) -> Option<Value> {
        let (name, media_type, required) = match self.takes {
            Takes::Nothing => return None,
            Takes::Maybe(name) => (name, "application/json", false),
            Takes::Json(name) => (name, "application/json", true),
            Takes::Patch(name) => (name, "application/openstack-messaging-v2.0-json-patch", true),
        };
        Some(json!({"required": required, "content": {media_type: {"schema": schema(name)}}}))
    }

    fn responses(&self, path: &str) -> Value {
        let is_head = self.line.starts_with("HEAD ");
        let request_id = json!({"$ref": "#/components/headers/RequestId"});
        let mut responses = Map::new();
        let mut add =
            |status: String, text: &str, media_type: &str, body: Option<&str>, located| {
                let mut headers = Map::new();
                headers.insert(REQUEST_ID.to_string(), request_id.clone());
                if located {
                    let location = json!({"$ref": "#/components/headers/Location"});
                    headers.insert("Location".to_owned(), location);
                }
                let mut response = Map::new();
                response.insert("description".to_owned(), text.into());
                response.insert("headers".to_owned(), headers.into());
                if let Some(name) = body.filter(|_| !is_head) {
                    let content = json!({media_type: {"schema": schema(name)}});
                    response.insert("content".to_owned(), content);
                }
                responses.insert(status, response.into());
            };
        for answer in self.answers {
            let is_home = path == "/v2/" && answer.status == 200;
            let media_type = if is_home { "application/json-home" } else { "application/json" };
            let (text, located) = (meaning(answer.status), answer.located);
            add(answer.status.to_string(), text, media_type, answer.schema, located);
        }
        for (status, text, name) in FAILURES {
            // The probe's refusal has no body: the status is all there is to say.
            let body = (path != "/v2/ping" || status != "503").then_some(name);
            add(status.to_owned(), text, "application/json", body, false);
        }
        responses.into()
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        200 => "Done",
        201 => "Made",
        204 => "Done, with nothing to say",
        300 => "The versions that there are",
        409 => "It collides with what is there",
        _ => "The body's media type is another one",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_is_described_once_and_nothing_else_is() {
        let document = document(&Limits::default(), true);
        let mut shown = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                shown.insert(format!("{} {path}", method.to_ascii_uppercase()));
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} is there twice");
            }
        }
        let served: BTreeSet<String> =
            routes::endpoints(true).map(|(method, path)| format!("{method} {path}")).collect();
        assert_eq!(shown, served);
        for operation in OPERATIONS {
            assert!(served.contains(operation.line), "{} is not served", operation.line);
        }
        let without = super::document(&Limits::default(), false);
        assert!(without["paths"].get("/v2/health").is_none());
        // Health, pools, moves and flavors.
        assert_eq!(served.len() - 13, routes::endpoints(false).count());
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_component_is_used() {
        let document = document(&Limits::default(), true);
        let text = document.to_string();
        let mut used = BTreeSet::new();
        for (_, behind) in text.match_indices("\"#/").map(|(at, _)| text.split_at(at + 2)) {
            let pointer = behind.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            used.insert(pointer.to_owned());
        }
        for (group, components) in document["components"].as_object().unwrap() {
            for name in components.as_object().unwrap().keys() {
                let pointer = format!("/components/{group}/{name}");
                assert!(group == "securitySchemes" || used.contains(&pointer), "{pointer}");
            }
        }
    }

    #[test]
    fn the_bounds_are_the_servers_own() {
        let mut limits = Limits::default();
        limits.messages_per_page_max = 7;
        let document = document(&limits, false);
        let bound = |pointer: &str| document.pointer(pointer).cloned();
        let parameters = "/components/parameters";
        assert_eq!(bound(&format!("{parameters}/MessagesLimit/schema/maximum")), Some(7.into()));
        assert_eq!(bound(&format!("{parameters}/Ids/schema/maxItems")), Some(7.into()));
        assert_eq!(
            bound("/components/schemas/NewMessage/properties/ttl/maximum"),
            Some(limits.message_ttl_max.into())
        );
    }
}
