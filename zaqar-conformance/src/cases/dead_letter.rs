//! Dead letters: parked at the source, inserted at the target, then removed (G10).
//!
//! Whatever step is lost, the message is at the source or at the target, never at neither.

use zaqar_core::{
    ClaimId, CreateClaim, LeaseId, MessageId, QueueName, QueueRef, Redrive, Transfer, Ttl,
};

use super::support::{
    claim_redriven, counts, ids, is_no_message, limit, needs, nth, only, pick, span,
};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    delivered_as_often_as_allowed = "dead_letter.park.after_the_last_delivery" {
        level: Extended(DeadLetter),
        guarantees: [G10],
        methods: ["claim_create", "transfer_lease"],
        summary: "With two deliveries allowed, the first and second claim return the message and the third parks it.",
    }
    count_survives_renewal_and_release = "dead_letter.count.survives" {
        level: Extended(DeadLetter),
        guarantees: [G7, G10],
        methods: ["claim_create", "claim_update", "claim_delete"],
        summary: "Renewing and releasing do not reset the count that leads to the dead-letter queue.",
    }
    parked_message_gives_up_its_slot = "dead_letter.park.slot_is_refilled" {
        level: Extended(DeadLetter),
        guarantees: [G10],
        methods: ["claim_create"],
        summary: "A claim that parks messages still returns up to its limit of others.",
    }
    parked_message_is_visible_and_not_to_be_had = "dead_letter.park.visible_not_claimable" {
        level: Extended(DeadLetter),
        guarantees: [G5, G10],
        methods: ["message_get", "message_list", "message_pop", "claim_create", "message_stats"],
        summary: "A parked message is found by id and in the whole listing, and is not claimed, popped or listed by default.",
    }
    parked_message_is_not_deleted = "dead_letter.park.not_deleted" {
        level: Extended(DeadLetter),
        guarantees: [G10],
        methods: ["message_bulk_delete", "message_delete"],
        summary: "A delete at the source does not take a parked message: it belongs to the target already.",
    }
    transfer_describes_the_message = "dead_letter.transfer.describes_the_message" {
        level: Extended(DeadLetter),
        guarantees: [G4, G10],
        methods: ["transfer_lease"],
        summary: "A transfer names source, target, lease and the message with id, body, count, checksum and its new ttl.",
    }
    transfer_is_leased_once = "dead_letter.transfer.leased_once" {
        level: Extended(DeadLetter),
        guarantees: [G10],
        methods: ["transfer_lease"],
        summary: "A leased transfer is handed to nobody else until the lease ends, and then again.",
    }
    transfers_are_leased_by_queue_or_all = "dead_letter.transfer.by_queue_or_all" {
        level: Extended(DeadLetter),
        guarantees: [G10],
        methods: ["transfer_lease"],
        summary: "Transfers are leased of one queue or of all, and no more than asked for.",
    }
    whole_way_moves_the_message = "dead_letter.way.moves_once" {
        level: Extended(DeadLetter),
        guarantees: [G4, G10],
        methods: ["transfer_lease", "message_insert_moved", "transfer_complete", "outbox_backlog"],
        summary: "After lease, insert and completion the message is at the target alone, claimable at its tail, id kept.",
    }
    life_starts_at_arrival = "dead_letter.life.starts_at_arrival" {
        level: Extended(DeadLetter),
        guarantees: [G8, G10],
        methods: ["message_insert_moved"],
        summary: "However long a dead letter was on its way, its new life lasts its whole ttl from its arrival on, and no longer.",
    }
    message_is_never_in_neither = "dead_letter.way.never_in_neither" {
        level: Extended(DeadLetter),
        guarantees: [G10],
        methods: ["transfer_lease", "message_insert_moved", "transfer_complete"],
        summary: "At every step of the way the message is found at the source or at the target.",
    }
    lost_step_is_resumed = "dead_letter.way.resumes" {
        level: Extended(DeadLetter),
        guarantees: [G3, G10],
        methods: ["transfer_lease", "message_insert_moved", "transfer_complete"],
        summary: "Whoever resumes a transfer after its lease ended finds the message inserted and completes it; one copy is left.",
    }
    completing_twice_is_silent = "dead_letter.complete.twice" {
        level: Extended(DeadLetter),
        guarantees: [G3, G10],
        methods: ["transfer_complete"],
        summary: "Completing a transfer again is silent and removes nothing more.",
    }
    lost_lease_completes_nothing = "dead_letter.complete.lost_lease" {
        level: Extended(DeadLetter),
        guarantees: [G6, G10],
        methods: ["transfer_complete", "transfer_lease"],
        summary: "A lease that another took over completes nothing.",
    }
    several_dead_letters_keep_their_order = "dead_letter.way.keeps_order" {
        level: Extended(DeadLetter),
        guarantees: [G9, G10],
        methods: ["transfer_lease", "claim_create"],
        summary: "Messages parked together are handed over in queue order.",
    }
    without_redrive_nothing_is_parked = "dead_letter.park.only_with_redrive" {
        level: Extended(DeadLetter),
        guarantees: [G1, G10],
        methods: ["claim_create"],
        summary: "Without a dead-letter queue a message is delivered for ever.",
    }
    repeat_of_a_parking_claim = "dead_letter.park.repeat" {
        level: Extended(DeadLetter),
        guarantees: [G3, G10],
        methods: ["claim_create"],
        summary: "Repeating a claim that parked messages returns the same ones and parks nothing else.",
    }
}

