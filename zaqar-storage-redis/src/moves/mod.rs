//! Moves of queues from store to store (G17): the controller.
//!
//! Each step is one script that checks the head's epoch and the bounds of what is on its way before
//! it writes, so each may be repeated by anybody at any time.

mod parts;
mod records;

use async_trait::async_trait;
use zaqar_core::moves::MOVE_SUBSCRIPTIONS_MAX;
use zaqar_core::{
    Effect, Error, MoveController, MoveOpening, MovePart, MoveRecord, Page, PageLimit, QueueRef,
    Result, Subscription, Timestamp,
};

use crate::codec::{NUMBER_MAX, Reply, moment};
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::{
    MOVE_BEGIN, MOVE_FREEZE, MOVE_INSERT, MOVE_INSERT_RECORDS, MOVE_LEAVE, MOVE_OPEN, MOVE_PART,
    MOVE_RECORDS, MOVE_REMOVE, MOVE_REVEAL, Script,
};
use crate::store::{Answer, Call, out_of_range, queue_text};
use crate::subscriptions::{json_text, read_subscription};

use self::parts::{check_part, read_part};
pub(crate) use self::records::read_exhausted;
use self::records::{RecordPlace, check_records, push_record, read_records};

/// The head takes posts still.
const OPEN: i64 = 11;
/// What the head holds does not fit the part.
const MISPLACED: i64 = 12;

/// The refusal of a step that does not fit the head as it is.
fn misplaced(reason: impl Into<String>) -> Error {
    Error::Invalid { field: "queue", reason: reason.into() }
}

/// The reply of a step, or its refusal.
fn taken(mut answer: Answer, queue: &QueueRef) -> Result<Reply> {
    match answer.code {
        OPEN => Err(misplaced("takes posts still")),
        MISPLACED => {
            let (from, to) = (answer.reply.number("part")?, answer.reply.number("part")?);
            Err(misplaced(format!("has {from}..{to} on its way, which the part does not follow")))
        }
        _ => answer.done(queue),
    }
}

/// A subscription is brought by these.
fn push_subscription(command: &mut redis::Cmd, subscription: &Subscription, now: Timestamp) {
    let made = now.before(zaqar_core::Ttl::from_secs_clamped(subscription.age_s));
    command.arg(subscription.id.sequence()).arg(&subscription.subscriber);
    command.arg(subscription.ttl.as_secs()).arg(moment(made)).arg(moment(subscription.expires_at));
    command.arg(json_text(&subscription.options)).arg(u8::from(subscription.confirmed));
    command.arg(u8::from(subscription.needs_confirmation)).arg(subscription.since);
    command.arg(u8::from(subscription.owner.is_some()));
    command.arg(subscription.owner.as_deref().unwrap_or(""));
}

fn check_opening(queue: &QueueRef, opening: &MoveOpening) -> Result<()> {
    if opening.start == 0 || opening.start > NUMBER_MAX {
        return Err(out_of_range("start"));
    }
    if queue.epoch > NUMBER_MAX {
        return Err(out_of_range("epoch"));
    }
    check_count(opening.subscriptions.len())?;
    let fits = |one: &Subscription| {
        one.id.incarnation() == queue.incarnation
            && one.id.sequence() <= NUMBER_MAX
            && one.since <= NUMBER_MAX
    };
    if opening.subscriptions.iter().all(fits) { Ok(()) } else { Err(out_of_range("subscriptions")) }
}

/// Refuses more subscriptions than are taken over in one step.
fn check_count(count: usize) -> Result<()> {
    if count > MOVE_SUBSCRIPTIONS_MAX {
        let reason = format!("has more than the {MOVE_SUBSCRIPTIONS_MAX} subscriptions of a move");
        return Err(misplaced(reason));
    }
    Ok(())
}

impl RedisData {
    /// Calls a step that changes something: each script's first argument is the queue.
    async fn step<A>(
        &self,
        operation: &'static str,
        script: &'static Script,
        queue: &QueueRef,
        arguments: A,
    ) -> Result<(Reply, Timestamp)>
    where
        A: Fn(&mut redis::Cmd, Timestamp) + Send + Sync + 'static,
    {
        let text = queue_text(queue);
        let call = Call {
            operation,
            script,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text);
                arguments(command, now);
            },
        };
        let answer = self.store.write(Some(&queue.key.project), call).await?;
        let now = answer.now;
        Ok((taken(answer, queue)?, now))
    }

    /// Calls a step that changes nothing. What it tells is acted upon at another store, so it is
    /// sent like a change: where writes wait for copies, it waits for those of what it tells.
    async fn look<A>(
        &self,
        operation: &'static str,
        script: &'static Script,
        queue: &QueueRef,
        arguments: A,
    ) -> Result<(Reply, Timestamp)>
    where
        A: Fn(&mut redis::Cmd) + Send + Sync + 'static,
    {
        let arguments = move |command: &mut redis::Cmd, now: Timestamp| {
            command.arg(moment(now));
            arguments(command);
        };
        self.step(operation, script, queue, arguments).await.map_err(harmless)
    }
}

