//! Queue heads.

use async_trait::async_trait;
use zaqar_core::{HeadState, QueueHead, QueueHeadController, QueueRef, Result};

use crate::node::Node;
use crate::record::{Change, Key, Record};
use crate::state::{gone, moved};

#[async_trait]
impl QueueHeadController for Node {
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        self.step("head_open", |state, _| {
            if state.closed.contains(&queue.incarnation) {
                return Err(gone(queue));
            }
            if state.heads.contains_key(&queue.incarnation) {
                return state.head(queue).map(|_| (Vec::new(), ()));
            }
            Ok((vec![Record::Opened(queue.incarnation, Key::from(&queue.key))], ()))
        })
        .await
    }

    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        self.step("head_close", |state, _| {
            let open = state.head_at_any_epoch(queue).is_ok();
            Ok((open.then_some(Record::Closed(queue.incarnation)).into_iter().collect(), ()))
        })
        .await
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        self.read("head_get", |state, _| Ok(state.head(queue)?.show())).await
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.step("head_move", |state, _| {
            let head = state.head_at_any_epoch(queue)?;
            if epoch < head.epoch {
                return Err(moved(queue, head.epoch));
            }
            let shown = QueueHead { state: HeadState::Moved { epoch }, ..head.show() };
            Ok((vec![Record::Head(queue.incarnation, Change::Moved { epoch })], shown))
        })
        .await
    }
}