/// Where dead letters go in these cases: after `claims_max` deliveries, for an hour.
pub(super) fn redrive(claims_max: u32) -> Result<Redrive, Failure> {
    Ok(Redrive { claims_max, target: QueueName::new("dead")?, ttl: span(3_600) })
}

/// Delivers the queue's messages `n` times and lets every claim lapse.
pub(super) async fn deliver(
    ctx: &Context,
    queue: &QueueRef,
    n: u32,
    to: &Redrive,
) -> Result<(), Failure> {
    for round in 0..n {
        let (_, claimed) = claim_redriven(ctx, queue, 60, 1_000, to).await?;
        check!(!claimed.messages.is_empty(), "claim {round} takes nothing: {claimed:?}");
        check_eq!(claimed.parked, 0, "messages parked by claim {round}");
        ctx.advance(60).await?;
    }
    Ok(())
}

/// Posts `n` messages of a day, delivers them twice and parks them at the third claim.
pub(super) async fn parked(
    ctx: &Context,
    queue: &QueueRef,
    n: usize,
) -> Result<Vec<MessageId>, Failure> {
    needs(ctx, zaqar_core::Capability::Claims)?;
    let posted = ctx.post_n(queue, n, 86_400).await?;
    let to = redrive(2)?;
    deliver(ctx, queue, 2, &to).await?;
    let (_, claimed) = claim_redriven(ctx, queue, 60, 1_000, &to).await?;
    check!(claimed.messages.is_empty(), "the third claim returns {:?}", claimed.messages);
    check_eq!(usize::try_from(claimed.parked).ok(), Some(n), "messages parked by it");
    Ok(posted)
}

/// Leases transfers of any queue for a minute.
pub(super) async fn lease(ctx: &Context) -> Result<Vec<Transfer>, Failure> {
    let lease = LeaseId::random();
    let found = ctx.data.outbox().transfer_lease(None, lease, span(60), limit(1_000)?).await?;
    check!(found.iter().all(|t| t.lease == lease), "a transfer is under another lease: {found:?}");
    Ok(found)
}

