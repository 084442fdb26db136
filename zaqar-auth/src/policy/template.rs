//! What a check compares with: text in which facts of the target may stand.

use std::borrow::Cow;
use std::fmt;

use super::target::{Target, TargetFact};

/// Text with places, written as `%(project_id)s`, that facts of the target fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// As it was written.
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Fact(TargetFact),
}

/// Why a text is no template: at which character of it, and what is wrong.
pub(super) type Fault = (usize, String);

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            let at = || text.chars().count() - after.chars().count() - 1;
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                plain.push('%');
                rest = after;
                continue;
            }
            let named = after.strip_prefix('(').and_then(|named| named.split_once(")s"));
            let Some((name, after)) = named else {
                return Err((at(), "`%` begins no `%(name)s`; the sign itself is `%%`".into()));
            };
            let Some(fact) = TargetFact::named(name) else {
                let reason = format!(
                    "no target has a `{name}`; known are {}",
                    TargetFact::names().join(", ")
                );
                return Err((at(), reason));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Fact(fact));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// The text for a target; `None` if the target lacks a fact that it names.
    pub(super) fn fill<'t>(&'t self, target: &Target<'t>) -> Option<Cow<'t, str>> {
        match self.pieces.as_slice() {
            [] => Some(Cow::Borrowed("")),
            [one] => one.fill(target).map(Cow::Borrowed),
            many => many.iter().map(|piece| piece.fill(target)).collect::<Option<_>>(),
        }
    }
}

impl Piece {
    fn fill<'t>(&'t self, target: &Target<'t>) -> Option<&'t str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Fact(fact) => fact.of(target),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use zaqar_core::ProjectId;

    use super::*;

    fn fill(text: &str) -> Option<String> {
        let project = ProjectId::new("p1").unwrap();
        let target = Target::of_project(&project);
        Template::parse(text).unwrap().fill(&target).map(Cow::into_owned)
    }

    #[test]
    fn facts_of_the_target_stand_where_they_are_named() {
        for (text, filled) in [
            ("admin", Some("admin")),
            ("", Some("")),
            ("%(project_id)s", Some("p1")),
            ("a-%(project_id)s-%%(b)s", Some("a-p1-%(b)s")),
            ("%(queue_name)s", None),
            ("x%(queue_name)s", None),
        ] {
            assert_eq!(fill(text).as_deref(), filled, "{text}");
        }
    }

    #[test]
    fn a_place_that_nothing_fills_is_refused_where_it_stands() {
        for (text, at) in
            [("%", 0), ("ü%s", 1), ("%(project_id)", 0), ("a%(secret)s", 1), ("%(user_id)s", 0)]
        {
            assert_eq!(Template::parse(text).unwrap_err().0, at, "{text}");
        }
    }
}
