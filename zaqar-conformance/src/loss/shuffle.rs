//! Several tasks run as one, in an order that a seed decides.
//!
//! A runtime polls what is ready in turn, so tasks that yield equally often keep their order, and a
//! driver that takes two steps where one is due may pass for ever. Here each task that is ready is
//! polled or passed over at random.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use rand::Rng as _;
use rand::rngs::StdRng;

/// Runs `tasks` to their ends.
pub(crate) async fn shuffled(mut rng: StdRng, tasks: Vec<BoxFuture<'static, ()>>) {
    let parent = Arc::new(AtomicWaker::new());
    let mut strands: Vec<Strand> =
        tasks.into_iter().map(|task| Strand::new(task, &parent)).collect();
    std::future::poll_fn(move |context| {
        parent.register(context.waker());
        let mut passed_over = false;
        strands.retain_mut(|strand| {
            if !strand.ready.woken.load(Ordering::Acquire) {
                return true;
            }
            if rng.random_bool(0.5) {
                passed_over = true;
                return true;
            }
            strand.poll().is_pending()
        });
        if strands.is_empty() {
            return Poll::Ready(());
        }
        if passed_over {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

/// One of the tasks, and whether it is ready to go on.
struct Strand {
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
    ready: Arc<Ready>,
}

impl Strand {
    fn new(task: BoxFuture<'static, ()>, parent: &Arc<AtomicWaker>) -> Self {
        let ready = Ready { woken: AtomicBool::new(true), parent: Arc::clone(parent) };
        Self { task, ready: Arc::new(ready) }
    }

    fn poll(&mut self) -> Poll<()> {
        // Before the poll, so that a wake during it is not forgotten.
        self.ready.woken.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.ready));
        self.task.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

struct Ready {
    woken: AtomicBool,
    parent: Arc<AtomicWaker>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.parent.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use rand::SeedableRng as _;

    use super::*;

    async fn order_of(seed: u64) -> Vec<u32> {
        let order: Arc<Mutex<Vec<u32>>> = Arc::default();
        let task = |number: u32| -> BoxFuture<'static, ()> {
            let order = Arc::clone(&order);
            Box::pin(async move {
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                    order.lock().unwrap_or_else(PoisonError::into_inner).push(number);
                }
            })
        };
        shuffled(StdRng::seed_from_u64(seed), (0..4).map(task).collect()).await;
        order.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[tokio::test]
    async fn every_task_ends_and_the_seed_decides_the_order() {
        let order = order_of(1).await;
        assert_eq!(order.len(), 20);
        assert_eq!(order, order_of(1).await);
        assert_ne!(order, order_of(2).await);
    }
}
