//! MessagePack to JSON text and back.
//!
//! What JSON cannot say is refused: byte strings, extensions, floats that are not finite, keys that
//! are no strings, strings that are not UTF-8.

use std::borrow::Cow;

use rmpv::{Integer, Utf8StringRef, ValueRef};
use serde_json::Value;

use crate::rest::json::scan::DEPTH_MAX;
use crate::rest::json::write::{push, push_string};

/// How deep the reader follows a document: it counts a container as two levels, and a string in the
/// innermost as two more. What is deeper than the border allows is refused by the check of the text.
const READER_DEPTH_MAX: usize = 2 * DEPTH_MAX as usize + 8;

/// Why a document has no JSON form.
pub(super) type Reason = Cow<'static, str>;

/// The JSON text of a MessagePack document.
///
/// The document in memory is gone when this returns: it is many times as large as its bytes.
pub(super) fn to_json(mut bytes: &[u8]) -> Result<String, Reason> {
    let mut out = String::with_capacity(bytes.len().saturating_mul(5) / 4);
    let value = rmpv::decode::read_value_ref_with_max_depth(&mut bytes, READER_DEPTH_MAX)
        .map_err(|_| Reason::Borrowed("The document could not be parsed."))?;
    if !bytes.is_empty() {
        return Err(Reason::Borrowed("There is something behind the document."));
    }
    push_value(&mut out, &value)?;
    Ok(out)
}

fn push_value(out: &mut String, value: &ValueRef<'_>) -> Result<(), Reason> {
    match value {
        ValueRef::Nil => out.push_str("null"),
        ValueRef::Boolean(flag) => push(out, flag),
        ValueRef::Integer(number) => push_integer(out, number),
        ValueRef::F32(number) => push_float(out, f64::from(*number))?,
        ValueRef::F64(number) => push_float(out, *number)?,
        ValueRef::String(text) => push_string(out, utf8(text)?),
        ValueRef::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                push_value(out, item)?;
            }
            out.push(']');
        }
        ValueRef::Map(members) => push_map(out, members)?,
        ValueRef::Binary(_) => return Err(Reason::Borrowed("A byte string has no JSON form.")),
        ValueRef::Ext(..) => return Err(Reason::Borrowed("An extension has no JSON form.")),
    }
    Ok(())
}

fn push_map(out: &mut String, members: &[(ValueRef<'_>, ValueRef<'_>)]) -> Result<(), Reason> {
    out.push('{');
    for (at, (key, value)) in members.iter().enumerate() {
        let ValueRef::String(key) = key else {
            return Err(Reason::Borrowed("The keys of a map must be strings."));
        };
        out.push_str(if at > 0 { "," } else { "" });
        push_string(out, utf8(key)?);
        out.push(':');
        push_value(out, value)?;
    }
    out.push('}');
    Ok(())
}

/// One beyond 64 bits is written too: the check of the text refuses it.
fn push_integer(out: &mut String, number: &Integer) {
    push(out, number);
}

fn push_float(out: &mut String, number: f64) -> Result<(), Reason> {
    let text = serde_json::Number::from_f64(number);
    push(out, text.ok_or(Reason::Borrowed("A number that is not finite has no JSON form."))?);
    Ok(())
}

fn utf8<'a>(text: &'a Utf8StringRef<'a>) -> Result<&'a str, Reason> {
    text.as_str().ok_or(Reason::Borrowed("A string is not UTF-8."))
}

/// The MessagePack document of a JSON text that was written or checked here.
pub(super) fn from_json(text: &str) -> Vec<u8> {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let mut out = Vec::with_capacity(text.len());
    let value = packed(value);
    // Writing to a vector cannot fail.
    rmpv::encode::write_value(&mut out, &value).unwrap_or_default();
    out
}

fn packed(value: Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(flag) => flag.into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => rmpv::Value::Nil,
        },
        Value::String(text) => text.into(),
        Value::Array(items) => rmpv::Value::Array(items.into_iter().map(packed).collect()),
        Value::Object(members) => {
            let member = |(key, value): (String, Value)| (key.into(), packed(value));
            rmpv::Value::Map(members.into_iter().map(member).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_json_cannot_say_is_refused() {
        let rows: [(&str, &[u8]); 8] = [
            ("bin", &[0x81, 0xa1, b'a', 0xc4, 0x01, 0x00]),
            ("ext", &[0x81, 0xa1, b'a', 0xd4, 0x01, 0x00]),
            ("NaN", &[0x81, 0xa1, b'a', 0xca, 0x7f, 0xc0, 0x00, 0x00]),
            ("infinity", &[0x91, 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]),
            ("integer key", &[0x81, 0x01, 0x01]),
            ("string that is not UTF-8", &[0x91, 0xa1, 0xff]),
            ("cut short", &[0x92, 0x01]),
            ("two documents", &[0x80, 0x80]),
        ];
        for (what, bytes) in rows {
            assert!(to_json(bytes).is_err(), "{what}");
        }
    }

    #[test]
    fn a_document_that_lies_about_its_length_or_nests_without_end_is_refused() {
        assert!(to_json(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(to_json(&vec![0x91; 1_000_000]).is_err());
    }

    #[test]
    fn numbers_keep_their_kind() {
        let text = r#"{"a":-9223372036854775808,"b":9223372036854775807,"c":1.0,"d":0.1}"#;
        assert_eq!(to_json(&from_json(text)).as_deref(), Ok(text));
        assert_eq!(to_json(&[0xca, 0x3f, 0x00, 0x00, 0x00]).as_deref(), Ok("0.5"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_document_survives_the_way_there_and_back(value in any_json()) {
            let text = to_json(&from_json(&value.to_string())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = to_json(&bytes) {
                // Integers of 64 bits without sign are the check's to refuse.
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
