//! What went wrong, for people: which message, acknowledged when and by which call, what touched it
//! since, when it was last seen, and which guarantee that breaks.

mod picture;
mod story;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::history::{Call, History};
use super::shrink::shrink;
use super::verdict::{Finding, Verdict, judge};
use story::{Step, Story};

/// The calls of a shortest history that are printed at most.
const CALLS_MAX: usize = 40;

/// What a broken trial leaves behind: the first finding explained and drawn, and the recorded
/// history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhibit {
    /// The explanation, whose first lines say the most.
    pub explanation: String,
    /// The calls that the finding is about, over the workers that made them: a whole SVG document,
    /// without scripts, that loads nothing.
    pub picture: String,
    /// Everything that was recorded, as JSON lines ([`History::from_lines`]).
    pub history: String,
    /// The shortest history that shows the finding, as JSON lines.
    pub shortest: String,
}

impl Exhibit {
    /// The exhibit of the first finding in `verdict`, which must be `history`'s; `None` if there is
    /// no finding.
    #[must_use]
    pub fn of(history: &History, verdict: &Verdict) -> Option<Self> {
        let finding = verdict.findings().next()?;
        let shortest = shrink(history, finding);
        let story = Story::of(history, finding);
        Some(Self {
            explanation: explanation(history, &shortest, finding, &story),
            picture: picture::drawn(finding, &story),
            history: history.to_lines(),
            shortest: shortest.to_lines(),
        })
    }

    /// The lines of the explanation that say what was broken, to which message.
    #[must_use]
    pub fn summary(&self) -> &str {
        self.explanation.split("\n\n").next().unwrap_or_default()
    }

    /// Writes `<name>.history.jsonl`, `.shortest.jsonl`, `.explained.txt` and `.svg` into `folder`;
    /// returns their paths.
    ///
    /// # Errors
    /// If the folder cannot be made or written to.
    pub fn write(&self, folder: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)?;
        let texts = [
            ("explained.txt", &self.explanation),
            ("svg", &self.picture),
            ("shortest.jsonl", &self.shortest),
            ("history.jsonl", &self.history),
        ];
        let mut written = Vec::new();
        for (kind, text) in texts {
            let path = folder.join(format!("{name}.{kind}"));
            std::fs::write(&path, text)?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Judges `history` as a trial does at its end: the verdict, and the first finding explained.
#[must_use]
pub fn examine(history: &History) -> (Verdict, Option<Exhibit>) {
    let verdict = judge(history);
    let exhibit = Exhibit::of(history, &verdict);
    (verdict, exhibit)
}

fn explanation(
    history: &History,
    shortest: &History,
    finding: &Finding,
    story: &Story<'_>,
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |line: String| writeln!(text, "{line}").unwrap_or_default();
    for fact in facts(finding, story) {
        line(fact);
    }
    line(String::new());
    line("What touched it (* shows the finding; times since the run began):".to_owned());
    for step in &story.steps {
        line(format!("{} {}", if step.shows { '*' } else { ' ' }, told(step, story.begun_ms)));
    }
    if story.left_out > 0 {
        line(format!("  and {} calls between these", story.left_out));
    }
    line(String::new());
    let (left, all) = (shortest.calls.len(), history.calls.len());
    line(format!("The shortest history that shows it, {left} of {all} calls:"));
    for call in shortest.calls.iter().take(CALLS_MAX) {
        line(format!("  {call}: {}", story::outcome(call)));
    }
    if left > CALLS_MAX {
        line(format!("  and {} more", left - CALLS_MAX));
    }
    text
}

/// What a reader asks first.
fn facts(finding: &Finding, story: &Story<'_>) -> Vec<String> {
    let Finding { kind, guarantee, about, text, .. } = finding;
    let mut facts = vec![
        format!("{kind}: {about} breaks {guarantee}, {}", guarantee.title()),
        format!("  {} {text}", kind.sentence()),
    ];
    if !story.is_message {
        return facts;
    }
    match story.posted() {
        Some(post) => facts.push(format!("  posted by {}", place(post, story))),
        None => facts.push("  posted by nobody in this run".to_owned()),
    }
    if let Some(post) = story.acknowledged() {
        let since = story.since_ms(post.ended.at.as_millis());
        facts.push(format!("  acknowledged by {}, at {since}", place(post, story)));
    }
    match story.last_seen() {
        Some(call) => facts.push(format!("  last seen by {}", place(call, story))),
        None => facts.push("  never seen".to_owned()),
    }
    facts
}

fn place(call: &Call, story: &Story<'_>) -> String {
    let (from, to) = (call.invoked, call.ended);
    let since = story.since_ms(from.at.as_millis());
    let name = story::name(call);
    format!(
        "worker {}'s {name} on {}, call [{}..{}], begun at {since}",
        call.worker, call.queue, from.order, to.order
    )
}

fn told(step: &Step<'_>, begun_ms: i64) -> String {
    let Call { worker, queue, invoked, ended, .. } = step.call;
    let since = story::seconds(invoked.at.as_millis().saturating_sub(begun_ms));
    let place = format!("[{}..{}]", invoked.order, ended.order);
    format!("{:>2} {place:<16} {since:>12}  w{worker} on {queue}: {}", step.number, step.text)
}
