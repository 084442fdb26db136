//! What one project holds, as this process knows it.
//!
//! A sample of the stores takes a while, and posts go on meanwhile. So what was accepted is counted
//! from a mark on that was taken before the sample began, and posts that were under way at the mark
//! count as accepted after it: they may be counted twice until the next sample, and never not at
//! all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use zaqar_core::Timestamp;

use super::{Amount, Exceeded, Quota};

/// Least time from the beginning of one sample to that of the next.
const PERIOD_MS_MIN: i64 = 2_000;
/// A sample that took t is followed by the next one this many times t after its beginning at the
/// earliest: a twentieth of the time is spent on sampling.
const PERIOD_PER_COST: i64 = 20;
/// After so many periods a sample does not count any more: the project has posted nothing here for
/// long, and who knows what it did elsewhere.
const PERIODS_MAX: i64 = 4;

/// The account of one project.
#[derive(Debug)]
pub(super) struct Account {
    book: Mutex<Book>,
    sampling: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Book {
    sample: Option<Sample>,
    /// Everything accepted since the process knows the project, posts under way included.
    accepted: Amount,
    /// Posts under way.
    pending: Amount,
    /// When the next sample may begin.
    next_at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    found: Amount,
    /// What had been accepted before it began.
    mark: Amount,
    until: Timestamp,
}

impl Book {
    /// What the project holds; `None` if that is not known.
    fn held(&self, now: Timestamp) -> Option<Amount> {
        let sample = self.sample.filter(|sample| now < sample.until)?;
        Some(sample.found.plus(self.accepted.minus(sample.mark)))
    }
}

/// What becomes of a post.
#[derive(Debug)]
pub(super) enum Verdict {
    /// There is room, and it is taken.
    Granted(Reservation),
    /// There is not.
    Full(Exceeded),
    /// Nobody knows yet.
    Unknown,
}

impl Default for Account {
    fn default() -> Self {
        Self { book: Mutex::default(), sampling: watch::Sender::new(false) }
    }
}

impl Account {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics half-way through a change.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for a post. Whoever gets a turn besides has to take a sample.
    pub(super) fn reserve(
        self: &Arc<Self>,
        quota: &Quota,
        wanted: Amount,
        now: Timestamp,
    ) -> (Verdict, Option<Turn>) {
        let mut book = self.book();
        let turn = self.turn(&book, now);
        let Some(held) = book.held(now) else { return (Verdict::Unknown, turn) };
        let whole = held.plus(wanted);
        let over = |max: Option<u64>, value: u64| max.filter(|max| value > *max);
        if let Some(max) = over(quota.messages, whole.messages) {
            return (Verdict::Full(Exceeded::Messages(max)), turn);
        }
        if let Some(max) = over(quota.bytes, whole.bytes) {
            return (Verdict::Full(Exceeded::Bytes(max)), turn);
        }
        book.accepted = book.accepted.plus(wanted);
        book.pending = book.pending.plus(wanted);
        let reservation = Reservation { account: Arc::clone(self), amount: wanted };
        (Verdict::Granted(reservation), turn)
    }

    /// The turn to take a sample, if one is due and nobody takes it.
    fn turn(self: &Arc<Self>, book: &Book, now: Timestamp) -> Option<Turn> {
        if now < book.next_at || self.sampling.send_replace(true) {
            return None;
        }
        let mark = book.accepted.minus(book.pending);
        Some(Turn { account: Arc::clone(self), mark, began_at: now, found: None })
    }

    /// Whether a sample is being taken.
    pub(super) fn is_sampling(&self) -> bool {
        *self.sampling.borrow()
    }

