//! Posts, sound and unsound.

use zaqar_core::limits::MESSAGES_PER_POST_MAX;
use zaqar_core::{
    Capability, Effect, Error, MessageId, NewMessage, PostMessages, Posted, QueueRef, Result,
    Retry, Timestamp, Ttl,
};

use super::driver::ReferenceData;
use super::head::StoredKey;
use super::quirks::Quirk;
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
        let limits = 1..=MESSAGES_PER_POST_MAX;
        if !limits.contains(&messages.len()) && !self.quirks.has(Quirk::AcceptEmptyPosts) {
            let reason = format!("a post has 1 to {MESSAGES_PER_POST_MAX} messages");
            return Err(Error::Invalid { field: "messages", reason });
        }
        if self.closed.contains(&queue.incarnation) && self.quirks.has(Quirk::SwallowPostsToClosed)
        {
            let ids = (1..).take(messages.len()).map(|n| MessageId::new(queue.incarnation, n));
            return Ok(Posted { ids: ids.collect::<Result<_, _>>()?, repeated: false });
        }
        self.posts += 1;
        let doubtful = self.quirks.has(Quirk::WrongEffectOnError) && self.posts.is_multiple_of(10);
        if let Some(key) = &options.key
            && let Some(posted) = self.head_mut(queue)?.repeated(key, now)?
        {
            return Ok(posted);
        }
        let repeats = self.quirks.has(Quirk::RepeatPosts) && self.posts.is_multiple_of(10);
        let head = self.head_for_news(queue)?;
        let first = head.allocate(messages.len())?;
        let mut ids = head.store(first, messages, options.client.as_ref(), now)?;
        if repeats {
            let again = head.allocate(messages.len())?;
            ids = head.store(again, messages, options.client.as_ref(), now)?;
        }
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
        if quirks.has(Quirk::MarkerBeforeVisible) || quirks.has(Quirk::NotifyBeforeCommit) {
            return self.post_later(queue, &messages, &options).await;
        }
        if quirks.has(Quirk::BatchNotAtomic) {
            return self.post_halves(queue, &messages, &options).await;
        }
        let posted =
            self.step(OPERATION, |state, now| state.post(queue, &messages, &options, now)).await?;
        if quirks.has(Quirk::CrossAnswers) {
            return self.cross(posted).await;
        }
        Ok(posted)
    }

    /// Planted bug: answers are handed out as they come, not by what was asked.
    async fn cross(&self, posted: Posted) -> Result<Posted> {
        let own = posted.clone();
        let keep = self.step(OPERATION, |state, _| {
            state.answers.push(own);
            Ok(())
        });
        keep.await?;
        let_others_run(YIELDS).await;
        self.step(OPERATION, |state, _| Ok(state.answers.pop().unwrap_or(posted))).await
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
            if head.quirks.has(Quirk::NotifyBeforeCommit) {
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
