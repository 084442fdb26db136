//! Operations whose callers left while they were under way. They are finished all the same; whatever
//! is asked of the same queue next begins after them, so that nobody who gave up on an operation sees
//! it happen behind the next one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use zaqar_core::QueueRef;

/// What an operation is about: a queue, or everything else.
type Subject = Option<QueueRef>;

/// Operations under way that nobody waits for.
#[derive(Debug, Default)]
pub(crate) struct Abandoned(Mutex<HashMap<Subject, Vec<watch::Receiver<()>>>>);

/// Held by an operation until it is done.
#[derive(Debug)]
pub(crate) struct Underway(
    #[expect(dead_code, reason = "its end is its message")] watch::Sender<()>,
);

/// Held by the caller of an operation until it has its answer.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    abandoned: &'a Abandoned,
    subject: Subject,
    underway: Option<watch::Receiver<()>>,
}

impl Abandoned {
    /// Begins an operation, after those of its subject that were abandoned.
    pub(crate) async fn begin(&self, subject: Option<&QueueRef>) -> (Caller<'_>, Underway) {
        self.settle(subject).await;
        let (underway, waiting) = watch::channel(());
        let subject = subject.cloned();
        (Caller { abandoned: self, subject, underway: Some(waiting) }, Underway(underway))
    }

    /// Waits until what was abandoned is done.
    pub(crate) async fn settle(&self, subject: Option<&QueueRef>) {
        let subject = {
            let left = self.lock();
            if left.is_empty() {
                return;
            }
            subject.cloned()
        };
        let left = self.lock().get(&subject).cloned().unwrap_or_default();
        for mut operation in left {
            while operation.changed().await.is_ok() {}
        }
        let mut left = self.lock();
        if let Some(operations) = left.get_mut(&subject) {
            operations.retain(is_underway);
            if operations.is_empty() {
                left.remove(&subject);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, Vec<watch::Receiver<()>>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_underway(operation: &watch::Receiver<()>) -> bool {
    operation.has_changed().is_ok()
}

impl Caller<'_> {
    /// The caller has its answer.
    pub(crate) fn answered(mut self) {
        self.underway = None;
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some(operation) = self.underway.take().filter(is_underway) {
            self.abandoned.lock().entry(self.subject.take()).or_default().push(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_next_waits_for_what_was_abandoned_and_for_nothing_else() {
        let abandoned = Abandoned::default();
        let (caller, underway) = abandoned.begin(None).await;
        let (answered, _still) = abandoned.begin(None).await;
        answered.answered();
        drop(caller);
        let mut next = Box::pin(abandoned.begin(None));
        assert!(futures_util::poll!(&mut next).is_pending());
        drop(underway);
        next.await.0.answered();
        assert!(abandoned.lock().is_empty());
    }
}
