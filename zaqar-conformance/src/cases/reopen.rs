//! Closing and reopening: whatever was acknowledged is there again (G1).

use zaqar_core::{
    Capability, CatalogueEntry, DeliveryOutcome, Effect, Error, ErrorClass, Flavor, FlavorName,
    Incarnation, JsonObject, LeaseDeliveries, LeaseId, ListMessages, PoolName, PostMessages,
    QueueState,
};

use super::operations::attempt_all;
use super::support::{
    everything, gc, ids, is_gone, limit, needs, nth, object, only, pick, post_delayed, span,
};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    messages_survive = "reopen.messages.survive" {
        level: Extended(Durable),
        guarantees: [G1, G4],
        methods: ["message_post", "message_list", "message_get"],
        summary: "Messages come back in their order with every field; deleted, popped and purged ones do not.",
    }
    claims_survive = "reopen.claims.survive" {
        level: Extended(Durable),
        guarantees: [G1, G5, G6],
        methods: ["claim_create", "claim_get", "claim_update", "message_delete"],
        summary: "A claim holds its messages across a restart, renews, deletes, and ends at its time; counts and lives are kept.",
    }
    delays_survive = "reopen.delays.survive" {
        level: Extended(Durable),
        guarantees: [G1],
        methods: ["message_list", "sweep"],
        summary: "A delay goes on across a restart and ends at its time.",
    }
    positions_survive = "reopen.positions.survive" {
        level: Extended(Durable),
        guarantees: [G9, G11],
        methods: ["head_get", "message_list", "head_open"],
        summary: "Positions go on where they were, also when the newest messages are gone; closed heads stay closed.",
    }
    keys_survive = "reopen.keys.survive" {
        level: Extended(Durable),
        guarantees: [G3],
        methods: ["message_post"],
        summary: "An idempotency key is remembered across a restart.",
    }
    queue_records_survive = "reopen.records.survive" {
        level: Extended(Durable),
        guarantees: [G11],
        methods: ["queue_find", "queue_list", "queue_allocate_incarnation", "queue_list_deleting"],
        summary: "Queue records, revisions and interrupted deletions come back; incarnations are not handed out again.",
    }
    pools_survive = "reopen.pools.survive" {
        level: Extended(Durable),
        guarantees: [],
        methods: ["pool_get", "flavor_get", "catalogue_get"],
        summary: "Pools, flavors and the catalogue come back as they were stored.",
    }
    outbox_survives = "reopen.outbox.survives" {
        level: Extended(Durable),
        guarantees: [G13],
        methods: ["delivery_lease", "delivery_complete", "delivery_list_exhausted", "subscription_get"],
        summary: "Subscriptions, their cursors, leases, retries and records of given-up deliveries go on across a restart.",
    }
    transfers_survive = "reopen.transfers.survive" {
        level: Extended(Durable),
        guarantees: [G10],
        methods: ["transfer_lease", "message_insert_moved", "transfer_complete"],
        summary: "A dead letter on its way is resumed after a restart, whichever step was the last.",
    }
    collection_resumes = "reopen.gc.resumes" {
        level: Extended(Durable),
        guarantees: [G8, G11],
        methods: ["gc", "head_close", "message_purge"],
        summary: "What a closed queue and a purge left behind is reclaimed after a restart.",
    }
    closing_finishes_what_was_accepted = "reopen.close.finishes_what_was_accepted" {
        level: Extended(Durable),
        guarantees: [G1, G2],
        methods: ["close", "message_post"],
        summary: "Of posts under way when a node closes, every one that was acknowledged is there afterwards, whole.",
    }
    closed_node_refuses = "driver.close.refuses" {
        level: Core,
        guarantees: [G16],
        methods: ["close", "health", "sweep", "gc", "volume"],
        summary: "After it was closed a node refuses every call with no effect; another node goes on.",
    }
    closed_control_plane_refuses = "driver.close.control_refuses" {
        level: Core,
        guarantees: [G16],
        methods: ["close", "queue_find", "pool_list", "flavor_get", "catalogue_get"],
        summary: "A control plane that is closed by itself refuses every call with no effect; another node goes on.",
    }
}

