//! What is left of an answer when what differs by its nature is taken out.

use crate::client::Answer;

/// Headers that say when, which request, and how long; lengths follow from bodies, which are
/// compared.
const LEFT_OUT: [&str; 3] = ["date", "x-openstack-request-id", "content-length"];
/// The shortest run of hexadecimal digits and hyphens that is taken for an id.
const ID_LENGTH: usize = 24;

/// Status, headers and body.
pub(crate) fn shown(answer: &Answer) -> String {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (!LEFT_OUT.contains(&name.as_str())).then(|| format!("{name}: {value}"))
    };
    let mut headers: Vec<String> = answer.headers.iter().filter_map(header).collect();
    headers.sort();
    format!("{} {} {}", answer.status.as_u16(), headers.join("; "), answer.text())
}

/// A text without ages and moments, which pass while a test runs.
pub(crate) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '0'..='9' if out.ends_with("\"age\": ") || out.ends_with("\"age\":") => {
                let digits =
                    rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                out.push_str("{age}");
                digits
            }
            '0'..='9' => moment(rest).inspect(|_| out.push_str("{moment}")).unwrap_or_default(),
            _ => 0,
        };
        let step = if skipped == 0 {
            out.push(c);
            c.len_utf8()
        } else {
            skipped
        };
        rest = &rest[step..];
    }
    out
}

/// The same without ids, for what is made anew has a new one.
pub(crate) fn anonymous(text: &str) -> String {
    let text = masked(text);
    let is_part = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '-');
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let run = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        out.push_str(if run < ID_LENGTH { &rest[..run] } else { "{id}" });
        let other = rest[run..].find(is_part).map_or(rest.len(), |at| run + at);
        out.push_str(&rest[run..other]);
        rest = &rest[other..];
    }
    out
}

/// The length of the date and time that a text begins with, as `2033-05-18T03:33:20`, perhaps with
/// a `Z`.
fn moment(text: &str) -> Option<usize> {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let start = text.as_bytes().get(..FORM.len())?;
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    let is_moment = start.iter().zip(FORM).all(fits);
    let zone = usize::from(text.as_bytes().get(FORM.len()) == Some(&b'Z'));
    is_moment.then_some(FORM.len() + zone)
}

#[test]
fn only_ages_moments_and_ids_are_taken_out() {
    let text =
        r#"{"age": 17, "n": 17, "at": "2033-05-18T03:33:20Z", "id": "0000000001000000000000ff"}"#;
    assert_eq!(
        masked(text),
        r#"{"age": {age}, "n": 17, "at": "{moment}", "id": "0000000001000000000000ff"}"#
    );
    assert_eq!(anonymous(text), r#"{"age": {age}, "n": 17, "at": "{moment}", "id": "{id}"}"#);
    assert_eq!(anonymous("grüße 0123-cafe"), "grüße 0123-cafe");
}
