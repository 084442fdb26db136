//! Deleting messages, with and without claims.

use zaqar_core::{ClaimId, Error};

use super::support::{
    counts, ids, is_fenced, is_no_message, is_not_claimed, limit, nth, pick, stats,
};
use crate::case::{CaseResult, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    deleted_message_is_gone = "delete.single.is_gone" {
        level: Core,
        guarantees: [G4],
        methods: ["message_delete", "message_get", "message_list", "message_stats"],
        summary: "A deleted message is gone from every read and every count; deleting it again is silent.",
    }
    bulk_delete_skips_what_is_missing = "delete.bulk.skips_missing" {
        level: Core,
        guarantees: [G4],
        methods: ["message_bulk_delete", "message_stats"],
        summary: "A bulk delete removes what is there and skips what is not.",
    }
    claimed_message_needs_its_claim = "delete.single.claimed_needs_its_claim" {
        level: Extended(Claims),
        guarantees: [G6],
        methods: ["message_delete", "claim_create"],
        summary: "A claimed message is deleted only by naming its claim: not without one, not with another live one.",
    }
    free_message_takes_no_claim = "delete.single.free_takes_no_claim" {
        level: Extended(Claims),
        guarantees: [G6],
        methods: ["message_delete"],
        summary: "Naming a claim for a message that is under none is refused, and the message stays.",
    }
    released_claim_deletes_nothing = "delete.single.released_claim_refused" {
        level: Extended(Claims),
        guarantees: [G6],
        methods: ["message_delete", "claim_delete"],
        summary: "A released claim no longer deletes the messages that it held.",
    }
    expired_claim_deletes_nothing = "delete.single.expired_claim_refused" {
        level: Extended(Claims),
        guarantees: [G6],
        methods: ["message_delete", "message_bulk_delete"],
        summary: "From the second at which a claim ends it deletes nothing, whether or not anyone claimed anew.",
    }
    expired_claim_leaves_messages_free_to_delete = "delete.single.free_at_claim_end" {
        level: Extended(Claims),
        guarantees: [G7],
        methods: ["message_delete", "message_bulk_delete"],
        summary: "At the second at which a claim ends its messages can be deleted without one, singly and in bulk.",
    }
    deleting_from_a_claim_leaves_the_rest = "delete.single.leaves_the_claim" {
        level: Extended(Claims),
        guarantees: [G5],
        methods: ["message_delete", "message_bulk_delete", "message_stats", "claim_delete", "claim_get"],
        summary: "Deleting some of a claim's messages leaves the claim and the others as they were.",
    }
    bulk_delete_without_claims_takes_claimed_ones = "delete.bulk.without_claims_takes_all" {
        level: Extended(Claims),
        guarantees: [],
        methods: ["message_bulk_delete"],
        summary: "A bulk delete that names no claims removes claimed messages too.",
    }
    bulk_delete_with_claims_takes_their_messages = "delete.bulk.with_its_claims" {
        level: Extended(Claims),
        guarantees: [G6],
        methods: ["message_bulk_delete"],
        summary: "A bulk delete removes messages of several claims if all of them are named; missing ids are skipped.",
    }
    bulk_delete_with_claims_is_all_or_none = "delete.bulk.all_or_none" {
        level: Extended(Claims),
        guarantees: [G2, G6],
        methods: ["message_bulk_delete"],
        summary: "If one message is free or under a claim that is not named, nothing of a bulk delete is removed.",
    }
    bulk_delete_with_no_live_claim_is_refused = "delete.bulk.needs_live_claims" {
        level: Extended(Claims),
        guarantees: [G6],
        methods: ["message_bulk_delete"],
        summary: "An empty list of claims, an unknown, a released or an expired claim deletes no claimed message.",
    }
}

async fn deleted_message_is_gone(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("deleted").await?;
    let messages = ctx.data.messages();
    let posted = ctx.post_n(&queue, 10, 600).await?;
    let doomed = *nth(&posted, 4)?;
    messages.message_delete(&queue, doomed, None).await?;
    messages.message_delete(&queue, doomed, None).await?;
    expect_err(messages.message_get(&queue, doomed).await, is_no_message, "a deleted message")?;
    let wanted = pick(&posted, (0..10).filter(|index| *index != 4))?;
    check_eq!(ids(&ctx.list_all(&queue).await?), wanted, "what is left");
    let found = messages.message_bulk_get(&queue, &posted).await?;
    check_eq!(ids(&found), wanted, "what a bulk read finds");
    check_eq!(counts(ctx, &queue).await?, (0, 9), "claimed and free");
    check_eq!(ids(&messages.message_pop(&queue, limit(20)?).await?), wanted, "what is popped");
    Ok(())
}

