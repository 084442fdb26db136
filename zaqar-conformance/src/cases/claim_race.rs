//! Claims against each other: depth, contention and stale holders.

use std::collections::HashMap;

use zaqar_core::{ClaimId, CreateClaim, Error, ListMessages, MessageId};

use super::support::{
    counts, ids, is_fenced, is_no_claim, limit, nth, only, pick, post_many, span,
};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    stale_holder_changes_nothing = "fence.stale_holder.changes_nothing" {
        level: Extended(Claims),
        guarantees: [G4, G6],
        methods: ["message_delete", "message_bulk_delete", "claim_update", "claim_delete", "claim_get"],
        summary: "A worker that wakes after its lease can neither delete, renew nor release what another holds by now.",
    }
    late_release_revives_nothing = "fence.release.revives_nothing" {
        level: Extended(Claims),
        guarantees: [G4, G6],
        methods: ["claim_delete", "message_delete"],
        summary: "Releasing a claim after its messages were deleted brings none of them back.",
    }
    claim_belongs_to_its_queue = "fence.claim.belongs_to_its_queue" {
        level: Extended(Claims),
        guarantees: [G6],
        methods: ["claim_get", "claim_update", "claim_delete", "message_delete"],
        summary: "A claim's id means nothing in another queue: not read, renewed, released or accepted there.",
    }
    racing_claims_share_nothing = "claim.race.disjoint" {
        level: Extended(Claims),
        guarantees: [G5],
        methods: ["claim_create"],
        summary: "Sixteen workers that claim at once at two nodes hold disjoint messages, and together all of them.",
    }
    racing_repeats_are_one_claim = "claim.race.repeats_are_one" {
        level: Extended(Claims),
        guarantees: [G3, G5],
        methods: ["claim_create"],
        summary: "Repeats of one claim that race at two nodes return the same messages and take no others.",
    }
    racing_deletes_and_releases_agree = "claim.race.delete_and_release" {
        level: Extended(Claims),
        guarantees: [G4, G6],
        methods: ["message_delete", "claim_delete"],
        summary: "When a delete races the claim's release, the message is gone if the delete succeeded and free if not.",
    }
    racing_deletes_and_claims_agree = "claim.race.delete_and_claim" {
        level: Extended(Claims),
        guarantees: [G4, G5],
        methods: ["message_delete", "claim_create"],
        summary: "When a delete of free messages races a claim of them, each is either deleted or handed out.",
    }
    claimed_ahead_cost_no_message = "claim.depth.claimed_ahead" {
        level: Extended(Claims),
        guarantees: [G5, G9],
        methods: ["claim_create", "message_list"],
        summary: "Behind three thousand claimed messages a claim and a listing find the free ones.",
    }
    lapsed_ahead_are_redelivered = "claim.depth.lapsed_ahead" {
        level: Extended(Claims),
        guarantees: [G7, G9],
        methods: ["claim_create", "sweep", "message_list"],
        summary: "Three thousand leases that lapse together are listed at once and redelivered in order after a sweep.",
    }
    expired_ahead_are_retired = "claim.depth.expired_ahead" {
        level: Extended(Claims),
        guarantees: [G8],
        methods: ["claim_create"],
        summary: "Behind nine thousand expired messages a claim finds the live ones, with no sweep before.",
    }
}

async fn stale_holder_changes_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("stale").await?;
    let posted = ctx.post_n(&queue, 3, 3_000).await?;
    let (stale, _) = ctx.claim(&queue, 60, 60, 3).await?;
    ctx.advance(60).await?;
    let (owner, taken) = ctx.claim(&queue, 300, 60, 2).await?;
    let (messages, claims) = (ctx.data.messages(), ctx.data.claims());
    let id = *nth(&posted, 0)?;
    let deleted = messages.message_delete(&queue, id, Some(stale)).await;
    let foreign = |error: &Error| matches!(error, Error::MessageNotClaimedBy { .. });
    expect_err(deleted, foreign, "a delete by the stale claim")?;
    let bulk = messages.message_bulk_delete(&queue, &posted, Some(&[stale])).await;
    expect_err(bulk, is_fenced, "a bulk delete by the stale claim")?;
    let renewed = claims.claim_update(&queue, stale, span(1_000), span(60)).await;
    expect_err(renewed, is_no_claim, "a renewal of the stale claim")?;
    claims.claim_delete(&queue, stale).await?;
    let (claim, held) = claims.claim_get(&queue, owner).await?;
    check_eq!(held, taken, "what the owner holds");
    check_eq!(claim.ttl, span(300), "its ttl");
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, [2])?, "what is free");
    ctx.advance(299).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, [2])?, "what is free, later");
    Ok(())
}

