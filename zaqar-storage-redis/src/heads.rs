//! Queue heads.

use async_trait::async_trait;
use zaqar_core::{HeadState, QueueHead, QueueHeadController, QueueRef, Result};

use crate::codec::{NUMBER_MAX, Reply};
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::{HEAD_CLOSE, HEAD_GET, HEAD_MOVE, HEAD_OPEN};
use crate::store::{Call, out_of_range, queue_text};

fn read_head(mut reply: Reply) -> Result<QueueHead> {
    let moved = reply.int("queue head")? != 0;
    let epoch = reply.number("queue head")?;
    Ok(QueueHead {
        state: if moved { HeadState::Moved { epoch } } else { HeadState::Open },
        sequence_next: reply.number("queue head")?,
        subscribed: reply.int("queue head")? != 0,
        frozen: reply.int("queue head")? != 0,
    })
}

#[async_trait]
impl QueueHeadController for RedisData {
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let call = Call {
            operation: "head_open",
            script: &HEAD_OPEN,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&text).arg(incarnation);
            },
        };
        let owned = queue.clone();
        let project = Some(&queue.key.project);
        let opening = self.store.shield(call.operation, project, |store, caller| async move {
            store.use_bucket_of(&owned).await?;
            store.call(&call, Some(&caller)).await
        });
        opening.await?.done(queue).map(drop)
    }

    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let call = Call {
            operation: "head_close",
            script: &HEAD_CLOSE,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&text).arg(incarnation);
            },
        };
        self.store.write(Some(&queue.key.project), call).await?.done(queue).map(drop)
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        let text = queue_text(queue);
        let call = Call {
            operation: "head_get",
            script: &HEAD_GET,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&text);
            },
        };
        read_head(self.store.read(Some(&queue.key.project), call).await?.done(queue)?)
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        if epoch > NUMBER_MAX {
            return Err(out_of_range("epoch"));
        }
        let text = queue_text(queue);
        let call = Call {
            operation: "head_move",
            script: &HEAD_MOVE,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&text).arg(epoch);
            },
        };
        read_head(self.store.write(Some(&queue.key.project), call).await?.done(queue)?)
    }
}
