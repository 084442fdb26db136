//! Nodes whose clocks disagree: what ends early or late does so by as much as they differ (G5, G8),
//! and nothing else depends on them.

use std::sync::Arc;

use zaqar_core::{Capability, ClaimId, Clock, CreateClaim, ManualClock, Timestamp};

use super::support::{claim_with, gc, ids, is_fenced, limit, needs, nth, pick, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    clock_ahead_ends_lives_by_its_lead_at_most = "clock.ahead.ends_lives_by_its_lead" {
        level: Extended(VirtualTime),
        guarantees: [G1, G8],
        methods: ["message_list", "sweep", "gc"],
        summary: "What a node reads by a clock that is ahead stays for the others; what it sweeps and collects is over within its lead.",
    }
    clock_ahead_ends_leases_by_its_lead_at_most = "clock.ahead.ends_leases_by_its_lead" {
        level: Extended(VirtualTime),
        guarantees: [G5, G6, G7],
        methods: ["claim_create", "message_delete", "sweep"],
        summary: "A lease holds against a node that is ahead until its end by that clock, and whose lease that ended can delete no more.",
    }
    order_is_kept_whatever_the_clocks = "clock.order.kept" {
        level: Extended(VirtualTime),
        guarantees: [G4, G9],
        methods: ["message_post", "message_list", "message_delete"],
        summary: "Messages that nodes post in turn, ahead, behind and right, are met in that order by each of them; what one deletes is gone for all.",
    }
}

/// A clock that differs from the case's by a fixed span.
#[derive(Debug)]
struct Apart {
    right: Arc<ManualClock>,
    ahead_s: i64,
}

impl Clock for Apart {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.right.now().as_millis() + 1_000 * self.ahead_s)
    }
}

/// A node on the same data whose clock is so far ahead; behind, if that is negative.
async fn node_ahead(ctx: &Context, ahead_s: i64) -> Result<Context, Failure> {
    ctx.node(Arc::new(Apart { right: Arc::clone(&ctx.clock), ahead_s })).await
}

async fn clock_ahead_ends_lives_by_its_lead_at_most(ctx: &Context) -> CaseResult {
    let ahead = node_ahead(ctx, 20).await?;
    let queue = ctx.queue("lives").await?;
    let short = ctx.post_n(&queue, 3, 10).await?;
    let long = ctx.post_n(&queue, 3, 60).await?;
    let all = [short, long.clone()].concat();
    check_eq!(ids(&ahead.list_all(&queue).await?), long, "what lives by the clock ahead");
    check_eq!(ids(&ctx.list_all(&queue).await?), all, "what lives after it was read there");
    ctx.advance_without_sweep(39)?;
    for node in [&ahead, ctx] {
        node.sweep().await?;
        gc(node, 0).await?;
        check_eq!(ids(&ahead.list_all(&queue).await?), long, "a second before the end, ahead");
        check_eq!(ids(&ctx.list_all(&queue).await?), long, "21 seconds before the end");
    }
    ctx.advance_without_sweep(1)?;
    check!(ahead.list_all(&queue).await?.is_empty(), "at the end by the clock ahead");
    check_eq!(ids(&ctx.list_all(&queue).await?), long, "20 seconds before the end");
    ahead.close().await;
    Ok(())
}

async fn clock_ahead_ends_leases_by_its_lead_at_most(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Claims)?;
    let ahead = node_ahead(ctx, 10).await?;
    let queue = ctx.queue("leases").await?;
    let posted = ctx.post_n(&queue, 3, 3_000).await?;
    let (held, _) = ctx.claim(&queue, 60, 60, 10).await?;
    ctx.advance_without_sweep(49)?;
    ahead.sweep().await?;
    let (_, taken) = ahead.claim(&queue, 60, 60, 10).await?;
    check!(taken.is_empty(), "taken a second before the end by the clock ahead: {taken:?}");
    check!(ahead.list_free(&queue).await?.is_empty(), "shown as free a second before the end");
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&posted, 0)?, Some(held)).await?;
    ctx.advance_without_sweep(1)?;
    let options = CreateClaim::new(ClaimId::random(), span(60), span(60)).limit(limit(10)?);
    let taken = claim_with(&ahead, &queue, options).await?;
    check_eq!(ids(&taken.messages), pick(&posted, [1, 2])?, "taken at the end by the clock ahead");
    let late = messages.message_delete(&queue, *nth(&posted, 1)?, Some(held)).await;
    expect_err(late, is_fenced, "a delete by the lease that is over elsewhere")?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [1, 2])?, "what is left");
    ahead.close().await;
    Ok(())
}

async fn order_is_kept_whatever_the_clocks(ctx: &Context) -> CaseResult {
    let (ahead, behind) = (node_ahead(ctx, 900).await?, node_ahead(ctx, -900).await?);
    let nodes = [&ahead, &behind, ctx];
    let queue = ctx.queue("order").await?;
    let mut posted = Vec::new();
    for reader in nodes {
        for node in nodes {
            posted.extend(node.post_n(&queue, 2, 90_000).await?);
        }
        // Who comes late must not be behind what was read before.
        check_eq!(ids(&reader.list_all(&queue).await?), posted, "met so far");
        ctx.advance_without_sweep(7)?;
    }
    for (node, index) in nodes.iter().zip([0, 5, 10]) {
        let doomed = *nth(&posted, index)?;
        node.data.messages().message_delete(&queue, doomed, None).await?;
    }
    let kept: Vec<_> = (0..posted.len()).filter(|index| ![0, 5, 10].contains(index)).collect();
    for node in nodes {
        check_eq!(ids(&node.list_all(&queue).await?), pick(&posted, kept.clone())?, "left");
    }
    ahead.close().await;
    behind.close().await;
    Ok(())
}
