//! What a connection is doing and since when, and whether it has been doing it for too long.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long a connection may be in each state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From the first byte of a request's head (on a new connection: from its start) to the last.
    pub(crate) header_read: Duration,
    /// Without a request.
    pub(crate) idle: Duration,
    /// With an answer to send, of which the client takes nothing.
    pub(crate) write: Duration,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Leave it alone and ask again after this time.
    Keep(Duration),
    /// Close it: it has been idle for too long.
    CloseIdle,
    /// Cut it: the head of a request does not come.
    CutHead,
    /// Cut it: the answer is not taken.
    CutWrite,
}

/// The state of one connection. Moments are milliseconds since `base`, plus one; 0 is "not now".
///
/// Written by the connection's own task, so the order of the atomics is of no matter.
#[derive(Debug)]
pub(crate) struct Activity {
    base: Instant,
    head_since: AtomicU64,
    idle_since: AtomicU64,
    blocked_since: AtomicU64,
    requests: AtomicU32,
    multiplexed: AtomicBool,
}

const NOT_NOW: u64 = 0;

impl Activity {
    /// A connection that was just accepted: its first head is due.
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            head_since: AtomicU64::new(1),
            idle_since: AtomicU64::new(1),
            blocked_since: AtomicU64::new(NOT_NOW),
            requests: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    /// The connection was secured: only now a head is due.
    pub(crate) fn ready(&self) {
        let now = self.now();
        self.head_since.store(now, Ordering::Relaxed);
        self.idle_since.store(now, Ordering::Relaxed);
    }

    /// Bytes came in. Between requests they begin a head; on a multiplexed connection they may be
    /// anything.
    pub(crate) fn bytes_read(&self) {
        let head_open = self.head_since.load(Ordering::Relaxed) != NOT_NOW;
        if self.is_idle() && !head_open && !self.multiplexed.load(Ordering::Relaxed) {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Bytes went out.
    pub(crate) fn bytes_written(&self) {
        self.blocked_since.store(NOT_NOW, Ordering::Relaxed);
        if self.is_idle() {
            self.idle_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Bytes could not go out.
    pub(crate) fn write_blocked(&self) {
        if self.blocked_since.load(Ordering::Relaxed) == NOT_NOW {
            self.blocked_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// A request's head is complete.
    pub(crate) fn request_begun(&self, multiplexed: bool) {
        self.head_since.store(NOT_NOW, Ordering::Relaxed);
        self.multiplexed.store(multiplexed, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered or given up.
    pub(crate) fn request_ended(&self) {
        if self.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.idle_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Judges the connection.
    pub(crate) fn judge(&self, timeouts: &Timeouts) -> Verdict {
        let now = self.now();
        let for_long = |since: u64, bound: Duration| {
            since != NOT_NOW && Duration::from_millis(now.saturating_sub(since)) >= bound
        };
        // A head that begins right after this look is found late by a quarter of its time at most.
        let look = (timeouts.header_read / 4).max(Duration::from_millis(5));
        if for_long(self.blocked_since.load(Ordering::Relaxed), timeouts.write) {
            return Verdict::CutWrite;
        }
        if !self.is_idle() {
            return Verdict::Keep(look);
        }
        let head_since = self.head_since.load(Ordering::Relaxed);
        if for_long(head_since, timeouts.header_read) {
            return Verdict::CutHead;
        }
        let idle = head_since == NOT_NOW;
        if idle && for_long(self.idle_since.load(Ordering::Relaxed), timeouts.idle) {
            return Verdict::CloseIdle;
        }
        Verdict::Keep(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        header_read: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    /// Judges the connection so many seconds later.
    fn after(seconds: u64, activity: &mut Activity) -> Verdict {
        activity.base -= Duration::from_secs(seconds);
        activity.judge(&TIMEOUTS)
    }

    #[test]
    fn a_head_that_does_not_come_is_cut() {
        let mut fresh = Activity::new();
        assert!(matches!(after(9, &mut fresh), Verdict::Keep(_)));
        assert_eq!(after(1, &mut fresh), Verdict::CutHead);

        let mut second = Activity::new();
        second.request_begun(false);
        second.request_ended();
        assert!(matches!(after(60, &mut second), Verdict::Keep(_)));
        second.bytes_read();
        second.bytes_read();
        assert!(matches!(after(9, &mut second), Verdict::Keep(_)));
        assert_eq!(after(1, &mut second), Verdict::CutHead);
    }

    #[test]
    fn a_head_is_due_from_the_end_of_the_handshake_on() {
        let mut slow = Activity::new();
        slow.base -= Duration::from_secs(9);
        slow.ready();
        assert!(matches!(after(9, &mut slow), Verdict::Keep(_)));
        assert_eq!(after(1, &mut slow), Verdict::CutHead);
    }

    #[test]
    fn an_idle_connection_is_closed_and_a_working_one_is_not() {
        let mut activity = Activity::new();
        activity.request_begun(true);
        assert!(matches!(after(1000, &mut activity), Verdict::Keep(_)));
        activity.request_ended();
        activity.bytes_read();
        assert!(matches!(after(74, &mut activity), Verdict::Keep(_)));
        assert_eq!(after(1, &mut activity), Verdict::CloseIdle);
    }

    #[test]
    fn an_answer_that_nobody_takes_is_cut_and_a_slow_one_is_not() {
        let mut activity = Activity::new();
        activity.request_begun(false);
        activity.request_ended();
        for _ in 0..10 {
            activity.write_blocked();
            assert!(matches!(after(29, &mut activity), Verdict::Keep(_)));
            activity.bytes_written();
        }
        activity.write_blocked();
        assert_eq!(after(30, &mut activity), Verdict::CutWrite);
    }
}
