//! Bars of how long things took, as a picture within the page (SVG).

use std::fmt::Write as _;

use super::escape::escaped;

const ROW: u64 = 22;
const LABELS: u64 = 430;
const WIDTH: u64 = 860;
/// Left of a bar's end for the number.
const NUMBERS: u64 = 90;

/// A bar for each of `rows`, the longest over the whole width.
pub(super) fn bars(title: &str, rows: &[(String, u64)]) -> String {
    let longest = rows.iter().map(|(_, millis)| *millis).max().unwrap_or(0).max(1);
    let height = ROW * (u64::try_from(rows.len()).unwrap_or(0) + 1);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" role=\"img\" aria-label=\"{0}\">\
         <title>{0}</title>",
        escaped(title)
    );
    for (place, (label, millis)) in (0..).zip(rows) {
        let top = ROW * place;
        let length = (WIDTH - LABELS - NUMBERS).saturating_mul(*millis) / longest;
        let (text_y, end) = (top + 15, LABELS + length.max(1) + 6);
        // Writing to a String cannot fail.
        write!(
            svg,
            "<text x=\"0\" y=\"{text_y}\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{}\" width=\"{}\" height=\"14\"/>\
             <text x=\"{end}\" y=\"{text_y}\">{millis} ms</text>",
            escaped(label),
            top + 4,
            length.max(1)
        )
        .unwrap_or_default();
    }
    svg.push_str("</svg>");
    svg
}
