//! Claims: taking, reading, renewing and releasing messages.

use zaqar_core::{ClaimId, CreateClaim, MessageId};

use super::support::{claim_with, counts, ids, is_no_claim, limit, nth, only, pick, span, texts};
use crate::case::{CaseResult, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    claim_takes_the_oldest = "claim.create.takes_the_oldest" {
        level: Extended(Claims),
        guarantees: [G5],
        methods: ["claim_create", "message_stats"],
        summary: "A claim takes up to its limit of the oldest messages, in queue order, and statistics show it.",
    }
    default_claims_take_ten_each = "claim.create.ten_each_no_overlap" {
        level: Extended(Claims),
        guarantees: [G5],
        methods: ["claim_create"],
        summary: "Five claims on fifty-one messages take ten each, none twice, none left out; the sixth takes one.",
    }
    nothing_claimable_makes_no_claim = "claim.create.nothing_to_claim" {
        level: Extended(Claims),
        guarantees: [],
        methods: ["claim_create", "claim_get"],
        summary: "A claim that takes nothing answers no messages, and there is no such claim.",
    }
    repeat_returns_the_same = "claim.create.repeat_returns_the_same" {
        level: Extended(Claims),
        guarantees: [G3],
        methods: ["claim_create", "claim_get"],
        summary: "Creating a claim again under its id returns the same messages, counts nothing and takes no others.",
    }
    claim_reads_what_it_holds = "claim.get.what_it_holds" {
        level: Extended(Claims),
        guarantees: [G5],
        methods: ["claim_get"],
        summary: "Reading a claim shows its id, ttl, age and end, and its messages in queue order as they are.",
    }
    claimed_message_shows_its_claim = "claim.message.shows_owner_and_count" {
        level: Extended(Claims),
        guarantees: [G7],
        methods: ["message_get", "message_list", "claim_create"],
        summary: "A message shows the live claim that holds it and how often it was claimed; never a claim that is over.",
    }
    renewal_starts_the_time_anew = "claim.update.starts_anew" {
        level: Extended(Claims),
        guarantees: [G5],
        methods: ["claim_update", "claim_get"],
        summary: "Renewing sets ttl, age and end anew, longer or shorter, and keeps messages, order and counts.",
    }
    release_frees_at_once = "claim.delete.frees_at_once" {
        level: Extended(Claims),
        guarantees: [G7],
        methods: ["claim_delete", "claim_get", "message_list", "claim_create"],
        summary: "Releasing frees the messages at once in their old places; releasing again is silent.",
    }
    claim_ends_to_the_second = "claim.expiry.exact" {
        level: Extended(Claims),
        guarantees: [G5, G7],
        methods: ["claim_create", "claim_get", "claim_update", "message_list", "message_stats"],
        summary: "A claim holds to the moment before its end; at the end its messages are free without any sweep.",
    }
    lapsed_messages_keep_their_order = "claim.expiry.keeps_order" {
        level: Extended(Claims),
        guarantees: [G7, G9],
        methods: ["claim_create", "sweep"],
        summary: "Messages freed by the end of claims are claimed again in queue order, before later ones.",
    }
    count_survives_every_end = "claim.count.kept" {
        level: Extended(Claims),
        guarantees: [G7, G10],
        methods: ["claim_create", "claim_update", "claim_delete"],
        summary: "The count is 1 on the first delivery, grows by one with each claim, and renewal, release and expiry keep it.",
    }
    claim_of_deleted_messages_is_over = "claim.get.all_deleted" {
        level: Extended(Claims),
        guarantees: [G6],
        methods: ["claim_get", "claim_update", "claim_delete"],
        summary: "A claim whose messages were all deleted is not found; releasing it is silent.",
    }
    unknown_claim_is_not_found = "claim.get.unknown" {
        level: Extended(Claims),
        guarantees: [],
        methods: ["claim_get", "claim_update", "claim_delete"],
        summary: "An unknown claim is not found by reads and renewals, and silent to release.",
    }
    releasing_one_spares_the_other = "claim.delete.out_of_order" {
        level: Extended(Claims),
        guarantees: [G5],
        methods: ["claim_delete", "claim_create"],
        summary: "Releasing the claim at the head does not hand out what a later claim holds.",
    }
    claim_takes_a_thousand = "claim.create.a_thousand_at_once" {
        level: Extended(Claims),
        guarantees: [G5],
        methods: ["claim_create", "claim_get", "claim_update", "claim_delete"],
        summary: "A thousand messages can be claimed, read, renewed and released under one claim.",
    }
    other_node_honours_the_claim = "claim.create.seen_by_other_nodes" {
        level: Extended(Claims),
        guarantees: [G5, G6],
        methods: ["claim_create", "claim_get", "message_delete", "claim_update"],
        summary: "A claim made at one node is at once read, respected and renewed at another.",
    }
}

