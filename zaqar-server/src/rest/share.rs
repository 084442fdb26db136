//! `POST /v2/queues/{queue}/share`: leave to use a queue without a token, handed out as a signature.

use http::Method;
use serde_json::{Value, json};
use zaqar_core::{QueueKey, Ttl};

use super::answers::{Answer, Outcome};
use super::documents;
use super::errors::Failure;
use super::json::write::to_text;
use super::names;
use super::payload::Payload;
use super::routes::Call;
use crate::signed_url::{Expiry, Grant};

const KEYS: [&str; 3] = ["paths", "methods", "expires"];
/// What may be shared, below the queue.
const PATHS: [&str; 3] = ["messages", "subscriptions", "claims"];
/// How long a signature holds if nobody says, in seconds.
const LIFE_S_DEFAULT: u64 = 86_400;

/// `POST /v2/queues/{queue}/share`: the queue need not be there, and is not made.
pub(crate) async fn share(call: &Call<'_>, key: &QueueKey, payload: &mut Payload) -> Outcome {
    let bytes = payload.read_small().await?;
    if bytes.is_empty() {
        return Err(Failure::empty_body());
    }
    let document = documents::object(&bytes)?;
    let unknown: Vec<&str> =
        document.keys().map(String::as_str).filter(|key| !KEYS.contains(key)).collect();
    if !unknown.is_empty() {
        return Err(Failure::api(format!("Unknown keys: {}", set(&unknown))));
    }
    let member = |name: &str| document.get(name).unwrap_or(&Value::Null);
    let paths = paths(key, member("paths"))?;
    let methods = methods(member("methods"))?;
    let expiry = expiry(call, member("expires"))?;
    let grant = Grant::new(paths, methods, key.project.as_str(), expiry);
    let signature = call.config().url_signer.sign(&grant);
    let signature = signature.ok_or_else(|| Failure::api("The `key` can't be None"))?;
    Ok(Answer::ok(to_text(&json!({
        "paths": grant.paths(),
        "methods": grant.methods(),
        "project": grant.project(),
        "expires": expiry.to_string(),
        "signature": signature,
    }))))
}

/// The paths that are asked for: messages, if nobody says.
fn paths(key: &QueueKey, value: &Value) -> Result<Vec<String>, Failure> {
    let wanted = texts(value).ok_or_else(|| Failure::api("`paths` should be a list"))?;
    let unknown: Vec<&str> = wanted.iter().copied().filter(|path| !PATHS.contains(path)).collect();
    if !unknown.is_empty() {
        return Err(Failure::api(format!("Invalid paths: {}", set(&unknown))));
    }
    let wanted = if wanted.is_empty() { vec!["messages"] } else { wanted };
    let queue = names::path(key);
    Ok(wanted.into_iter().map(|path| format!("{queue}/{path}")).collect())
}

/// The methods that are asked for: reading, if nobody says.
fn methods(value: &Value) -> Result<Vec<String>, Failure> {
    let wanted = texts(value).ok_or_else(|| Failure::api("`methods` should be a list"))?;
    // What is no method must not be signed either: it could look like another part of the text.
    let wrong: Vec<&str> =
        wanted.iter().copied().filter(|name| name.parse::<Method>().is_err()).collect();
    if !wrong.is_empty() {
        return Err(Failure::api(format!("Invalid methods: {}", set(&wrong))));
    }
    let wanted = if wanted.is_empty() { vec!["GET"] } else { wanted };
    Ok(wanted.into_iter().map(str::to_owned).collect())
}

/// The items of a list of texts; none for null.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// When the leave ends: a day from now, if nobody says.
fn expiry(call: &Call<'_>, value: &Value) -> Result<Expiry, Failure> {
    let now = call.engine().clock().now();
    let text = match value {
        Value::Null => return Ok(Expiry::at(now.after(Ttl::from_secs_clamped(LIFE_S_DEFAULT)))),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::api(format!(
            "`expires` should be date format, for example 2016-01-01T00:00:00, not integer value: \
             {text}"
        )));
    }
    let unreadable = || Failure::api(format!("Unable to parse date string '{text}'"));
    let expiry = Expiry::parse(&text).ok_or_else(unreadable)?;
    if expiry.is_over(now) {
        return Err(Failure::api("`expires` is lower than the current time"));
    }
    Ok(expiry)
}

/// `{'a', 'b'}`, as these texts have always shown a set.
fn set(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("'{item}'")).collect();
    format!("{{{}}}", quoted.join(", "))
}