async fn bulk_delete_skips_what_is_missing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("bulk").await?;
    let messages = ctx.data.messages();
    let posted = ctx.post_n(&queue, 10, 600).await?;
    messages.message_delete(&queue, *nth(&posted, 0)?, None).await?;
    let mut doomed = pick(&posted, [0, 3, 3, 5, 7, 9])?;
    doomed.push(zaqar_core::MessageId::new(queue.incarnation, 1_000_000)?);
    messages.message_bulk_delete(&queue, &doomed, None).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [1, 2, 4, 6, 8])?, "what is left");
    check_eq!(stats(ctx, &queue).await?.total(), 5, "the total");
    messages.message_bulk_delete(&queue, &doomed, None).await?;
    messages.message_bulk_delete(&queue, &[], None).await?;
    check_eq!(stats(ctx, &queue).await?.total(), 5, "the total after repeats");
    Ok(())
}

async fn claimed_message_needs_its_claim(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("claimed").await?;
    let messages = ctx.data.messages();
    let posted = ctx.post_n(&queue, 2, 600).await?;
    let (mine, _) = ctx.claim(&queue, 100, 60, 1).await?;
    let (other, _) = ctx.claim(&queue, 100, 60, 1).await?;
    let id = *nth(&posted, 0)?;
    let claimed = |error: &Error| matches!(error, Error::MessageClaimed { .. });
    expect_err(messages.message_delete(&queue, id, None).await, claimed, "without a claim")?;
    let not_by = |error: &Error| matches!(error, Error::MessageNotClaimedBy { .. });
    let foreign = messages.message_delete(&queue, id, Some(other)).await;
    expect_err(foreign, not_by, "with another live claim")?;
    check_eq!(messages.message_get(&queue, id).await?.claim, Some(mine), "the owner");
    messages.message_delete(&queue, id, Some(mine)).await?;
    expect_err(messages.message_get(&queue, id).await, is_no_message, "with its claim")?;
    messages.message_delete(&queue, id, Some(mine)).await?;
    messages.message_delete(&queue, id, None).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [1])?, "what is left");
    Ok(())
}

async fn free_message_takes_no_claim(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("free").await?;
    let posted = ctx.post_n(&queue, 1, 600).await?;
    let id = *nth(&posted, 0)?;
    let named = ctx.data.messages().message_delete(&queue, id, Some(ClaimId::random())).await;
    expect_err(named, is_not_claimed, "naming a claim for a free message")?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "what is left");
    Ok(())
}

async fn released_claim_deletes_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("released").await?;
    let posted = ctx.post_n(&queue, 2, 600).await?;
    let (claim, _) = ctx.claim(&queue, 100, 60, 2).await?;
    ctx.data.claims().claim_delete(&queue, claim).await?;
    let messages = ctx.data.messages();
    let single = messages.message_delete(&queue, *nth(&posted, 0)?, Some(claim)).await;
    expect_err(single, is_not_claimed, "a single delete by a released claim")?;
    let bulk = messages.message_bulk_delete(&queue, &posted, Some(&[claim])).await;
    expect_err(bulk, is_fenced, "a bulk delete by a released claim")?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "what is left");
    Ok(())
}

async fn expired_claim_deletes_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("expired").await?;
    let posted = ctx.post_n(&queue, 3, 600).await?;
    let (claim, _) = ctx.claim(&queue, 60, 60, 3).await?;
    ctx.advance_without_sweep(59)?;
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&posted, 2)?, Some(claim)).await?;
    ctx.advance_without_sweep(1)?;
    let id = *nth(&posted, 0)?;
    for step in ["at its end", "after a sweep"] {
        let single = messages.message_delete(&queue, id, Some(claim)).await;
        expect_err(single, is_not_claimed, format!("a delete by a claim {step}"))?;
        let bulk = messages.message_bulk_delete(&queue, &[id], Some(&[claim])).await;
        expect_err(bulk, is_fenced, format!("a bulk delete by a claim {step}"))?;
        ctx.sweep().await?;
    }
    let (next, taken) = ctx.claim(&queue, 60, 60, 3).await?;
    check_eq!(ids(&taken), pick(&posted, [0, 1])?, "what the next claim takes");
    let late = messages.message_delete(&queue, id, Some(claim)).await;
    expect_err(late, is_fenced, "a delete by the old claim under a new one")?;
    check_eq!(messages.message_get(&queue, id).await?.claim, Some(next), "the owner");
    Ok(())
}

async fn expired_claim_leaves_messages_free_to_delete(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("lapsed").await?;
    let posted = ctx.post_n(&queue, 3, 600).await?;
    ctx.claim(&queue, 60, 60, 3).await?;
    ctx.advance_without_sweep(60)?;
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&posted, 1)?, None).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [0, 2])?, "after a single delete");
    messages.message_bulk_delete(&queue, &pick(&posted, [0, 2])?, None).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "a bulk delete left something");
    Ok(())
}