/// The failure of what changes nothing.
fn harmless(error: Error) -> Error {
    match error {
        Error::Backend { operation, retry, source, .. } => {
            Error::Backend { operation, effect: Effect::None, retry, source }
        }
        other => other,
    }
}

#[async_trait]
impl MoveController for RedisData {
    async fn move_begin(&self, queue: &QueueRef) -> Result<MoveOpening> {
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(MOVE_SUBSCRIPTIONS_MAX + 1);
        };
        let (mut reply, now) = self.look("move_begin", &MOVE_BEGIN, queue, arguments).await?;
        let start = reply.number("position")?;
        let mut subscriptions = Vec::new();
        while !reply.is_empty() {
            subscriptions.push(read_subscription(&mut reply, queue, now)?);
        }
        check_count(subscriptions.len())?;
        Ok(MoveOpening { start, subscriptions })
    }

    async fn move_open(&self, queue: &QueueRef, opening: &MoveOpening) -> Result<bool> {
        check_opening(queue, opening)?;
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let opening = opening.clone();
        let call = Call {
            operation: "move_open",
            script: &MOVE_OPEN,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                let numbers = opening.subscriptions.iter().map(|one| one.id.sequence());
                command.arg(&text).arg(moment(now)).arg(incarnation).arg(opening.start);
                command.arg(numbers.max().unwrap_or(0));
                for subscription in &opening.subscriptions {
                    push_subscription(command, subscription, now);
                }
            },
        };
        let owned = queue.clone();
        let project = Some(&queue.key.project);
        let opening = self.store.shield(call.operation, project, |store, caller| async move {
            store.use_bucket_of(&owned).await?;
            store.call(&call, Some(&caller)).await
        });
        Ok(opening.await?.done(queue)?.int("answer")? != 0)
    }

    async fn move_freeze(&self, queue: &QueueRef, limit: PageLimit) -> Result<MovePart> {
        let arguments = move |command: &mut redis::Cmd, now: Timestamp| {
            command.arg(moment(now)).arg(limit.get());
        };
        let (reply, now) = self.step("move_freeze", &MOVE_FREEZE, queue, arguments).await?;
        read_part(reply, queue, now)
    }

    async fn move_part(&self, queue: &QueueRef) -> Result<MovePart> {
        let (reply, now) = self.look("move_part", &MOVE_PART, queue, |_| {}).await?;
        read_part(reply, queue, now)
    }

    async fn move_insert(&self, queue: &QueueRef, part: &MovePart) -> Result<()> {
        check_part(part)?;
        let (incarnation, part) = (queue.incarnation, part.clone());
        let arguments = move |command: &mut redis::Cmd, _| {
            command.arg(incarnation.get()).arg(part.from).arg(part.to);
            for message in &part.messages {
                parts::push_message(command, message, incarnation);
            }
        };
        self.step("move_insert", &MOVE_INSERT, queue, arguments).await.map(drop)
    }

    async fn move_remove(&self, queue: &QueueRef, from: u64) -> Result<()> {
        let arguments = move |command: &mut redis::Cmd, _| {
            command.arg(from);
        };
        self.step("move_remove", &MOVE_REMOVE, queue, arguments).await.map(drop)
    }

    async fn move_reveal(&self, queue: &QueueRef, from: u64) -> Result<()> {
        let arguments = move |command: &mut redis::Cmd, _| {
            command.arg(from);
        };
        self.step("move_reveal", &MOVE_REVEAL, queue, arguments).await.map(drop)
    }

    async fn move_records(
        &self,
        queue: &QueueRef,
        marker: Option<&str>,
        limit: PageLimit,
    ) -> Result<Page<MoveRecord, String>> {
        let place = RecordPlace::of(marker)?;
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(limit.get());
            place.push(command);
        };
        let (reply, _) = self.look("move_records", &MOVE_RECORDS, queue, arguments).await?;
        read_records(reply, queue)
    }

    async fn move_insert_records(&self, queue: &QueueRef, records: &[MoveRecord]) -> Result<()> {
        check_records(queue, records)?;
        let (incarnation, records) = (queue.incarnation.get(), records.to_vec());
        let arguments = move |command: &mut redis::Cmd, now: Timestamp| {
            command.arg(moment(now)).arg(incarnation);
            for record in &records {
                push_record(command, record);
            }
        };
        let operation = "move_insert_records";
        self.step(operation, &MOVE_INSERT_RECORDS, queue, arguments).await.map(drop)
    }

    async fn move_leave(&self, queue: &QueueRef) -> Result<bool> {
        let incarnation = queue.incarnation.get();
        let arguments = move |command: &mut redis::Cmd, now: Timestamp| {
            command.arg(moment(now)).arg(incarnation);
        };
        let (mut reply, _) = self.step("move_leave", &MOVE_LEAVE, queue, arguments).await?;
        Ok(reply.int("answer")? != 0)
    }
}
