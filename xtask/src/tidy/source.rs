//! Rust source as rules want it: without comments and literals.

/// `text` with every comment and literal blanked out; lines stay where they are.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_word = false;
    while let Some(first) = rest.chars().next() {
        let opaque = opaque_len(rest, in_word);
        let (head, tail) = rest.split_at(if opaque == 0 { first.len_utf8() } else { opaque });
        if opaque == 0 {
            code.push_str(head);
        } else {
            code.extend(head.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        in_word = opaque == 0 && is_word(first);
        rest = tail;
    }
    code
}

/// Whether `c` can be part of a name.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The lines of `code` that hold `needle` as a whole word; counted from 1.
pub(super) fn lines_with<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.lines()
        .enumerate()
        .filter(move |(_, line)| has_word(line, needle))
        .map(|(index, _)| index + 1)
}

/// Whether `line` holds `needle` neither preceded nor, if it ends in a name, followed by more of one.
pub(super) fn has_word(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line.get(..at).and_then(|s| s.chars().next_back());
        let after = line.get(at + needle.len()..).and_then(|s| s.chars().next());
        let ends_in_word = needle.chars().next_back().is_some_and(is_word);
        !(before.is_some_and(is_word) || ends_in_word && after.is_some_and(is_word))
    })
}

/// The bytes from `open`, the offset of a bracket, to behind the one that closes it.
pub(super) fn bracketed(code: &str, open: usize, brackets: (char, char)) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, c) in code.get(open..)?.char_indices() {
        if c == brackets.0 {
            depth += 1;
        } else if c == brackets.1 {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return code.get(open..=open + at);
            }
        }
    }
    None
}

/// The number of the line that the byte at `offset` is in; counted from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The length of the comment or literal that `rest` begins with; 0 if it begins with code.
fn opaque_len(rest: &str, in_word: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_len(rest);
    }
    if rest.starts_with('"') {
        return string_len(rest);
    }
    if rest.starts_with('\'') {
        return char_len(rest);
    }
    if in_word {
        return 0;
    }
    ["br", "cr", "r"].iter().find_map(|prefix| raw_string_len(rest, prefix)).unwrap_or(0)
}

fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn string_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string_len(rest: &str, prefix: &str) -> Option<usize> {
    let after = rest.strip_prefix(prefix)?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let open_len = prefix.len() + hashes + 1;
    Some(body.find(&end).map_or(rest.len(), |at| open_len + at + end.len()))
}

/// A quote begins a character or a lifetime.
fn char_len(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, c))) => {
            let from = escaped + c.len_utf8();
            rest.get(from..).and_then(|tail| tail.find('\'')).map_or(0, |at| from + at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_blanked_out() {
        assert_eq!(code_only("a // b\nc"), "a     \nc");
        assert_eq!(code_only("a /* b /* c */\nd */ e"), "a             \n     e");
    }

    #[test]
    fn literals_are_blanked_out() {
        assert_eq!(code_only(r#"f("a\"b", x)"#), "f(      , x)");
        assert_eq!(code_only("f(r#\"a\"b\"#, x)"), "f(        , x)");
        assert_eq!(code_only(r"f('\'', '}', x)"), "f(    ,    , x)");
    }

    #[test]
    fn lifetimes_and_names_that_look_like_prefixes_stay() {
        let code = "fn f<'a>(var: &'a str, b: r) -> &'a str { var }";
        assert_eq!(code_only(code), code);
    }

    #[test]
    fn a_word_is_found_whole_only() {
        assert!(has_word("x.sleep(1)", "sleep") && has_word("todo!()", "todo!"));
        assert!(!has_word("x.sleepy(1)", "sleep") && !has_word("oversleep(1)", "sleep"));
    }

    #[test]
    fn brackets_are_matched() {
        assert_eq!(bracketed("x {a{b}c} d}", 2, ('{', '}')), Some("{a{b}c}"));
        assert_eq!(bracketed("{a", 0, ('{', '}')), None);
    }
}