async fn late_release_revives_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("revived").await?;
    let posted = ctx.post_n(&queue, 4, 600).await?;
    let (claim, _) = ctx.claim(&queue, 300, 60, 3).await?;
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&posted, 0)?, Some(claim)).await?;
    messages.message_bulk_delete(&queue, &pick(&posted, [1])?, None).await?;
    ctx.data.claims().claim_delete(&queue, claim).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [2, 3])?, "after the release");
    let found = messages.message_bulk_get(&queue, &posted).await?;
    check_eq!(ids(&found), pick(&posted, [2, 3])?, "read by id");
    check_eq!(counts(ctx, &queue).await?, (0, 2), "claimed and free");
    Ok(())
}

async fn claim_belongs_to_its_queue(ctx: &Context) -> CaseResult {
    let (here, there) = (ctx.queue("here").await?, ctx.queue("there").await?);
    let posted = ctx.post_n(&here, 2, 600).await?;
    let others = ctx.post_n(&there, 2, 600).await?;
    let (claim, taken) = ctx.claim(&here, 300, 60, 2).await?;
    let claims = ctx.data.claims();
    expect_err(claims.claim_get(&there, claim).await, is_no_claim, "reading it there")?;
    let renewed = claims.claim_update(&there, claim, span(9_000), span(60)).await;
    expect_err(renewed, is_no_claim, "renewing it there")?;
    claims.claim_delete(&there, claim).await?;
    let messages = ctx.data.messages();
    for id in [*nth(&posted, 0)?, *nth(&others, 0)?] {
        // An id of `here` names nothing there, so deleting it is silent; one of `there` is free.
        let deleted = messages.message_delete(&there, id, Some(claim)).await;
        check_eq!(deleted.is_ok(), id == *nth(&posted, 0)?, "a delete of {id} there");
    }
    let (_, held) = claims.claim_get(&here, claim).await?;
    check_eq!(held, taken, "what the claim holds here");
    check_eq!(ids(&ctx.list_free(&there).await?), others, "what is free there");
    Ok(())
}

async fn racing_claims_share_nothing(ctx: &Context) -> CaseResult {
    const WORKERS: usize = 16;
    let queue = ctx.queue("contended").await?;
    let posted = ctx.post_n(&queue, 400, 3_000).await?;
    let other = ctx.second_handle().await?;
    let mut tasks = Vec::new();
    for worker in 0..WORKERS {
        let node = if worker % 2 == 0 { ctx.drivers() } else { other.drivers() };
        let (queue, size) = (queue.clone(), limit(3 + u32::try_from(worker % 5).unwrap_or(0))?);
        tasks.push(tokio::spawn(async move {
            let mut held: Vec<MessageId> = Vec::new();
            loop {
                let options = CreateClaim::new(ClaimId::random(), span(600), span(60)).limit(size);
                let claimed = node.data.claims().claim_create(&queue, options).await?;
                if claimed.messages.is_empty() {
                    return Ok::<_, Error>(held);
                }
                held.extend(ids(&claimed.messages));
            }
        }));
    }
    let mut holders: HashMap<MessageId, usize> = HashMap::new();
    for (worker, task) in tasks.into_iter().enumerate() {
        for id in task.await.map_err(Failure::broken)?? {
            if let Some(holder) = holders.insert(id, worker) {
                return Err(Failure::broken(format!("workers {holder} and {worker} hold {id}")));
            }
        }
    }
    let missed: Vec<&MessageId> = posted.iter().filter(|id| !holders.contains_key(id)).collect();
    check!(missed.is_empty(), "no worker was given {missed:?} although they came back for more");
    other.close().await;
    Ok(())
}

async fn racing_repeats_are_one_claim(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("repeated").await?;
    let posted = ctx.post_n(&queue, 40, 3_000).await?;
    let other = ctx.second_handle().await?;
    for round in 0..5 {
        let options = CreateClaim::new(ClaimId::random(), span(600), span(60)).limit(limit(4)?);
        let calls = (0..6).map(|call| {
            let node = if call % 2 == 0 { ctx } else { &other };
            node.data.claims().claim_create(&queue, options.clone())
        });
        let wanted = pick(&posted, round * 4..round * 4 + 4)?;
        for answer in futures_util::future::join_all(calls).await {
            check_eq!(ids(&answer?.messages), wanted, "the messages of repeated claim {round}");
        }
    }
    check_eq!(ctx.list_free(&queue).await?.len(), 20, "messages left free");
    let most = ctx.list_all(&queue).await?.iter().map(|m| m.claim_count).max();
    check_eq!(most, Some(1), "the highest count");
    other.close().await;
    Ok(())
}

