//! Every answer that these tests see, against the service's own description of itself.

use std::sync::OnceLock;

use http::{HeaderMap, Method};
use serde_json::Value;
use zaqar_engine::EngineConfig;
use zaqar_server::rest::{RestConfig, openapi};

use crate::support::{Reply, Service};

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| openapi::document(&EngineConfig::default().limits, true))
}

/// The operation that a request asks for, if there is one.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let fits = |template: &str| {
        let words = template.split('/');
        template.split('/').count() == path.split('/').count()
            && words.zip(path.split('/')).all(|(word, text)| word == text || word.starts_with('{'))
    };
    let mut paths = document()["paths"].as_object()?.iter();
    let (_, item) = paths.find(|(template, _)| fits(template))?;
    item.get(method.as_str().to_ascii_lowercase())
}

/// Asserts that an answer is one that the description knows.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, reply: &Reply) {
    if let Err(reason) = verdict(method, path, reply) {
        panic!("{reason}: {method} {path}: {reply:?}");
    }
}

fn verdict(method: &Method, path: &str, reply: &Reply) -> Result<(), String> {
    let Some(operation) = operation(method, path) else { return Ok(()) };
    let response = operation["responses"].get(reply.status.to_string());
    let response = response.ok_or("the status is not described")?;
    for name in response["headers"].as_object().unwrap().keys() {
        if reply.header(name).is_empty() {
            return Err(format!("{name} is described and missing"));
        }
    }
    let mut contents = response["content"].as_object().into_iter().flatten();
    let Some((media_type, content)) = contents.next() else {
        return if reply.text.is_empty() { Ok(()) } else { Err("a body is not described".into()) };
    };
    if reply.header("content-type") != media_type {
        return Err(format!("its type is not {media_type}"));
    }
    let value: Value = serde_json::from_str(&reply.text).map_err(|error| error.to_string())?;
    fits(&value, &content["schema"])
}

/// Whether a value fits a schema, of the words that the description uses.
fn fits(value: &Value, schema: &Value) -> Result<(), String> {
    for (word, rule) in schema.as_object().unwrap() {
        let fit = match word.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                fits(value, document().pointer(pointer).unwrap())?;
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|one| is_a(value, one)),
                one => is_a(value, one),
            },
            "required" => {
                let mut names = rule.as_array().unwrap().iter();
                names.all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    value.get(name).map_or(Ok(()), |member| fits(member, schema))?;
                }
                true
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object();
                let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
                for (name, member) in value.as_object().into_iter().flatten() {
                    if !is_known(name) {
                        fits(member, rule)?;
                    }
                }
                true
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|one| fits(value, one).is_ok()),
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    fits(item, rule)?;
                }
                true
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "description" => true,
            other => panic!("`{other}` is not checked here"),
        };
        if !fit {
            return Err(format!("{value} does not fit {word} {rule}"));
        }
    }
    Ok(())
}

fn is_a(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("`{other}` is no type"),
    }
}

#[test]
fn an_answer_that_is_not_described_is_noticed() {
    let verdict = |status: u16, text: &str| {
        let headers = HeaderMap::from_iter([
            (http::header::CONTENT_TYPE, "application/json".parse().unwrap()),
            ("x-openstack-request-id".parse().unwrap(), "req-1".parse().unwrap()),
        ]);
        let reply = Reply { status, headers, text: text.to_owned() };
        verdict(&Method::GET, "/v2/queues/q/stats", &reply)
    };
    assert_eq!(verdict(200, r#"{"messages": {"total": 1}}"#), Ok(()));
    for (status, text) in [
        (418, "{}"),
        (200, "no JSON"),
        (200, "[]"),
        (200, r#"{"messages": {}}"#),
        (200, r#"{"messages": {"total": -1}}"#),
        (200, r#"{"messages": {"total": "1"}}"#),
        (503, r#"{"title": "x", "stored": true}"#),
    ] {
        assert!(verdict(status, text).is_err(), "{status} {text}");
    }
}

#[tokio::test]
async fn the_description_is_served_and_is_the_one_that_is_checked_against() {
    let mut rest = RestConfig::default();
    rest.admin_mode = true;
    let service = Service::with(rest, EngineConfig::default());
    let reply = service.call("GET /v2/openapi.json", "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(&reply.json(), document());
    assert_eq!(document()["openapi"], "3.1.0");
}
