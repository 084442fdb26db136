//! Dropped calls: whenever a caller leaves, the operation happened whole or not at all (G16).
//!
//! Each case drops the same call before its first poll, at its first, second, … poll, until one
//! gets through, and looks at what is stored each time.

use zaqar_core::{
    Capability, ClaimId, CreateClaim, DeliveryOutcome, Error, JsonObject, LeaseDeliveries, LeaseId,
    NewSubscription, PostMessages, QueueKey, QueueName, QueueRef,
};

use super::support::{
    drop_at_poll, everything, gc, ids, is_gone, limit, needs, nth, only, pick, span,
};
use crate::case::{CaseResult, Failure, cases, check, check_eq};
use crate::context::Context;

cases! {
    dropped_post_is_whole_or_not = "cancel.post.whole_or_not" {
        level: Core,
        guarantees: [G2, G16],
        methods: ["message_post"],
        summary: "A dropped post stored its whole batch or nothing; one that was never polled stored nothing.",
    }
    dropped_keyed_post_is_repeated_safely = "cancel.post.repeated_with_key" {
        level: Core,
        guarantees: [G3, G16],
        methods: ["message_post"],
        summary: "Repeating a dropped post under its idempotency key leaves one batch.",
    }
    dropped_pop_is_whole_or_not = "cancel.pop.whole_or_not" {
        level: Core,
        guarantees: [G14, G16],
        methods: ["message_pop"],
        summary: "A dropped pop took all that it would have or nothing; one that was never polled took nothing.",
    }
    dropped_delete_is_whole_or_not = "cancel.delete.whole_or_not" {
        level: Core,
        guarantees: [G2, G16],
        methods: ["message_delete", "message_bulk_delete", "message_purge"],
        summary: "A dropped delete, bulk delete or purge removed everything that it names or nothing.",
    }
    dropped_claim_loses_nothing = "cancel.claim.loses_nothing" {
        level: Extended(Claims),
        guarantees: [G1, G5, G16],
        methods: ["claim_create", "claim_get"],
        summary: "After a dropped claim each message is free or under that claim, and free again at its end at the latest.",
    }
    dropped_claim_can_be_repeated = "cancel.claim.can_be_repeated" {
        level: Extended(Claims),
        guarantees: [G3, G16],
        methods: ["claim_create"],
        summary: "Repeating a dropped claim under its id yields the oldest messages, claimed once.",
    }
    dropped_renewal_and_release_are_whole = "cancel.claim.renewal_and_release" {
        level: Extended(Claims),
        guarantees: [G6, G16],
        methods: ["claim_update", "claim_delete"],
        summary: "A dropped renewal or release happened for all of the claim's messages or for none.",
    }
    dropped_head_changes_can_be_repeated = "cancel.head.can_be_repeated" {
        level: Core,
        guarantees: [G11, G16],
        methods: ["head_open", "head_close", "queue_insert", "queue_set_metadata"],
        summary: "Dropped calls that open, record, change or close a queue took effect or not, and can be repeated.",
    }
    dropped_subscription_changes_can_be_repeated = "cancel.subscription.can_be_repeated" {
        level: Extended(Subscriptions),
        guarantees: [G13, G16],
        methods: ["subscription_create", "subscription_confirm", "subscription_delete"],
        summary: "Dropped calls that make, confirm or delete a subscription leave one, confirmed or not, or none.",
    }
    dropped_delivery_loses_nothing = "cancel.delivery.loses_nothing" {
        level: Extended(Subscriptions),
        guarantees: [G13, G16],
        methods: ["delivery_lease", "delivery_complete"],
        summary: "After a dropped lease or completion messages are recorded as delivered or handed out again, none lost.",
    }
    dropped_transfer_loses_nothing = "cancel.transfer.loses_nothing" {
        level: Extended(DeadLetter),
        guarantees: [G10, G16],
        methods: ["transfer_lease", "message_insert_moved", "transfer_complete"],
        summary: "Whichever step of a transfer is dropped, the message is found, and repeating the way leaves one copy.",
    }
    dropped_background_work_harms_nothing = "cancel.gc.harms_nothing" {
        level: Core,
        guarantees: [G8, G16],
        methods: ["gc", "sweep"],
        summary: "A dropped sweep or collection takes nothing that lives, and the next one finishes its work.",
    }
}

