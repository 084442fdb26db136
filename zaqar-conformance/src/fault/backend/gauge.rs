//! What a workload does to a backend at the moment, for whoever is about to break it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;
use zaqar_core::{Error, QueueRef};

use crate::loss::request::{Reply, Request};
use crate::loss::worker::Target;

/// What calls came to so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Calls that ended.
    pub(super) calls: u64,
    /// Posts that were acknowledged.
    pub(super) posts: u64,
    /// Calls that the backend failed.
    pub(super) failures: u64,
    /// The posts among them.
    pub(super) posts_failed: u64,
}

/// Counts calls, and holds back whoever was failed by a backend that is down: a workload that went
/// on would be over before the backend is back.
#[derive(Debug)]
pub(super) struct Gauge {
    tally: watch::Sender<Tally>,
    in_hand: AtomicU64,
    up: watch::Sender<bool>,
}

impl Gauge {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            tally: watch::Sender::new(Tally::default()),
            in_hand: AtomicU64::new(0),
            up: watch::Sender::new(true),
        })
    }

    pub(super) fn tally(&self) -> Tally {
        *self.tally.borrow()
    }

    /// Calls that have begun and not ended.
    pub(super) fn in_hand(&self) -> u64 {
        self.in_hand.load(Ordering::SeqCst)
    }

    /// Awaits a tally that `is_it`.
    pub(super) async fn reached(&self, is_it: impl Fn(&Tally) -> bool) {
        // The sender is ours, so it cannot be gone.
        self.tally.subscribe().wait_for(|tally| is_it(tally)).await.map(drop).unwrap_or_default();
    }

    /// Says that the backend is down, until what is returned is dropped.
    pub(super) fn down(&self) -> Down<'_> {
        self.up.send_replace(false);
        Down(self)
    }

    pub(super) fn around(self: &Arc<Self>, inner: Arc<dyn Target>) -> Arc<dyn Target> {
        Arc::new(Gauged { inner, gauge: Arc::clone(self) })
    }

    async fn until_up(&self) {
        self.up.subscribe().wait_for(|up| *up).await.map(drop).unwrap_or_default();
    }
}

/// While it lives, the backend is down.
pub(super) struct Down<'g>(&'g Gauge);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.up.send_replace(true);
    }
}

/// Counts a call for as long as it runs, or until it is dropped.
struct InHand<'g>(&'g Gauge);

impl<'g> InHand<'g> {
    fn new(gauge: &'g Gauge) -> Self {
        gauge.in_hand.fetch_add(1, Ordering::SeqCst);
        Self(gauge)
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Gauged {
    inner: Arc<dyn Target>,
    gauge: Arc<Gauge>,
}

#[async_trait]
impl Target for Gauged {
    async fn call(&self, queue: &QueueRef, request: Request) -> Result<Reply, Error> {
        let is_post = matches!(request, Request::Post { .. });
        let result = {
            let _in_hand = InHand::new(&self.gauge);
            self.inner.call(queue, request).await
        };
        let failed = matches!(&result, Err(Error::Backend { .. }));
        self.gauge.tally.send_modify(|tally| {
            tally.calls += 1;
            tally.posts += u64::from(matches!(&result, Ok(Reply::Posted(_))));
            tally.failures += u64::from(failed);
            tally.posts_failed += u64::from(failed && is_post);
        });
        if failed {
            self.gauge.until_up().await;
        }
        result
    }

    async fn tend(&self) -> Result<(), Error> {
        self.inner.tend().await
    }
}

#[cfg(test)]
mod tests {
    use zaqar_core::{Effect, Incarnation, ProjectId, QueueKey, QueueName, Retry};

    use super::*;

    struct Broken;

    #[async_trait]
    impl Target for Broken {
        async fn call(&self, _queue: &QueueRef, _request: Request) -> Result<Reply, Error> {
            Err(Error::backend("a call", Effect::None, Retry::Later, "down"))
        }

        async fn tend(&self) -> Result<(), Error> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn whoever_fails_waits_until_the_backend_is_back() {
        let gauge = Gauge::new();
        let target = gauge.around(Arc::new(Broken));
        let key = QueueKey::queue(ProjectId::new("p").unwrap(), QueueName::new("q").unwrap());
        let queue = key.incarnate(Incarnation::new(1).unwrap());
        let down = gauge.down();
        let call = target.call(&queue, Request::Pop { limit: 1 });
        let mut call = std::pin::pin!(call);
        assert!(futures_util::poll!(call.as_mut()).is_pending());
        gauge.reached(|tally| tally.failures == 1).await;
        assert_eq!(gauge.in_hand(), 0);
        drop(down);
        assert!(call.await.is_err());
    }
}
