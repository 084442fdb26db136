//! The head that a queue moves to: made, or opened again after the queue left and everything of that
//! time was collected.

use async_trait::async_trait;
use mongodb::bson::doc;
use zaqar_core::move_rules::check_subscriptions;
use zaqar_core::{Error, MoveOpening, QueueRef, Subscription, Timestamp, Ttl};

use crate::error::Failure;
use crate::heads::{Head, epoch_code, gone, head_query, new_head};
use crate::outbox::number_code;
use crate::rows::{document, ttl_code};
use crate::schema::DATA;
use crate::step::Step;
use crate::subscription_changes::settle_head;
use crate::subscriptions::{NewSubscriptionRow, options_text};
use crate::tables::{
    CLOSED, OPEN, POSITION_MAX, RECLAIMED, head_key, queue_code, subscription_key,
};
use crate::task::Task;

/// Opens the target of a move.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) queue: QueueRef,
    pub(crate) opening: MoveOpening,
}

#[async_trait]
impl Task for Open {
    type Output = bool;
    const OPERATION: &'static str = "move_open";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<bool, Failure> {
        let (queue, start) = (&self.queue, number_code(self.opening.start).max(1));
        let epoch = epoch_code(queue.epoch)?;
        if start > POSITION_MAX {
            let reason = "has used up its positions; use another queue".to_owned();
            return Err(Error::Invalid { field: "queue", reason }.into());
        }
        check_subscriptions(self.opening.subscriptions.len())?;
        let mut subscription_next = 1;
        match step.find_one::<Head>(head_query(queue)).await? {
            None => step.insert_one(DATA, new_head(queue, epoch, start)).await?,
            Some(head) if !head.is_of(queue) => return Err(gone(queue).into()),
            Some(head) => {
                match head.state {
                    OPEN if head.epoch == epoch => return Ok(true),
                    CLOSED.. if !head.away => return Err(gone(queue).into()),
                    CLOSED.. if head.epoch < epoch => {}
                    _ => return Err(head.moved(queue).into()),
                }
                if head.state != RECLAIMED {
                    return Ok(false);
                }
                reopen(step, &head, epoch, start).await?;
                subscription_next = head.subscription_next;
            }
        }
        self.subscribe(step, start, subscription_next).await?;
        Ok(true)
    }
}

/// What was purged in an earlier life is so in this one: positions are never given out twice.
async fn reopen(
    step: &mut Step<'_>,
    head: &Head,
    epoch: i64,
    start: i64,
) -> Result<(), mongodb::error::Error> {
    let open = doc! {
        "$set": {
            "state": OPEN,
            "epoch": epoch,
            "from": start,
            "to": start,
            "next": start,
            "reclaimed": head.purged,
        },
        "$unset": { "away": "", "gc": "" },
    };
    step.update(DATA, doc! { "_id": head_key(head.q) }, open).await?;
    Ok(())
}

impl Open {
    /// What was posted before `start` is delivered by the source. No id is given out twice, whatever
    /// the next one was here.
    async fn subscribe(&self, step: &mut Step<'_>, start: i64, next: i64) -> Result<(), Failure> {
        let brought = &self.opening.subscriptions;
        let Some(last) = brought.iter().map(|one| one.id.sequence()).max() else { return Ok(()) };
        let q = queue_code(self.queue.incarnation);
        let rows: Result<Vec<_>, _> =
            brought.iter().map(|one| document(&row(one, q, start, step.now))).collect();
        step.insert(&rows?).await?;
        let next = number_code(last).saturating_add(1).max(next);
        settle_head(step, q, doc! { "subscription_next": next }).await?;
        Ok(())
    }
}

fn row(one: &Subscription, q: i64, start: i64, now: Timestamp) -> NewSubscriptionRow<'_> {
    let number = number_code(one.id.sequence());
    NewSubscriptionRow {
        key: subscription_key(q, number),
        q,
        number,
        subscriber: &one.subscriber,
        ttl: ttl_code(one.ttl),
        created: now.before(Ttl::from_secs_clamped(one.age_s)).as_millis(),
        ends: one.expires_at.as_millis(),
        options: options_text(&one.options),
        confirmed: one.confirmed,
        needs_confirmation: one.needs_confirmation,
        since: number_code(one.since),
        cursor: start,
        owner: one.owner.as_deref(),
        lease_ends: 0,
    }
}