async fn claim_takes_the_oldest(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("claimed").await?;
    let posted = ctx.post_n(&queue, 20, 3_000).await?;
    let (claim, taken) = ctx.claim(&queue, 70, 90, 15).await?;
    check_eq!(ids(&taken), pick(&posted, 0..15)?, "the messages taken");
    for (number, message) in taken.iter().enumerate() {
        check_eq!(message.body, Context::body(number), "the body of message {number}");
        check_eq!(message.claim, Some(claim), "the owner of message {number}");
        check_eq!(message.claim_count, 1, "the count of message {number}");
        check_eq!(message.ttl, span(3_000), "the ttl of message {number}");
    }
    check_eq!(counts(ctx, &queue).await?, (15, 5), "claimed and free");
    let (_, rest) = ctx.claim(&queue, 70, 90, 15).await?;
    check_eq!(ids(&rest), pick(&posted, 15..20)?, "the rest");
    Ok(())
}

async fn default_claims_take_ten_each(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("shared").await?;
    let posted = ctx.post_n(&queue, 51, 3_000).await?;
    for round in 0..6 {
        let options = CreateClaim::new(ClaimId::random(), span(300), span(60));
        let claimed = claim_with(ctx, &queue, options).await?;
        let wanted = pick(&posted, round * 10..51.min(round * 10 + 10))?;
        check_eq!(ids(&claimed.messages), wanted, "claim {round}");
        check_eq!(claimed.parked, 0, "messages parked by claim {round}");
    }
    Ok(())
}

async fn nothing_claimable_makes_no_claim(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("empty").await?;
    for _ in 0..2 {
        let (id, taken) = ctx.claim(&queue, 60, 60, 10).await?;
        check!(taken.is_empty(), "a claim on nothing takes {taken:?}");
        expect_err(ctx.data.claims().claim_get(&queue, id).await, is_no_claim, "reading it")?;
        ctx.post_n(&queue, 3, 300).await?;
        ctx.claim(&queue, 200, 60, 10).await?;
    }
    Ok(())
}

async fn repeat_returns_the_same(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("repeated").await?;
    let posted = ctx.post_n(&queue, 12, 3_000).await?;
    let id = ClaimId::random();
    let options = CreateClaim::new(id, span(100), span(60)).limit(limit(4)?);
    let first = claim_with(ctx, &queue, options.clone()).await?;
    check_eq!(ids(&first.messages), pick(&posted, 0..4)?, "the first answer");
    ctx.advance(30).await?;
    for _ in 0..3 {
        let again = claim_with(ctx, &queue, options.clone()).await?;
        check_eq!(ids(&again.messages), ids(&first.messages), "the repeated answer");
        let repeated: Vec<u32> = again.messages.iter().map(|m| m.claim_count).collect();
        check_eq!(repeated, [1, 1, 1, 1], "the counts in the repeated answer");
    }
    let (_, held) = ctx.data.claims().claim_get(&queue, id).await?;
    check_eq!(ids(&held), ids(&first.messages), "what the claim holds");
    check_eq!(counts(ctx, &queue).await?, (4, 8), "claimed and free");
    let (_, next) = ctx.claim(&queue, 100, 60, 4).await?;
    check_eq!(ids(&next), pick(&posted, 4..8)?, "what another claim takes");
    Ok(())
}

