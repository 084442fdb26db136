//! The story as a picture (SVG): a row for each worker, a bar for each call, from its beginning to
//! its end, in the order in which these happened.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::story::{Step, Story};
use crate::loss::history::Outcome;
use crate::loss::verdict::Finding;
use crate::report::escaped;

const WIDTH: usize = 960;
/// Left of the rows, for the names of the workers.
const LABELS: usize = 90;
const ROW: usize = 30;
const LINE: usize = 18;
const TOP: usize = 56;

/// A whole SVG document.
pub(super) fn drawn(finding: &Finding, story: &Story<'_>) -> String {
    let workers: BTreeSet<u32> = story.steps.iter().map(|step| step.call.worker).collect();
    let workers: Vec<u32> = workers.into_iter().collect();
    let legend = TOP + ROW * workers.len() + LINE;
    let height = legend + LINE * (story.steps.len() + 2);
    let title = format!("{}: {}", finding.kind, finding.about);
    let guarantee = format!("{} {}", finding.guarantee, finding.guarantee.title());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" role=\"img\" style=\"font:12px system-ui,sans-serif;fill:currentColor\">\
         <title>{0}</title><text x=\"0\" y=\"16\" style=\"font-weight:600\">{0}</text>\
         <text x=\"0\" y=\"34\">breaks {1}</text>",
        escaped(&title),
        escaped(&guarantee)
    );
    for (nth, worker) in workers.iter().enumerate() {
        row(&mut svg, nth, *worker);
    }
    let scale = Scale::of(story);
    for step in &story.steps {
        let nth = workers.iter().position(|worker| *worker == step.call.worker).unwrap_or(0);
        bar(&mut svg, step, TOP + ROW * nth, &scale);
    }
    for (nth, step) in story.steps.iter().enumerate() {
        let mark = if step.shows { "✱ " } else { "" };
        let text = format!("{} {mark}w{}: {}", step.number, step.call.worker, step.text);
        label(&mut svg, 0, legend + LINE * nth, &text);
    }
    let key = "green: acknowledged, grey: refused, amber: no answer, red border: shows the finding";
    label(&mut svg, 0, legend + LINE * (story.steps.len() + 1), key);
    svg.push_str("</svg>\n");
    svg
}

/// Where the moments of a story are: each that begins or ends a call has the same width.
struct Scale(Vec<u64>);

impl Scale {
    fn of(story: &Story<'_>) -> Self {
        let ends = |step: &Step<'_>| [step.call.invoked.order, step.call.ended.order];
        let moments: BTreeSet<u64> = story.steps.iter().flat_map(ends).collect();
        Self(moments.into_iter().collect())
    }

    fn x(&self, order: u64) -> usize {
        let place = self.0.partition_point(|moment| *moment < order);
        LABELS + (WIDTH - LABELS - 4) * place / self.0.len().max(1)
    }
}

fn row(svg: &mut String, nth: usize, worker: u32) {
    let y = TOP + ROW * nth;
    label(svg, 0, y + 17, &format!("worker {worker}"));
    // Writing to a String cannot fail.
    write!(
        svg,
        "<line x1=\"{LABELS}\" x2=\"{WIDTH}\" y1=\"{0}\" y2=\"{0}\" style=\"stroke:#8886\"/>",
        y + ROW - 4
    )
    .unwrap_or_default();
}

fn bar(svg: &mut String, step: &Step<'_>, y: usize, scale: &Scale) {
    let (from, to) = (scale.x(step.call.invoked.order), scale.x(step.call.ended.order));
    let colour = match step.call.outcome {
        Outcome::Ok(_) => "#2da44e",
        Outcome::Failed => "#8c959f",
        Outcome::Indeterminate => "#d4a72c",
    };
    let border = if step.shows { "stroke:#cf222e;stroke-width:3" } else { "stroke:none" };
    // Writing to a String cannot fail.
    write!(
        svg,
        "<g><title>{}</title><rect x=\"{from}\" y=\"{}\" width=\"{}\" height=\"18\" rx=\"3\" \
         style=\"fill:{colour};{border}\"/></g>",
        escaped(&format!("{}: {}", step.call, step.text)),
        y + 3,
        to.saturating_sub(from).max(8)
    )
    .unwrap_or_default();
    label(svg, from + 3, y + 16, &step.number.to_string());
}

fn label(svg: &mut String, x: usize, y: usize, text: &str) {
    // Writing to a String cannot fail.
    write!(svg, "<text x=\"{x}\" y=\"{y}\">{}</text>", escaped(text)).unwrap_or_default();
}
