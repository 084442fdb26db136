//! Deliveries: subscribers get plaintext, and what cannot be read waits in the outbox.
//!
//! An unreadable message must not hold up those after it. It is recorded as a retry that is due
//! later, under the lease that brought it, and so for as long as the message would live; then it
//! is given up, with a record. Readable messages are delivered meanwhile.

use zaqar_core::{
    Delivery, DeliveryOutcome, Error, MessageId, OutboxMessage, Result, Timestamp, Ttl,
};

use super::Encrypted;

/// How long an unreadable message waits before it is looked at again.
const PAUSE_S: u64 = 60;

impl Encrypted {
    /// The delivery with all bodies readable; `None` if none of its messages is.
    pub(super) async fn readable(&self, mut delivery: Delivery) -> Result<Option<Delivery>> {
        let leased = std::mem::take(&mut delivery.messages);
        let mut stored = leased.clone();
        let (mut readable, mut waiting) = (Vec::new(), Vec::new());
        let mut news_begun = false;
        for (index, message) in leased.into_iter().enumerate() {
            let (id, is_new) = (message.id, message.attempts == 0);
            match self.read_delivery(&delivery, message) {
                Ok(message) => {
                    news_begun |= is_new;
                    readable.push(message);
                }
                // Outcomes are told of new messages in their order: this one's has to wait for
                // those before it, and it comes first with the next lease.
                Err(_) if news_begun => {
                    stored.truncate(index);
                    break;
                }
                Err(reason) => waiting.push((id, reason)),
            }
        }
        if !waiting.is_empty() {
            let now = self.clock.now();
            let outcomes: Vec<_> = waiting
                .into_iter()
                .map(|(id, reason)| (id, outcome(&stored, id, &reason, now)))
                .collect();
            delivery.messages = stored;
            let outbox = self.data.outbox();
            outbox.delivery_complete(&delivery, &outcomes, readable.is_empty()).await?;
        }
        delivery.messages = readable;
        Ok((!delivery.messages.is_empty()).then_some(delivery))
    }

    fn read_delivery(
        &self,
        delivery: &Delivery,
        mut message: OutboxMessage,
    ) -> Result<OutboxMessage> {
        let project = &delivery.queue.key.project;
        if let Some(opened) = self.codec.open(project, message.id, &message.body)? {
            message.body = opened.body;
        }
        Ok(message)
    }
}

fn outcome(
    leased: &[OutboxMessage],
    id: MessageId,
    reason: &Error,
    now: Timestamp,
) -> DeliveryOutcome {
    let is_over = leased
        .iter()
        .any(|message| message.id == id && message.posted_at.after(message.ttl) <= now);
    if is_over {
        DeliveryOutcome::Exhausted { reason: reason.to_string() }
    } else {
        DeliveryOutcome::Retry { not_before: now.after(Ttl::from_secs_clamped(PAUSE_S)) }
    }
}
