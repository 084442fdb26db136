//! Work that is done by whoever waits for it, and goes on alone when nobody does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Runs `work` where it is polled. Dropped before the end, it hands the work to `leave`, which is
/// then run by a task of its own; work that never began is dropped.
///
/// A task for every operation would do the same, at the price of two hops between threads each.
pub(crate) struct Detach<F, L, U>
where
    F: Future + Send + 'static,
    L: FnOnce(Pin<Box<F>>) -> U,
    U: Future<Output = ()> + Send + 'static,
{
    work: Option<Pin<Box<F>>>,
    leave: Option<L>,
    begun: bool,
}

impl<F, L, U> Detach<F, L, U>
where
    F: Future + Send + 'static,
    L: FnOnce(Pin<Box<F>>) -> U,
    U: Future<Output = ()> + Send + 'static,
{
    pub(crate) fn new(work: F, leave: L) -> Self {
        Self { work: Some(Box::pin(work)), leave: Some(leave), begun: false }
    }
}

// The work is pinned in its box, and nothing else here is ever pinned.
impl<F, L, U> Unpin for Detach<F, L, U>
where
    F: Future + Send + 'static,
    L: FnOnce(Pin<Box<F>>) -> U,
    U: Future<Output = ()> + Send + 'static,
{
}

impl<F, L, U> Future for Detach<F, L, U>
where
    F: Future + Send + 'static,
    L: FnOnce(Pin<Box<F>>) -> U,
    U: Future<Output = ()> + Send + 'static,
{
    /// `None`: the work panicked.
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(work) = this.work.as_mut() else { return Poll::Ready(None) };
        this.begun = true;
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                this.work = None;
                Poll::Ready(Some(output))
            }
            Err(_) => {
                this.work = None;
                Poll::Ready(None)
            }
        }
    }
}

impl<F, L, U> Drop for Detach<F, L, U>
where
    F: Future + Send + 'static,
    L: FnOnce(Pin<Box<F>>) -> U,
    U: Future<Output = ()> + Send + 'static,
{
    fn drop(&mut self) {
        let (Some(work), Some(leave), true) = (self.work.take(), self.leave.take(), self.begun)
        else {
            return;
        };
        // Without a runtime nothing can go on; what the work holds is let go with it.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(leave(work)));
        }
    }
}
