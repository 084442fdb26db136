//! The checker and the walker against a parser that somebody else wrote.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::scan::{DEPTH_MAX, Malformed, check};
use super::walk::Walker;
use crate::fuzz::{budget, damaged};

const SEEDS: &[&[u8]] = &[
    br#"{"messages": [{"body": {"a": [1, -0, 2.5e-3, true, null]}, "ttl": 300}]}"#,
    br#"{"a": "\ud83d\ude00\u00e9\u0000\\\"\/\b\f\n\r\t", "": {}, "a": []}"#,
    br#"[9223372036854775807, -9223372036854775808, 1e308, -1E+308, 4.9e-324, 0.0]"#,
    br#"[9223372036854775808, 18446744073709551616, 1e309, 0.1e1000000000000]"#,
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    b"{\"gr\xc3\xbc\xc3\x9fe\": \"\xe2\x80\xa8\xf0\x9f\x98\x80\", \"\xef\xbb\xbf\": 1}",
    b"\t\r\n {\"a\"\t:\r1\n,\"b\" : [ ] } \n",
    b"{\"overlong\": \"\xc0\xaf\", \"surrogate\": \"\xed\xa0\x80\"}",
    br#"{"__proto__": {"x": 1}, "constructor": null, "$where": "1"}"#,
    b"\xef\xbb\xbf{}",
    b"{}",
    b"[",
    b"",
];

const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"\\u00e9",
    b"0",
    b"-",
    b"+",
    b".",
    b"e",
    b"E9",
    b"1e999",
    b"99999999999999999999",
    b"true",
    b"nul",
    b"NaN",
    b"Infinity",
    b" ",
    b"\x00",
    b"\x1f",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"//",
    b"/**/",
    b"[[[[",
    b"'",
];

/// Whether the document is one that this service takes, as the other parser sees it; `None` if it
/// has an integer that only this service refuses.
fn other_opinion(bytes: &[u8]) -> Option<bool> {
    fn fits(value: &Value, depth: u32) -> bool {
        match value {
            Value::Array(items) => depth < DEPTH_MAX && items.iter().all(|v| fits(v, depth + 1)),
            Value::Object(members) => {
                depth < DEPTH_MAX && members.values().all(|v| fits(v, depth + 1))
            }
            _ => true,
        }
    }
    if check(bytes) == Err(Malformed::IntegerTooLarge) {
        // It has to have one, at least.
        let digits = bytes.split(|byte| !byte.is_ascii_digit());
        return (!digits.map(<[u8]>::len).any(|length| length >= 19)).then_some(true);
    }
    let value = serde_json::from_slice::<Value>(bytes).ok();
    Some(value.is_some_and(|value| (value.is_array() || value.is_object()) && fits(&value, 0)))
}

/// What a walk finds.
fn walked(walker: &mut Walker<'_>) -> Value {
    match walker.first_byte() {
        Some(b'{') => {
            walker.enter();
            let mut members = Map::new();
            while let Some(name) = walker.next_member() {
                members.insert(name.into_owned(), walked(walker));
            }
            Value::Object(members)
        }
        Some(b'[') => {
            walker.enter();
            let mut items = Vec::new();
            while walker.next_element() {
                items.push(walked(walker));
            }
            Value::Array(items)
        }
        _ => serde_json::from_str(walker.value()).unwrap(),
    }
}

proptest! {
    #![proptest_config(budget())]

    #[test]
    fn what_the_checker_takes_another_parser_takes(bytes in damaged(SEEDS, WORDS)) {
        if let Some(good) = other_opinion(&bytes) {
            prop_assert_eq!(check(&bytes).is_ok(), good, "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn a_walk_finds_what_another_parser_finds(bytes in damaged(SEEDS, WORDS)) {
        if let Ok(text) = check(&bytes) {
            let found = walked(&mut Walker::new(text));
            prop_assert_eq!(found, serde_json::from_str::<Value>(text).unwrap());
            // Stepped over as a whole, the document is all there is.
            let mut walker = Walker::new(text);
            prop_assert_eq!(walker.value(), text.trim_ascii());
        }
    }

    #[test]
    fn no_walk_of_anything_panics_or_goes_on_for_ever(bytes in damaged(SEEDS, WORDS)) {
        let text = String::from_utf8_lossy(&bytes);
        let mut walker = Walker::new(&text);
        walker.enter();
        let mut steps = 0;
        while walker.next_member().is_some() {
            walker.value();
            steps += 1;
            prop_assert!(steps <= text.len());
        }
    }
}
