//! Walking through a document that [`scan::check`](super::scan::check) has passed, without a DOM.
//!
//! Nothing is checked again: on text that was not checked the answers are meaningless, but no walk
//! panics or fails to end.

use std::borrow::Cow;

/// A place in a checked document.
#[derive(Debug, Clone)]
pub(crate) struct Walker<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walker<'a> {
    /// Stands before the first value of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    /// The first byte of the value ahead, which tells its type.
    pub(crate) fn first_byte(&mut self) -> Option<u8> {
        self.blanks();
        self.byte()
    }

    /// Steps into the object or array ahead.
    pub(crate) fn enter(&mut self) {
        self.blanks();
        self.at += 1;
    }

    /// Steps before the value of the next member and returns its key; `None` at the object's end.
    pub(crate) fn next_member(&mut self) -> Option<Cow<'a, str>> {
        if !self.next_element() {
            return None;
        }
        let key = self.value();
        self.blanks();
        self.at += 1; // the colon
        Some(unquote(key))
    }

    /// Steps before the next element; `false` at the array's (or object's) end.
    pub(crate) fn next_element(&mut self) -> bool {
        self.blanks();
        if self.byte() == Some(b',') {
            self.at += 1;
            self.blanks();
        }
        match self.byte() {
            None => false,
            Some(b']' | b'}') => {
                self.at += 1;
                false
            }
            Some(_) => true,
        }
    }

    /// Steps over the value ahead and returns its text.
    pub(crate) fn value(&mut self) -> &'a str {
        self.blanks();
        let start = self.at;
        match self.byte() {
            Some(b'"') => self.skip_string(),
            Some(b'{' | b'[') => self.skip_container(),
            _ => self.skip_scalar(),
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_string(&mut self) {
        self.at += 1;
        loop {
            match self.rest().iter().position(|&b| b == b'"' || b == b'\\') {
                None => {
                    self.at = self.text.len();
                    return;
                }
                Some(offset) => {
                    self.at += offset + 1;
                    if self.text.as_bytes().get(self.at - 1) == Some(&b'"') {
                        return;
                    }
                    self.at += 1; // what the backslash escapes is never the end
                }
            }
        }
    }

    fn skip_container(&mut self) {
        let mut depth = 0_u32;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_scalar(&mut self) {
        let ends = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().position(ends).unwrap_or(self.rest().len());
    }
}

/// The text of a JSON string, quotes and escapes taken off.
fn unquote(json: &str) -> Cow<'_, str> {
    if json.contains('\\') {
        return Cow::Owned(serde_json::from_str(json).unwrap_or_default());
    }
    Cow::Borrowed(json.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(text: &str) -> Vec<(String, String)> {
        let mut walker = Walker::new(text);
        walker.enter();
        let mut found = Vec::new();
        while let Some(key) = walker.next_member() {
            found.push((key.into_owned(), walker.value().to_owned()));
        }
        found
    }

    #[test]
    fn members_come_with_their_text_untouched() {
        let text =
            r#" { "a" : 1 ,"b\u0062\"": "x\"]\\" , "c":[ {"d":"}"}, [] ],"e":{ } , "f":null}"#;
        let expected = [
            ("a", "1"),
            ("bb\"", r#""x\"]\\""#),
            ("c", r#"[ {"d":"}"}, [] ]"#),
            ("e", "{ }"),
            ("f", "null"),
        ];
        let expected: Vec<_> =
            expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
        assert_eq!(members(text), expected);
        assert!(members("{}").is_empty());
        assert!(members(" { } ").is_empty());
    }

    #[test]
    fn elements_are_visited_in_order_and_the_walk_goes_on_behind_them() {
        let mut walker = Walker::new(r#"{"list": [1, "two" ,{"three":3}], "next": true}"#);
        walker.enter();
        assert_eq!(walker.next_member().as_deref(), Some("list"));
        assert_eq!(walker.first_byte(), Some(b'['));
        walker.enter();
        let mut items = Vec::new();
        while walker.next_element() {
            items.push(walker.value());
        }
        assert_eq!(items, ["1", "\"two\"", "{\"three\":3}"]);
        assert_eq!(walker.next_member().as_deref(), Some("next"));
        assert_eq!(walker.value(), "true");
        assert_eq!(walker.next_member(), None);
    }

    proptest! {
        #[test]
        fn unchecked_text_neither_panics_nor_walks_for_ever(text in "[\\[\\]{}\",:\\\\ a1]{0,40}") {
            let mut walker = Walker::new(&text);
            walker.enter();
            let mut steps = 0;
            while walker.next_member().is_some() && steps < 1_000 {
                walker.value();
                steps += 1;
            }
            prop_assert!(steps < 1_000);
        }
    }
}
