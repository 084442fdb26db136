//! Bars of numbers, as a picture within the page (SVG).

use std::fmt::Write as _;

use super::escaped;

const ROW: u64 = 22;
const LABELS: u64 = 430;
const WIDTH: u64 = 860;
/// Left of a bar's end for the number.
const NUMBERS: u64 = 90;

/// A bar for each of `rows`, the longest over the whole width, its number in `unit`.
pub(super) fn bars(title: &str, rows: &[(String, u64)], unit: &str) -> String {
    let longest = rows.iter().map(|(_, number)| *number).max().unwrap_or(0).max(1);
    let height = ROW * (u64::try_from(rows.len()).unwrap_or(0) + 1);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" role=\"img\" aria-label=\"{0}\">\
         <title>{0}</title>",
        escaped(title)
    );
    for (place, (label, number)) in (0..).zip(rows) {
        let top = ROW * place;
        let length = (WIDTH - LABELS - NUMBERS).saturating_mul(*number) / longest;
        let (text_y, end) = (top + 15, LABELS + length.max(1) + 6);
        // Writing to a String cannot fail.
        write!(
            svg,
            "<text x=\"0\" y=\"{text_y}\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{}\" width=\"{}\" height=\"14\"/>\
             <text x=\"{end}\" y=\"{text_y}\">{number}{unit}</text>",
            escaped(label),
            top + 4,
            length.max(1)
        )
        .unwrap_or_default();
    }
    svg.push_str("</svg>");
    svg
}
