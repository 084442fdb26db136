//! Tenants apart: the other project's names and ids mean nothing here (G12).

use zaqar_core::{Error, MessageMarker, NewSubscription, QueueRef, UpdateSubscription};

use super::operations::attempt_all;
use super::support::{
    claim_with, counts, everything, ids, is_gone, is_no_claim, is_no_message, limit, nth, span,
};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    same_names_share_nothing = "isolation.names.share_nothing" {
        level: Core,
        guarantees: [G12],
        methods: ["message_post", "message_list", "message_stats", "message_first", "message_pop"],
        summary: "Two projects' queues of one name hold, count and hand out their own messages alone.",
    }
    leaked_message_ids_are_worthless = "isolation.ids.messages" {
        level: Core,
        guarantees: [G12],
        methods: ["message_get", "message_bulk_get", "message_delete", "message_bulk_delete"],
        summary: "Another project's message ids read nothing and delete nothing.",
    }
    leaked_claims_are_worthless = "isolation.ids.claims" {
        level: Extended(Claims),
        guarantees: [G6, G12],
        methods: ["claim_get", "claim_update", "claim_delete", "message_delete", "message_bulk_delete"],
        summary: "Another project's claim id reads, renews, releases and deletes nothing.",
    }
    one_claim_id_in_two_projects = "isolation.ids.same_claim_id" {
        level: Extended(Claims),
        guarantees: [G5, G12],
        methods: ["claim_create", "claim_get", "claim_delete"],
        summary: "Two projects that use one claim id have two claims.",
    }
    leaked_markers_show_nothing = "isolation.ids.markers" {
        level: Core,
        guarantees: [G9, G12],
        methods: ["message_list"],
        summary: "Another project's marker shows only the reader's own messages, from the start.",
    }
    leaked_subscriptions_are_worthless = "isolation.ids.subscriptions" {
        level: Extended(Subscriptions),
        guarantees: [G12],
        methods: ["subscription_get", "subscription_update", "subscription_confirm", "subscription_delete", "subscription_list", "subscription_find", "subscription_purge"],
        summary: "Another project's subscription id reads, changes, confirms and removes nothing.",
    }
    crossed_references_reach_nothing = "isolation.reference.crossed" {
        level: Core,
        guarantees: [G11, G12],
        methods: ["message_list", "message_post", "claim_create", "head_get", "head_close"],
        summary: "One's own project and name with another project's incarnation reach nothing, whatever is asked.",
    }
    idempotency_keys_are_apart = "isolation.keys.apart" {
        level: Core,
        guarantees: [G3, G12],
        methods: ["message_post"],
        summary: "One idempotency key in two projects, and in two queues, stands for different posts.",
    }
    purge_and_delete_stay_at_home = "isolation.delete.stays_at_home" {
        level: Core,
        guarantees: [G12],
        methods: ["message_purge", "head_close", "gc"],
        summary: "Purging, deleting and collecting one project's queue leaves the other's of that name whole.",
    }
}

/// Queues of one name in two projects, with `n` messages each.
async fn pair(ctx: &Context, n: usize) -> Result<[QueueRef; 2], Failure> {
    let ours = ctx.queue_in(&ctx.project("ours")?, "orders").await?;
    let theirs = ctx.queue_in(&ctx.project("theirs")?, "orders").await?;
    ctx.post_n(&ours, n, 3_000).await?;
    ctx.post_n(&theirs, n, 3_000).await?;
    Ok([ours, theirs])
}

async fn same_names_share_nothing(ctx: &Context) -> CaseResult {
    let [ours, theirs] = pair(ctx, 4).await?;
    let (own, other) = (ctx.list_all(&ours).await?, ctx.list_all(&theirs).await?);
    check_eq!((own.len(), other.len()), (4, 4), "messages listed");
    check!(own.iter().all(|m| other.iter().all(|o| o.id != m.id)), "both projects share an id");
    let popped = ctx.data.messages().message_pop(&ours, limit(100)?).await?;
    check_eq!(ids(&popped), ids(&own), "what our pop takes");
    check_eq!(counts(ctx, &ours).await?, (0, 0), "our counts");
    check_eq!(counts(ctx, &theirs).await?, (0, 4), "their counts");
    let oldest = ctx.data.messages().message_first(&theirs, zaqar_core::QueueEnd::Oldest).await?;
    check_eq!(oldest.map(|m| m.id), ids(&other).first().copied(), "their oldest message");
    Ok(())
}

