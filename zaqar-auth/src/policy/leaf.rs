//! One check by itself: `kind:match`.

use super::caller_fact::CallerFact;
use super::check::Node;
use super::parse::ParseError;
use super::template::Template;

/// The rule that says who is an administrator, which `is_admin:True` asks for.
pub(super) const ADMIN_RULE: &str = "context_is_admin";

/// The rule that a check refers to.
pub(super) fn reference(node: &Node) -> Option<&str> {
    match node {
        Node::Rule(name) => Some(name),
        Node::IsAdmin(_) => Some(ADMIN_RULE),
        _ => None,
    }
}

/// Reads one check; `at` characters of the rule come before it.
pub(super) fn parse(text: &str, at: usize) -> Result<Node, ParseError> {
    match text {
        "@" => return Ok(Node::Everyone),
        "!" => return Ok(Node::Nobody),
        _ => {}
    }
    let fault = |reason: String| ParseError::new(at, reason);
    if is_quoted(text) {
        return Err(fault("a text in quotes is no check".into()));
    }
    let Some((kind, wanted)) = text.split_once(':') else {
        return Err(fault(format!("`{text}` is no check, which reads `kind:match`, `@` or `!`")));
    };
    let after = at + kind.chars().count() + 1;
    if wanted.is_empty() {
        return Err(ParseError::new(after, format!("nothing stands after `{kind}:`")));
    }
    let template = || {
        let read = Template::parse(wanted);
        read.map_err(|(before, reason)| ParseError::new(after + before, reason))
    };
    if let Some(fact) = CallerFact::named(kind) {
        return Ok(Node::Caller(fact, template()?));
    }
    if let Some(value) = literal(kind) {
        let (written, value) = (kind.to_owned(), value.to_owned());
        return Ok(Node::Literal { written, value, template: template()? });
    }
    match kind {
        "role" => Ok(Node::Role(template()?)),
        "rule" => Ok(Node::Rule(wanted.to_owned())),
        "is_admin" => match wanted {
            "True" => Ok(Node::IsAdmin(true)),
            "False" => Ok(Node::IsAdmin(false)),
            _ => Err(ParseError::new(after, "`is_admin` is `True` or `False`")),
        },
        "http" | "https" => Err(fault("rules that ask another server are not supported".into())),
        _ => Err(fault(format!(
            "`{kind}` is no kind of check; known are role, rule, is_admin, {} and texts in quotes",
            CallerFact::names().join(", ")
        ))),
    }
}

/// The text that a literal stands for: one in quotes, a whole number, `True`, `False` or `None`.
fn literal(kind: &str) -> Option<&str> {
    let is_number = || {
        let digits = kind.strip_prefix('-').unwrap_or(kind);
        let is_plain = digits == "0" || !digits.starts_with('0');
        is_plain && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && kind != "-0"
    };
    if is_quoted(kind) {
        let inner = kind.get(1..kind.len() - 1)?;
        // Neither escapes nor quotes within: what they mean would have to be guessed.
        return (!inner.contains(['\\', '\'', '"'])).then_some(inner);
    }
    (matches!(kind, "True" | "False" | "None") || is_number()).then_some(kind)
}

fn is_quoted(text: &str) -> bool {
    text.len() >= 2
        && ['\'', '"'].iter().any(|quote| text.starts_with(*quote) && text.ends_with(*quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_check_is_read_and_written_as_it_was() {
        for text in [
            "@",
            "!",
            "role:admin",
            "role:%(project_id)s-admin",
            "rule:admin_or_owner",
            "is_admin:True",
            "is_admin:False",
            "project_id:%(project_id)s",
            "user_id:b1",
            "user_domain_id:default",
            "project_domain_id:default",
            "system_scope:all",
            "'p1':%(project_id)s",
            "\"p:1\":x",
            "True:%(queue_name)s",
            "-12:x",
        ] {
            let read = parse(text, 0);
            if text.starts_with('"') {
                // The first colon ends the kind, also within quotes.
                assert!(read.is_err(), "{text}");
            } else {
                assert_eq!(read.unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_unknown_is_refused_and_never_taken_for_a_literal() {
        for text in [
            "'a'",
            "'a':'a'",
            "admin",
            "tenant:x",
            "roles:admin",
            "client_id:x",
            "is_admin:true",
            "is_admin:1",
            "rule:",
            ":x",
            "'a\\'':x",
            "'a\"b':x",
            "--1:x",
            "007:x",
            "1.5:x",
            "ROLE:x",
            "https://example.org",
        ] {
            assert!(parse(text, 0).is_err(), "{text}");
        }
    }
}
