//! The head that a queue moves to: made, or opened again after the queue left and everything of that
//! time was collected.

use async_trait::async_trait;
use zaqar_core::move_rules::check_subscriptions;
use zaqar_core::{MoveOpening, QueueRef, Ttl};

use crate::codes::counter_code;
use crate::error::Failure;
use crate::layout::{
    CLOSED, OPEN, POSITION_MAX, RECLAIMED, epoch_code, gone, moved, positions_used_up, ttl_code,
};

use super::heads::make_head;
use super::statement::query;
use super::step::Step;
use super::subscription_changes::settle_head;
use super::task::Task;

/// Opens the target of a move.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) queue: QueueRef,
    pub(super) opening: MoveOpening,
}

/// Nothing lives below `?3` until it arrives: see [`super::gone`].
const REOPEN: &str = "UPDATE heads SET state = 0, away = 0, epoch = ?2, next = ?3, gone = ?3 - 1, \
       frozen_from = ?3, frozen_to = ?3, purged = 0, reclaimed = 0 WHERE number = ?1";

const SUBSCRIBE: &str = "INSERT INTO subscriptions (queue, number, subscriber, ttl, created, \
       expires, options, confirmed, needs_confirmation, since, cursor, owner) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

#[async_trait]
impl Task for Open {
    type Output = bool;
    const OPERATION: &'static str = "move_open";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<bool, Failure> {
        let (queue, start) = (&self.queue, counter_code(self.opening.start).max(1));
        let epoch = epoch_code(queue.epoch)?;
        if start > POSITION_MAX {
            return Err(positions_used_up().into());
        }
        check_subscriptions(self.opening.subscriptions.len())?;
        let number = match make_head(step, queue, epoch, start).await? {
            Some(number) => number,
            None => {
                let head = step.head_any(queue).await?;
                match head.state {
                    OPEN if head.epoch == epoch => return Ok(true),
                    CLOSED.. if !head.away => return Err(gone(queue).into()),
                    CLOSED.. if head.epoch < epoch => {}
                    _ => return Err(moved(queue, head.epoch).into()),
                }
                if head.state != RECLAIMED {
                    return Ok(false);
                }
                let reopen = query(REOPEN).bind(head.number).bind(epoch).bind(start);
                step.execute(reopen).await?;
                head.number
            }
        };
        self.subscribe(step, number, start).await?;
        Ok(true)
    }
}

impl Open {
    /// What was posted before `start` is delivered by the source.
    async fn subscribe(
        &self,
        step: &mut Step<'_>,
        number: i64,
        start: i64,
    ) -> Result<(), sqlx::Error> {
        let brought = &self.opening.subscriptions;
        let Some(last) = brought.iter().map(|one| one.id.sequence()).max() else { return Ok(()) };
        for one in brought {
            let age = Ttl::from_secs_clamped(one.age_s);
            let insert = query(SUBSCRIBE)
                .bind(number)
                .bind(counter_code(one.id.sequence()))
                .bind(one.subscriber.clone())
                .bind(ttl_code(one.ttl))
                .bind(step.now.before(age).as_millis())
                .bind(one.expires_at.as_millis())
                .bind(serde_json::Value::Object(one.options.clone()).to_string())
                .bind(one.confirmed)
                .bind(one.needs_confirmation)
                .bind(counter_code(one.since))
                .bind(start)
                .bind(one.owner.clone());
            step.execute(insert).await?;
        }
        let count = query(
            "UPDATE heads SET subscription_next = max(subscription_next, ?) WHERE number = ?",
        );
        step.execute(count.bind(counter_code(last).saturating_add(1)).bind(number)).await?;
        settle_head(step, Some(&self.queue), number).await
    }
}
