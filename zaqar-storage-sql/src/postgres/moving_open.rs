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
use super::step::Step;
use super::subscription_changes::settle_head;
use super::task::Task;

/// Opens the target of a move.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) queue: QueueRef,
    pub(super) opening: MoveOpening,
}

const REOPEN: &str = "UPDATE heads SET state = 0, away = false, epoch = $2, next = $3, \
       frozen_from = $3, frozen_to = $3, purged = 0, reclaimed = 0 WHERE number = $1";

const SUBSCRIBE: &str = "INSERT INTO subscriptions (queue, number, subscriber, ttl, created, \
       expires, options, confirmed, needs_confirmation, since, cursor, owner) \
     SELECT $1, u.number, u.subscriber, u.ttl, u.created, u.expires, u.options, u.confirmed, \
       u.needs_confirmation, u.since, $2, u.owner \
     FROM unnest($3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], \
         $9::boolean[], $10::boolean[], $11::bigint[], $12::text[]) \
       AS u (number, subscriber, ttl, created, expires, options, confirmed, needs_confirmation, \
         since, owner)";

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
                let reopen = sqlx::query(REOPEN).bind(head.number).bind(epoch).bind(start);
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
        fn all<T>(brought: &[Subscription], of: impl Fn(&Subscription) -> T) -> Vec<T> {
            brought.iter().map(of).collect()
        }
        let now = step.now;
        let created = |one: &Subscription| now.before(Ttl::from_secs_clamped(one.age_s));
        let options = |one: &Subscription| serde_json::Value::Object(one.options.clone());
        let insert = sqlx::query(SUBSCRIBE)
            .bind(number)
            .bind(start)
            .bind(all(brought, |one| counter_code(one.id.sequence())))
            .bind(all(brought, |one| one.subscriber.clone()))
            .bind(all(brought, |one| ttl_code(one.ttl)))
            .bind(all(brought, |one| created(one).as_millis()))
            .bind(all(brought, |one| one.expires_at.as_millis()))
            .bind(all(brought, |one| options(one).to_string()))
            .bind(all(brought, |one| one.confirmed))
            .bind(all(brought, |one| one.needs_confirmation))
            .bind(all(brought, |one| counter_code(one.since)))
            .bind(all(brought, |one| one.owner.clone()));
        step.execute(insert).await?;
        let count = sqlx::query(
            "UPDATE heads SET subscription_next = greatest(subscription_next, $2) \
             WHERE number = $1",
        );
        step.execute(count.bind(number).bind(counter_code(last).saturating_add(1))).await?;
        settle_head(step, number).await
    }
}
