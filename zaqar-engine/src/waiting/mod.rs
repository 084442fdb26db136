//! Waiting for messages: a claim or a listing that finds nothing may wait until there is something.
//!
//! A waiter takes its seat before it looks, so that no post comes between the look and the wait.
//! While it waits it holds nothing of the store. What happens through this engine wakes it at once
//! ([`hub`]); what happens elsewhere, or as time passes, is found by one question a second for all
//! waiters together ([`poll`]).

pub(crate) mod hub;
mod poll;

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use zaqar_core::{ListMessages, Message, MessageMarker, Page, QueueKey};

use crate::claims::{ClaimRequest, ClaimedMessages};
use crate::engine::Engine;
use crate::error::EngineResult;
use crate::fence::Call;
use hub::{Cause, Side};

impl Engine {
    /// [Claims](Self::claim_create), and waits for up to `wait` seconds while there is nothing to
    /// claim. A queue that is missing is waited for as well.
    ///
    /// # Errors
    /// As for a claim; `Rejected` if `wait` is out of range.
    pub async fn claim_create_waiting(
        &self,
        key: &QueueKey,
        request: ClaimRequest,
        wait: u64,
    ) -> EngineResult<Option<ClaimedMessages>> {
        let wait = self.config().wait_checked(wait)?;
        let look = || self.claim_create(key, request);
        self.look_until(key, Side::Claim, wait, look).await
    }

    /// [Lists](Self::message_list), and waits for up to `wait` seconds while the page is empty. A
    /// queue that is missing is waited for as well.
    ///
    /// # Errors
    /// As for a listing; `Rejected` if `wait` is out of range.
    pub async fn message_list_waiting(
        &self,
        key: &QueueKey,
        options: ListMessages,
        wait: u64,
    ) -> EngineResult<Page<Message, MessageMarker>> {
        let wait = self.config().wait_checked(wait)?;
        let (side, options) = (Side::List(options.marker), &options);
        let look = || async move {
            let page = self.message_list(key, options.clone()).await?;
            Ok((!page.items.is_empty()).then_some(page))
        };
        Ok(self.look_until(key, side, wait, look).await?.unwrap_or_default())
    }

    /// Answers everybody who waits, and whoever would wait from now on, with what there is. Called
    /// before the server finishes what it has accepted.
    pub fn end_waiting(&self) {
        self.hub().close();
    }

    /// Looks, and again whenever the seat's bell rings, until something is found or time is over.
    async fn look_until<T, F, W>(
        &self,
        key: &QueueKey,
        side: Side,
        wait: Duration,
        look: F,
    ) -> EngineResult<Option<T>>
    where
        F: Fn() -> W,
        W: Future<Output = EngineResult<Option<T>>>,
    {
        if wait.is_zero() {
            return look().await;
        }
        let end = Instant::now() + wait;
        let mut seat = self.hub().seat(key, side);
        loop {
            let found = look().await?;
            seat.looked(found.is_some());
            if found.is_some() {
                return Ok(found);
            }
            // Not only if it is cached: an entry may have grown old since the look began.
            let route = self.in_time(Call::read("queue_find"), self.route(key)).await?;
            seat.watch(route.map(|route| route.queue.clone()));
            self.poll_for_waiters();
            tokio::select! {
                biased;
                () = self.hub().closed() => return Ok(None),
                () = seat.rung() => {}
                () = tokio::time::sleep_until(end) => return Ok(None),
            }
        }
    }

    /// Wakes those who wait for what was just stored: `count` messages that can be claimed. None
    /// may be for listings of what is delayed.
    pub(crate) fn wake_posted(&self, key: &QueueKey, count: usize) {
        self.hub().ring(key, count, Cause::Post);
    }

    /// Wakes those who wait for what was just given back.
    pub(crate) fn wake_released(&self, key: &QueueKey) {
        self.hub().ring(key, 1, Cause::Release);
    }
}