/// Polls after which a call that is still not done is not dropped any more.
pub(super) const POLLS_MAX: usize = 64;

/// What a call answered, if it got through before it was dropped.
pub(super) fn answered<T>(outcome: Option<Result<T, Error>>) -> Result<Option<T>, Failure> {
    Ok(outcome.transpose()?)
}

/// Calls that follow a dropped one before its effect is looked at.
const SETTLING_CALLS: usize = 8;

/// Lets a call that was dropped after it had been handed over come to its end. Where a queue's calls
/// follow each other, the next one comes after it; a driver that works on several connections needs
/// the time of as many round trips as the dropped call may still have before it.
pub(super) async fn settle(ctx: &Context, queue: &QueueRef) -> CaseResult {
    let missing = zaqar_core::MessageId::new(queue.incarnation, 1_000_000)?;
    for _ in 0..SETTLING_CALLS {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        match ctx.data.messages().message_delete(queue, missing, None).await {
            Err(error) if !is_gone(&error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

async fn dropped_post_is_whole_or_not(ctx: &Context) -> CaseResult {
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("post-{polls}")).await?;
        let batch = (0..5).map(|n| Context::message(n, 3_000)).collect();
        let call = ctx.data.messages().message_post(&queue, batch, PostMessages::new());
        let done = answered(drop_at_poll(call, polls).await)?;
        settle(ctx, &queue).await?;
        let left = ctx.list_all(&queue).await?.len();
        let allowed: &[usize] = match (&done, polls) {
            (Some(_), _) => &[5],
            (None, 0) => &[0],
            (None, _) => &[0, 5],
        };
        check!(allowed.contains(&left), "{left} of 5 messages after {polls} polls");
        let more = ctx.post_n(&queue, 2, 3_000).await?;
        check_eq!(ctx.list_all(&queue).await?.len(), left + more.len(), "a later post");
        if done.is_some() {
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a post needs more polls than the case drops at"))
}

async fn dropped_keyed_post_is_repeated_safely(ctx: &Context) -> CaseResult {
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("keyed-{polls}")).await?;
        let options = PostMessages::new().key(super::idempotency::key("k", 1, 600)?);
        let batch = || (0..5).map(|n| Context::message(n, 3_000)).collect();
        let messages = ctx.data.messages();
        let call = messages.message_post(&queue, batch(), options.clone());
        let done = answered(drop_at_poll(call, polls).await)?;
        // At once, before what was dropped can have settled.
        let again = messages.message_post(&queue, batch(), options.clone()).await?;
        settle(ctx, &queue).await?;
        check_eq!(ids(&ctx.list_all(&queue).await?), again.ids, "the queue after {polls} polls");
        if let Some(first) = done {
            check_eq!((&again.ids, again.repeated), (&first.ids, true), "the repeat");
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a post needs more polls than the case drops at"))
}

async fn dropped_pop_is_whole_or_not(ctx: &Context) -> CaseResult {
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("pop-{polls}")).await?;
        let posted = ctx.post_n(&queue, 10, 3_000).await?;
        let call = ctx.data.messages().message_pop(&queue, limit(4)?);
        let done = answered(drop_at_poll(call, polls).await)?;
        settle(ctx, &queue).await?;
        let left = ids(&ctx.list_all(&queue).await?);
        let (all, rest) = (posted.clone(), pick(&posted, 4..10)?);
        let allowed = match (&done, polls) {
            (Some(_), _) => vec![rest],
            (None, 0) => vec![all],
            (None, _) => vec![all, rest],
        };
        check!(allowed.contains(&left), "a pop dropped after {polls} polls left {left:?}");
        if done.is_some() {
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a pop needs more polls than the case drops at"))
}

async fn dropped_delete_is_whole_or_not(ctx: &Context) -> CaseResult {
    let messages = ctx.data.messages();
    for kind in ["single", "bulk", "purge"] {
        for polls in 0..POLLS_MAX {
            let queue = ctx.queue(&format!("{kind}-{polls}")).await?;
            let posted = ctx.post_n(&queue, 6, 3_000).await?;
            let doomed = match kind {
                "single" => pick(&posted, [2])?,
                "bulk" => pick(&posted, [0, 2, 4])?,
                _ => posted.clone(),
            };
            let call = match kind {
                "single" => messages.message_delete(&queue, *only(&doomed)?, None),
                "bulk" => messages.message_bulk_delete(&queue, &doomed, None),
                _ => messages.message_purge(&queue),
            };
            let done = answered(drop_at_poll(call, polls).await)?;
            settle(ctx, &queue).await?;
            let left = ids(&ctx.list_all(&queue).await?);
            let rest: Vec<_> = posted.iter().filter(|id| !doomed.contains(id)).copied().collect();
            check!(
                left == rest || (left == posted && done.is_none()),
                "a {kind} delete dropped after {polls} polls left {left:?}"
            );
            if done.is_some() {
                break;
            }
            check!(polls + 1 < POLLS_MAX, "a {kind} delete needs more than {POLLS_MAX} polls");
        }
    }
    Ok(())
}

async fn dropped_claim_loses_nothing(ctx: &Context) -> CaseResult {
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("claim-{polls}")).await?;
        let posted = ctx.post_n(&queue, 6, 3_000).await?;
        let id = ClaimId::random();
        let options = CreateClaim::new(id, span(60), span(60)).limit(limit(4)?);
        let call = ctx.data.claims().claim_create(&queue, options);
        let done = answered(drop_at_poll(call, polls).await)?;
        settle(ctx, &queue).await?;
        let free = ids(&ctx.list_free(&queue).await?);
        let held = match ctx.data.claims().claim_get(&queue, id).await {
            Ok((_, held)) => ids(&held),
            Err(Error::ClaimNotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        check!(
            held.is_empty() || held == pick(&posted, 0..4)?,
            "a claim dropped after {polls} polls holds {held:?}"
        );
        check_eq!([held.clone(), free].concat(), posted, "held and free after {polls} polls");
        check!(done.is_none() || !held.is_empty(), "an answered claim holds nothing");
        check!(polls > 0 || held.is_empty(), "a claim that was never polled holds {held:?}");
        ctx.advance(60).await?;
        check_eq!(ids(&ctx.list_free(&queue).await?), posted, "free at the claim's end");
        if done.is_some() {
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a claim needs more polls than the case drops at"))
}

async fn dropped_claim_can_be_repeated(ctx: &Context) -> CaseResult {
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("again-{polls}")).await?;
        let posted = ctx.post_n(&queue, 6, 3_000).await?;
        let options = CreateClaim::new(ClaimId::random(), span(60), span(60)).limit(limit(4)?);
        let call = ctx.data.claims().claim_create(&queue, options.clone());
        let done = answered(drop_at_poll(call, polls).await)?;
        settle(ctx, &queue).await?;
        let again = ctx.data.claims().claim_create(&queue, options).await?;
        check_eq!(ids(&again.messages), pick(&posted, 0..4)?, "the repeat after {polls} polls");
        check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, [4, 5])?, "what is free");
        if done.is_some() {
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a claim needs more polls than the case drops at"))
}

async fn dropped_renewal_and_release_are_whole(ctx: &Context) -> CaseResult {
    let claims = ctx.data.claims();
    for kind in ["renewal", "release"] {
        for polls in 0..POLLS_MAX {
            let queue = ctx.queue(&format!("{kind}-{polls}")).await?;
            let posted = ctx.post_n(&queue, 5, 100).await?;
            let (id, _) = ctx.claim(&queue, 50, 10, 5).await?;
            let call = match kind {
                "renewal" => claims.claim_update(&queue, id, span(300), span(10)),
                _ => claims.claim_delete(&queue, id),
            };
            let done = answered(drop_at_poll(call, polls).await)?;
            settle(ctx, &queue).await?;
            let listed = ctx.list_all(&queue).await?;
            check_eq!(ids(&listed), posted, "the messages after {polls} polls of a {kind}");
            let held = listed.iter().filter(|message| message.claim == Some(id)).count();
            let long = listed.iter().filter(|message| message.ttl == span(310)).count();
            let seen = (held, long);
            let (before, after) = ((5, 0), if kind == "renewal" { (5, 5) } else { (0, 0) });
            check!(
                seen == after || (seen == before && done.is_none()),
                "held and extended after {polls} polls of a {kind}: {seen:?}"
            );
            if done.is_some() {
                break;
            }
            check!(polls + 1 < POLLS_MAX, "a {kind} needs more than {POLLS_MAX} polls");
        }
    }
    Ok(())
}

async fn dropped_head_changes_can_be_repeated(ctx: &Context) -> CaseResult {
    let (heads, queues) = (ctx.data.heads(), ctx.control.queues());
    for polls in 0..POLLS_MAX {
        let name = QueueName::new(format!("made-{polls}"))?;
        let key = QueueKey::queue(ctx.project("main")?, name);
        let queue = key.incarnate(queues.queue_allocate_incarnation().await?);
        let metadata = super::support::object(r#"{"a": 1, "b": 2}"#)?;

        let opened = drop_at_poll(heads.head_open(&queue), polls).await.is_some();
        heads.head_open(&queue).await?;
        check_eq!(heads.head_get(&queue).await?.sequence_next, 1, "the first position");
        let inserted = drop_at_poll(queues.queue_insert(&queue, &metadata), polls).await.is_some();
        let record = queues.queue_insert(&queue, &metadata).await?.into_inner();
        check_eq!((&record.metadata, record.revision), (&metadata, 1), "the record made");
        let empty = JsonObject::new();
        let changed =
            drop_at_poll(queues.queue_set_metadata(&queue, 1, &empty), polls).await.is_some();
        settle(ctx, &queue).await?;
        let found = queues.queue_find(&key).await?;
        let seen = found.map(|record| (record.revision, record.metadata.len()));
        check!(
            seen == Some((2, 0)) || (seen == Some((1, 2)) && !changed),
            "revision and keys after {polls} polls: {seen:?}"
        );
        ctx.post_n(&queue, 2, 3_000).await?;
        let closed = drop_at_poll(heads.head_close(&queue), polls).await.is_some();
        heads.head_close(&queue).await?;
        let gone = heads.head_get(&queue).await;
        crate::case::expect_err(gone, is_gone, "reading a closed head")?;
        if opened && inserted && changed && closed {
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a call needs more polls than the case drops at"))
}

async fn dropped_subscription_changes_can_be_repeated(ctx: &Context) -> CaseResult {
    let subscriptions = ctx.data.subscriptions();
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("made-{polls}")).await?;
        let new = || NewSubscription::new("http://a.example/", span(3_000));
        let made = drop_at_poll(subscriptions.subscription_create(&queue, new()), polls).await;
        settle(ctx, &queue).await?;
        let again = subscriptions.subscription_create(&queue, new()).await?.into_inner();
        let listed = subscriptions.subscription_list(&queue, None, limit(10)?).await?;
        check_eq!(*only(&listed.items)?, again, "the subscriptions after {polls} polls");
        let call = subscriptions.subscription_confirm(&queue, again.id, true);
        let confirmed = drop_at_poll(call, polls).await.is_some();
        settle(ctx, &queue).await?;
        let read = subscriptions.subscription_get(&queue, again.id).await?;
        check!(read.confirmed || !confirmed, "an answered confirmation is not stored");
        let posted = ctx.post_n(&queue, 2, 3_000).await?;
        check_eq!(super::outbox::sent(&super::outbox::lease(ctx, 60).await?), posted, "sent");
        let call = subscriptions.subscription_delete(&queue, again.id);
        let deleted = drop_at_poll(call, polls).await.is_some();
        subscriptions.subscription_delete(&queue, again.id).await?;
        ctx.advance(60).await?;
        check!(super::outbox::lease(ctx, 60).await?.is_empty(), "a deleted one is served");
        if made.is_some() && confirmed && deleted {
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a call needs more polls than the case drops at"))
}

async fn dropped_delivery_loses_nothing(ctx: &Context) -> CaseResult {
    let outbox = ctx.data.outbox();
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("sent-{polls}")).await?;
        super::outbox::subscribe(ctx, &queue, "http://a.example/").await?;
        let posted = ctx.post_n(&queue, 3, 3_000).await?;
        let options = LeaseDeliveries::new(LeaseId::random(), span(60));
        let leased = drop_at_poll(outbox.delivery_lease(options), polls).await;
        settle(ctx, &queue).await?;
        ctx.advance(60).await?;
        let deliveries = super::outbox::lease(ctx, 60).await?;
        check_eq!(super::outbox::sent(&deliveries), posted, "handed out after a dropped lease");
        let outcomes: Vec<_> = posted.iter().map(|id| (*id, DeliveryOutcome::Delivered)).collect();
        let call = outbox.delivery_complete(only(&deliveries)?, &outcomes, true);
        let completed = answered(drop_at_poll(call, polls).await)?.is_some();
        settle(ctx, &queue).await?;
        ctx.advance(60).await?;
        let again = super::outbox::lease(ctx, 60).await?;
        let left = super::outbox::sent(&again);
        check!(
            left.is_empty() || (left == posted && !completed),
            "handed out after a completion dropped at {polls} polls: {left:?}"
        );
        for delivery in &again {
            super::outbox::complete(ctx, delivery).await?;
        }
        if leased.is_some() && completed {
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a call needs more polls than the case drops at"))
}

async fn dropped_transfer_loses_nothing(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Claims)?;
    let (outbox, messages) = (ctx.data.outbox(), ctx.data.messages());
    for polls in 0..POLLS_MAX {
        let source = ctx.queue(&format!("source-{polls}")).await?;
        let dead = ctx.queue(&format!("dead-{polls}")).await?;
        let posted = super::dead_letter::parked(ctx, &source, 1).await?;
        let call = outbox.transfer_lease(None, LeaseId::random(), span(60), limit(9)?);
        let leased = drop_at_poll(call, polls).await.is_some();
        settle(ctx, &source).await?;
        ctx.advance(60).await?;
        let transfers = super::dead_letter::lease(ctx).await?;
        let transfer = only(&transfers)?;
        let call = messages.message_insert_moved(&dead, transfer.message.clone());
        let inserted = drop_at_poll(call, polls).await.is_some();
        messages.message_insert_moved(&dead, transfer.message.clone()).await?;
        settle(ctx, &dead).await?;
        check_eq!(ids(&ctx.list_all(&dead).await?), posted, "the target after {polls} polls");
        let completed = drop_at_poll(outbox.transfer_complete(transfer), polls).await.is_some();
        outbox.transfer_complete(transfer).await?;
        check!(ctx.list_all(&source).await?.is_empty(), "the source still holds a copy");
        check_eq!(ids(&ctx.list_all(&dead).await?), posted, "the target at last");
        if leased && inserted && completed {
            return Ok(());
        }
    }
    Err(Failure::inconclusive("a call needs more polls than the case drops at"))
}

async fn dropped_background_work_harms_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("kept").await?;
    let kept = ctx.post_n(&queue, 5, 1_000_000).await?;
    for polls in 0..POLLS_MAX {
        let doomed = ctx.queue(&format!("doomed-{polls}")).await?;
        ctx.post_n(&doomed, 100, 60).await?;
        ctx.post_n(&queue, 50, 60).await?;
        ctx.delete_queue(&doomed).await?;
        ctx.advance_without_sweep(1_000)?;
        let swept = drop_at_poll(ctx.data.sweep(), polls).await.is_some();
        let collected = drop_at_poll(ctx.data.gc(zaqar_core::GcOptions::new()), polls).await;
        settle(ctx, &queue).await?;
        check_eq!(ids(&ctx.list_all(&queue).await?), kept, "the living after {polls} polls");
        if swept && collected.is_some() {
            break;
        }
    }
    ctx.sweep().await?;
    gc(ctx, 300).await?;
    check_eq!(gc(ctx, 300).await?, 0, "rows left to a collection after the last");
    let page = ctx.data.messages().message_list(&queue, everything()).await?;
    check_eq!(nth(&page.items, 0)?.id, *nth(&kept, 0)?, "the first of the living");
    Ok(())
}