async fn messages_survive(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("kept").await?;
    let messages = ctx.data.messages();
    let purged = ctx.queue("purged").await?;
    ctx.post_n(&purged, 5, 3_000).await?;
    messages.message_purge(&purged).await?;
    let late = ctx.post_n(&purged, 2, 3_000).await?;
    let mut batch: Vec<_> = (0..10).map(|n| Context::message(n, 3_000)).collect();
    if let Some(first) = batch.first_mut() {
        first.checksum = Some("MD5:0cc175b9c0f1b6a831c399e269772661".to_owned());
    }
    let posted = ctx.post(&queue, batch).await?;
    messages.message_delete(&queue, *nth(&posted, 5)?, None).await?;
    messages.message_bulk_delete(&queue, &pick(&posted, [6, 7])?, None).await?;
    let popped = messages.message_pop(&queue, limit(1)?).await?;
    check_eq!(ids(&popped), pick(&posted, [0])?, "the pop");
    let before = ctx.list_all(&queue).await?;

    let ctx = ctx.reopen().await?;
    check_eq!(ctx.list_all(&queue).await?, before, "the messages after a restart");
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, [1, 2, 3, 4, 8, 9])?, "their ids");
    let read = ctx.data.messages().message_get(&queue, *nth(&posted, 9)?).await?;
    check_eq!(read.body, Context::body(9), "a body read by id");
    check_eq!(ids(&ctx.list_all(&purged).await?), late, "what a purge left");
    ctx.close().await;
    Ok(())
}

async fn claims_survive(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Claims)?;
    let queue = ctx.queue("claimed").await?;
    let posted = ctx.post_n(&queue, 5, 60).await?;
    let (claim, _) = ctx.claim(&queue, 300, 60, 3).await?;
    let before = ctx.data.claims().claim_get(&queue, claim).await?;

    let ctx = ctx.reopen().await?;
    let claims = ctx.data.claims();
    check_eq!(claims.claim_get(&queue, claim).await?, before, "the claim after a restart");
    let (_, taken) = ctx.claim(&queue, 30, 60, 10).await?;
    check_eq!(ids(&taken), pick(&posted, [3, 4])?, "what another claim takes");
    ctx.data.messages().message_delete(&queue, *nth(&posted, 0)?, Some(claim)).await?;
    ctx.advance(299).await?;
    claims.claim_update(&queue, claim, span(300), span(60)).await?;

    let ctx = ctx.reopen().await?;
    ctx.advance(300).await?;
    let free = ctx.list_free(&queue).await?;
    check_eq!(ids(&free), pick(&posted, [1, 2])?, "what is free after the renewed claim's end");
    check!(free.iter().all(|message| message.claim_count == 1), "a count was lost: {free:?}");
    check!(free.iter().all(|message| message.ttl == span(360)), "a life was lost: {free:?}");
    ctx.close().await;
    Ok(())
}

async fn delays_survive(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Delay)?;
    let queue = ctx.queue("delayed").await?;
    let posted = post_delayed(ctx, &queue, 3, 3_000, 100).await?;
    ctx.advance(50).await?;
    let ctx = ctx.reopen().await?;
    ctx.advance(49).await?;
    check!(ctx.list_free(&queue).await?.is_empty(), "delayed messages appear before their time");
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "the whole listing");
    ctx.advance(1).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the listing after the delay");
    ctx.close().await;
    Ok(())
}

async fn positions_survive(ctx: &Context) -> CaseResult {
    let (queue, closed) = (ctx.queue("kept").await?, ctx.queue("closed").await?);
    let posted = ctx.post_n(&queue, 10, 60).await?;
    ctx.data.messages().message_bulk_delete(&queue, &pick(&posted, 5..10)?, None).await?;
    ctx.data.heads().head_close(&closed).await?;
    let head = ctx.data.heads().head_get(&queue).await?;
    ctx.advance(1_000).await?;
    gc(ctx, 0).await?;

    let ctx = ctx.reopen().await?;
    check_eq!(ctx.data.heads().head_get(&queue).await?, head, "the head after a restart");
    let new = ctx.post_n(&queue, 2, 600).await?;
    check_eq!(nth(&new, 0)?.sequence(), head.sequence_next, "the next position");
    let after = everything().marker(zaqar_core::MessageMarker::from(*nth(&posted, 9)?));
    check_eq!(ids(&ctx.walk(&queue, after).await?), new, "what follows an old marker");
    expect_err(ctx.data.heads().head_open(&closed).await, is_gone, "opening a closed head")?;
    ctx.close().await;
    Ok(())
}

