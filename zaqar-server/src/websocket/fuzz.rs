//! Frames of any content, through what reads them and what answers.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::codec::{Encoding, Incoming};
use super::envelope::{Envelope, Headers, Reply};
use super::msgpack;
use crate::fuzz::{budget, damaged};
use crate::rest::json::scan;

const TEXTS: &[&[u8]] = &[
    br#"{"action": "message_post", "headers": {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c",
        "X-Project-ID": "p"}, "body": {"queue_name": "q", "messages": [{"ttl": 300, "body": 1}]}}"#,
    br#"{"action": "authenticate", "headers": {"X-Auth-Token": "t", "X-Project-ID": "p"}}"#,
    br#"{"action": "x", "action": null, "headers": [], "headers": {"a": {}}, "body": 1, "body": []}"#,
    br#"{"\u0061ction": "queue_list", "body": {"limit": -9223372036854775808}, "headers": {}}"#,
    br#"{"headers": {"URL-Paths": ["/v2/queues/q/messages"], "URL-Signature": "00"}, "action": 5}"#,
    b"{}",
    b"[]",
    b"null",
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
    b"\"action\":",
    b"\"headers\":",
    b"\"body\":",
    b"{}",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"99999999999999999999",
    b"1e999",
    b"\xff",
    b" ",
];

const PACKED: &[&[u8]] = &[
    // {"action": "queue_list", "headers": {}, "body": {"limit": 1}}
    b"\x83\xa6action\xaaqueue_list\xa7headers\x80\xa4body\x81\xa5limit\x01",
    // Every width of integer, float, string and array.
    b"\x81\xa1a\x9b\x7f\xe0\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff\xd0\x80\xd1\x80\x00\xd2\x80\x00\
      \x00\x00\xd3\x80\x00\x00\x00\x00\x00\x00\x00\xca\x3f\x00\x00\x00\xcb\x3f\xb9\x99\x99\x99\x99\
      \x99\x9a",
    b"\x81\xd9\x01b\xdc\x00\x02\xc2\xc3",
    b"\x81\xda\x00\x01c\xdd\x00\x00\x00\x01\xc0",
    b"\xde\x00\x02\xa1k\x01\xa1k\x02",
    b"\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x01d\x90",
    // Integers beyond, NaN, bytes, an extension, a key that is no string, a length that is a lie.
    b"\x81\xa1a\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x81\xa1a\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\x81\xa1a\xc4\x01x",
    b"\x81\xa1a\xd4\x01x",
    b"\x81\x01\x01",
    b"\xdd\xff\xff\xff\xff",
    b"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0",
];

const MARKS: &[&[u8]] = &[
    b"\x80",
    b"\x81",
    b"\x8f",
    b"\x90",
    b"\x9f",
    b"\xa0",
    b"\xbf",
    b"\xc0",
    b"\xc1",
    b"\xc2",
    b"\xc4",
    b"\xc7",
    b"\xca",
    b"\xcb",
    b"\xcc",
    b"\xcf",
    b"\xd0",
    b"\xd3",
    b"\xd4",
    b"\xd9",
    b"\xdb",
    b"\xdc",
    b"\xdd",
    b"\xde",
    b"\xdf",
    b"\xe0",
    b"\xff",
    b"\x00",
    b"\x7f",
    b"\xff\xff\xff\xff",
    b"\xa6action",
];

/// What a frame comes to: it is refused, or it is a map that is answered.
fn answered(encoding: Encoding, bytes: &[u8]) -> Result<(), TestCaseError> {
    let incoming = Incoming { encoding, bytes: Bytes::copy_from_slice(bytes) };
    let Ok(text) = incoming.decode() else { return Ok(()) };
    let document: Value = serde_json::from_str(&text).unwrap();
    prop_assert!(document.is_object());
    let envelope = Envelope::read(&text);
    let or = |name: &str, other: Value| document.get(name).cloned().unwrap_or(other);
    let action = or("action", Value::Null);
    let name = envelope.action();
    prop_assert_eq!(name.as_deref(), action.as_str());
    let headers = envelope.headers.and_then(Headers::read);
    if let Some(headers) = headers {
        let project = headers.text("X-Project-ID");
        let known = document["headers"].get("X-Project-ID").and_then(Value::as_str);
        prop_assert_eq!(project.as_deref(), known);
        prop_assert!(document["headers"].is_object());
    }
    let answer = Reply::text(200, "fine").into_answer(&envelope);
    let expected = json!({
        "request": {
            "action": action, "body": or("body", json!({})), "headers": or("headers", json!({})),
            "api": "v2",
        },
        "body": "fine",
        "headers": {"status": 200},
    });
    prop_assert_eq!(&serde_json::from_str::<Value>(&answer).unwrap(), &expected);
    let again = match encoding.encode(answer) {
        Message::Text(text) => text.as_str().to_owned(),
        Message::Binary(packed) => msgpack::to_json(&packed).unwrap(),
        other => panic!("{other:?} is no answer"),
    };
    prop_assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), expected);
    Ok(())
}

proptest! {
    #![proptest_config(budget())]

    #[test]
    fn a_text_frame_is_refused_or_answered_with_what_it_asked(bytes in damaged(TEXTS, WORDS)) {
        answered(Encoding::Json, &bytes)?;
    }

    #[test]
    fn a_binary_frame_is_refused_or_answered_with_what_it_asked(bytes in damaged(PACKED, MARKS)) {
        answered(Encoding::MessagePack, &bytes)?;
    }

    #[test]
    fn what_is_read_of_messagepack_is_the_same_once_it_is_written_again(
        bytes in damaged(PACKED, MARKS)
    ) {
        if let Ok(text) = msgpack::to_json(&bytes) {
            let document: Value = serde_json::from_str(&text).unwrap();
            if scan::check(text.as_bytes()).is_ok() {
                let again = msgpack::to_json(&msgpack::from_json(&text)).unwrap();
                prop_assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), document);
            }
        }
    }
}