async fn delivered_as_often_as_allowed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    let posted = ctx.post_n(&queue, 1, 86_400).await?;
    let to = redrive(2)?;
    for delivery in 1..=2 {
        let (_, claimed) = claim_redriven(ctx, &queue, 60, 10, &to).await?;
        check_eq!(ids(&claimed.messages), posted, "delivery {delivery}");
        check_eq!(only(&claimed.messages)?.claim_count, delivery, "the count at it");
        check_eq!(claimed.parked, 0, "messages parked at it");
        check!(lease(ctx).await?.is_empty(), "a transfer waits after delivery {delivery}");
        ctx.advance(60).await?;
    }
    let (id, claimed) = claim_redriven(ctx, &queue, 60, 10, &to).await?;
    check!(claimed.messages.is_empty(), "the third claim returns {:?}", claimed.messages);
    check_eq!(claimed.parked, 1, "messages parked by the third claim");
    let no_claim = ctx.data.claims().claim_get(&queue, id).await;
    expect_err(no_claim, super::support::is_no_claim, "reading a claim that only parked")?;
    check_eq!(only(&lease(ctx).await?)?.message.id, *only(&posted)?, "the transfer");
    Ok(())
}

async fn count_survives_renewal_and_release(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    let posted = ctx.post_n(&queue, 1, 86_400).await?;
    let to = redrive(3)?;
    let claims = ctx.data.claims();
    let (id, first) = claim_redriven(ctx, &queue, 60, 10, &to).await?;
    check_eq!(ids(&first.messages), posted, "the first delivery");
    for _ in 0..10 {
        claims.claim_update(&queue, id, span(60), Ttl::ZERO).await?;
    }
    claims.claim_delete(&queue, id).await?;
    let (id, second) = claim_redriven(ctx, &queue, 60, 10, &to).await?;
    check_eq!(ids(&second.messages), posted, "the second delivery");
    claims.claim_delete(&queue, id).await?;
    let (id, third) = claim_redriven(ctx, &queue, 60, 10, &to).await?;
    check_eq!(ids(&third.messages), posted, "the third delivery");
    claims.claim_update(&queue, id, span(100), Ttl::ZERO).await?;
    ctx.advance(100).await?;
    let (_, fourth) = claim_redriven(ctx, &queue, 60, 10, &to).await?;
    check!(fourth.messages.is_empty(), "a fourth delivery of three: {:?}", fourth.messages);
    check_eq!(fourth.parked, 1, "messages parked by the fourth claim");
    Ok(())
}

async fn parked_message_gives_up_its_slot(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    ctx.post_n(&queue, 3, 86_400).await?;
    let to = redrive(1)?;
    deliver(ctx, &queue, 1, &to).await?;
    let fresh = ctx.post_n(&queue, 4, 86_400).await?;
    let (_, claimed) = claim_redriven(ctx, &queue, 60, 2, &to).await?;
    check_eq!(ids(&claimed.messages), pick(&fresh, [0, 1])?, "what the claim returns");
    check_eq!(claimed.parked, 3, "messages that it parked");
    Ok(())
}

async fn parked_message_is_visible_and_not_to_be_had(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    let posted = parked(ctx, &queue, 2).await?;
    let fresh = ctx.post_n(&queue, 1, 86_400).await?;
    let messages = ctx.data.messages();
    let read = messages.message_get(&queue, *nth(&posted, 0)?).await?;
    check_eq!(read.body, Context::body(0), "the body read by id");
    check_eq!(read.claim_count, 2, "the count read by id");
    check_eq!(ids(&messages.message_bulk_get(&queue, &posted).await?), posted, "a bulk read");
    let all = [posted, fresh.clone()].concat();
    check_eq!(ids(&ctx.list_all(&queue).await?), all, "the whole listing");
    check_eq!(ids(&ctx.list_free(&queue).await?), fresh, "the default listing");
    check_eq!(counts(ctx, &queue).await?, (2, 1), "claimed and free");
    let (_, taken) = ctx.claim(&queue, 60, 0, 10).await?;
    check_eq!(ids(&taken), fresh, "what a claim takes");
    let popped = messages.message_pop(&queue, limit(10)?).await?;
    check!(popped.is_empty(), "a pop takes {popped:?}");
    ctx.advance(10_000).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), fresh, "the default listing, hours later");
    Ok(())
}

