//! The head that a queue moves to: made, or opened again after the queue left and everything of that
//! time was collected.

use async_trait::async_trait;
use zaqar_core::move_rules::check_subscriptions;
use zaqar_core::{MoveOpening, QueueRef, Subscription, Ttl};

use crate::codes::counter_code;
use crate::error::Failure;
use crate::layout::{
    CLOSED, OPEN, POSITION_MAX, RECLAIMED, epoch_code, gone, moved, positions_used_up, ttl_code,
};

use super::heads::make_head;
use super::inserts::{Bound, insert};
use super::sql::sql;
use super::step::Step;
use super::subscription_changes::settle_head;
use super::task::Task;

/// Opens the target of a move.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) queue: QueueRef,
    pub(super) opening: MoveOpening,
    /// Bytes that one statement may carry.
    pub(super) bytes_max: usize,
}

const REOPEN: &str = "UPDATE heads SET state = 0, away = 0, epoch = $2, next = $3, \
       frozen_from = $3, frozen_to = $3, purged = 0, reclaim = 0, run = @zrun WHERE number = $1";

const TABLE: &str = "subscriptions (queue, number, subscriber, ttl, created, expires, options, \
       confirmed, needs_confirmation, since, delivered, owner)";

#[async_trait]
impl Task for Open {
    type Output = bool;
    const OPERATION: &'static str = "move_open";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<bool, Failure> {
        let (queue, start) = (&self.queue, counter_code(self.opening.start));
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
                step.later(sql(REOPEN).bind(head.number).bind(epoch).bind(start))?;
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
        let now = step.now;
        let created = |one: &Subscription| now.before(Ttl::from_secs_clamped(one.age_s));
        let text = |one: &Subscription| serde_json::Value::Object(one.options.clone()).to_string();
        let options: Vec<String> = brought.iter().map(text).collect();
        let mut rows = Vec::with_capacity(brought.len());
        for (one, options) in brought.iter().zip(&options) {
            rows.push([
                Bound::Int(number),
                Bound::Int(counter_code(one.id.sequence())),
                Bound::text(&one.subscriber),
                Bound::Int(ttl_code(one.ttl)),
                Bound::Int(created(one).as_millis()),
                Bound::Int(one.expires_at.as_millis()),
                Bound::text(options),
                Bound::Int(i64::from(one.confirmed)),
                Bound::Int(i64::from(one.needs_confirmation)),
                Bound::Int(counter_code(one.since)),
                Bound::Int(start),
                Bound::opt(one.owner.as_deref()),
            ]);
        }
        insert(step, TABLE, &rows, self.bytes_max).await?;
        let count = sql("UPDATE heads SET subscription_next = GREATEST(subscription_next, $2) \
             WHERE number = $1");
        step.later(count.bind(number).bind(counter_code(last).saturating_add(1)))?;
        settle_head(step, number).await
    }
}
