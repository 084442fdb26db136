//! Writing answers into one buffer.

use std::fmt::{self, Display};

use serde::Serialize;

/// Appends `text` as a JSON string. Non-ASCII characters stay as they are.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

fn push_escaped(out: &mut String, text: &str) {
    let special = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
    if !text.bytes().any(special) {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => push(out, format_args!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
}

/// Appends what `value` displays.
pub(crate) fn push(out: &mut String, value: impl Display) {
    // Writing to a string cannot fail.
    fmt::write(out, format_args!("{value}")).unwrap_or_default();
}

/// The JSON text of `value`, spelled with a blank after commas and colons.
pub(crate) fn to_text(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    // Writing to a vector cannot fail, and JSON's own types always serialise.
    value.serialize(&mut serializer).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// `", "` between items and `": "` after keys, as clients have always seen it.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_spelled_with_blanks() {
        let value = json!({"a": [1, {"b": null}], "é": "\n"});
        assert_eq!(to_text(&value), r#"{"a": [1, {"b": null}], "é": "\n"}"#);
    }

    proptest! {
        #[test]
        fn any_text_survives_as_a_json_string(text in any::<String>()) {
            let mut out = String::new();
            push_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