async fn deleting_from_a_claim_leaves_the_rest(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("partly").await?;
    let posted = ctx.post_n(&queue, 15, 600).await?;
    let (claim, taken) = ctx.claim(&queue, 300, 60, 10).await?;
    check_eq!(ids(&taken), pick(&posted, 0..10)?, "the messages claimed");
    check_eq!(counts(ctx, &queue).await?, (10, 5), "claimed and free");
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&posted, 0)?, Some(claim)).await?;
    check_eq!(counts(ctx, &queue).await?, (9, 5), "claimed and free after a delete");
    messages.message_bulk_delete(&queue, &pick(&posted, [1, 2])?, None).await?;
    check_eq!(counts(ctx, &queue).await?, (7, 5), "claimed and free after a bulk delete");
    let (_, held) = ctx.data.claims().claim_get(&queue, claim).await?;
    check_eq!(ids(&held), pick(&posted, 3..10)?, "what the claim holds");
    ctx.data.claims().claim_delete(&queue, claim).await?;
    check_eq!(counts(ctx, &queue).await?, (0, 12), "claimed and free after the release");
    Ok(())
}

async fn bulk_delete_without_claims_takes_claimed_ones(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("forced").await?;
    let posted = ctx.post_n(&queue, 6, 600).await?;
    let (claim, _) = ctx.claim(&queue, 300, 60, 3).await?;
    let messages = ctx.data.messages();
    messages.message_bulk_delete(&queue, &pick(&posted, [1, 4])?, None).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [0, 2, 3, 5])?, "what is left");
    let (_, held) = ctx.data.claims().claim_get(&queue, claim).await?;
    check_eq!(ids(&held), pick(&posted, [0, 2])?, "what the claim holds");
    Ok(())
}

async fn bulk_delete_with_claims_takes_their_messages(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("named").await?;
    let posted = ctx.post_n(&queue, 6, 600).await?;
    let (left, _) = ctx.claim(&queue, 300, 60, 2).await?;
    let (right, _) = ctx.claim(&queue, 300, 60, 2).await?;
    let messages = ctx.data.messages();
    let mut doomed = pick(&posted, [3, 0])?;
    doomed.push(zaqar_core::MessageId::new(queue.incarnation, 1_000_000)?);
    messages.message_bulk_delete(&queue, &doomed, Some(&[left, right])).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [1, 2, 4, 5])?, "what is left");
    messages.message_bulk_delete(&queue, &doomed, Some(&[left])).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [1, 2, 4, 5])?, "after a repeat");
    Ok(())
}

async fn bulk_delete_with_claims_is_all_or_none(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("atomic").await?;
    let posted = ctx.post_n(&queue, 6, 600).await?;
    let (left, _) = ctx.claim(&queue, 300, 60, 2).await?;
    let (right, _) = ctx.claim(&queue, 300, 60, 2).await?;
    let messages = ctx.data.messages();
    for (what, indexes, claims) in [
        ("a free message last", [0, 1, 4], vec![left, right]),
        ("a free message first", [5, 0, 1], vec![left, right]),
        ("a message of a claim that is not named", [0, 1, 2], vec![left]),
        ("a message of another claim first", [2, 0, 1], vec![left]),
    ] {
        let doomed = pick(&posted, indexes)?;
        let refused = messages.message_bulk_delete(&queue, &doomed, Some(&claims)).await;
        expect_err(refused, is_fenced, what)?;
        check_eq!(ids(&ctx.list_all(&queue).await?), posted, "what is left after {what}");
    }
    Ok(())
}

async fn bulk_delete_with_no_live_claim_is_refused(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("dead").await?;
    let posted = ctx.post_n(&queue, 3, 600).await?;
    let (expired, _) = ctx.claim(&queue, 60, 60, 1).await?;
    let (released, _) = ctx.claim(&queue, 300, 60, 1).await?;
    ctx.data.claims().claim_delete(&queue, released).await?;
    ctx.advance(60).await?;
    let (live, taken) = ctx.claim(&queue, 300, 60, 3).await?;
    check_eq!(ids(&taken), posted, "what the live claim took");
    let messages = ctx.data.messages();
    for (what, claims) in [
        ("no claim in the list", vec![]),
        ("an unknown claim", vec![ClaimId::random()]),
        ("a released claim", vec![released]),
        ("an expired claim", vec![expired]),
    ] {
        let refused = messages.message_bulk_delete(&queue, &posted, Some(&claims)).await;
        expect_err(refused, is_fenced, what)?;
        check_eq!(ids(&ctx.list_all(&queue).await?), posted, "what is left after {what}");
    }
    let both = [expired, live];
    messages.message_bulk_delete(&queue, &posted, Some(&both)).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "the live claim among others did not do");
    Ok(())
}
