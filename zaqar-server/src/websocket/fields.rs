//! The members of a request's body that its action knows, with their types checked.

use std::borrow::Cow;

use super::envelope::{is_map, string};
use crate::rest::json::walk::Walker;

/// What a field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Boolean,
    Map,
    List,
}

/// A field of an action.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

/// A field that must be there.
pub(super) const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

/// A field that may be there.
pub(super) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

impl Kind {
    fn fits(self, json: &str) -> bool {
        match self {
            Self::Text => json.starts_with('"'),
            Self::Integer => json.parse::<i64>().is_ok(),
            Self::Boolean => matches!(json, "true" | "false"),
            Self::Map => is_map(json),
            Self::List => json.starts_with('['),
        }
    }
}

/// The fields of a request that its action knows, as JSON text.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Fields<'a> {
    /// Reads what `known` names from a JSON value; `None` if it is no map, a field is missing, or is
    /// of a wrong type. Of several fields with one name the last one counts.
    pub(super) fn read(body: &'a str, known: &'static [Field]) -> Option<Self> {
        if !is_map(body) {
            return None;
        }
        let mut values: Vec<(&'static str, &'a str)> = Vec::with_capacity(known.len());
        let mut walker = Walker::new(body);
        walker.enter();
        while let Some(name) = walker.next_member() {
            let value = walker.value();
            let Some(field) = known.iter().find(|field| field.name == name) else { continue };
            match values.iter_mut().find(|(there, _)| *there == field.name) {
                Some((_, there)) => *there = value,
                None => values.push((field.name, value)),
            }
        }
        let fields = Self(values);
        let sound = |field: &Field| match fields.json(field.name) {
            Some(value) => field.kind.fits(value),
            None => !field.required,
        };
        known.iter().all(sound).then_some(fields)
    }

    /// A field as JSON text.
    pub(super) fn json(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A field that is a text.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.json(name).and_then(string)
    }

    /// A field that is an integer.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.json(name)?.parse().ok()
    }

    /// A field that is a boolean; `false` if it is not there.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.json(name) == Some("true")
    }

    /// A list of texts; `Some(None)` if one of its items is none.
    pub(super) fn texts(&self, name: &str) -> Option<Option<Vec<Cow<'a, str>>>> {
        let mut walker = Walker::new(self.json(name)?);
        let mut texts = Vec::new();
        walker.enter();
        while walker.next_element() {
            match string(walker.value()) {
                Some(text) => texts.push(text),
                None => return Some(None),
            }
        }
        Some(Some(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static KNOWN: [Field; 5] = [
        required("name", Kind::Text),
        optional("limit", Kind::Integer),
        optional("flag", Kind::Boolean),
        optional("map", Kind::Map),
        optional("ids", Kind::List),
    ];

    #[test]
    fn known_fields_are_read_and_others_passed_over() {
        let body = r#"{"limit": 1, "x": [], "name": "\u0061", "flag": true, "limit": -2,
            "ids": ["a", "b"], "map": {}}"#;
        let fields = Fields::read(body, &KNOWN).unwrap();
        assert_eq!(fields.text("name").as_deref(), Some("a"));
        assert_eq!(fields.integer("limit"), Some(-2));
        assert!(fields.flag("flag"));
        assert_eq!(fields.json("map"), Some("{}"));
        assert_eq!(fields.texts("ids"), Some(Some(vec!["a".into(), "b".into()])));
        assert_eq!(fields.json("x"), None);
    }

    #[test]
    fn missing_fields_and_wrong_types_are_found() {
        for bad in [
            "[]",
            "null",
            "{}",
            r#"{"name": 1}"#,
            r#"{"name": "a", "limit": "1"}"#,
            r#"{"name": "a", "limit": 1.0}"#,
            r#"{"name": "a", "limit": true}"#,
            r#"{"name": "a", "flag": 1}"#,
            r#"{"name": "a", "map": []}"#,
            r#"{"name": "a", "ids": {}}"#,
            r#"{"name": "a", "limit": null}"#,
        ] {
            assert!(Fields::read(bad, &KNOWN).is_none(), "{bad}");
        }
    }
}