async fn keys_survive(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("keyed").await?;
    let options = PostMessages::new().key(super::idempotency::key("k", 1, 600)?);
    let batch = || vec![Context::message(0, 3_000), Context::message(1, 3_000)];
    let first = ctx.data.messages().message_post(&queue, batch(), options.clone()).await?;
    ctx.data.messages().message_delete(&queue, *nth(&first.ids, 0)?, None).await?;
    let ctx = ctx.reopen().await?;
    let again = ctx.data.messages().message_post(&queue, batch(), options).await?;
    check_eq!((&again.ids, again.repeated), (&first.ids, true), "the repeat after a restart");
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&first.ids, [1])?, "the queue");
    ctx.close().await;
    Ok(())
}

async fn queue_records_survive(ctx: &Context) -> CaseResult {
    let (kept, going) = (ctx.queue("kept").await?, ctx.queue("going").await?);
    let queues = ctx.control.queues();
    let metadata = object(r#"{"b": 1, "a": {"c": "ü"}}"#)?;
    let record = queues.queue_set_metadata(&kept, 1, &metadata).await?;
    queues.queue_mark_deleting(&going).await?;
    let mut latest: Incarnation = kept.incarnation.max(going.incarnation);
    for _ in 0..5 {
        latest = latest.max(queues.queue_allocate_incarnation().await?);
    }

    let ctx = ctx.reopen().await?;
    let queues = ctx.control.queues();
    check_eq!(queues.queue_find(&kept.key).await?, Some(record), "the record");
    let found = queues.queue_find(&going.key).await?.map(|record| record.state);
    check_eq!(found, Some(QueueState::Deleting), "the interrupted deletion");
    let deleting = queues.queue_list_deleting(limit(10)?).await?;
    check_eq!(only(&deleting)?.queue_ref(), going, "the list of interrupted deletions");
    let next = queues.queue_allocate_incarnation().await?;
    check!(next > latest, "incarnation {next} comes after {latest}");
    queues.queue_remove(&going).await?;
    let made = queues.queue_insert(&going.key.incarnate(next), &JsonObject::new()).await?;
    check!(made.is_new(), "a removed queue's name is taken after a restart");
    ctx.close().await;
    Ok(())
}

async fn pools_survive(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    let mut pool = super::pool::pool("one", Some("gold"))?;
    pool.options = object(r#"{"x": [1, 2]}"#)?;
    ctx.control.pools().pool_put(pool.clone()).await?;
    let capabilities = [Capability::Fifo, Capability::Durable].into_iter().collect();
    let flavor = Flavor { project: project.clone(), name: FlavorName::new("gold")?, capabilities };
    ctx.control.flavors().flavor_put(flavor.clone()).await?;
    let queue = ctx.unopened("orders").await?;
    let (source, target) = (PoolName::new("one")?, PoolName::new("two")?);
    ctx.control.catalogue().catalogue_put(&queue, &source).await?;
    ctx.control.catalogue().catalogue_move(&queue, &target, 3).await?;
    let entry = CatalogueEntry { queue, pool: target, source: Some(source), epoch: 3 };

    let ctx = ctx.reopen().await?;
    check_eq!(ctx.control.pools().pool_get(&pool.name).await?, pool, "the pool");
    let found = ctx.control.flavors().flavor_get(&project, &flavor.name).await?;
    check_eq!(found, flavor, "the flavor");
    check_eq!(ctx.control.catalogue().catalogue_get(&entry.queue).await?, entry, "the mapping");
    ctx.close().await;
    Ok(())
}

async fn outbox_survives(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Subscriptions)?;
    let queue = ctx.queue("sent").await?;
    let made = super::outbox::subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 5, 86_400).await?;
    let options = LeaseDeliveries::new(LeaseId::random(), span(60)).messages_max(limit(3)?);
    let deliveries = ctx.data.outbox().delivery_lease(options).await?;
    let not_before = zaqar_core::Clock::now(&*ctx.clock).after(span(100));
    let outcomes = [
        (*nth(&posted, 0)?, DeliveryOutcome::Delivered),
        (*nth(&posted, 1)?, DeliveryOutcome::Retry { not_before }),
        (*nth(&posted, 2)?, DeliveryOutcome::Exhausted { reason: "gone".to_owned() }),
    ];
    ctx.data.outbox().delivery_complete(only(&deliveries)?, &outcomes, true).await?;

    let ctx = ctx.reopen().await?;
    check_eq!(ctx.data.subscriptions().subscription_get(&queue, made.id).await?, made, "read");
    let next = super::outbox::lease(&ctx, 60).await?;
    check_eq!(super::outbox::sent(&next), pick(&posted, [3, 4])?, "what is handed out next");

    let ctx = ctx.reopen().await?;
    check!(super::outbox::lease(&ctx, 60).await?.is_empty(), "a restart ended a lease");
    super::outbox::complete(&ctx, only(&next)?).await?;
    ctx.advance(100).await?;
    let retry = super::outbox::lease(&ctx, 60).await?;
    check_eq!(super::outbox::sent(&retry), pick(&posted, [1])?, "the retry");
    check_eq!(only(&only(&retry)?.messages)?.attempts, 1, "its attempts");
    let page = ctx.data.outbox().delivery_list_exhausted(&queue, None, limit(10)?).await?;
    check_eq!(only(&page.items)?.message, *nth(&posted, 2)?, "the delivery given up");
    ctx.close().await;
    Ok(())
}