async fn leaked_message_ids_are_worthless(ctx: &Context) -> CaseResult {
    let [ours, theirs] = pair(ctx, 3).await?;
    let own = ids(&ctx.list_all(&ours).await?);
    let leaked = ids(&ctx.list_all(&theirs).await?);
    let messages = ctx.data.messages();
    for id in &leaked {
        let read = messages.message_get(&ours, *id).await;
        expect_err(read, is_no_message, "reading by another project's id")?;
        messages.message_delete(&ours, *id, None).await?;
        messages.message_delete(&ours, *id, Some(zaqar_core::ClaimId::random())).await?;
    }
    let found = messages.message_bulk_get(&ours, &leaked).await?;
    check!(found.is_empty(), "a bulk read by another project's ids finds {found:?}");
    messages.message_bulk_delete(&ours, &leaked, None).await?;
    check_eq!(ids(&ctx.list_all(&theirs).await?), leaked, "their messages");
    check_eq!(ids(&ctx.list_all(&ours).await?), own, "our messages");
    Ok(())
}

async fn leaked_claims_are_worthless(ctx: &Context) -> CaseResult {
    let [ours, theirs] = pair(ctx, 3).await?;
    let (leaked, held) = ctx.claim(&theirs, 300, 60, 2).await?;
    let claims = ctx.data.claims();
    expect_err(claims.claim_get(&ours, leaked).await, is_no_claim, "reading it")?;
    let renewed = claims.claim_update(&ours, leaked, span(9_000), span(60)).await;
    expect_err(renewed, is_no_claim, "renewing it")?;
    claims.claim_delete(&ours, leaked).await?;
    let messages = ctx.data.messages();
    for message in &held {
        messages.message_delete(&ours, message.id, Some(leaked)).await?;
    }
    messages.message_bulk_delete(&ours, &ids(&held), Some(&[leaked])).await?;
    let (claim, still) = claims.claim_get(&theirs, leaked).await?;
    check_eq!((claim.ttl, still), (span(300), held), "their claim");
    check_eq!(ctx.list_free(&ours).await?.len(), 3, "our free messages");
    Ok(())
}

async fn one_claim_id_in_two_projects(ctx: &Context) -> CaseResult {
    let [ours, theirs] = pair(ctx, 3).await?;
    let id = zaqar_core::ClaimId::random();
    let options = zaqar_core::CreateClaim::new(id, span(300), span(60)).limit(limit(2)?);
    let own = claim_with(ctx, &ours, options.clone()).await?.messages;
    let other = claim_with(ctx, &theirs, options).await?.messages;
    check_eq!((own.len(), other.len()), (2, 2), "messages claimed under one id");
    let claims = ctx.data.claims();
    check_eq!(claims.claim_get(&ours, id).await?.1, own, "what our claim holds");
    claims.claim_delete(&ours, id).await?;
    check_eq!(claims.claim_get(&theirs, id).await?.1, other, "what theirs holds after our release");
    check_eq!(ctx.list_free(&ours).await?.len(), 3, "our free messages");
    Ok(())
}

async fn leaked_markers_show_nothing(ctx: &Context) -> CaseResult {
    let [ours, theirs] = pair(ctx, 5).await?;
    let own = ids(&ctx.list_all(&ours).await?);
    let other = ctx.list_all(&theirs).await?;
    for message in &other {
        for marker in [message.marker, MessageMarker::from(message.id)] {
            let options = everything().marker(marker);
            check_eq!(ids(&ctx.walk(&ours, options).await?), own, "after another's marker");
        }
    }
    Ok(())
}

