//! What the kernel says of processes, read from `/proc`.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A process, told apart from any later one that is given the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since the machine was.
    pub started: u64,
}

/// The fields of `/proc/PID/stat` that are of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: u32,
    started: u64,
}

impl Identity {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: stat(pid)?.started })
    }

    /// Whether it still runs; one that waits to be reaped does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|now| now.started == self.started && !now.is_dead())
    }

    /// Its children that still run.
    pub(crate) fn children(&self) -> Vec<Self> {
        let child = |pid| {
            let stat = stat(pid)?;
            let is_child = stat.parent == self.pid && !stat.is_dead();
            is_child.then_some(Self { pid, started: stat.started })
        };
        all().into_iter().filter_map(child).collect()
    }

    /// How long it has run, in seconds.
    #[must_use]
    pub fn uptime_s(&self) -> Option<u64> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        // USER_HZ, which `/proc` counts in, is 100 on every architecture that Debian has.
        let started_s = self.started / 100;
        // Seconds since the start of the machine fit.
        Some((seconds as u64).saturating_sub(started_s))
    }
}

impl Stat {
    fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(text: &str) -> Option<Stat> {
    // The second field is the program's name, in brackets, and may hold blanks and brackets itself.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, started })
}

/// The numbers of all processes.
fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Processes with their programs' names and the folders they work in, as far as we may know them.
pub(crate) fn at_work() -> Vec<(Identity, String, PathBuf)> {
    let of = |pid: u32| {
        let identity = Identity::of(pid)?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        identity.is_alive().then(|| (identity, name.trim_end().to_owned(), folder))
    };
    all().into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99 5 6";
        assert_eq!(parse(text), Some(Stat { state: 'S', parent: 3, started: 99 }));
    }

    #[test]
    fn this_process_is_alive_and_another_start_time_is_another_process() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert!(own.uptime_s().is_some());
        assert!(!Identity { started: own.started + 1, ..own }.is_alive());
    }
}
