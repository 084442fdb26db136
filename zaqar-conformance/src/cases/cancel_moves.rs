//! Dropped calls of moves: each step of a queue's way out and back in happened whole or not at all,
//! and its repeat goes on from there (G16, G17).

use zaqar_core::{DataDriver, Error, Message, MessageId, PostMessages, QueueRef};

use super::cancel::{POLLS_MAX, answered, settle};
use super::move_whole::{all, move_all_once, reference};
use super::support::{drop_at_poll, gc, ids, limit, nth};
use crate::case::{CaseResult, Failure, cases, check, check_eq};
use crate::context::Context;

cases! {
    dropped_steps_out_are_whole = "cancel.move.out" {
        level: Extended(LiveMove),
        guarantees: [G16, G17],
        methods: ["move_freeze", "move_remove", "move_leave"],
        summary: "Whichever step at the source is dropped, its repeat goes on from there, and every message arrives once.",
    }
    dropped_steps_in_are_whole = "cancel.move.in" {
        level: Extended(LiveMove),
        guarantees: [G16, G17],
        methods: ["move_open", "move_insert", "move_insert_records", "move_reveal"],
        summary: "Whichever step at the target is dropped, its repeat goes on from there, and every message and key arrives once.",
    }
}

const TOO_MANY: &str = "a call needs more polls than the case drops at";

/// Moves the head at the source and opens it at the target, with no call dropped.
async fn begin(from: &dyn DataDriver, to: &dyn DataDriver, queue: &QueueRef) -> CaseResult {
    from.heads().head_move(queue, queue.epoch).await?;
    let opening = from.moves().move_begin(queue).await?;
    check!(to.moves().move_open(queue, &opening).await?, "the target is not ready");
    Ok(())
}

/// What a listing here shows, or nothing once the head is closed.
async fn shown(data: &dyn DataDriver, queue: &QueueRef) -> Result<Vec<MessageId>, Failure> {
    Ok(ids(&all(data, queue).await?))
}

async fn dropped_steps_out_are_whole(ctx: &Context) -> CaseResult {
    let (calm, other) = (ctx.queue("calm").await?, reference(ctx));
    let here = ctx.data.moves();
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("out-{polls}")).await?;
        ctx.post_n(&queue, 5, 3_000).await?;
        let before: Vec<Message> = ctx.list_all(&queue).await?;
        let out = queue.at_epoch(1);
        begin(&*ctx.data, &*other, &out).await?;
        let (mut frozen, mut removed) = (true, true);
        loop {
            let call = here.move_freeze(&out, limit(3)?);
            let first = answered(drop_at_poll(call, polls).await)?;
            settle(ctx, &calm).await?;
            let part = here.move_freeze(&out, limit(3)?).await?;
            check!(first.as_ref().is_none_or(|first| *first == part), "another part: {first:?}");
            frozen &= first.is_some();
            if part.is_empty() {
                break;
            }
            other.moves().move_insert(&out, &part).await?;
            let held = shown(&*ctx.data, &out).await?;
            let call = here.move_remove(&out, part.from);
            let done = answered(drop_at_poll(call, polls).await)?.is_some();
            settle(ctx, &calm).await?;
            let left = shown(&*ctx.data, &out).await?;
            let rest = held.get(..held.len() - part.messages.len()).unwrap_or_default();
            check!(left == rest || (left == held && !done), "left after {polls} polls: {left:?}");
            here.move_remove(&out, part.from).await?;
            other.moves().move_reveal(&out, part.from).await?;
            removed &= done;
        }
        check_eq!(all(&*other, &out).await?, before, "the queue after its move");
        let left = answered(drop_at_poll(here.move_leave(&out), polls).await)?;
        settle(ctx, &calm).await?;
        match here.move_leave(&out).await {
            Ok(true) if left.is_none() => {}
            Err(Error::QueueGone { .. }) => {}
            again => return Err(Failure::broken(format!("left as {left:?}, again as {again:?}"))),
        }
        if frozen && removed && left.is_some() {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}

async fn dropped_steps_in_are_whole(ctx: &Context) -> CaseResult {
    let (calm, other) = (ctx.queue("calm").await?, reference(ctx));
    let here = ctx.data.moves();
    for polls in 0..POLLS_MAX {
        // It begins here and is moved out, so that it can come in.
        let queue = ctx.queue(&format!("in-{polls}")).await?;
        ctx.post_n(&queue, 4, 3_000).await?;
        let out = queue.at_epoch(1);
        move_all_once((&*ctx.data, &*other), &out, 10).await?;
        check!(here.move_leave(&out).await?, "the source is not empty");
        gc(ctx, 0).await?;
        let keyed =
            || super::idempotency::key("k", 1, 6_000).map(|key| PostMessages::new().key(key));
        let one = || vec![Context::message(7, 3_000)];
        let posted = other.messages().message_post(&out, one(), keyed()?).await?;
        let before = all(&*other, &out).await?;

        let back = queue.at_epoch(2);
        other.heads().head_move(&back, 2).await?;
        let opening = other.moves().move_begin(&back).await?;
        let opened = answered(drop_at_poll(here.move_open(&back, &opening), polls).await)?;
        settle(ctx, &calm).await?;
        check!(here.move_open(&back, &opening).await?, "not open after {opened:?}");
        let (mut inserted, mut revealed) = (true, true);
        loop {
            let part = other.moves().move_freeze(&back, limit(3)?).await?;
            if part.is_empty() {
                break;
            }
            let held = shown(&*ctx.data, &back).await?;
            let done = drop_at_poll(here.move_insert(&back, &part), polls).await;
            let done = answered(done)?.is_some();
            settle(ctx, &calm).await?;
            let arriving: Vec<_> = part.messages.iter().map(|message| message.id).collect();
            let arrived = [arriving, held.clone()].concat();
            let left = shown(&*ctx.data, &back).await?;
            check!(left == arrived || (left == held && !done), "after {polls} polls: {left:?}");
            here.move_insert(&back, &part).await?;
            check_eq!(here.move_part(&back).await?, part, "the part that arrived");
            inserted &= done;
            other.moves().move_remove(&back, part.from).await?;
            let call = here.move_reveal(&back, part.from);
            revealed &= answered(drop_at_poll(call, polls).await)?.is_some();
            settle(ctx, &calm).await?;
            here.move_reveal(&back, part.from).await?;
        }
        let records = other.moves().move_records(&back, None, limit(10)?).await?.items;
        let call = here.move_insert_records(&back, &records);
        let recorded = answered(drop_at_poll(call, polls).await)?.is_some();
        settle(ctx, &calm).await?;
        here.move_insert_records(&back, &records).await?;
        check_eq!(all(&*ctx.data, &back).await?, before, "the queue after its move");
        let again = ctx.data.messages().message_post(&back, one(), keyed()?).await?;
        check_eq!((&again.ids, again.repeated), (&posted.ids, true), "a post under the key");
        let taken = ctx.data.messages().message_pop(&back, limit(10)?).await?;
        check_eq!(ids(&taken), ids(&before), "all that can be had");
        check!(nth(&taken, 0)?.claim_count == 0, "a message that was never claimed");
        if opened.is_some() && inserted && revealed && recorded {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}
