//! What strace wrote, as writes to files, flushes of files, and lines to whoever asked.

use std::collections::BTreeMap;

/// A system call that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The line of the trace at which it began.
    pub(crate) begun: usize,
    /// The line at which it had ended.
    pub(crate) ended: usize,
    pub(crate) what: What,
}

/// What a call did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Wrote to the file.
    Write(String),
    /// Had the file flushed.
    Sync(String),
    /// Wrote a line to whoever asked.
    Answer,
}

/// The events of `strace -f -y -o FILE`, in the order in which they ended; answers are written to
/// the pipe `answers`.
pub(crate) fn events(trace: &str, answers: &str) -> Vec<Event> {
    // What each thread is in the middle of: only one call at a time.
    let mut unfinished: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut events = Vec::new();
    for (nth, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, (nth, begun));
        } else if rest.starts_with("<... ") {
            let Some((begun, call)) = unfinished.remove(thread) else { continue };
            events.extend(event(begun, nth, call, rest, answers));
        } else {
            events.extend(event(nth, nth, rest, rest, answers));
        }
    }
    events
}

/// The event of a call whose text begins with `call` and ends with `end`, if it is one and succeeded.
fn event(begun: usize, ended: usize, call: &str, end: &str, answers: &str) -> Option<Event> {
    let (_, result) = end.rsplit_once(" = ")?;
    // What strace was told to leave out, it marks after the result.
    if result.starts_with('-') || result.starts_with('?') || result.contains("INJECTED") {
        return None;
    }
    let (name, arguments) = call.split_once('(')?;
    let (_, rest) = arguments.split_once('<')?;
    let (file, _) = rest.split_once('>')?;
    let what = match name {
        "fsync" | "fdatasync" => What::Sync(file.to_owned()),
        // Programs that the store starts have standard outputs of their own.
        "write" | "writev" if file == answers => What::Answer,
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => What::Write(file.to_owned()),
        _ => return None,
    };
    Some(Event { begun, ended, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_threads_that_interrupt_each_other_are_put_together() {
        let trace = "\
            10 pwrite64(7</d/a.db-wal>, \"\\1\"..., 4096, 32) = 4096\n\
            11 fdatasync(7</d/a.db-wal> <unfinished ...>\n\
            10 write(9</d/b.log>, \"x > y = 3\"..., 10) = 10\n\
            11 <... fdatasync resumed>) = 0\n\
            12 fsync(9</d/b.log>) = -1 EIO (Input/output error)\n\
            12 fsync(9</d/b.log>) = 0 (INJECTED)\n\
            10 write(1<pipe:[77]>, \"[1]\\n\", 4) = 4\n\
            13 write(1<pipe:[78]>, \"[1]\\n\", 4) = 4\n\
            10 +++ exited with 0 +++\n";
        let event = |begun, ended, what| Event { begun, ended, what };
        let wanted = [
            event(0, 0, What::Write("/d/a.db-wal".into())),
            event(2, 2, What::Write("/d/b.log".into())),
            event(1, 3, What::Sync("/d/a.db-wal".into())),
            event(6, 6, What::Answer),
            event(7, 7, What::Write("pipe:[78]".into())),
        ];
        assert_eq!(events(trace, "pipe:[77]"), wanted);
    }
}