async fn parked_message_is_not_deleted(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    let posted = parked(ctx, &queue, 2).await?;
    let messages = ctx.data.messages();
    messages.message_bulk_delete(&queue, &posted, None).await?;
    messages.message_bulk_delete(&queue, &posted, Some(&[ClaimId::random()])).await?;
    // A single delete may refuse or skip; it may not take the message.
    let single = messages.message_delete(&queue, *nth(&posted, 0)?, None).await;
    check!(
        single.as_ref().err().is_none_or(|error| error.effect() == zaqar_core::Effect::None),
        "a delete of a parked message is in doubt: {single:?}"
    );
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "what is at the source");
    let transfers: Vec<MessageId> = lease(ctx).await?.iter().map(|t| t.message.id).collect();
    check_eq!(transfers, posted, "what is on its way");
    Ok(())
}

async fn transfer_describes_the_message(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Claims)?;
    let queue = ctx.queue("source").await?;
    let posted_at = zaqar_core::Clock::now(&*ctx.clock);
    let sum = "MD5:0cc175b9c0f1b6a831c399e269772661".to_owned();
    let message = Context::message(7, 86_400).checksum(sum.clone());
    let id = *only(&ctx.post(&queue, vec![message]).await?)?;
    let to = redrive(2)?;
    deliver(ctx, &queue, 2, &to).await?;
    claim_redriven(ctx, &queue, 60, 10, &to).await?;
    let transfers = lease(ctx).await?;
    let transfer = only(&transfers)?;
    check_eq!(transfer.source, queue, "the source");
    check_eq!(transfer.target, to.target, "the target");
    let moved = &transfer.message;
    check_eq!((moved.id, moved.claim_count), (id, 2), "id and count");
    check_eq!((moved.ttl, moved.posted_at), (to.ttl, posted_at), "ttl and time of post");
    check_eq!(moved.body, Context::body(7), "the body");
    check_eq!(moved.checksum, Some(sum), "the checksum");
    Ok(())
}

async fn transfer_is_leased_once(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    let posted = parked(ctx, &queue, 3).await?;
    let other = ctx.second_handle().await?;
    check_eq!(lease(ctx).await?.len(), 3, "transfers leased");
    for passed in [0, 59] {
        ctx.advance(passed).await?;
        check!(lease(ctx).await?.is_empty(), "leased transfers are handed out again");
        check!(lease(&other).await?.is_empty(), "leased transfers are handed to another node");
    }
    ctx.advance(1).await?;
    let again: Vec<MessageId> = lease(&other).await?.iter().map(|t| t.message.id).collect();
    check_eq!(again, posted, "transfers leased after the lease's end");
    other.close().await;
    Ok(())
}

async fn transfers_are_leased_by_queue_or_all(ctx: &Context) -> CaseResult {
    let (left, right) = (ctx.queue("left").await?, ctx.queue("right").await?);
    let lefts = parked(ctx, &left, 3).await?;
    let rights = parked(ctx, &right, 2).await?;
    let outbox = ctx.data.outbox();
    let of = async |queue: Option<&QueueRef>, most: u32| {
        let found = outbox.transfer_lease(queue, LeaseId::random(), span(60), limit(most)?).await?;
        Ok::<Vec<MessageId>, Failure>(found.iter().map(|t| t.message.id).collect())
    };
    check_eq!(of(Some(&left), 2).await?, pick(&lefts, [0, 1])?, "at most two of the left queue");
    check_eq!(of(Some(&left), 9).await?, pick(&lefts, [2])?, "the rest of the left queue");
    check_eq!(of(None, 9).await?, rights, "all that is left");
    check!(of(Some(&right), 9).await?.is_empty(), "a transfer is leased twice");
    Ok(())
}