async fn claim_reads_what_it_holds(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("read").await?;
    ctx.post_n(&queue, 12, 3_000).await?;
    let made_at = zaqar_core::Clock::now(&*ctx.clock);
    let (id, taken) = ctx.claim(&queue, 70, 90, 10).await?;
    let (claim, held) = ctx.data.claims().claim_get(&queue, id).await?;
    check_eq!((claim.id, claim.ttl, claim.age_s), (id, span(70), 0), "id, ttl, age");
    check_eq!(claim.ends_at, made_at.after(span(70)), "the end");
    check_eq!(held, taken, "the messages, just after the claim");
    ctx.advance(33).await?;
    let (claim, held) = ctx.data.claims().claim_get(&queue, id).await?;
    check_eq!((claim.ttl, claim.age_s), (span(70), 33), "ttl and age, later");
    check_eq!(ids(&held), ids(&taken), "the messages, later");
    check_eq!(texts(&held), texts(&taken), "their bodies, later");
    check!(held.iter().all(|m| m.age_s == 33), "the messages' ages are not 33 s");
    Ok(())
}

async fn claimed_message_shows_its_claim(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("shown").await?;
    let id = *only(&ctx.post_n(&queue, 1, 3_000).await?)?;
    let messages = ctx.data.messages();
    for round in 1..=3 {
        let before = messages.message_get(&queue, id).await?;
        check_eq!((before.claim, before.claim_count), (None, round - 1), "before round {round}");
        let (claim, _) = ctx.claim(&queue, 60, 60, 1).await?;
        let under = messages.message_get(&queue, id).await?;
        check_eq!((under.claim, under.claim_count), (Some(claim), round), "under round {round}");
        let listed = ctx.list_all(&queue).await?;
        check_eq!(*only(&listed)?, under, "the listing in round {round}");
        if round == 1 {
            ctx.data.claims().claim_delete(&queue, claim).await?;
        } else {
            ctx.advance_without_sweep(60)?;
        }
        let after = ctx.list_free(&queue).await?;
        check_eq!(only(&after)?.claim, None, "the owner after round {round}");
    }
    Ok(())
}

async fn renewal_starts_the_time_anew(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("renewed").await?;
    ctx.post_n(&queue, 5, 3_000).await?;
    let (id, taken) = ctx.claim(&queue, 70, 60, 3).await?;
    let claims = ctx.data.claims();
    ctx.advance(69).await?;
    claims.claim_update(&queue, id, span(100), span(60)).await?;
    let (claim, held) = claims.claim_get(&queue, id).await?;
    let now = zaqar_core::Clock::now(&*ctx.clock);
    check_eq!((claim.id, claim.ttl, claim.age_s), (id, span(100), 0), "id, ttl, age");
    check_eq!(claim.ends_at, now.after(span(100)), "the end");
    check_eq!(ids(&held), ids(&taken), "the messages");
    check_eq!(texts(&held), texts(&taken), "their bodies");
    check!(held.iter().all(|message| message.claim_count == 1), "a renewal changed the count");
    ctx.advance(99).await?;
    check_eq!(ctx.list_free(&queue).await?.len(), 2, "free messages before the new end");
    claims.claim_update(&queue, id, span(5), span(60)).await?;
    ctx.advance(5).await?;
    check_eq!(ctx.list_free(&queue).await?.len(), 5, "free messages after a shorter renewal");
    Ok(())
}

async fn release_frees_at_once(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("released").await?;
    let posted = ctx.post_n(&queue, 6, 3_000).await?;
    let claims = ctx.data.claims();
    let (id, _) = ctx.claim(&queue, 300, 60, 4).await?;
    claims.claim_delete(&queue, id).await?;
    claims.claim_delete(&queue, id).await?;
    expect_err(claims.claim_get(&queue, id).await, is_no_claim, "reading a released claim")?;
    let renewed = claims.claim_update(&queue, id, span(60), span(60)).await;
    expect_err(renewed, is_no_claim, "renewing a released claim")?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the default listing");
    let (next, taken) = ctx.claim(&queue, 300, 60, 5).await?;
    check_eq!(ids(&taken), pick(&posted, 0..5)?, "what the next claim takes");
    claims.claim_delete(&queue, id).await?;
    let (_, held) = claims.claim_get(&queue, next).await?;
    check_eq!(ids(&held), pick(&posted, 0..5)?, "what it holds after a late release");
    Ok(())
}

