//! Text within HTML and XML: what a driver's answer holds must stay text.

/// `text` with everything replaced that means something in HTML or XML, within an element or within
/// a quoted attribute, and with what no XML document may hold shown as U+FFFD.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            // Not even as a reference: the first version of XML has no place for them.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        let hostile = r#"</pre><script>alert('x')</script>&amp;" onload="y"#;
        let text = escaped(hostile);
        assert!(!text.contains(['<', '>', '"', '\'']), "{text}");
        assert!(text.contains("&lt;script&gt;") && text.contains("&amp;amp;"), "{text}");
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(
            escaped("a\0b\u{1b}c\u{ffff}d\r\n\te"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}\n\te"
        );
    }
}
