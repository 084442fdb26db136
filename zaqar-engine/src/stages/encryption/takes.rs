//! Claims and pops: what cannot be read is taken from nobody.
//!
//! A claim that meets an unreadable message is released at once and fails. The store has counted
//! it, though, and a message that is claimed too often moves to the dead-letter queue. So the queue
//! becomes a suspect: before the next claims in it, what they would take is looked at first, and
//! nothing is claimed as long as it cannot be read.
//!
//! A pop destroys. With keys, it is a short claim whose messages are deleted once all were read. A
//! claim may prolong a life, which a pop does not: so it looks first, and shows the lives it saw.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use zaqar_core::{
    ClaimId, Claimed, CreateClaim, DataDriver, Effect, Error, ListMessages, Message, MessageId,
    PageLimit, QueueRef, Result, Retry, Ttl,
};

use super::{Codec, Encrypted};

/// How long a pop may hold what it has not deleted yet.
const POP_TTL_S: u64 = 30;

impl Encrypted {
    /// Claims, and gives back all of it if a part cannot be read.
    pub(super) async fn claim(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        self.look_ahead(queue, options.limit).await?;
        let id = options.id;
        let claimed = self.data.claims().claim_create(queue, options).await?;
        match self.codec.read_all(queue, claimed.messages) {
            Ok(messages) => Ok(Claimed { messages, ..claimed }),
            Err(unreadable) => {
                self.codec.suspects.insert(queue.incarnation, ());
                let (data, queue) = (Arc::clone(&self.data), queue.clone());
                // In a task of its own: whoever asked may go away, the messages must come free.
                let release =
                    tokio::spawn(async move { data.claims().claim_delete(&queue, id).await });
                release.await.map_err(died)??;
                Err(unreadable)
            }
        }
    }

    /// Fails if the queue is a suspect and the messages that would be taken next cannot be read.
    async fn look_ahead(&self, queue: &QueueRef, limit: PageLimit) -> Result<()> {
        if !self.codec.suspects.contains_key(&queue.incarnation) {
            return Ok(());
        }
        let options = ListMessages::new().limit(limit);
        let page = self.data.messages().message_list(queue, options).await?;
        self.codec.read_all(queue, page.items)?;
        self.codec.suspects.invalidate(&queue.incarnation);
        Ok(())
    }

    /// Pops what can be read.
    pub(super) async fn pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        if self.codec.keys.is_none() {
            return self.pop_without_keys(queue, limit).await;
        }
        let (data, codec, queue) = (Arc::clone(&self.data), Arc::clone(&self.codec), queue.clone());
        let (answer, answered) = oneshot::channel();
        let task = tokio::spawn(async move { pop(&*data, &codec, &queue, limit, answer).await });
        task.await.map_err(died)??;
        Ok(answered.await.unwrap_or_default())
    }

    /// Without keys nothing was encrypted here, or its keys were taken away. Then what was popped
    /// is handed over as it was stored: the caller has the only copy.
    async fn pop_without_keys(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        let popped = self.data.messages().message_pop(queue, limit).await?;
        let read = |message: Message| {
            let stored = message.clone();
            self.codec.read(queue, message).unwrap_or(stored)
        };
        Ok(popped.into_iter().map(read).collect())
    }
}

async fn pop(
    data: &dyn DataDriver,
    codec: &Codec,
    queue: &QueueRef,
    limit: PageLimit,
    answer: oneshot::Sender<Vec<Message>>,
) -> Result<()> {
    loop {
        match take(data, codec, queue, limit, &answer).await {
            // Its claim was over before the delete, which then deleted nothing.
            Err(error) if is_over(&error) && !answer.is_closed() => {}
            taken => {
                // A caller that goes away now loses them, as with any pop.
                answer.send(taken?).unwrap_or_default();
                return Ok(());
            }
        }
    }
}

/// Tries once to pop; takes nothing if nobody waits for the answer any more.
async fn take(
    data: &dyn DataDriver,
    codec: &Codec,
    queue: &QueueRef,
    limit: PageLimit,
    answer: &oneshot::Sender<Vec<Message>>,
) -> Result<Vec<Message>> {
    let ahead = data.messages().message_list(queue, ListMessages::new().limit(limit)).await?.items;
    let lives: HashMap<MessageId, Ttl> =
        ahead.iter().map(|message| (message.id, message.ttl)).collect();
    codec.read_all(queue, ahead)?;
    if lives.is_empty() {
        return Ok(Vec::new());
    }
    let id = ClaimId::random();
    let options = CreateClaim::new(id, Ttl::from_secs_clamped(POP_TTL_S), Ttl::ZERO).limit(limit);
    let claimed = data.claims().claim_create(queue, options).await?.messages;
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = claimed.iter().map(|message| message.id).collect();
    let messages = match codec.read_all(queue, claimed) {
        Ok(messages) if !answer.is_closed() => messages,
        // Nobody waits for them any more.
        Ok(_) => {
            data.claims().claim_delete(queue, id).await?;
            return Ok(Vec::new());
        }
        Err(unreadable) => {
            codec.suspects.insert(queue.incarnation, ());
            data.claims().claim_delete(queue, id).await?;
            return Err(unreadable);
        }
    };
    let deleted = data.messages().message_bulk_delete(queue, &ids, Some(&[id])).await;
    if deleted.as_ref().is_err_and(is_over) {
        data.claims().claim_delete(queue, id).await?;
    }
    deleted?;
    let free = |message: Message| Message {
        claim: None,
        claim_count: message.claim_count.saturating_sub(1),
        ttl: lives.get(&message.id).copied().unwrap_or(message.ttl),
        ..message
    };
    Ok(messages.into_iter().map(free).collect())
}

/// Whether a delete was refused because the claim no longer holds a message.
fn is_over(error: &Error) -> bool {
    matches!(error, Error::MessageNotClaimed { .. } | Error::MessageNotClaimedBy { .. })
}

fn died(error: tokio::task::JoinError) -> Error {
    Error::backend("decrypt", Effect::Unknown, Retry::Never, error)
}
