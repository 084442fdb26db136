//! Posts, sound and unsound.

use zaqar_core::{
    Capability, Effect, Error, NewMessage, PostMessages, Posted, QueueRef, Result, Retry,
    Timestamp, Ttl,
};

use super::driver::ReferenceData;
use super::head::StoredKey;
use super::state::State;

const OPERATION: &str = "message_post";

/// How often an unsound post lets others run between its steps.
const YIELDS: usize = 3;

impl State {
    /// Stores all messages, or none, or finds that an earlier post under the same key did.
    pub(super) fn post(
        &mut self,
        queue: &QueueRef,
        messages: &[NewMessage],
        options: &PostMessages,
        now: Timestamp,
    ) -> Result<Posted> {
        if messages.iter().any(|message| message.delay > Ttl::ZERO) {
            self.require(Capability::Delay, OPERATION)?;
        }
        self.posts += 1;
        let doubtful = self.quirks.wrong_effect_on_error && self.posts.is_multiple_of(10);
        if let Some(key) = &options.key
            && let Some(posted) = self.head_mut(queue)?.repeated(key, now)?
        {
            return Ok(posted);
        }
        let head = self.head_for_news(queue)?;
        let first = head.allocate(messages.len())?;
        let ids = head.store(first, messages, options.client.as_ref(), now)?;
        if let Some(key) = &options.key {
            let until = now.after(key.keep);
            let stored = StoredKey { digest: key.digest, ids: ids.clone(), until };
            head.keys.insert(key.key.clone(), stored);
        }
        if doubtful {
            return Err(Error::backend(OPERATION, Effect::None, Retry::Later, "planted"));
        }
        Ok(Posted { ids, repeated: false })
    }
}

impl ReferenceData {
    pub(super) async fn post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        let quirks = self.quirks();
        if quirks.marker_before_visible || quirks.notify_before_commit {
            return self.post_later(queue, &messages, &options).await;
        }
        if quirks.batch_not_atomic {
            return self.post_halves(queue, &messages, &options).await;
        }
        self.step(OPERATION, |state, now| state.post(queue, &messages, &options, now)).await
    }

    /// Planted bugs: positions first, and the outbox entry perhaps, messages later; every second post
    /// is so slow that others pass it.
    async fn post_later(
        &self,
        queue: &QueueRef,
        messages: &[NewMessage],
        options: &PostMessages,
    ) -> Result<Posted> {
        let allocate = self.step(OPERATION, |state, now| {
            state.posts += 1;
            let slow = state.posts.is_multiple_of(2);
            let head = state.head_for_news(queue)?;
            let first = head.allocate(messages.len())?;
            if head.quirks.notify_before_commit {
                head.announce(first, messages, now)?;
            }
            Ok((first, slow))
        });
        let (first, slow) = allocate.await?;
        let_others_run(if slow { 10 * YIELDS } else { 0 }).await;
        let store = self.step(OPERATION, |state, now| {
            let head = state.head_for_news(queue)?;
            let ids = head.store(first, messages, options.client.as_ref(), now)?;
            Ok(Posted { ids, repeated: false })
        });
        store.await
    }

    /// Planted bug: the first half of a batch, then, after others had their turn, the second.
    async fn post_halves(
        &self,
        queue: &QueueRef,
        messages: &[NewMessage],
        options: &PostMessages,
    ) -> Result<Posted> {
        let (one, two) = messages.split_at(messages.len() / 2);
        let mut posted = self
            .step(OPERATION, |state, now| state.post(queue, one, &PostMessages::new(), now))
            .await?;
        let_others_run(YIELDS).await;
        let rest = self.step(OPERATION, |state, now| state.post(queue, two, options, now)).await?;
        posted.ids.extend(rest.ids);
        Ok(posted)
    }
}

async fn let_others_run(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}
