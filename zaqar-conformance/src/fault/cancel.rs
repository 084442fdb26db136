//! Dropping a future at its n-th poll: what a caller does that goes away.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

/// Polls `future` at most `polls` times; `None` if it was dropped before it ended.
pub async fn dropped_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The last poll left it waiting: there will be no other.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn three_polls() -> u32 {
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        3
    }

    #[tokio::test]
    async fn a_future_is_dropped_exactly_at_the_poll_asked_for() {
        assert_eq!(dropped_after(0, async { 1 }).await, None);
        assert_eq!(dropped_after(1, async { 1 }).await, Some(1));
        assert_eq!(dropped_after(2, three_polls()).await, None);
        assert_eq!(dropped_after(3, three_polls()).await, Some(3));
    }
}
