//! How fast queues are moved.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets so many messages a second pass, of all moves of this head together.
#[derive(Debug)]
pub(in crate::pools) struct Pace {
    /// `None`: as many as there are.
    per_second: Option<u32>,
    /// When what passed so far is made up for.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    pub(in crate::pools) fn new(per_second: Option<u32>) -> Self {
        Self { per_second: per_second.filter(|rate| *rate > 0), free_at: Mutex::new(None) }
    }

    /// Waits until these messages may have passed.
    pub(super) async fn keep(&self, messages: u64) {
        if let Some(free_at) = self.pass(messages) {
            tokio::time::sleep_until(free_at).await;
        }
    }

    fn pass(&self, messages: u64) -> Option<Instant> {
        let rate = f64::from(self.per_second?);
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        let cost = Duration::from_secs_f64(f64::from(messages) / rate);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let next = free_at.map_or(now, |free_at| free_at.max(now)) + cost;
        *free_at = Some(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_messages_pass_in_a_second_than_are_allowed() {
        let pace = Pace::new(Some(100));
        let begun = Instant::now();
        for _ in 0..5 {
            pace.keep(50).await;
        }
        assert_eq!(begun.elapsed().as_millis(), 2_500);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let begun = Instant::now();
        Pace::new(None).keep(u64::MAX).await;
        Pace::new(Some(0)).keep(u64::MAX).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
