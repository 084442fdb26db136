//! Whether what was acknowledged had been flushed before (G1): a pure function over a trace.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::trace::{Event, What};

/// Who writes to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The store alone, for the post that waits: a flush must follow the last write.
    Store,
    /// A server, on its own account too. A flush must follow the first write: that is the post's,
    /// but for what the server writes when nobody asks it to.
    Server,
}

/// What a trace shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flushes {
    /// Acknowledgements that were looked at.
    pub(crate) acknowledged: usize,
    /// Finished flushes of the log.
    pub(crate) syncs: usize,
    /// Acknowledgements before which what was written to the log had not been flushed.
    pub(crate) unflushed: Vec<String>,
    /// Acknowledgements before which nothing was written to the log.
    pub(crate) unwritten: Vec<String>,
}

impl Flushes {
    pub(crate) fn is_clean(&self) -> bool {
        self.unflushed.is_empty() && self.unwritten.is_empty()
    }
}

impl fmt::Display for Flushes {
    /// Counts, then the first findings of each set that is not empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 4;
        write!(f, "{} acknowledged, {} flushes", self.acknowledged, self.syncs)?;
        for (name, found) in [("unflushed", &self.unflushed), ("unwritten", &self.unwritten)] {
            if !found.is_empty() {
                write!(f, "; {name} {}", found.len())?;
                found
                    .iter()
                    .take(SHOWN_MAX)
                    .try_for_each(|text| write!(f, "\n  {name}: {text}"))?;
            }
        }
        Ok(())
    }
}

/// Looks at each answer but the first `skipped`, between which and the answer before something must
/// have been written to a file that `is_log`, and flushed after that.
pub(crate) fn flushes(
    events: &[Event],
    skipped: usize,
    writer: Writer,
    is_log: impl Fn(&str) -> bool,
) -> Flushes {
    let mut found = Flushes::default();
    let mut since = 0;
    let answers = events.iter().filter(|event| event.what == What::Answer);
    for (nth, answer) in answers.enumerate() {
        if nth >= skipped {
            found.acknowledged += 1;
            look(events, since..answer.begun, writer, &is_log, &mut found);
        }
        since = answer.begun;
    }
    found
}

fn look(
    events: &[Event],
    lines: Range<usize>,
    writer: Writer,
    is_log: impl Fn(&str) -> bool,
    found: &mut Flushes,
) {
    let answered = lines.end;
    // When that ended of each file, after which it must have been flushed.
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events.iter().filter(|event| lines.contains(&event.begun)) {
        match &event.what {
            What::Write(file) if is_log(file) => {
                let ended = written.entry(file).or_insert(event.ended);
                if writer == Writer::Store {
                    *ended = event.ended.max(*ended);
                }
            }
            What::Sync(file) if is_log(file) && event.ended < answered => found.syncs += 1,
            _ => {}
        }
    }
    if written.is_empty() {
        found.unwritten.push(format!("line {answered} answers, nothing was written before"));
    }
    for (file, ended) in written {
        let flushed = |event: &Event| {
            event.begun > ended
                && event.ended < answered
                && matches!(&event.what, What::Sync(synced) if synced == file)
        };
        if !events.iter().any(flushed) {
            let what = format!("line {answered} answers, {file} was written to at line {ended}");
            found.unflushed.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::flush::trace::events;

    /// The pipe of `ANSWER`.
    const PIPE: &str = "pipe:[7]";
    const LOG: &str = "pwrite64(7</d/ns.db-wal>, \"\"..., 9, 0) = 9";
    const FLUSH: &str = "fdatasync(7</d/ns.db-wal>) = 0";
    const ANSWER: &str = "write(1<pipe:[7]>, \"[]\"..., 3) = 3";

    /// What a trace of these calls shows, after a first answer that does not count.
    fn shown(calls: &[&str]) -> Flushes {
        let lines: Vec<String> =
            [ANSWER].iter().chain(calls).map(|call| format!("10 {call}")).collect();
        flushes(&events(&lines.join("\n"), PIPE), 1, Writer::Store, |file| file.ends_with("-wal"))
    }

    #[test]
    fn a_write_that_is_flushed_before_its_answer_is_clean() {
        let calls =
            [LOG, LOG, FLUSH, ANSWER, LOG, FLUSH, "write(2<pipe:[8]>, \"\", 1) = 1", ANSWER];
        let found = shown(&calls);
        assert!(found.is_clean(), "{found}");
        assert_eq!((found.acknowledged, found.syncs), (2, 2));
    }

    #[test]
    fn a_missing_flush_is_found_wherever_it_is_missing() {
        let database = "fdatasync(8</d/ns.db>) = 0";
        let failed = "fdatasync(7</d/ns.db-wal>) = -1 EIO (Input/output error)";
        for calls in [
            &[LOG, ANSWER][..],
            &[FLUSH, LOG, ANSWER],
            &[LOG, ANSWER, FLUSH],
            &[LOG, FLUSH, LOG, ANSWER],
            &[LOG, database, ANSWER],
            &[LOG, failed, ANSWER],
        ] {
            let found = shown(calls);
            assert_eq!(found.unflushed.len(), 1, "{calls:?}: {found}");
            assert!(found.to_string().contains("; unflushed 1"), "{found}");
        }
    }

    #[test]
    fn a_flush_that_begins_before_the_last_write_or_ends_after_the_answer_is_none() {
        let around = |first: &str, between: &str, last: &str| {
            let lines = [format!("10 {ANSWER}"), first.into(), between.into(), last.into()];
            let lines =
                lines.join("\n") + &format!("\n10 {ANSWER}\n11 <... fdatasync resumed>) = 0");
            flushes(&events(&lines, PIPE), 1, Writer::Store, |file| file.ends_with("-wal"))
        };
        let begun = "11 fdatasync(7</d/ns.db-wal> <unfinished ...>";
        let ended = "11 <... fdatasync resumed>) = 0";
        let write = format!("10 {LOG}");
        assert_eq!(around(begun, &write, ended).unflushed.len(), 1);
        assert_eq!(around(&write, begun, "10 getpid() = 10").unflushed.len(), 1);
        assert!(around(&write, begun, ended).is_clean());
    }

    #[test]
    fn a_server_may_write_on_between_the_flush_and_the_answer() {
        let found = |calls: &[&str]| {
            let lines: Vec<String> = calls.iter().map(|call| format!("10 {call}")).collect();
            let events = events(&lines.join("\n"), PIPE);
            flushes(&events, 1, Writer::Server, |file| file.ends_with("-wal"))
        };
        assert!(found(&[ANSWER, LOG, FLUSH, LOG, ANSWER]).is_clean());
        assert_eq!(found(&[ANSWER, FLUSH, LOG, LOG, ANSWER]).unflushed.len(), 1);
        assert_eq!(found(&[ANSWER, FLUSH, ANSWER]).unwritten.len(), 1);
    }

    #[test]
    fn an_answer_before_which_nothing_was_written_is_found() {
        let found = shown(&[LOG, FLUSH, ANSWER, ANSWER]);
        assert_eq!((found.unflushed.len(), found.unwritten.len()), (0, 1));
    }
}
