//! What a claim does to the lives of its messages: longer where needed, never shorter (G8).

use zaqar_core::limits::TTL_S_MAX;
use zaqar_core::{MessageId, QueueRef};

use super::support::{gc, ids, is_no_message, nth, only, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    claim_extends_short_lives = "life.claim.extends_short_lives" {
        level: Extended(Claims),
        guarantees: [G8],
        methods: ["claim_create", "message_get"],
        summary: "A message that would expire before the claim ends lives to the claim's end plus grace, and says so.",
    }
    claim_leaves_long_lives = "life.claim.leaves_long_lives" {
        level: Extended(Claims),
        guarantees: [G8],
        methods: ["claim_create", "message_get"],
        summary: "A message that outlives the claim is left as it is, even if it ends within the grace.",
    }
    extension_is_real = "life.claim.extension_is_real" {
        level: Extended(Claims),
        guarantees: [G1, G8],
        methods: ["claim_create", "message_get", "sweep", "gc"],
        summary: "An extended message is there to the last second of its new life, and gone after it.",
    }
    extended_message_is_redelivered = "life.claim.redelivered_after_extension" {
        level: Extended(Claims),
        guarantees: [G1, G7, G8],
        methods: ["claim_create"],
        summary: "A message claimed beyond its own ttl is claimable again within the grace after the claim ends.",
    }
    renewal_extends_lives = "life.renewal.extends" {
        level: Extended(Claims),
        guarantees: [G8],
        methods: ["claim_update", "message_get"],
        summary: "A renewal extends lives as a new claim does, counted from the renewal.",
    }
    renewal_never_shortens = "life.renewal.never_shortens" {
        level: Extended(Claims),
        guarantees: [G8],
        methods: ["claim_update", "claim_delete", "message_get"],
        summary: "A shorter renewal and a release leave a life as it was extended, shown and real.",
    }
    unequal_lives_in_one_claim = "life.claim.unequal_lives" {
        level: Extended(Claims),
        guarantees: [G8],
        methods: ["claim_create", "claim_update", "claim_get"],
        summary: "In one claim each message is extended or left for itself; one that ends with the claim is left, by a renewal too.",
    }
    claim_without_grace = "life.claim.without_grace" {
        level: Extended(Claims),
        guarantees: [G5, G8],
        methods: ["claim_create"],
        summary: "Without grace an extended message ends with its claim.",
    }
    longest_claim_does_not_overflow = "life.claim.longest" {
        level: Extended(Claims),
        guarantees: [G8],
        methods: ["claim_create", "claim_update", "claim_get"],
        summary: "The longest claim with the longest grace overflows nothing and holds for a century.",
    }
    extended_lives_survive_collection = "life.gc.spares_extended" {
        level: Extended(Claims),
        guarantees: [G1, G8],
        methods: ["gc", "sweep", "claim_create"],
        summary: "Collections and sweeps past a message's first ttl spare it while its extended life lasts.",
    }
}

/// Claims the only message of a fresh queue and returns it as the claim shows it.
async fn claimed(
    ctx: &Context,
    label: &str,
    life_s: u64,
    claim_s: u64,
    grace_s: u64,
) -> Result<(QueueRef, MessageId, u64), Failure> {
    let queue = ctx.queue(label).await?;
    let id = *only(&ctx.post_n(&queue, 1, life_s).await?)?;
    let (_, taken) = ctx.claim(&queue, claim_s, grace_s, 1).await?;
    let shown = only(&taken)?.ttl.as_secs();
    let read = ctx.data.messages().message_get(&queue, id).await?;
    check_eq!(read.ttl.as_secs(), shown, "the ttl read by id, against the claim's");
    Ok((queue, id, shown))
}

