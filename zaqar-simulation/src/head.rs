//! What a web head remembers of queues: which incarnation a name has, and which pool it is in.
//!
//! The engine keeps the two in two caches with the same time to live, filled one after the other on
//! a queue's first request: a *resolution*, two reads of the control plane. Callers that come
//! meanwhile share the first read and do the second one themselves. Absence is not remembered.

/// Queues that the engine's caches hold (`ROUTES_MAX` of its routing, `MAPPINGS_MAX` of its pools);
/// the model forgets nothing early, so its figures hold below that.
pub(crate) const ENTRIES_MAX: f64 = 100_000.0;
/// Reads of the control plane in a resolution: the queue's record, and its place.
pub(crate) const READS: f64 = 2.0;

/// How a request found its queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Answer {
    /// By what was remembered since this moment.
    Known { since_s: f64 },
    /// With a resolution that was under way: one read.
    Joined,
    /// By a resolution.
    Resolved,
}

/// A web head.
#[derive(Debug)]
pub(crate) struct Head {
    /// When the latest resolution of each queue was, or will be, done.
    ready_s: Vec<f64>,
    ttl_s: f64,
    resolve_s: f64,
}

impl Head {
    /// One that knows no queue; it remembers each for `ttl_s`, and a resolution takes `resolve_s`.
    pub(crate) fn cold(queues: usize, ttl_s: f64, resolve_s: f64) -> Self {
        Self { ready_s: vec![f64::NEG_INFINITY; queues], ttl_s, resolve_s }
    }

    /// Forgets all.
    pub(crate) fn restart(&mut self) {
        self.ready_s.fill(f64::NEG_INFINITY);
    }

    /// Serves a request.
    pub(crate) fn ask(&mut self, queue: usize, now_s: f64) -> Answer {
        match self.ready_s.get(queue) {
            Some(ready_s) if now_s < *ready_s => Answer::Joined,
            Some(ready_s) if now_s < ready_s + self.ttl_s => Answer::Known { since_s: *ready_s },
            _ => {
                self.resolve(queue, now_s);
                Answer::Resolved
            }
        }
    }

    /// Resolves a queue anew.
    pub(crate) fn resolve(&mut self, queue: usize, now_s: f64) {
        if let Some(ready_s) = self.ready_s.get_mut(queue) {
            *ready_s = now_s + self.resolve_s;
        }
    }

    /// How many queues it remembers.
    pub(crate) fn entries(&self, now_s: f64) -> usize {
        self.ready_s.iter().filter(|ready_s| now_s < **ready_s + self.ttl_s).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_resolved_once_and_remembered_for_the_time_to_live() {
        let mut head = Head::cold(2, 5.0, 0.5);
        assert_eq!(head.ask(0, 1.0), Answer::Resolved);
        assert_eq!(head.ask(0, 1.4), Answer::Joined);
        assert_eq!(head.ask(0, 1.5), Answer::Known { since_s: 1.5 });
        assert_eq!(head.ask(0, 6.4), Answer::Known { since_s: 1.5 });
        assert_eq!(head.ask(1, 6.4), Answer::Resolved);
        assert_eq!(head.entries(6.4), 2);
        assert_eq!(head.ask(0, 6.5), Answer::Resolved);
        head.restart();
        assert_eq!(head.entries(6.6), 0);
    }
}