async fn transfers_survive(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::DeadLetter)?;
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = super::dead_letter::parked(ctx, &source, 2).await?;

    let ctx = ctx.reopen().await?;
    let transfers = super::dead_letter::lease(&ctx).await?;
    check_eq!(transfers.len(), 2, "transfers after a restart");
    let first = nth(&transfers, 0)?.message.clone();
    ctx.data.messages().message_insert_moved(&dead, first).await?;

    let ctx = ctx.reopen().await?;
    check!(super::dead_letter::lease(&ctx).await?.is_empty(), "a restart ended a lease");
    ctx.advance(60).await?;
    for (number, transfer) in super::dead_letter::lease(&ctx).await?.iter().enumerate() {
        let inserted =
            ctx.data.messages().message_insert_moved(&dead, transfer.message.clone()).await?;
        check_eq!(inserted.is_new(), number == 1, "whether insert {number} is new");
        ctx.data.outbox().transfer_complete(transfer).await?;
    }
    check!(ctx.list_all(&source).await?.is_empty(), "the source still holds a copy");
    check_eq!(ids(&ctx.list_all(&dead).await?), posted, "the target");
    ctx.close().await;
    Ok(())
}

async fn collection_resumes(ctx: &Context) -> CaseResult {
    let (closed, purged) = (ctx.queue("closed").await?, ctx.queue("purged").await?);
    for queue in [&closed, &purged] {
        ctx.post_n(queue, 500, 1_000_000).await?;
    }
    ctx.delete_queue(&closed).await?;
    ctx.data.messages().message_purge(&purged).await?;
    let kept = ctx.post_n(&purged, 1, 1_000_000).await?;
    let ctx = ctx.reopen().await?;
    ctx.advance(1_000).await?;
    let rows = gc(&ctx, 300).await?;
    check!(rows >= 1_000, "{rows} rows were removed of a thousand messages");
    check_eq!(ids(&ctx.list_all(&purged).await?), kept, "what is left");
    ctx.close().await;
    Ok(())
}

