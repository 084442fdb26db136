//! A rule's text in pieces.

/// A piece of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'r> {
    Open,
    Close,
    And,
    Or,
    Not,
    /// Anything else: a check, if the rule is in order.
    Check(&'r str),
}

/// The pieces, each with the number of characters before it.
///
/// As the language has it, parentheses count only at the edges of what stands between blanks: a
/// `%(name)s` in the middle is no parenthesis.
pub(super) fn tokens(rule: &str) -> Vec<(usize, Token<'_>)> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut rest = rule;
    loop {
        let word_on = rest.trim_start();
        at += characters_before(rest, word_on);
        let end = word_on.find(char::is_whitespace).unwrap_or(word_on.len());
        let (word, after) = word_on.split_at_checked(end).unwrap_or((word_on, ""));
        if word.is_empty() {
            return found;
        }
        word_tokens(word, at, &mut found);
        at += word.chars().count();
        rest = after;
    }
}

/// Characters of `whole` before `end`, which is its end.
fn characters_before(whole: &str, end: &str) -> usize {
    whole.strip_suffix(end).unwrap_or_default().chars().count()
}

fn word_tokens<'r>(word: &'r str, mut at: usize, found: &mut Vec<(usize, Token<'r>)>) {
    let opened = word.trim_start_matches('(');
    for _ in 0..word.len() - opened.len() {
        found.push((at, Token::Open));
        at += 1;
    }
    let bare = opened.trim_end_matches(')');
    if !bare.is_empty() {
        found.push((at, named(bare)));
        at += bare.chars().count();
    }
    for _ in 0..opened.len() - bare.len() {
        found.push((at, Token::Close));
        at += 1;
    }
}

fn named(word: &str) -> Token<'_> {
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    match word {
        _ if is("and") => Token::And,
        _ if is("or") => Token::Or,
        _ if is("not") => Token::Not,
        _ => Token::Check(word),
    }
}