async fn whole_way_moves_the_message(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let before = ctx.post_n(&dead, 2, 86_400).await?;
    let posted = parked(ctx, &source, 1).await?;
    check_eq!(ctx.data.outbox().outbox_backlog().await?.transfers, 1, "transfers that wait");
    let transfers = lease(ctx).await?;
    let transfer = only(&transfers)?;
    let inserted =
        ctx.data.messages().message_insert_moved(&dead, transfer.message.clone()).await?;
    check!(inserted.is_new(), "a first insert finds the message there");
    ctx.data.outbox().transfer_complete(transfer).await?;
    check_eq!(ctx.data.outbox().outbox_backlog().await?.transfers, 0, "transfers left");

    let id = *only(&posted)?;
    let gone = ctx.data.messages().message_get(&source, id).await;
    expect_err(gone, is_no_message, "the message at the source")?;
    check!(ctx.list_all(&source).await?.is_empty(), "the source still lists something");
    check_eq!(counts(ctx, &source).await?, (0, 0), "claimed and free at the source");
    let wanted = [before, vec![id]].concat();
    check_eq!(ids(&ctx.list_free(&dead).await?), wanted, "the listing of the target");
    let (_, taken) = ctx.claim(&dead, 60, 0, 10).await?;
    check_eq!(ids(&taken), wanted, "what a claim takes at the target");
    check_eq!(nth(&taken, 2)?.body, Context::body(0), "its body");
    ctx.advance(86_400).await?;
    check!(lease(ctx).await?.is_empty(), "a completed transfer is leased again");
    Ok(())
}

async fn life_starts_at_arrival(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = parked(ctx, &source, 1).await?;
    let transfers = lease(ctx).await?;
    let message = only(&transfers)?.message.clone();
    let ttl_s = message.ttl.as_secs();
    ctx.advance(ttl_s + 60).await?;
    ctx.data.messages().message_insert_moved(&dead, message).await?;
    ctx.advance(ttl_s - 1).await?;
    check_eq!(ids(&ctx.list_free(&dead).await?), posted, "a second before the end");
    ctx.advance(1).await?;
    check!(ctx.list_all(&dead).await?.is_empty(), "there is something at the end");
    Ok(())
}

async fn message_is_never_in_neither(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = parked(ctx, &source, 1).await?;
    let id = *only(&posted)?;
    let places = async || {
        let mut places = Vec::new();
        for (name, queue) in [("source", &source), ("target", &dead)] {
            if ctx.list_all(queue).await?.iter().any(|message| message.id == id) {
                places.push(name);
            }
        }
        Ok::<_, Failure>(places)
    };
    check_eq!(places().await?, ["source"], "where it is once parked");
    let transfers = lease(ctx).await?;
    check_eq!(places().await?, ["source"], "where it is under a lease");
    let transfer = only(&transfers)?;
    ctx.data.messages().message_insert_moved(&dead, transfer.message.clone()).await?;
    // A short double is allowed from here to the completion, a gap never.
    check_eq!(places().await?, ["source", "target"], "where it is once inserted");
    ctx.data.outbox().transfer_complete(transfer).await?;
    check_eq!(places().await?, ["target"], "where it is once completed");
    Ok(())
}

async fn lost_step_is_resumed(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = parked(ctx, &source, 2).await?;
    let messages = ctx.data.messages();
    // The first attempt is lost after one insert, the second and third after both.
    for inserts in [1, 2, 2] {
        let transfers = lease(ctx).await?;
        check_eq!(transfers.len(), 2, "transfers to resume");
        for transfer in transfers.iter().take(inserts) {
            messages.message_insert_moved(&dead, transfer.message.clone()).await?;
        }
        check_eq!(ids(&ctx.list_all(&dead).await?).len(), inserts, "copies at the target");
        ctx.advance(60).await?;
    }
    for transfer in lease(ctx).await? {
        let again = messages.message_insert_moved(&dead, transfer.message.clone()).await?;
        check!(!again.is_new(), "a repeated insert made another copy");
        ctx.data.outbox().transfer_complete(&transfer).await?;
    }
    check!(ctx.list_all(&source).await?.is_empty(), "the source still holds a copy");
    check_eq!(ids(&ctx.list_all(&dead).await?), posted, "the target");
    Ok(())
}

