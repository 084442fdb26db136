//! Queue heads.

use async_trait::async_trait;
use zaqar_core::{QueueHead, QueueHeadController, QueueRef, Result};

use super::driver::ReferenceData;
use super::head::Head;
use super::quirks::Quirk;
use super::state::{gone, moved};

#[async_trait]
impl QueueHeadController for ReferenceData {
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        self.step("head_open", |state, _| {
            if state.closed.contains(&queue.incarnation)
                || state.left.contains_key(&queue.incarnation)
            {
                return Err(gone(queue));
            }
            if state.heads.contains_key(&queue.incarnation) {
                return state.head(queue).map(|_| ());
            }
            let mut head = Head::new(queue.key.clone(), queue.incarnation, state.quirks);
            for message in state.abandoned.remove(&queue.key).unwrap_or_default() {
                let position = head.allocate(1)?;
                head.messages.insert(position, super::stored::Stored { position, ..message });
            }
            state.heads.insert(queue.incarnation, head);
            Ok(())
        })
        .await
    }

    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        self.step("head_close", |state, _| {
            if state.head_to_move(queue).is_err() {
                // No move brings back what was closed after it had left.
                let reopens = state.quirks.has(Quirk::ReopenLeftHeads);
                if !reopens && state.left.remove(&queue.incarnation).is_some() {
                    state.closed.insert(queue.incarnation);
                }
                return Ok(());
            }
            let head = state.heads.remove(&queue.incarnation);
            state.closed.insert(queue.incarnation);
            let messages = head.map(|head| head.messages).unwrap_or_default();
            state.rubbish += messages.values().map(|_| 1).sum::<u64>();
            if state.quirks.has(Quirk::RestoreAfterClose) {
                state.abandoned.insert(queue.key.clone(), messages.into_values().collect());
            }
            Ok(())
        })
        .await
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        self.step("head_get", |state, now| Ok(state.head(queue)?.show(now))).await
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.step("head_move", |state, now| {
            let head = state.head_to_move(queue)?;
            if epoch < head.epoch {
                return Err(moved(queue, head.epoch));
            }
            if !head.moved {
                head.frozen = head.sequence_next..head.sequence_next;
            }
            (head.moved, head.epoch) = (true, epoch);
            Ok(head.show(now))
        })
        .await
    }
}
