//! `PATCH` of a queue or topic: changes to metadata, written as JSON patch operations.

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use zaqar_core::QueueKey;
use zaqar_engine::{EngineError, PatchOperation};

use super::answers::{Answer, Outcome};
use super::errors::{Failure, Operation};
use super::json::write::to_text;
use super::names::by_kind;
use super::payload::{Payload, json_text};
use super::queues::{metadata_size_max, too_large};
use super::routes::Call;

const MEDIA_TYPE: &str = "application/openstack-messaging-v2.0-json-patch";
const OPERATIONS: &str = "It must be one of the following: add, remove, replace.";

/// `PATCH /v2/queues/{queue}`, `PATCH /v2/topics/{topic}`
pub(crate) async fn patch(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let read = payload.read(metadata_size_max(call), || Failure::body(too_large(call)));
    let bytes = read.await?;
    if call.headers.get(CONTENT_TYPE).is_none_or(|value| value != MEDIA_TYPE) {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "415 Unsupported Media Type",
            format!("Accepted media type for PATCH: {{'Accept-Patch': '{MEDIA_TYPE}'}}."),
        ));
    }
    if bytes.is_empty() {
        return Err(Failure::body("PATCH body could not be empty for update."));
    }
    let operations = parse(&bytes)?;
    let answer =
        call.engine().queue_patch(key, &operations).await.map_err(|error| match error {
            EngineError::Attribute { message } => Failure::body(message),
            other => {
                let (queue, topic) = ("Queue could not be updated.", "Topic could not be updated.");
                Operation::write(key, by_kind(key.kind, queue, topic)).failed(other)
            }
        })?;
    Ok(Answer::ok(to_text(&answer)))
}

fn parse(bytes: &[u8]) -> Result<Vec<PatchOperation>, Failure> {
    let text = json_text(bytes)?;
    let document: Value = serde_json::from_str(text).map_err(|_| Failure::unparsable())?;
    let Value::Array(items) = document else { return Err(Failure::document_type()) };
    items.into_iter().map(operation).collect()
}

fn operation(item: Value) -> Result<PatchOperation, Failure> {
    let Value::Object(mut members) = item else {
        return Err(Failure::body("Operations must be JSON objects."));
    };
    let verb = verb(&members)?;
    let pointer = members
        .get("path")
        .ok_or_else(|| Failure::body("Unable to find 'path' in JSON Schema change"))?;
    let key = key(pointer)?;
    if verb == Verb::Remove {
        return Ok(PatchOperation::Remove { key: key? });
    }
    let name = if verb == Verb::Add { "add" } else { "replace" };
    let value = members.remove("value").ok_or_else(|| {
        Failure::body(format!("Operation \"{name}\" requires a member named \"value\"."))
    })?;
    let key = key?;
    Ok(match verb {
        Verb::Replace => PatchOperation::Replace { key, value },
        _ => PatchOperation::Add { key, value },
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Remove,
    Replace,
}

fn verb(members: &Map<String, Value>) -> Result<Verb, Failure> {
    let Some(op) = members.get("op") else {
        let text = format!("Unable to find `op` in JSON Schema change. {OPERATIONS}");
        return Err(Failure::body(text));
    };
    match op.as_str() {
        Some("add") => Ok(Verb::Add),
        Some("remove") => Ok(Verb::Remove),
        Some("replace") => Ok(Verb::Replace),
        _ => {
            let shown = op.as_str().map_or_else(|| op.to_string(), str::to_owned);
            Err(Failure::body(format!("Invalid operation: `{shown}`. {OPERATIONS}")))
        }
    }
}

/// The metadata key that a pointer names. The outer error is about the pointer itself, the inner
/// one about where it points.
fn key(pointer: &Value) -> Result<Result<String, Failure>, Failure> {
    let Some(pointer) = pointer.as_str() else {
        return Err(Failure::body(format!("Pointer `{pointer}` does not start with \"/\".")));
    };
    check_syntax(pointer)?;
    let segments: Vec<&str> = pointer.split('/').skip(1).collect();
    let [root, key] = segments.as_slice() else {
        let text =
            format!("Invalid JSON pointer for this resource: '{pointer}, e.g /metadata/key'");
        return Err(Failure::body(text));
    };
    if !unescape(root).eq_ignore_ascii_case("metadata") {
        let text = "The root of path must be metadata, e.g /metadata/key.";
        return Ok(Err(Failure::body(text)));
    }
    Ok(Ok(unescape(key)))
}

fn check_syntax(pointer: &str) -> Result<(), Failure> {
    let refused = |what: &str| Err(Failure::body(format!("Pointer `{pointer}` {what}")));
    let Some(rest) = pointer.strip_prefix('/') else {
        return refused("does not start with \"/\".");
    };
    let mut behind_first = rest.split('/').skip(1).peekable();
    while let Some(segment) = behind_first.next() {
        if segment.trim().is_empty() {
            return match behind_first.peek() {
                Some(_) => refused("contains adjacent \"/\"."),
                None => refused("end with \"/\"."),
            };
        }
    }
    let mut tildes = rest.split('~').skip(1);
    if !tildes.all(|behind| behind.starts_with(['0', '1'])) {
        return refused("contains \"~\" not part of a recognized escape sequence.");
    }
    Ok(())
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_with_escapes_and_blanks_undone() {
        let text = r#"[
            {"op": "add", "path": "/metadata/a~1b~0c", "value": 1, "other": true},
            {"op": "replace", "path": "/METADATA/ key ", "value": null},
            {"op": "remove", "path": "/metadata/x"}
        ]"#;
        let expected = [
            PatchOperation::Add { key: "a/b~c".into(), value: 1.into() },
            PatchOperation::Replace { key: "key".into(), value: Value::Null },
            PatchOperation::Remove { key: "x".into() },
        ];
        assert_eq!(parse(text.as_bytes()).unwrap(), expected);
        assert!(parse(b"[]").unwrap().is_empty());
    }
}