async fn completing_twice_is_silent(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    parked(ctx, &source, 1).await?;
    let late = ctx.post_n(&source, 1, 86_400).await?;
    let transfers = lease(ctx).await?;
    let transfer = only(&transfers)?;
    ctx.data.messages().message_insert_moved(&dead, transfer.message.clone()).await?;
    for _ in 0..3 {
        ctx.data.outbox().transfer_complete(transfer).await?;
    }
    ctx.advance(1_000).await?;
    ctx.data.outbox().transfer_complete(transfer).await?;
    check_eq!(ids(&ctx.list_all(&source).await?), late, "what is at the source");
    check_eq!(ctx.list_all(&dead).await?.len(), 1, "copies at the target");
    Ok(())
}

async fn lost_lease_completes_nothing(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = parked(ctx, &source, 1).await?;
    let slow = lease(ctx).await?;
    ctx.advance(60).await?;
    let quick = lease(ctx).await?;
    let outbox = ctx.data.outbox();
    let lost = |error: &zaqar_core::Error| matches!(error, zaqar_core::Error::LeaseLost);
    let refused = outbox.transfer_complete(only(&slow)?).await;
    expect_err(refused, lost, "completing under a lease that another took over")?;
    check_eq!(ids(&ctx.list_all(&source).await?), posted, "what is at the source");
    let transfer = only(&quick)?;
    ctx.data.messages().message_insert_moved(&dead, transfer.message.clone()).await?;
    outbox.transfer_complete(transfer).await?;
    check!(ctx.list_all(&source).await?.is_empty(), "the source still holds it");
    Ok(())
}

async fn several_dead_letters_keep_their_order(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    let posted = parked(ctx, &queue, 12).await?;
    let transfers: Vec<MessageId> = lease(ctx).await?.iter().map(|t| t.message.id).collect();
    check_eq!(transfers, posted, "the transfers");
    Ok(())
}

async fn without_redrive_nothing_is_parked(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Claims)?;
    let queue = ctx.queue("source").await?;
    let posted = ctx.post_n(&queue, 1, 86_400).await?;
    for delivery in 1..=20 {
        let (_, taken) = ctx.claim(&queue, 60, 0, 1).await?;
        check_eq!(ids(&taken), posted, "delivery {delivery}");
        check_eq!(only(&taken)?.claim_count, delivery, "its count");
        ctx.advance(60).await?;
    }
    check!(lease(ctx).await?.is_empty(), "a transfer waits although nothing redrives");
    Ok(())
}

async fn repeat_of_a_parking_claim(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    needs(ctx, zaqar_core::Capability::Claims)?;
    ctx.post_n(&queue, 2, 86_400).await?;
    let to = redrive(1)?;
    deliver(ctx, &queue, 1, &to).await?;
    let fresh = ctx.post_n(&queue, 4, 86_400).await?;
    let options = CreateClaim::new(ClaimId::random(), span(60), Ttl::ZERO)
        .limit(limit(2)?)
        .redrive(to.clone());
    for _ in 0..3 {
        let claimed = super::support::claim_with(ctx, &queue, options.clone()).await?;
        check_eq!(ids(&claimed.messages), pick(&fresh, [0, 1])?, "what the claim returns");
    }
    check_eq!(lease(ctx).await?.len(), 2, "transfers that wait");
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&fresh, [2, 3])?, "what is free");
    Ok(())
}
