//! What clients know: what they tried, what was acknowledged, what they saw; and what of it
//! contradicts the promise.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many violations are kept; the first ones tell enough.
const VIOLATIONS_MAX: usize = 20;

/// How far a deletion got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletion {
    NotAsked,
    InDoubt,
    Acknowledged(Instant),
}

#[derive(Debug, Clone)]
struct Lease {
    /// From here on the server holds it for at least `ttl`.
    asked: Instant,
    ttl: Duration,
    /// Whether somebody tried to release it.
    released: bool,
}

#[derive(Debug)]
struct Message {
    begun: Instant,
    acknowledged: Option<Instant>,
    seen: bool,
    deletion: Deletion,
    lease: Option<Lease>,
}

#[derive(Debug, Default)]
struct Book {
    messages: HashMap<String, Message>,
    batches: Vec<Vec<String>>,
    in_doubt: HashSet<u64>,
    claims: u64,
    violations: Vec<String>,
}

/// What all clients know together.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Book>);

/// What happened, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) posted: u64,
    pub(crate) in_doubt: u64,
    pub(crate) claimed: u64,
    pub(crate) deleted: u64,
    pub(crate) deletions_in_doubt: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { posted, in_doubt, claimed, deleted, deletions_in_doubt } = self;
        write!(
            f,
            "acknowledged: {posted} posted, {claimed} claimed, {deleted} deleted; in doubt: \
             {in_doubt} posts, {deletions_in_doubt} deletions"
        )
    }
}

