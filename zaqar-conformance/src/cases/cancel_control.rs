//! Dropped calls of the control plane, and of what a queue is made of (G16).

use zaqar_core::{
    Capabilities, Capability, CatalogueEntry, Error, Flavor, FlavorName, PoolName, ProjectId,
    QueueName, QueueRecord, QueueState, UpdatePool,
};

use super::cancel::{POLLS_MAX, answered, settle};
use super::pool::pool;
use super::support::{drop_at_poll, limit, try_post};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    dropped_deletion_can_be_repeated = "cancel.queue.deletion_can_be_repeated" {
        level: Core,
        guarantees: [G11, G16],
        methods: ["queue_allocate_incarnation", "queue_mark_deleting", "queue_remove"],
        summary: "Dropped calls that delete a queue's record took effect or not and can be repeated; no incarnation is given out twice.",
    }
    dropped_head_move_can_be_repeated = "cancel.head.move_can_be_repeated" {
        level: Core,
        guarantees: [G16, G17],
        methods: ["head_move", "message_post"],
        summary: "A dropped move of a head took effect or not; its repeat answers the same position, and older callers are refused.",
    }
    dropped_pool_changes_are_whole = "cancel.pool.whole_or_not" {
        level: Core,
        guarantees: [G16],
        methods: ["pool_put", "pool_update", "pool_delete", "pool_delete_all"],
        summary: "Dropped calls that store, change or remove pools happened whole or not at all, and can be repeated.",
    }
    dropped_flavor_changes_are_whole = "cancel.flavor.whole_or_not" {
        level: Core,
        guarantees: [G16],
        methods: ["flavor_put", "flavor_update", "flavor_delete", "flavor_delete_all"],
        summary: "Dropped calls that store, change or remove flavors happened whole or not at all, and can be repeated.",
    }
    dropped_mapping_changes_are_whole = "cancel.catalogue.whole_or_not" {
        level: Core,
        guarantees: [G16, G17],
        methods: ["catalogue_put", "catalogue_move", "catalogue_settle", "catalogue_delete"],
        summary: "Dropped calls that map, move, settle or unmap a queue happened whole or not at all, and can be repeated.",
    }
}

const TOO_MANY: &str = "a call needs more polls than the case drops at";