    /// Waits until no sample is being taken.
    pub(super) async fn sampled(&self) {
        // The sender is this account's own, so it is there.
        self.sampling.subscribe().wait_for(|sampling| !sampling).await.ok();
    }
}

/// Room that was taken for a post. It stays taken unless it is given back.
#[derive(Debug)]
pub(super) struct Reservation {
    account: Arc<Account>,
    amount: Amount,
}

impl Reservation {
    /// Gives the room back: nothing was stored.
    pub(super) fn give_back(self) {
        let mut book = self.account.book();
        book.accepted = book.accepted.minus(self.amount);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut book = self.account.book();
        book.pending = book.pending.minus(self.amount);
    }
}

/// The turn to take a sample. Ended without one, what was known before stays.
#[derive(Debug)]
pub(super) struct Turn {
    account: Arc<Account>,
    mark: Amount,
    began_at: Timestamp,
    found: Option<(Amount, Timestamp)>,
}

impl Turn {
    /// When it began.
    pub(super) fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// Enters what the sample found.
    pub(super) fn enter(mut self, found: Amount, ended_at: Timestamp) {
        self.found = Some((found, ended_at));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut book = self.account.book();
        let began_ms = self.began_at.as_millis();
        let later = |ms: i64| Timestamp::from_millis(began_ms.saturating_add(ms));
        let mut period_ms = PERIOD_MS_MIN;
        if let Some((found, ended_at)) = self.found {
            let cost_ms = ended_at.as_millis().saturating_sub(began_ms);
            period_ms = period_ms.max(cost_ms.saturating_mul(PERIOD_PER_COST));
            let until = later(period_ms.saturating_mul(PERIODS_MAX));
            book.sample = Some(Sample { found, mark: self.mark, until });
        }
        book.next_at = later(period_ms);
        drop(book);
        self.account.sampling.send_replace(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota =
        Quota { queues: None, topics: None, messages: Some(10), bytes: Some(1_000) };

    fn amount(messages: u64) -> Amount {
        Amount { messages, bytes: messages * 100 }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[track_caller]
    fn granted(verdict: Verdict) -> Reservation {
        match verdict {
            Verdict::Granted(reservation) => reservation,
            other => panic!("{other:?}"),
        }
    }

    /// An account whose sample, which took no time, found so many messages.
    fn account(found: u64) -> Arc<Account> {
        let account = Arc::new(Account::default());
        let (verdict, turn) = account.reserve(&QUOTA, amount(1), at(0));
        assert!(matches!(verdict, Verdict::Unknown));
        turn.unwrap().enter(amount(found), at(0));
        account
    }

    #[test]
    fn what_was_accepted_counts_and_what_was_given_back_does_not() {
        let account = account(4);
        drop(granted(account.reserve(&QUOTA, amount(3), at(1)).0));
        granted(account.reserve(&QUOTA, amount(3), at(1)).0).give_back();
        drop(granted(account.reserve(&QUOTA, amount(3), at(1)).0));
        let (verdict, turn) = account.reserve(&QUOTA, amount(1), at(1));
        assert!(matches!(verdict, Verdict::Full(Exceeded::Messages(10))) && turn.is_none());
        assert_eq!(account.book().held(at(1)), Some(amount(10)));
    }

    #[test]
    fn bytes_are_refused_by_their_own_quota() {
        let account = account(4);
        let wanted = Amount { messages: 1, bytes: 601 };
        let (verdict, _) = account.reserve(&QUOTA, wanted, at(1));
        assert!(matches!(verdict, Verdict::Full(Exceeded::Bytes(1_000))));
    }

    #[test]
    fn a_post_under_way_when_a_sample_begins_is_counted_after_it() {
        let account = account(0);
        let done = granted(account.reserve(&QUOTA, amount(1), at(1)).0);
        drop(done);
        let under_way = granted(account.reserve(&QUOTA, amount(2), at(1)).0);
        let (verdict, turn) = account.reserve(&QUOTA, amount(3), at(2_000));
        drop(granted(verdict));
        assert!(account.is_sampling());
        drop(under_way);
        // The sample saw the first post alone.
        turn.unwrap().enter(amount(1), at(2_000));
        assert!(!account.is_sampling());
        assert_eq!(account.book().held(at(2_000)), Some(amount(6)));
    }

    #[test]
    fn at_most_a_twentieth_of_the_time_is_spent_on_samples() {
        let account = account(0);
        let sample = |from: i64, cost: i64| {
            assert!(account.reserve(&QUOTA, amount(0), at(from - 1)).1.is_none());
            let turn = account.reserve(&QUOTA, amount(0), at(from)).1.unwrap();
            assert!(account.reserve(&QUOTA, amount(0), at(from)).1.is_none(), "two turns");
            turn.enter(amount(0), at(from + cost));
        };
        sample(2_000, 50);
        sample(4_000, 500);
        sample(14_000, 0);
    }

    #[test]
    fn an_old_sample_does_not_count_and_a_failed_one_changes_nothing() {
        let account = account(5);
        drop(account.reserve(&QUOTA, amount(1), at(2_000)).1);
        assert_eq!(account.book().held(at(7_999)), Some(amount(6)));
        assert_eq!(account.book().held(at(8_000)), None);
        assert!(account.reserve(&QUOTA, amount(1), at(3_999)).1.is_none());
        assert!(matches!(account.reserve(&QUOTA, amount(1), at(8_000)).0, Verdict::Unknown));
    }
}