/// Checks that the message is there until `life_s` from now, and gone then.
async fn check_life(ctx: &Context, queue: &QueueRef, id: MessageId, life_s: u64) -> CaseResult {
    ctx.advance(life_s - 1).await?;
    gc(ctx, 0).await?;
    ctx.data.messages().message_get(queue, id).await?;
    ctx.advance(1).await?;
    let after = ctx.data.messages().message_get(queue, id).await;
    expect_err(after, is_no_message, format!("a message after a life of {life_s} s"))?;
    check!(ctx.list_all(queue).await?.is_empty(), "a listing shows it after its life");
    Ok(())
}

async fn claim_extends_short_lives(ctx: &Context) -> CaseResult {
    for (number, (life, claim, grace, wanted)) in
        [(120, 777, 0, 777), (120, 777, 23, 800), (120, 121, 22, 143)].into_iter().enumerate()
    {
        let label = format!("extended-{number}");
        let (queue, id, shown) = claimed(ctx, &label, life, claim, grace).await?;
        check_eq!(shown, wanted, "the ttl of a {life} s message under a claim of {claim}+{grace}");
        check_life(ctx, &queue, id, wanted).await?;
    }
    Ok(())
}

async fn claim_leaves_long_lives(ctx: &Context) -> CaseResult {
    for (number, (life, claim, grace)) in
        [(120, 60, 30), (120, 119, 1_000), (10_000, 60, 60)].into_iter().enumerate()
    {
        let (queue, id, shown) =
            claimed(ctx, &format!("left-{number}"), life, claim, grace).await?;
        check_eq!(shown, life, "the ttl of a {life} s message under a claim of {claim}+{grace}");
        check_life(ctx, &queue, id, life).await?;
    }
    Ok(())
}

async fn extension_is_real(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("real").await?;
    let id = *only(&ctx.post_n(&queue, 1, 60).await?)?;
    ctx.advance(50).await?;
    let (claim, taken) = ctx.claim(&queue, 300, 60, 1).await?;
    check_eq!(only(&taken)?.ttl, span(360), "the ttl shown");
    ctx.advance(299).await?;
    let (_, held) = ctx.data.claims().claim_get(&queue, claim).await?;
    check_eq!(ids(&held), [id], "what the claim holds long after the first ttl");
    ctx.advance(1).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), [id], "what is free in the grace");
    check_life(ctx, &queue, id, 60).await
}

async fn extended_message_is_redelivered(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("again").await?;
    let id = *only(&ctx.post_n(&queue, 1, 2).await?)?;
    for round in 1..=5 {
        let (_, taken) = ctx.claim(&queue, 100, 10, 1).await?;
        check_eq!(ids(&taken), [id], "what claim {round} takes");
        check_eq!(only(&taken)?.claim_count, round, "its count");
        ctx.advance(100 + 9).await?;
    }
    let (_, last) = ctx.claim(&queue, 100, 10, 1).await?;
    check_eq!(ids(&last), [id], "what the last claim takes");
    ctx.advance(110).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "the message outlived its grace");
    Ok(())
}

async fn renewal_extends_lives(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("renewed").await?;
    let id = *only(&ctx.post_n(&queue, 1, 120).await?)?;
    let (claim, _) = ctx.claim(&queue, 60, 10, 1).await?;
    for _ in 0..4 {
        ctx.advance(50).await?;
        ctx.data.claims().claim_update(&queue, claim, span(100), span(20)).await?;
    }
    let message = ctx.data.messages().message_get(&queue, id).await?;
    check_eq!(message.ttl, span(120), "the ttl shown after renewals");
    check_eq!(message.claim, Some(claim), "the owner after renewals");
    check_life(ctx, &queue, id, 120).await
}