async fn claim_ends_to_the_second(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("lapsing").await?;
    let posted = ctx.post_n(&queue, 3, 3_000).await?;
    let (id, _) = ctx.claim(&queue, 60, 60, 3).await?;
    let claims = ctx.data.claims();
    ctx.advance_by(std::time::Duration::from_millis(59_999))?;
    ctx.sweep().await?;
    claims.claim_get(&queue, id).await?;
    check!(ctx.list_free(&queue).await?.is_empty(), "messages are free before the claim's end");
    let (_, early) = ctx.claim(&queue, 60, 60, 3).await?;
    check!(early.is_empty(), "messages are claimed before the claim's end: {early:?}");
    ctx.advance_by(std::time::Duration::from_millis(1))?;
    expect_err(claims.claim_get(&queue, id).await, is_no_claim, "reading it at its end")?;
    let renewed = claims.claim_update(&queue, id, span(60), span(60)).await;
    expect_err(renewed, is_no_claim, "renewing it at its end")?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the default listing at its end");
    check_eq!(counts(ctx, &queue).await?, (0, 3), "claimed and free after its end");
    claims.claim_delete(&queue, id).await?;
    let (_, taken) = ctx.claim(&queue, 60, 60, 3).await?;
    check_eq!(ids(&taken), posted, "what the next claim takes");
    check!(taken.iter().all(|message| message.claim_count == 2), "counts are not 2: {taken:?}");
    Ok(())
}

async fn lapsed_messages_keep_their_order(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("reordered").await?;
    let posted = ctx.post_n(&queue, 9, 3_000).await?;
    // Three claims that end in the reverse of their order.
    for ttl_s in [50, 40, 30] {
        ctx.claim(&queue, ttl_s, 60, 3).await?;
    }
    ctx.advance(30).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, 6..9)?, "after the first end");
    ctx.advance(10).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, 3..9)?, "after the second end");
    ctx.advance(10).await?;
    let (_, taken) = ctx.claim(&queue, 300, 60, 10).await?;
    check_eq!(ids(&taken), posted, "what a claim takes after all ends");
    Ok(())
}

async fn count_survives_every_end(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("counted").await?;
    let id = *only(&ctx.post_n(&queue, 1, 10_000).await?)?;
    let claims = ctx.data.claims();
    let count = async || {
        let message = ctx.data.messages().message_get(&queue, id).await?;
        Ok::<u32, crate::case::Failure>(message.claim_count)
    };
    check_eq!(count().await?, 0, "the count before any claim");
    let (first, taken) = ctx.claim(&queue, 60, 60, 1).await?;
    check_eq!(only(&taken)?.claim_count, 1, "the count on the first delivery");
    for _ in 0..10 {
        claims.claim_update(&queue, first, span(60), span(60)).await?;
    }
    check_eq!(count().await?, 1, "the count after ten renewals");
    claims.claim_delete(&queue, first).await?;
    check_eq!(count().await?, 1, "the count after the release");
    let (_, taken) = ctx.claim(&queue, 60, 60, 1).await?;
    check_eq!(only(&taken)?.claim_count, 2, "the count on the second delivery");
    ctx.advance(60).await?;
    check_eq!(count().await?, 2, "the count after the expiry");
    let (third, taken) = ctx.claim(&queue, 60, 60, 1).await?;
    check_eq!(only(&taken)?.claim_count, 3, "the count on the third delivery");
    claims.claim_update(&queue, third, span(60), span(60)).await?;
    let (_, held) = claims.claim_get(&queue, third).await?;
    check_eq!(only(&held)?.claim_count, 3, "the count in the renewed claim");
    Ok(())
}

