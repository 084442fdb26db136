//! The checksum of a message body: MD5 over the body as Python's JSON writer would spell it.
//!
//! The spelling: `", "` and `": "` between members, everything but printable ASCII as `\uXXXX`,
//! floats in their shortest form, keys in the order received, of a repeated key the last value in
//! the place of the first. The body is checked JSON, so this reads it without recursion and without
//! a document tree: nesting of any depth costs no stack.

use std::collections::HashMap;
use std::fmt::Write as _;

use md5::{Digest, Md5};
use zaqar_core::Body;

/// The checksum, `None` for a null body.
pub(crate) fn checksum(body: &Body) -> Option<String> {
    let spelled = respell(body.as_str())?;
    if spelled == "null" {
        return None;
    }
    let mut text = String::from("MD5:");
    for byte in Md5::digest(spelled.as_bytes()) {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text)
}

/// A value that was read: a piece of the spelled text, or what is inside.
#[derive(Debug)]
enum Node {
    Scalar(String),
    Array(Vec<usize>),
    /// Spelled keys with their values, in the order of their first appearance.
    Object(Vec<(String, usize)>),
}

/// A container whose end was not met yet.
#[derive(Debug)]
enum Open {
    Array(Vec<usize>),
    Object { members: Vec<(String, usize)>, places: HashMap<String, usize>, key: Option<String> },
}

fn respell(json: &str) -> Option<String> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut rest = json.as_bytes();
    loop {
        let (&byte, after) = rest.split_first()?;
        let node = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => {
                rest = after;
                continue;
            }
            b'[' => {
                open.push(Open::Array(Vec::new()));
                rest = after;
                continue;
            }
            b'{' => {
                let (members, places) = (Vec::new(), HashMap::new());
                open.push(Open::Object { members, places, key: None });
                rest = after;
                continue;
            }
            b']' | b'}' => {
                rest = after;
                match open.pop()? {
                    Open::Array(items) => Node::Array(items),
                    Open::Object { members, .. } => Node::Object(members),
                }
            }
            b'"' => {
                let (text, after) = spell_string(after)?;
                rest = after;
                if let Some(Open::Object { key: key @ None, .. }) = open.last_mut() {
                    *key = Some(text);
                    continue;
                }
                Node::Scalar(text)
            }
            _ => {
                let end = rest.iter().position(|b| b" \t\r\n,]}".contains(b));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                rest = after;
                Node::Scalar(spell_word(std::str::from_utf8(word).ok()?)?)
            }
        };
        let place = nodes.len();
        nodes.push(node);
        match open.last_mut() {
            None => return write_out(nodes),
            Some(Open::Array(items)) => items.push(place),
            Some(Open::Object { members, places, key }) => {
                let key = key.take()?;
                match places.get(&key).and_then(|&at| members.get_mut(at)) {
                    Some(member) => member.1 = place,
                    None => {
                        places.insert(key.clone(), members.len());
                        members.push((key, place));
                    }
                }
            }
        }
    }
}

/// What is still to be written, last first.
enum Pending {
    Value(usize),
    Text(&'static str),
    Key(String),
}

fn write_out(mut nodes: Vec<Node>) -> Option<String> {
    let mut text = String::new();
    let mut pending = vec![Pending::Value(nodes.len().checked_sub(1)?)];
    while let Some(next) = pending.pop() {
        let place = match next {
            Pending::Text(piece) => {
                text.push_str(piece);
                continue;
            }
            Pending::Key(key) => {
                text.push_str(&key);
                continue;
            }
            Pending::Value(place) => place,
        };
        match std::mem::replace(nodes.get_mut(place)?, Node::Array(Vec::new())) {
            Node::Scalar(piece) => text.push_str(&piece),
            Node::Array(items) => {
                text.push('[');
                pending.push(Pending::Text("]"));
                for (index, item) in items.into_iter().enumerate().rev() {
                    pending.push(Pending::Value(item));
                    if index > 0 {
                        pending.push(Pending::Text(", "));
                    }
                }
            }
            Node::Object(members) => {
                text.push('{');
                pending.push(Pending::Text("}"));
                for (index, (key, value)) in members.into_iter().enumerate().rev() {
                    pending.push(Pending::Value(value));
                    pending.push(Pending::Text(": "));
                    pending.push(Pending::Key(key));
                    if index > 0 {
                        pending.push(Pending::Text(", "));
                    }
                }
            }
        }
    }
    Some(text)
}

/// Spells the string that begins after its opening quote; returns what follows the closing one.
fn spell_string(json: &[u8]) -> Option<(String, &[u8])> {
    let mut text = String::from("\"");
    let mut escaped = false;
    let end = json.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    let (inside, after) = json.split_at(end);
    let mut chars = std::str::from_utf8(inside).ok()?.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                spell_unit(&mut text, *unit)?;
            }
            continue;
        }
        let unit = match chars.next()? {
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).ok()?
            }
            plain => u16::try_from(u32::from(plain)).ok()?,
        };
        spell_unit(&mut text, unit)?;
    }
    text.push('"');
    Some((text, after.get(1..)?))
}