async fn leaked_subscriptions_are_worthless(ctx: &Context) -> CaseResult {
    let [ours, theirs] = pair(ctx, 1).await?;
    let subscriptions = ctx.data.subscriptions();
    let new = |who: &str| NewSubscription::new(format!("http://{who}.example/"), span(3_000));
    let own = subscriptions.subscription_create(&ours, new("own")).await?.into_inner();
    let leaked = subscriptions.subscription_create(&theirs, new("leaked")).await?.into_inner();
    let missing = |error: &Error| matches!(error, Error::SubscriptionNotFound { .. });
    let id = leaked.id;
    expect_err(subscriptions.subscription_get(&ours, id).await, missing, "reading it")?;
    let change = UpdateSubscription::new().subscriber("http://evil.example/".to_owned());
    let changed = subscriptions.subscription_update(&ours, id, change).await;
    expect_err(changed, missing, "changing it")?;
    let confirmed = subscriptions.subscription_confirm(&ours, id, true).await;
    expect_err(confirmed, missing, "confirming it")?;
    subscriptions.subscription_delete(&ours, id).await?;
    let found = subscriptions.subscription_find(&ours, "http://leaked.example/").await?;
    check_eq!(found, None, "the other project's subscriber");
    let listed = subscriptions.subscription_list(&ours, None, limit(100)?).await?;
    check_eq!(listed.items, [own], "our subscriptions");
    subscriptions.subscription_purge(&ours).await?;
    check_eq!(subscriptions.subscription_get(&theirs, id).await?, leaked, "theirs");
    Ok(())
}

async fn crossed_references_reach_nothing(ctx: &Context) -> CaseResult {
    let [ours, theirs] = pair(ctx, 3).await?;
    // What a confused or hostile caller could build: the own name, the other's incarnation.
    let crossed = ours.key.incarnate(theirs.incarnation);
    // Before anything is known of their queue, and when all of it is.
    for known in ["unknown", "known"] {
        for (operation, answer) in attempt_all(ctx, &crossed).await? {
            let what = format!("{operation} under a crossed reference, their queue {known}");
            expect_err(answer, is_gone, what)?;
        }
        expect_err(ctx.data.heads().head_get(&crossed).await, is_gone, "reading its head")?;
        ctx.data.heads().head_close(&crossed).await?;
        check_eq!(ctx.list_all(&theirs).await?.len(), 3, "their messages");
        check_eq!(ctx.list_all(&ours).await?.len(), 3, "our messages");
        check_eq!(counts(ctx, &theirs).await?, (0, 3), "their counts");
        ctx.data.heads().head_get(&theirs).await?;
    }
    Ok(())
}

async fn idempotency_keys_are_apart(ctx: &Context) -> CaseResult {
    let ours = ctx.queue_in(&ctx.project("ours")?, "orders").await?;
    let theirs = ctx.queue_in(&ctx.project("theirs")?, "orders").await?;
    let neighbour = ctx.queue_in(&ours.key.project, "neighbour").await?;
    let mut seen = Vec::new();
    for (number, queue) in [&ours, &theirs, &neighbour].into_iter().enumerate() {
        // Another digest each time: a shared scope would refuse the second post.
        let key = super::idempotency::key("shared", u8::try_from(number).unwrap_or(0), 600)?;
        let batch = vec![Context::message(number, 3_000)];
        let options = zaqar_core::PostMessages::new().key(key);
        let posted = ctx.data.messages().message_post(queue, batch, options).await?;
        check!(!posted.repeated, "the key of another queue was found in queue {number}");
        seen.push(*nth(&posted.ids, 0)?);
    }
    for (queue, id) in [&ours, &theirs, &neighbour].into_iter().zip(seen) {
        check_eq!(ids(&ctx.list_all(queue).await?), [id], "messages of {}", queue.key.name);
    }
    Ok(())
}

async fn purge_and_delete_stay_at_home(ctx: &Context) -> CaseResult {
    let [ours, theirs] = pair(ctx, 5).await?;
    let other = ids(&ctx.list_all(&theirs).await?);
    ctx.data.messages().message_purge(&ours).await?;
    check_eq!(ids(&ctx.list_all(&theirs).await?), other, "their messages after our purge");
    ctx.post_n(&ours, 5, 3_000).await?;
    ctx.delete_queue(&ours).await?;
    ctx.advance(1_000).await?;
    super::support::gc(ctx, 0).await?;
    check_eq!(ids(&ctx.list_all(&theirs).await?), other, "their messages after our delete");
    check_eq!(counts(ctx, &theirs).await?, (0, 5), "their counts");
    let record = ctx.control.queues().queue_find(&theirs.key).await?;
    check_eq!(record.map(|r| r.incarnation), Some(theirs.incarnation), "their record");
    Ok(())
}