async fn claim_of_deleted_messages_is_over(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("emptied").await?;
    let posted = ctx.post_n(&queue, 4, 3_000).await?;
    let (id, _) = ctx.claim(&queue, 300, 60, 3).await?;
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&posted, 0)?, Some(id)).await?;
    messages.message_bulk_delete(&queue, &pick(&posted, [1])?, Some(&[id])).await?;
    let (_, held) = ctx.data.claims().claim_get(&queue, id).await?;
    check_eq!(ids(&held), pick(&posted, [2])?, "what it holds at last");
    messages.message_bulk_delete(&queue, &pick(&posted, [2])?, None).await?;
    let claims = ctx.data.claims();
    expect_err(claims.claim_get(&queue, id).await, is_no_claim, "reading an emptied claim")?;
    let renewed = claims.claim_update(&queue, id, span(60), span(60)).await;
    expect_err(renewed, is_no_claim, "renewing an emptied claim")?;
    claims.claim_delete(&queue, id).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, [3])?, "what is left");
    Ok(())
}

async fn unknown_claim_is_not_found(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("unknown").await?;
    let posted = ctx.post_n(&queue, 2, 3_000).await?;
    let claims = ctx.data.claims();
    let id = ClaimId::random();
    expect_err(claims.claim_get(&queue, id).await, is_no_claim, "reading it")?;
    let renewed = claims.claim_update(&queue, id, span(60), span(60)).await;
    expect_err(renewed, is_no_claim, "renewing it")?;
    claims.claim_delete(&queue, id).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the messages");
    Ok(())
}

async fn releasing_one_spares_the_other(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("spared").await?;
    let posted = ctx.post_n(&queue, 25, 3_000).await?;
    let (head, _) = ctx.claim(&queue, 300, 60, 10).await?;
    let (tail, held) = ctx.claim(&queue, 300, 60, 10).await?;
    ctx.data.claims().claim_delete(&queue, head).await?;
    let (_, taken) = ctx.claim(&queue, 300, 60, 15).await?;
    let wanted = [pick(&posted, 0..10)?, pick(&posted, 20..25)?].concat();
    check_eq!(ids(&taken), wanted, "what the next claim takes");
    let (_, still): (_, Vec<_>) = ctx.data.claims().claim_get(&queue, tail).await?;
    check_eq!(ids(&still), ids(&held), "what the later claim holds");
    let popped = ctx.data.messages().message_pop(&queue, limit(10)?).await?;
    check!(popped.is_empty(), "a pop takes claimed messages: {popped:?}");
    Ok(())
}

async fn claim_takes_a_thousand(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("thousand").await?;
    let posted: Vec<MessageId> = ctx.post_n(&queue, 1_000, 3_000).await?;
    let claims = ctx.data.claims();
    let (id, taken) = ctx.claim(&queue, 300, 60, 1_000).await?;
    check_eq!(ids(&taken), posted, "the messages claimed");
    claims.claim_update(&queue, id, span(5_000), span(60)).await?;
    let (_, held) = claims.claim_get(&queue, id).await?;
    check_eq!(ids(&held), posted, "the messages held");
    check!(held.iter().all(|message| message.ttl == span(5_060)), "not all lives were extended");
    claims.claim_delete(&queue, id).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the messages released");
    Ok(())
}

async fn other_node_honours_the_claim(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("nodes").await?;
    let other = ctx.second_handle().await?;
    let posted = ctx.post_n(&queue, 4, 3_000).await?;
    let (id, taken) = ctx.claim(&queue, 60, 60, 2).await?;
    let (_, held) = other.data.claims().claim_get(&queue, id).await?;
    check_eq!(held, taken, "the claim at the other node");
    let (_, next) = other.claim(&queue, 60, 60, 10).await?;
    check_eq!(ids(&next), pick(&posted, [2, 3])?, "what the other node claims");
    other.data.claims().claim_update(&queue, id, span(200), span(60)).await?;
    ctx.advance(100).await?;
    let (claim, _) = ctx.data.claims().claim_get(&queue, id).await?;
    check_eq!((claim.ttl, claim.age_s), (span(200), 100), "ttl and age after the renewal");
    other.data.messages().message_delete(&queue, *nth(&posted, 0)?, Some(id)).await?;
    let (_, held) = ctx.data.claims().claim_get(&queue, id).await?;
    check_eq!(ids(&held), pick(&posted, [1])?, "what it holds");
    other.close().await;
    Ok(())
}