async fn closing_finishes_what_was_accepted(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("closing").await?;
    let node = ctx.second_handle().await?;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (drivers, queue) = (node.drivers(), queue.clone());
        tasks.push(tokio::spawn(async move {
            let mut acked = Vec::new();
            loop {
                let batch = (0..3).map(|n| Context::message(n, 3_000)).collect();
                let options = PostMessages::new();
                match drivers.data.messages().message_post(&queue, batch, options).await {
                    Ok(posted) => acked.push(posted.ids),
                    Err(error) => return (acked, error),
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    while ctx.list_all(&queue).await?.len() < 60 {
        tokio::task::yield_now().await;
    }
    node.close().await;
    let mut wanted = Vec::new();
    for task in tasks {
        let (acked, error) = task.await.map_err(Failure::broken)?;
        check_eq!(error.effect(), Effect::None, "the effect of a post to a closed node: {error:?}");
        wanted.extend(acked.into_iter().flatten());
    }
    wanted.sort();
    let ctx = ctx.reopen().await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), wanted, "the messages after a restart");
    ctx.close().await;
    Ok(())
}

async fn closed_node_refuses(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("open").await?;
    let posted = ctx.post_n(&queue, 2, 3_000).await?;
    let node = ctx.second_handle().await?;
    node.list_all(&queue).await?;
    // Its own incarnations cannot be allocated once it is closed, so this one is handed in.
    let elsewhere = ctx.queue("elsewhere").await?;
    node.close().await;
    node.close().await;
    let none = |error: &Error| error.effect() == Effect::None;
    for target in [&queue, &elsewhere] {
        let posted = super::support::try_post(&node, target, 1).await;
        expect_err(posted, none, "a post at a closed node")?;
        let popped = node.data.messages().message_pop(target, limit(1)?).await;
        expect_err(popped, none, "a pop at a closed node")?;
        let listed = node.data.messages().message_list(target, ListMessages::new()).await;
        expect_err(listed, none, "a listing at a closed node")?;
        expect_err(node.data.heads().head_close(target).await, none, "a close at a closed node")?;
    }
    expect_err(node.data.health().await, none, "the health of a closed node")?;
    expect_err(node.data.sweep().await, none, "a sweep at a closed node")?;
    expect_err(node.data.gc(zaqar_core::GcOptions::new()).await, none, "a collection there")?;
    expect_err(node.data.volume().await, none, "the volume at a closed node")?;
    let found = node.control.queues().queue_find(&queue.key).await;
    expect_err(found, none, "finding a queue at a closed node")?;
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "the other node's listing");
    for (operation, answer) in attempt_all(ctx, &elsewhere).await? {
        let refused = answer.err().is_some_and(|error| is_gone(&error));
        check!(!refused, "{operation} at the other node is refused");
    }
    Ok(())
}

/// Failed without an effect, and not for want of what was asked for.
fn is_refused(error: &Error) -> bool {
    error.effect() == Effect::None && error.class() != ErrorClass::NotFound
}

async fn closed_control_plane_refuses(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("kept").await?;
    let node = ctx.second_handle().await?;
    let found = node.control.queues().queue_find(&queue.key).await?;
    let record = found.ok_or_else(|| Failure::broken("a second node finds no queue"))?;
    let (control, metadata) = (&node.control, object(r#"{"kept": true}"#)?);
    control.close().await;
    let queues = control.queues();
    expect_err(queues.queue_find(&queue.key).await, is_refused, "finding a queue")?;
    let change = queues.queue_set_metadata(&queue, record.revision, &metadata).await;
    expect_err(change, is_refused, "a change of metadata")?;
    expect_err(queues.queue_allocate_incarnation().await, is_refused, "an incarnation")?;
    expect_err(queues.queue_mark_deleting(&queue).await, is_refused, "a deletion")?;
    expect_err(control.pools().pool_list(None, None).await, is_refused, "the pools")?;
    let flavor = control.flavors().flavor_get(&queue.key.project, &FlavorName::new("gold")?).await;
    expect_err(flavor, is_refused, "a flavor")?;
    let place = control.catalogue().catalogue_get(&queue).await;
    expect_err(place, is_refused, "an entry of the catalogue")?;
    expect_err(control.health().await, is_refused, "its health")?;
    let left = ctx.control.queues().queue_find(&queue.key).await?;
    check_eq!(left, Some(record), "the queue, found by the other node");
    Ok(())
}