impl Book {
    fn violation(&mut self, text: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(text);
        }
    }

    /// Notes that a read or claim, asked for at `asked`, showed the message.
    fn seen(&mut self, key: &str, asked: Instant) {
        let violation = match self.messages.get_mut(key) {
            None => Some(format!("{key}: never posted")),
            Some(message) => {
                message.seen = true;
                match message.deletion {
                    Deletion::Acknowledged(at) if at <= asked => {
                        Some(format!("{key}: came back after its deletion"))
                    }
                    _ => None,
                }
            }
        };
        if let Some(violation) = violation {
            self.violation(violation);
        }
    }
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A post is about to be sent; returns its number.
    pub(crate) fn post_begins(&self, keys: &[String]) -> u64 {
        let mut book = self.book();
        let batch = book.batches.len() as u64;
        book.batches.push(keys.to_vec());
        book.in_doubt.insert(batch);
        for key in keys {
            // Of one batch, too, each comes after the one before.
            let message = Message {
                begun: Instant::now(),
                acknowledged: None,
                seen: false,
                deletion: Deletion::NotAsked,
                lease: None,
            };
            book.messages.insert(key.clone(), message);
        }
        batch
    }

    /// The post was acknowledged.
    pub(crate) fn post_acknowledged(&self, batch: u64) {
        let mut book = self.book();
        book.in_doubt.remove(&batch);
        let Book { messages, batches, .. } = &mut *book;
        for key in usize::try_from(batch).ok().and_then(|at| batches.get(at)).into_iter().flatten()
        {
            if let Some(message) = messages.get_mut(key) {
                message.acknowledged = Some(Instant::now());
            }
        }
    }

    /// A claim, asked for at `asked` and answered now, returned these messages.
    pub(crate) fn claimed(&self, keys: &[String], asked: Instant, ttl: Duration) {
        let answered = Instant::now();
        let mut book = self.book();
        for key in keys {
            book.claims += 1;
            book.seen(key, asked);
            let Some(message) = book.messages.get_mut(key) else { continue };
            let lease = Lease { asked, ttl, released: false };
            let before = message.lease.replace(lease);
            if before.is_some_and(|lease| !lease.released && answered < lease.asked + lease.ttl) {
                book.violation(format!("{key}: claimed while it was under a live claim"));
            }
        }
    }

    /// Somebody is about to release a claim on these messages.
    pub(crate) fn release_begins(&self, keys: &[String]) {
        let mut book = self.book();
        for key in keys {
            if let Some(lease) = book.messages.get_mut(key).and_then(|m| m.lease.as_mut()) {
                lease.released = true;
            }
        }
    }

    /// Somebody is about to delete the message.
    pub(crate) fn delete_begins(&self, key: &str) {
        if let Some(message) = self.book().messages.get_mut(key) {
            message.deletion = Deletion::InDoubt;
        }
    }

    /// The deletion was acknowledged.
    pub(crate) fn delete_acknowledged(&self, key: &str) {
        if let Some(message) = self.book().messages.get_mut(key) {
            message.deletion = Deletion::Acknowledged(Instant::now());
        }
    }

    /// Something was answered that must not be.
    pub(crate) fn unexpected(&self, text: String) {
        self.book().violation(text);
    }

    /// Compares with everything that a walk, begun at `asked` while nobody changed anything,
    /// found.
    pub(crate) fn compare(&self, found: &[String], asked: Instant) {
        let mut book = self.book();
        let mut there = HashSet::new();
        for key in found {
            book.seen(key, asked);
            if !there.insert(key.as_str()) {
                book.violation(format!("{key}: is there twice"));
            }
        }
        let expected = |message: &Message| {
            (message.acknowledged.is_some() || message.seen)
                && message.deletion == Deletion::NotAsked
        };
        let lost: Vec<_> = book
            .messages
            .iter()
            .filter(|(key, message)| expected(message) && !there.contains(key.as_str()))
            .map(|(key, _)| format!("{key}: lost"))
            .collect();
        let torn: Vec<_> = book
            .in_doubt
            .iter()
            .filter_map(|batch| book.batches.get(usize::try_from(*batch).ok()?))
            .filter(|keys| {
                let seen = keys
                    .iter()
                    .filter(|key| book.messages.get(*key).is_some_and(|m| m.seen))
                    .count();
                seen != 0 && seen != keys.len()
            })
            .map(|keys| format!("{keys:?}: stored in part"))
            .collect();
        for violation in lost.into_iter().chain(torn) {
            book.violation(violation);
        }
    }

    /// Compares the order in which a queue showed its messages with that of their posts: what was
    /// acknowledged before another one's post began must not come after it.
    pub(crate) fn compare_order(&self, queue: &[String]) {
        let mut book = self.book();
        let mut latest: Option<(Instant, &String)> = None;
        let mut misplaced = Vec::new();
        for key in queue {
            let Some(message) = book.messages.get(key) else { continue };
            match latest {
                Some((begun, later)) if message.acknowledged.is_some_and(|at| at < begun) => {
                    misplaced.push(format!("{key}: comes after {later}, which was posted later"));
                }
                Some((begun, _)) if message.begun <= begun => {}
                _ => latest = Some((message.begun, key)),
            }
        }
        for violation in misplaced {
            book.violation(violation);
        }
    }

    /// What contradicts the promise; the first of it.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.book().violations.clone()
    }

    /// What happened, in numbers.
    pub(crate) fn counts(&self) -> Counts {
        let book = self.book();
        let count = |wanted: &dyn Fn(&Message) -> bool| {
            book.messages.values().filter(|message| wanted(message)).count() as u64
        };
        Counts {
            posted: count(&|message| message.acknowledged.is_some()),
            in_doubt: book.in_doubt.len() as u64,
            claimed: book.claims,
            deleted: count(&|message| matches!(message.deletion, Deletion::Acknowledged(_))),
            deletions_in_doubt: count(&|message| message.deletion == Deletion::InDoubt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn posted(keys: &[&str]) -> (Ledger, Vec<String>) {
        let ledger = Ledger::default();
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        let batch = ledger.post_begins(&keys);
        ledger.post_acknowledged(batch);
        (ledger, keys)
    }

    #[test]
    fn a_lost_message_is_found() {
        let (ledger, keys) = posted(&["a", "b"]);
        ledger.compare(&keys, Instant::now());
        assert!(ledger.violations().is_empty());
        ledger.compare(&keys[..1], Instant::now());
        assert_eq!(ledger.violations(), ["b: lost"]);
    }

    #[test]
    fn a_message_that_comes_back_is_found() {
        let (ledger, keys) = posted(&["a"]);
        ledger.delete_begins("a");
        ledger.compare(&keys, Instant::now());
        assert!(ledger.violations().is_empty());
        ledger.delete_acknowledged("a");
        ledger.compare(&keys, Instant::now());
        assert_eq!(ledger.violations(), ["a: came back after its deletion"]);
    }

    #[test]
    fn a_second_live_claim_is_found_and_one_after_a_release_is_none() {
        let (ledger, keys) = posted(&["a"]);
        ledger.claimed(&keys, Instant::now(), TTL);
        ledger.release_begins(&keys);
        ledger.claimed(&keys, Instant::now(), Duration::ZERO);
        ledger.claimed(&keys, Instant::now(), TTL);
        assert!(ledger.violations().is_empty());
        ledger.claimed(&keys, Instant::now(), TTL);
        assert_eq!(ledger.violations(), ["a: claimed while it was under a live claim"]);
    }

    #[test]
    fn a_batch_in_doubt_must_be_there_whole_or_not_at_all() {
        let ledger = Ledger::default();
        let keys = ["a".to_owned(), "b".to_owned()];
        ledger.post_begins(&keys);
        ledger.compare(&[], Instant::now());
        assert!(ledger.violations().is_empty());
        ledger.compare(&keys[..1], Instant::now());
        assert_eq!(ledger.violations(), [r#"["a", "b"]: stored in part"#]);
    }

    #[test]
    fn a_message_that_comes_after_a_later_one_is_found() {
        let (ledger, mut keys) = posted(&["a", "b"]);
        let batch = ledger.post_begins(&["c".to_owned()]);
        ledger.post_acknowledged(batch);
        keys.push("c".to_owned());
        ledger.compare_order(&keys);
        assert!(ledger.violations().is_empty());
        keys.swap(1, 2);
        ledger.compare_order(&keys);
        assert_eq!(ledger.violations(), ["b: comes after c, which was posted later"]);
    }

    #[test]
    fn a_message_that_is_there_twice_or_was_never_posted_is_found() {
        let (ledger, keys) = posted(&["a"]);
        ledger.compare(&[keys[0].clone(), keys[0].clone(), "x".to_owned()], Instant::now());
        assert_eq!(ledger.violations(), ["a: is there twice", "x: never posted"]);
    }
}