async fn racing_deletes_and_releases_agree(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    for round in 0..30 {
        let queue = ctx.queue(&format!("raced-{round}")).await?;
        let id = *only(&ctx.post_n(&queue, 1, 600).await?)?;
        let (claim, _) = ctx.claim(&queue, 300, 60, 1).await?;
        let (deleted, released) = futures_util::future::join(
            ctx.data.messages().message_delete(&queue, id, Some(claim)),
            other.data.claims().claim_delete(&queue, claim),
        )
        .await;
        released?;
        let free = ids(&ctx.list_free(&queue).await?);
        match deleted {
            Ok(()) => check_eq!(free, [], "what is left after the delete"),
            Err(error) if is_fenced(&error) => check_eq!(free, [id], "what the refusal left"),
            Err(error) => return Err(error.into()),
        }
    }
    other.close().await;
    Ok(())
}

async fn racing_deletes_and_claims_agree(ctx: &Context) -> CaseResult {
    for round in 0..20 {
        let queue = ctx.queue(&format!("raced-{round}")).await?;
        let posted = ctx.post_n(&queue, 6, 600).await?;
        let messages = ctx.data.messages();
        let deletes = posted.iter().map(|id| messages.message_delete(&queue, *id, None));
        let (deleted, claimed) = futures_util::future::join(
            futures_util::future::join_all(deletes),
            ctx.claim(&queue, 300, 60, 10),
        )
        .await;
        let handed_out = ids(&claimed?.1);
        for (id, deleted) in posted.iter().zip(deleted) {
            match deleted {
                Ok(()) => check!(!handed_out.contains(id), "{id} was deleted and handed out"),
                Err(Error::MessageClaimed { .. }) => {
                    check!(handed_out.contains(id), "{id} was neither deleted nor handed out");
                }
                Err(error) => return Err(error.into()),
            }
        }
        check_eq!(counts(ctx, &queue).await?, (handed_out.len() as u64, 0), "claimed and free");
    }
    Ok(())
}

async fn claimed_ahead_cost_no_message(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("deep").await?;
    let posted = post_many(ctx, &queue, 3_012, |n| Context::message(n, 9_000)).await?;
    for _ in 0..3 {
        let (_, taken) = ctx.claim(&queue, 600, 60, 1_000).await?;
        check_eq!(taken.len(), 1_000, "messages taken ahead");
    }
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, 3_000..3_012)?, "the listing");
    let (_, taken) = ctx.claim(&queue, 600, 60, 5).await?;
    check_eq!(ids(&taken), pick(&posted, 3_000..3_005)?, "the claim");
    let popped = ctx.data.messages().message_pop(&queue, limit(3)?).await?;
    check_eq!(ids(&popped), pick(&posted, 3_005..3_008)?, "the pop");
    check_eq!(counts(ctx, &queue).await?, (3_005, 4), "claimed and free");
    Ok(())
}

async fn lapsed_ahead_are_redelivered(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("deep").await?;
    let posted = post_many(ctx, &queue, 3_005, |n| Context::message(n, 9_000)).await?;
    for _ in 0..3 {
        ctx.claim(&queue, 600, 60, 1_000).await?;
    }
    ctx.advance_without_sweep(600)?;
    let listed = ctx.walk(&queue, ListMessages::new().limit(limit(1_000)?)).await?;
    check_eq!(ids(&listed), posted, "the listing when all lapsed");
    check_eq!(counts(ctx, &queue).await?, (0, 3_005), "claimed and free when all lapsed");
    ctx.sweep().await?;
    for round in 0..3 {
        let (_, taken) = ctx.claim(&queue, 600, 60, 1_000).await?;
        check_eq!(ids(&taken), pick(&posted, round * 1_000..(round + 1) * 1_000)?, "redelivered");
        check!(taken.iter().all(|message| message.claim_count == 2), "not all counts are 2");
    }
    Ok(())
}

async fn expired_ahead_are_retired(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("deep").await?;
    post_many(ctx, &queue, 9_000, |n| Context::message(n, 60)).await?;
    let live = ctx.post_n(&queue, 12, 9_000).await?;
    ctx.advance_without_sweep(60)?;
    let (_, taken) = ctx.claim(&queue, 600, 60, 10).await?;
    check_eq!(ids(&taken), pick(&live, 0..10)?, "the claim");
    let (_, taken) = ctx.claim(&queue, 600, 60, 10).await?;
    check_eq!(ids(&taken), pick(&live, [10, 11])?, "the next claim");
    check_eq!(counts(ctx, &queue).await?, (12, 0), "claimed and free");
    Ok(())
}
