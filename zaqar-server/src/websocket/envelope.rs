//! The envelope around a request, and the one around its answer.

use std::borrow::Cow;

use crate::rest::json::walk::Walker;
use crate::rest::json::write::{push, push_string};

/// The headers that have a meaning, all of them strings.
const KNOWN: [&str; 6] =
    ["User-Agent", "Date", "Accept", "Client-ID", "X-Project-ID", "X-Auth-Token"];

/// A request's envelope: pieces of the checked text that it stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope<'a> {
    /// The action as JSON text; `null` if there is none.
    pub(super) action: &'a str,
    /// The headers as JSON text, if there are any.
    pub(super) headers: Option<&'a str>,
    /// The body as JSON text; an empty map if there is none.
    pub(super) body: &'a str,
}

impl<'a> Envelope<'a> {
    /// What an answer echoes that has no request.
    pub(super) const EMPTY: Envelope<'static> =
        Envelope { action: "\"\"", headers: None, body: "{}" };

    /// Reads the envelope from a checked map.
    pub(super) fn read(text: &'a str) -> Self {
        let mut envelope = Self { action: "null", headers: None, body: "{}" };
        let mut walker = Walker::new(text);
        walker.enter();
        while let Some(key) = walker.next_member() {
            let value = walker.value();
            match key.as_ref() {
                "action" => envelope.action = value,
                "headers" => envelope.headers = Some(value),
                "body" => envelope.body = value,
                _ => {}
            }
        }
        envelope
    }

    /// The action's name; `None` if it is no string.
    pub(super) fn action(&self) -> Option<Cow<'a, str>> {
        string(self.action)
    }

    /// The same without its headers, which hold a token.
    pub(super) fn without_headers(self) -> Self {
        Self { headers: None, ..self }
    }
}

/// The text of a JSON string; `None` if the value is none.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<StringValue<'_>>(json).ok().map(|value| value.0)
}

#[derive(serde::Deserialize)]
struct StringValue<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether a JSON value is a map.
pub(super) fn is_map(json: &str) -> bool {
    json.starts_with('{')
}

/// A request's headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Headers<'a>(&'a str);

impl<'a> Headers<'a> {
    /// The headers of a JSON text; `None` if they are no map, or a known one is no string.
    pub(super) fn read(json: &'a str) -> Option<Self> {
        if !is_map(json) {
            return None;
        }
        let headers = Self(json);
        let mut members = headers.members();
        let sound = |(name, value): (Cow<'_, str>, &str)| {
            !KNOWN.contains(&name.as_ref()) || value.starts_with('"')
        };
        members.all(sound).then_some(headers)
    }

    fn members(self) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        let mut walker = Walker::new(self.0);
        walker.enter();
        std::iter::from_fn(move || walker.next_member().map(|name| (name, walker.value())))
    }

    /// A header's value as JSON text.
    pub(super) fn json(self, name: &str) -> Option<&'a str> {
        self.members().filter(|(known, _)| known == name).last().map(|(_, value)| value)
    }

    /// A header's value, if it is a string.
    pub(super) fn text(self, name: &str) -> Option<Cow<'a, str>> {
        self.json(name).and_then(string)
    }

    /// A header's value, if it is a string, whatever the case of its name: clients of HTTP know
    /// these headers, and there no case counts.
    pub(super) fn text_in_any_case(self, name: &str) -> Option<Cow<'a, str>> {
        let named = self.members().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.last().and_then(|(_, value)| string(value))
    }
}

/// What a request comes to: a status as in HTTP, and a body as JSON text.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Reply {
    /// A reply whose body is JSON text.
    pub(super) fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into() }
    }

    /// A reply whose body is a text.
    pub(super) fn text(status: u16, text: &str) -> Self {
        let mut body = String::with_capacity(text.len() + 2);
        push_string(&mut body, text);
        Self { status, body }
    }

    /// The whole answer to a request in `envelope`.
    pub(super) fn into_answer(self, envelope: &Envelope<'_>) -> String {
        let Envelope { action, headers, body } = envelope;
        let headers = headers.unwrap_or("{}");
        let length = action.len() + headers.len() + body.len() + self.body.len();
        let mut out = String::with_capacity(length + 128);
        for piece in ["{\"request\": {\"action\": ", action, ", \"body\": ", body] {
            out.push_str(piece);
        }
        for piece in [", \"headers\": ", headers, ", \"api\": \"v2\"}, \"body\": ", &self.body] {
            out.push_str(piece);
        }
        push(&mut out, format_args!(", \"headers\": {{\"status\": {}}}}}", self.status));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_cut_out_of_its_text_and_the_last_of_equals_counts() {
        let text = r#"{"x": 1, "action": "a", "action":"queue_\u0063reate" ,"body": {"b" : 1e2},
            "headers":{"Client-ID": "c", "Client-ID": "d", "own": [1]}}"#;
        let envelope = Envelope::read(text);
        assert_eq!(envelope.action().as_deref(), Some("queue_create"));
        assert_eq!(envelope.body, r#"{"b" : 1e2}"#);
        let headers = Headers::read(envelope.headers.unwrap()).unwrap();
        assert_eq!(headers.text("Client-ID").as_deref(), Some("d"));
        assert_eq!(headers.text("client-id"), None);
        assert_eq!(headers.text("own"), None);

        let empty = Envelope::read("{}");
        assert_eq!((empty.action(), empty.headers, empty.body), (None, None, "{}"));
    }

    #[test]
    fn headers_with_a_meaning_must_be_strings() {
        for bad in ["[]", "null", "\"x\"", r#"{"Client-ID": 1}"#, r#"{"X-Auth-Token": null}"#] {
            assert!(Headers::read(bad).is_none(), "{bad}");
        }
        assert!(Headers::read(r#"{"whatever": 1}"#).is_some());
    }

    #[test]
    fn an_answer_echoes_its_request() {
        let text = r#"{"action": "a", "headers": {"h": "1"}, "body": {"q": 1}}"#;
        let answer = Reply::text(201, "made").into_answer(&Envelope::read(text));
        let expected = r#"{"request": {"action": "a", "body": {"q": 1}, "headers": {"h": "1"}, "api": "v2"}, "body": "made", "headers": {"status": 201}}"#;
        assert_eq!(answer, expected);
    }
}