fn spell_unit(text: &mut String, unit: u16) -> Option<()> {
    match unit {
        0x22 => text.push_str("\\\""),
        0x5c => text.push_str("\\\\"),
        0x0a => text.push_str("\\n"),
        0x0d => text.push_str("\\r"),
        0x09 => text.push_str("\\t"),
        0x0c => text.push_str("\\f"),
        0x08 => text.push_str("\\b"),
        0x20..=0x7e => text.push(char::from_u32(u32::from(unit))?),
        _ => write!(text, "\\u{unit:04x}").ok()?,
    }
    Some(())
}

/// Spells a number or a literal.
fn spell_word(word: &str) -> Option<String> {
    let is_number = word.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if !is_number {
        return Some(word.to_owned());
    }
    if word.contains(['.', 'e', 'E']) {
        return spell_float(word.parse().ok()?);
    }
    Some(if word == "-0" { "0".to_owned() } else { word.to_owned() })
}

/// The shortest digits that give the same number back; an exponent below -4 and from 16 on.
fn spell_float(number: f64) -> Option<String> {
    if !number.is_finite() {
        return Some(if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned());
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return Some(if plain.contains('.') { plain } else { format!("{plain}.0") });
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<String> {
        checksum(&Body::from_json(json).unwrap())
    }

    fn spelled(json: &str) -> String {
        respell(json).unwrap()
    }

    #[test]
    fn known_bodies_have_the_known_checksums() {
        let known = [
            (r#"{"a": 1}"#, "MD5:42b7b4f2921788ea14dac5566e6f06d0"),
            (r#""str""#, "MD5:767e2d7912ebefdfe18495ed53635fc8"),
            ("[1, 2]", "MD5:04cd0e0151f352e7fd414d694a604136"),
            ("1", "MD5:c4ca4238a0b923820dcc509a6f75849b"),
        ];
        for (json, expected) in known {
            assert_eq!(of(json).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(of("{ \"a\" :\n1 }"), of(r#"{"a":1}"#));
        assert_eq!(of(" null "), None);
    }

    #[test]
    fn separators_keys_and_literals_are_spelled_as_python_does() {
        assert_eq!(
            spelled(r#"{"b":[],"a":{}, "c" : [true,false , null]}"#),
            r#"{"b": [], "a": {}, "c": [true, false, null]}"#
        );
        assert_eq!(spelled(r#"{"a":1,"b":{"x":[{}]},"a":[2]}"#), r#"{"a": [2], "b": {"x": [{}]}}"#);
        assert_eq!(spelled(r#"{"\u0061":1,"a":2}"#), r#"{"a": 2}"#);
        assert_eq!(spelled(r#"{"k":"v","l":"w"}"#), r#"{"k": "v", "l": "w"}"#);
    }

    #[test]
    fn strings_are_spelled_in_ascii() {
        assert_eq!(spelled(r#""a\/b\"\\\n""#), r#""a/b\"\\\n""#);
        assert_eq!(spelled("\"ü€😀\u{7f}\""), r#""\u00fc\u20ac\ud83d\ude00\u007f""#);
        assert_eq!(
            spelled(r#""\u00FC\uD83D\uDE00\u0001\u0041""#),
            r#""\u00fc\ud83d\ude00\u0001A""#
        );
        assert_eq!(spelled(r#"["\\","\\\"", ""]"#), r#"["\\", "\\\"", ""]"#);
    }

    #[test]
    fn numbers_are_spelled_as_python_does() {
        let numbers = [
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("1.0", "1.0"),
            ("1e5", "100000.0"),
            ("1E400", "Infinity"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("123456789012345678.0", "1.2345678901234568e+17"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1.5e-7", "1.5e-07"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("0.1", "0.1"),
            ("100", "100"),
            ("9007199254740993", "9007199254740993"),
            ("12345678901234567890123", "12345678901234567890123"),
        ];
        for (json, expected) in numbers {
            assert_eq!(spelled(json), expected, "{json}");
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let depth = 100_000;
        let json = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(spelled(&json), json);
    }
}