/// What is there, if anything is.
fn found<T>(read: Result<T, Error>, is_missing: fn(&Error) -> bool) -> Result<Option<T>, Failure> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn dropped_deletion_can_be_repeated(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let calm = ctx.queue("calm").await?;
    for polls in 0..POLLS_MAX {
        let name = QueueName::new(format!("deleted-{polls}"))?;
        let before = queues.queue_allocate_incarnation().await?;
        let call = drop_at_poll(queues.queue_allocate_incarnation(), polls).await;
        let allocated = answered(call)?;
        let queue = ctx.queue_in(&ctx.project("main")?, name.as_str()).await?;
        let ascending = before < queue.incarnation
            && allocated.is_none_or(|given| before < given && given < queue.incarnation);
        check!(ascending, "{before}, {allocated:?} and {} were given out", queue.incarnation);
        let call = drop_at_poll(queues.queue_mark_deleting(&queue), polls).await;
        let marked = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let there = queues.queue_find(&queue.key).await?;
        let active = |record: QueueRecord| record.state == QueueState::Active;
        let there = there.is_some_and(active);
        check!(!marked || !there, "a marked queue is there after {polls} polls");
        queues.queue_mark_deleting(&queue).await?;
        ctx.data.heads().head_close(&queue).await?;
        let removed = answered(drop_at_poll(queues.queue_remove(&queue), polls).await)?.is_some();
        settle(ctx, &calm).await?;
        queues.queue_remove(&queue).await?;
        let deleting = queues.queue_list_deleting(limit(100)?).await?;
        check!(deleting.is_empty(), "records left of what was removed: {deleting:?}");
        if allocated.is_some() && marked && removed {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}

async fn dropped_head_move_can_be_repeated(ctx: &Context) -> CaseResult {
    let heads = ctx.data.heads();
    let calm = ctx.queue("calm").await?;
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("moved-{polls}")).await?;
        ctx.post_n(&queue, 3, 3_000).await?;
        let there = queue.at_epoch(1);
        let first = answered(drop_at_poll(heads.head_move(&there, 1), polls).await)?;
        settle(ctx, &calm).await?;
        let again = heads.head_move(&there, 1).await?;
        let same = first.as_ref().is_none_or(|first| first.sequence_next == again.sequence_next);
        check!(same && again.sequence_next >= 4, "moved at {first:?}, then at {again:?}");
        let late = try_post(ctx, &queue, 1).await;
        let is_moved = |error: &Error| matches!(error, Error::QueueMoved { .. });
        expect_err(late, is_moved, "a post by who does not know of the move")?;
        if first.is_some() {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}

async fn dropped_pool_changes_are_whole(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    let is_missing = |error: &Error| matches!(error, Error::PoolNotFound { .. });
    let calm = ctx.queue("calm").await?;
    for polls in 0..POLLS_MAX {
        let stored = pool(&format!("pool-{polls}"), Some("gold"))?;
        let name = stored.name.clone();
        let put = answered(drop_at_poll(pools.pool_put(stored.clone()), polls).await)?.is_some();
        settle(ctx, &calm).await?;
        let left = found(pools.pool_get(&name).await, is_missing)?;
        check!(left.as_ref().map_or(!put, |left| *left == stored), "stored in part: {left:?}");
        pools.pool_put(stored.clone()).await?;

        let mut changes = UpdatePool::new();
        (changes.weight, changes.flavor) = (Some(7), Some(None));
        let call = drop_at_poll(pools.pool_update(&name, changes.clone()), polls).await;
        let updated = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let left = pools.pool_get(&name).await?;
        let seen = (left.weight, left.flavor.is_some());
        let kept = seen == (stored.weight, true) && !updated;
        check!(kept || seen == (7, false), "weight and flavor after {polls} polls: {seen:?}");
        pools.pool_update(&name, changes).await?;

        let deleted = answered(drop_at_poll(pools.pool_delete(&name), polls).await)?.is_some();
        settle(ctx, &calm).await?;
        let left = found(pools.pool_get(&name).await, is_missing)?;
        check!(left.is_none() || !deleted, "a pool is there after it was removed");
        pools.pool_delete(&name).await?;
        for label in ["one", "two"] {
            pools.pool_put(pool(&format!("{label}-{polls}"), None)?).await?;
        }
        let cleared = answered(drop_at_poll(pools.pool_delete_all(), polls).await)?.is_some();
        settle(ctx, &calm).await?;
        let left = pools.pool_list(None, None).await?.items.len();
        check!(left == 0 || (left == 2 && !cleared), "{left} of 2 pools after {polls} polls");
        pools.pool_delete_all().await?;
        if put && updated && deleted && cleared {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}

/// The flavor `name` of a project.
fn flavor(project: &ProjectId, name: &str) -> Result<Flavor, Failure> {
    let capabilities = [Capability::Fifo].into_iter().collect();
    Ok(Flavor { project: project.clone(), name: FlavorName::new(name)?, capabilities })
}

async fn dropped_flavor_changes_are_whole(ctx: &Context) -> CaseResult {
    let flavors = ctx.control.flavors();
    let is_missing = |error: &Error| matches!(error, Error::FlavorNotFound { .. });
    let (calm, project) = (ctx.queue("calm").await?, ctx.project("main")?);
    let other: Capabilities = [Capability::Claims, Capability::Durable].into_iter().collect();
    for polls in 0..POLLS_MAX {
        let stored = flavor(&project, &format!("flavor-{polls}"))?;
        let name = stored.name.clone();
        let call = drop_at_poll(flavors.flavor_put(stored.clone()), polls).await;
        let put = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let left = found(flavors.flavor_get(&project, &name).await, is_missing)?;
        check!(left.as_ref().map_or(!put, |left| *left == stored), "stored in part: {left:?}");
        flavors.flavor_put(stored.clone()).await?;

        let call = drop_at_poll(flavors.flavor_update(&project, &name, other.clone()), polls).await;
        let updated = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let left = flavors.flavor_get(&project, &name).await?.capabilities;
        let kept = left == stored.capabilities && !updated;
        check!(kept || left == other, "capabilities after {polls} polls: {left:?}");
        flavors.flavor_update(&project, &name, other.clone()).await?;

        let call = drop_at_poll(flavors.flavor_delete(&project, &name), polls).await;
        let deleted = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let left = found(flavors.flavor_get(&project, &name).await, is_missing)?;
        check!(left.is_none() || !deleted, "a flavor is there after it was removed");
        flavors.flavor_delete(&project, &name).await?;
        for label in ["one", "two"] {
            flavors.flavor_put(flavor(&project, &format!("{label}-{polls}"))?).await?;
        }
        let cleared = answered(drop_at_poll(flavors.flavor_delete_all(), polls).await)?.is_some();
        settle(ctx, &calm).await?;
        let left = flavors.flavor_list(&project, None, limit(9)?).await?.items.len();
        check!(left == 0 || (left == 2 && !cleared), "{left} of 2 flavors after {polls} polls");
        flavors.flavor_delete_all().await?;
        if put && updated && deleted && cleared {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}

async fn dropped_mapping_changes_are_whole(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let is_missing = |error: &Error| matches!(error, Error::QueueNotMapped { .. });
    let calm = ctx.queue("calm").await?;
    let (old, new) = (PoolName::new("old")?, PoolName::new("new")?);
    for polls in 0..POLLS_MAX {
        let queue = ctx.unopened(&format!("mapped-{polls}")).await?;
        let entry = |pool: &PoolName, source: Option<&PoolName>, epoch| CatalogueEntry {
            queue: queue.clone(),
            pool: pool.clone(),
            source: source.cloned(),
            epoch,
        };
        let mapped = (entry(&old, None, 0), entry(&new, Some(&old), 1), entry(&new, None, 1));
        let call = drop_at_poll(catalogue.catalogue_put(&queue, &old), polls).await;
        let put = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let left = found(catalogue.catalogue_get(&queue).await, is_missing)?;
        check!(left.as_ref().map_or(!put, |left| *left == mapped.0), "mapped in part: {left:?}");
        catalogue.catalogue_put(&queue, &old).await?;

        let call = drop_at_poll(catalogue.catalogue_move(&queue, &new, 1), polls).await;
        let moved = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let left = catalogue.catalogue_get(&queue).await?;
        check!(left == mapped.1 || (left == mapped.0 && !moved), "moved in part: {left:?}");
        match catalogue.catalogue_move(&queue, &new, 1).await {
            Ok(()) | Err(Error::QueueMoved { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        check_eq!(catalogue.catalogue_get(&queue).await?, mapped.1, "the mapping once moved");

        let call = drop_at_poll(catalogue.catalogue_settle(&queue, 1), polls).await;
        let settled = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let left = catalogue.catalogue_get(&queue).await?;
        check!(left == mapped.2 || (left == mapped.1 && !settled), "settled in part: {left:?}");
        catalogue.catalogue_settle(&queue, 1).await?;

        let call = drop_at_poll(catalogue.catalogue_delete(&queue), polls).await;
        let deleted = answered(call)?.is_some();
        settle(ctx, &calm).await?;
        let left = found(catalogue.catalogue_get(&queue).await, is_missing)?;
        check!(left.as_ref().is_none_or(|left| *left == mapped.2 && !deleted), "{left:?}");
        catalogue.catalogue_delete(&queue).await?;
        if put && moved && settled && deleted {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}