async fn renewal_never_shortens(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("kept").await?;
    let id = *only(&ctx.post_n(&queue, 1, 120).await?)?;
    let (claim, _) = ctx.claim(&queue, 500, 100, 1).await?;
    ctx.data.claims().claim_update(&queue, claim, span(10), span(0)).await?;
    let message = ctx.data.messages().message_get(&queue, id).await?;
    check_eq!(message.ttl, span(600), "the ttl shown after a shorter renewal");
    ctx.data.claims().claim_delete(&queue, claim).await?;
    let message = ctx.data.messages().message_get(&queue, id).await?;
    check_eq!((message.ttl, message.claim), (span(600), None), "ttl and owner after the release");
    check_life(ctx, &queue, id, 600).await
}

async fn unequal_lives_in_one_claim(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("unequal").await?;
    let lives = [30, 1_000, 99, 101, 100];
    let batch = lives.iter().enumerate().map(|(n, life)| Context::message(n, *life)).collect();
    let posted = ctx.post(&queue, batch).await?;
    let (claim, taken) = ctx.claim(&queue, 100, 50, 10).await?;
    let shown: Vec<u64> = taken.iter().map(|message| message.ttl.as_secs()).collect();
    check_eq!(shown, [150, 1_000, 150, 101, 100], "the ttls shown");
    ctx.data.claims().claim_update(&queue, claim, span(100), span(50)).await?;
    let (_, held) = ctx.data.claims().claim_get(&queue, claim).await?;
    let read: Vec<u64> = held.iter().map(|message| message.ttl.as_secs()).collect();
    check_eq!(read, shown, "the ttls that the claim shows");
    for (at, wanted) in [(100, vec![0, 1, 2, 3]), (101, vec![0, 1, 2]), (149, vec![0, 1, 2])] {
        let elapsed = zaqar_core::Clock::now(&*ctx.clock).seconds_since(nth(&held, 0)?.posted_at);
        ctx.advance(at - elapsed).await?;
        let wanted = super::support::pick(&posted, wanted)?;
        check_eq!(ids(&ctx.list_all(&queue).await?), wanted, "messages after {at} s");
    }
    ctx.advance(1).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), [*nth(&posted, 1)?], "messages after 150 s");
    Ok(())
}

async fn claim_without_grace(ctx: &Context) -> CaseResult {
    let (queue, id, shown) = claimed(ctx, "bare", 10, 60, 0).await?;
    check_eq!(shown, 60, "the ttl shown");
    check_life(ctx, &queue, id, 60).await?;
    let (_, taken) = ctx.claim(&queue, 60, 0, 1).await?;
    check!(taken.is_empty(), "a message that ended with its claim is claimed again");
    Ok(())
}

async fn longest_claim_does_not_overflow(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("eternal").await?;
    let id = *only(&ctx.post_n(&queue, 1, 60).await?)?;
    let (claim, taken) = ctx.claim(&queue, TTL_S_MAX, TTL_S_MAX, 1).await?;
    check_eq!(only(&taken)?.ttl, span(TTL_S_MAX), "the ttl shown");
    ctx.advance(100 * 365 * 24 * 3_600).await?;
    let claims = ctx.data.claims();
    claims.claim_update(&queue, claim, span(TTL_S_MAX), span(TTL_S_MAX)).await?;
    ctx.advance(100 * 365 * 24 * 3_600).await?;
    gc(ctx, 0).await?;
    let (held_by, held) = claims.claim_get(&queue, claim).await?;
    check_eq!((held_by.ttl, ids(&held)), (span(TTL_S_MAX), vec![id]), "the claim, much later");
    Ok(())
}

async fn extended_lives_survive_collection(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("spared").await?;
    let posted = ctx.post_n(&queue, 5, 10).await?;
    let (claim, _) = ctx.claim(&queue, 1_000, 1_000, 5).await?;
    for _ in 0..10 {
        ctx.advance(99).await?;
        gc(ctx, 0).await?;
    }
    let (_, held) = ctx.data.claims().claim_get(&queue, claim).await?;
    check_eq!(ids(&held), posted, "what the claim holds");
    ctx.advance(10).await?;
    gc(ctx, 0).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "what is free in the grace");
    Ok(())
}
