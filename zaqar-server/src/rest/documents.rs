//! Request documents: what a body must be before a handler looks at it.

use std::borrow::Cow;

use zaqar_core::JsonObject;

use super::errors::Failure;
use super::json::walk::Walker;
use super::payload::json_text;

/// The members of a JSON object, each with its text; a body that is an array is refused.
pub(crate) fn object_walker(bytes: &[u8]) -> Result<Walker<'_>, Failure> {
    let mut walker = Walker::new(json_text(bytes)?);
    if walker.first_byte() != Some(b'{') {
        return Err(Failure::document_type());
    }
    walker.enter();
    Ok(walker)
}

/// Reads a JSON object whole.
pub(crate) fn object(bytes: &[u8]) -> Result<JsonObject, Failure> {
    let text = json_text(bytes)?;
    if Walker::new(text).first_byte() != Some(b'{') {
        return Err(Failure::document_type());
    }
    serde_json::from_str(text).map_err(|_| Failure::unparsable())
}

/// The integer that a member's text is. `true` and `false` count as 1 and 0, as they always did.
pub(crate) fn integer(text: &str, field: &'static str) -> Result<i64, Failure> {
    match text {
        "true" => Ok(1),
        "false" => Ok(0),
        _ => text.parse().map_err(|_| Failure::not_integer(field)),
    }
}

/// A number for the engine to check against its range; a negative one is in no range.
pub(crate) fn to_unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The text of the last member called `name` of an object.
pub(crate) fn member<'a>(mut object: Walker<'a>, name: &str) -> Option<&'a str> {
    let mut found = None;
    while let Some(key) = object.next_member() {
        let value = object.value();
        if key == Cow::Borrowed(name) {
            found = Some(value);
        }
    }
    found
}
