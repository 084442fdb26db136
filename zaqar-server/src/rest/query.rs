//! Query strings: blanks are absent, commas make lists, the last item counts.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::errors::Failure;

/// Everything but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters of one request, decoded, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Query<'r> {
    pairs: Vec<(Cow<'r, str>, Cow<'r, str>)>,
}

impl<'r> Query<'r> {
    /// Reads the text behind the question mark. Nothing in it is an error yet.
    pub(crate) fn parse(text: &'r str) -> Self {
        let pair = |part: &'r str| {
            let (key, value) = part.split_once('=')?;
            (!key.is_empty() && !value.is_empty()).then(|| (decode(key), decode(value)))
        };
        Self { pairs: text.split('&').filter_map(pair).collect() }
    }

    /// Every item of every `key`, in order. A comma separates items, encoded or not.
    pub(crate) fn list<'q>(&'q self, key: &'q str) -> impl Iterator<Item = &'q str> + 'q {
        let values = self.pairs.iter().filter(move |(k, _)| k == key);
        values.flat_map(|(_, value)| value.split(',')).filter(|item| !item.is_empty())
    }

    /// The item of `key` that counts where one is wanted: the last.
    pub(crate) fn last(&self, key: &str) -> Option<&str> {
        let values = self.pairs.iter().rev().filter(|(k, _)| k == key);
        values.flat_map(|(_, value)| value.rsplit(',')).find(|item| !item.is_empty())
    }

    /// Whether `key` was given a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.last(key).is_some()
    }

    /// A whole number; one beyond 64 bits is taken as the nearest that fits, to fail its range.
    pub(crate) fn integer(&self, key: &str) -> Result<Option<i64>, Failure> {
        let refused = || Failure::parameter(key, "The value must be an integer.");
        self.last(key).map(|text| integer(text).ok_or_else(refused)).transpose()
    }

    /// A boolean in one of the spellings that clients use; `None` if it was not sent.
    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>, Failure> {
        match self.last(key) {
            None => Ok(None),
            Some("true" | "True" | "t" | "yes" | "y" | "1" | "on") => Ok(Some(true)),
            Some("false" | "False" | "f" | "no" | "n" | "0" | "off") => Ok(Some(false)),
            Some(_) => Err(Failure::parameter(
                key,
                "The value of the parameter must be \"true\" or \"false\".",
            )),
        }
    }

    /// The parameters whose key is none of `known`, values whole.
    pub(crate) fn others<'q>(
        &'q self,
        known: &'q [&str],
    ) -> impl Iterator<Item = (&'q str, &'q str)> + 'q {
        let others = self.pairs.iter().filter(|(key, _)| !known.contains(&key.as_ref()));
        others.map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

/// A decimal integer with an optional sign, blanks around it allowed.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nearest = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(nearest))
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let blanks = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&blanks).decode_utf8_lossy().into_owned())
}

/// A link being written: a path, then parameters.
#[derive(Debug)]
pub(crate) struct Link {
    text: String,
    separator: char,
}

impl Link {
    /// A link to `path`, which needs no encoding.
    pub(crate) fn to(path: String) -> Self {
        Self { text: path, separator: '?' }
    }

    /// Adds a parameter if it has a value.
    pub(crate) fn with(mut self, key: &str, value: Option<impl AsRef<str>>) -> Self {
        if let Some(value) = value {
            self.text.push(self.separator);
            self.text.extend(utf8_percent_encode(key, RESERVED));
            self.text.push('=');
            self.text.extend(utf8_percent_encode(value.as_ref(), RESERVED));
            self.separator = '&';
        }
        self
    }

    /// Adds a boolean if it was sent.
    pub(crate) fn with_boolean(self, key: &str, value: Option<bool>) -> Self {
        self.with(key, value.map(|value| if value { "true" } else { "false" }))
    }

    /// The whole link.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_item_counts_and_blank_ones_are_absent() {
        let query = Query::parse("a=1&b=&a=2,3,&c&=x&d=%20");
        assert_eq!(query.last("a"), Some("3"));
        assert_eq!(query.list("a").collect::<Vec<_>>(), ["1", "2", "3"]);
        assert!(!query.has("b"));
        assert!(!query.has("c"));
        assert_eq!(query.last("d"), Some(" "));
        assert!(!Query::parse("").has(""));
    }

    #[test]
    fn encoded_commas_and_plus_signs_are_understood() {
        let query = Query::parse("ids=a%2Cb+c&ids=d&n%61me=%C3%BC%ff");
        assert_eq!(query.list("ids").collect::<Vec<_>>(), ["a", "b c", "d"]);
        assert_eq!(query.last("name"), Some("ü\u{fffd}"));
    }

    #[test]
    fn integers_may_have_a_sign_and_blanks_and_nothing_else() {
        let cases = [
            ("5", Some(5)),
            ("%205+", Some(5)),
            ("%2B7", Some(7)),
            ("-1", Some(-1)),
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("5.0", None),
            ("x", None),
            ("-", None),
            ("--5", None),
        ];
        for (text, expected) in cases {
            let text = format!("n={text}");
            assert_eq!(Query::parse(&text).integer("n").ok().flatten(), expected, "{text}");
        }
        assert!(Query::parse("n=5.0").integer("n").is_err());
        assert_eq!(Query::parse("").integer("n").ok(), Some(None));
    }

    #[test]
    fn booleans_have_seven_spellings_each() {
        for text in ["true", "True", "t", "yes", "y", "1", "on"] {
            assert_eq!(Query::parse(&format!("b={text}")).boolean("b").ok(), Some(Some(true)));
        }
        for text in ["false", "False", "f", "no", "n", "0", "off"] {
            assert_eq!(Query::parse(&format!("b={text}")).boolean("b").ok(), Some(Some(false)));
        }
        for text in ["TRUE", "None", "2", "FALSE"] {
            assert!(Query::parse(&format!("b={text}")).boolean("b").is_err(), "{text}");
        }
    }

    #[test]
    fn links_encode_their_values_and_leave_out_what_was_not_sent() {
        let link = Link::to("/v2/queues".into())
            .with("marker", None::<&str>)
            .with("name", Some("a b&c"))
            .with_boolean("detailed", Some(false));
        assert_eq!(link.as_str(), "/v2/queues?name=a%20b%26c&detailed=false");
    }
}
