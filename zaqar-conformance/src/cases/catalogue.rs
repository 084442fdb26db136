//! The catalogue and flavors of the control plane.

use zaqar_core::{
    Capabilities, Capability, CatalogueEntry, Error, Flavor, FlavorName, PoolName, ProjectId,
    QueueKey, QueueKind, QueueName, QueueRef,
};

use super::support::{limit, nth};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    mapping_reads_as_stored = "catalogue.put.reads_as_stored" {
        level: Core,
        guarantees: [],
        methods: ["catalogue_put", "catalogue_get"],
        summary: "A mapping reads as it was stored, under epoch 0 and with no source; its pool need not be known.",
    }
    mapping_is_not_replaced = "catalogue.put.never_replaces" {
        level: Core,
        guarantees: [G17],
        methods: ["catalogue_put"],
        summary: "Mapping again to the same pool is a repeat; to another one, or once the queue was moved, it is refused and changes nothing.",
    }
    racing_nodes_agree = "catalogue.put.race" {
        level: Core,
        guarantees: [G17],
        methods: ["catalogue_put"],
        summary: "Of two nodes that map an incarnation to different pools at once, one succeeds.",
    }
    incarnations_are_mapped_alone = "catalogue.get.missing" {
        level: Core,
        guarantees: [G11, G12],
        methods: ["catalogue_get", "catalogue_move", "catalogue_settle", "catalogue_delete"],
        summary: "Another incarnation of the same name is not mapped: not read, not moved, not settled, silent to delete.",
    }
    moves_go_forward_alone = "catalogue.move.epochs_ascend" {
        level: Core,
        guarantees: [G17],
        methods: ["catalogue_move", "catalogue_settle"],
        summary: "A move sets pool, source and epoch if its epoch is higher; an equal or lower one is refused and changes nothing.",
    }
    moves_do_not_overlap = "catalogue.settle.ends_a_move" {
        level: Core,
        guarantees: [G17],
        methods: ["catalogue_move", "catalogue_settle"],
        summary: "No move begins before the one before is settled; only its own epoch settles it, as often as one likes.",
    }
    racing_moves_have_one_winner = "catalogue.move.race" {
        level: Core,
        guarantees: [G17],
        methods: ["catalogue_move"],
        summary: "Of two nodes that move a queue under one epoch at once, one succeeds.",
    }
    pool_lists_what_it_holds = "catalogue.list.pool" {
        level: Core,
        guarantees: [G9],
        methods: ["catalogue_list_by_pool"],
        summary: "What a pool holds is paged over all projects, ascending by incarnation; a moved queue is in its new pool.",
    }
    moves_are_listed = "catalogue.list.moving" {
        level: Core,
        guarantees: [G9, G17],
        methods: ["catalogue_list_moving"],
        summary: "What is being moved is paged over all pools until it is settled or removed.",
    }
    mappings_are_removed = "catalogue.delete.one" {
        level: Core,
        guarantees: [],
        methods: ["catalogue_delete"],
        summary: "A removed mapping is gone from reads and listings, its neighbours stay; removing it again is silent.",
    }
    flavor_reads_as_stored = "flavor.put.reads_as_stored" {
        level: Core,
        guarantees: [G12],
        methods: ["flavor_put", "flavor_get"],
        summary: "A flavor reads as it was stored and belongs to its project; storing it again replaces it.",
    }
    missing_flavor_is_not_found = "flavor.get.missing" {
        level: Core,
        guarantees: [],
        methods: ["flavor_get", "flavor_update", "flavor_delete"],
        summary: "A flavor that is not there is not found by read and update, and silent to delete.",
    }
    flavor_is_updated_and_removed = "flavor.update.and_delete" {
        level: Core,
        guarantees: [G12],
        methods: ["flavor_update", "flavor_delete", "flavor_delete_all"],
        summary: "Updating and deleting a flavor leave another project's of that name; removing all spares none.",
    }
    flavors_are_paged_by_name = "flavor.list.paged_by_name" {
        level: Core,
        guarantees: [G9, G12],
        methods: ["flavor_list"],
        summary: "A project's fifteen flavors are listed by name in pages, from a marker, without another project's.",
    }
}

fn is_unmapped(error: &Error) -> bool {
    matches!(error, Error::QueueNotMapped { .. })
}

fn is_no_flavor(error: &Error) -> bool {
    matches!(error, Error::FlavorNotFound { .. })
}

fn is_moved(error: &Error) -> bool {
    matches!(error, Error::QueueMoved { .. })
}

fn pool(name: &str) -> Result<PoolName, Failure> {
    Ok(PoolName::new(name)?)
}

fn entry(
    queue: &QueueRef,
    at: &str,
    source: Option<&str>,
    epoch: u64,
) -> Result<CatalogueEntry, Failure> {
    let source = source.map(pool).transpose()?;
    Ok(CatalogueEntry { queue: queue.clone(), pool: pool(at)?, source, epoch })
}

async fn mapping_reads_as_stored(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let queue = ctx.unopened("orders").await?;
    let key = QueueKey { kind: QueueKind::Topic, ..queue.key.clone() };
    let topic = key.incarnate(ctx.control.queues().queue_allocate_incarnation().await?);
    for (queue, at) in [(queue, "unknown-pool"), (topic, "Another.pool_2")] {
        catalogue.catalogue_put(&queue, &pool(at)?).await?;
        let found = catalogue.catalogue_get(&queue).await?;
        check_eq!(found, entry(&queue, at, None, 0)?, "the mapping to {at}");
    }
    Ok(())
}

async fn mapping_is_not_replaced(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let queue = ctx.unopened("orders").await?;
    let (first, second) = (pool("first")?, pool("second")?);
    catalogue.catalogue_put(&queue, &first).await?;
    catalogue.catalogue_put(&queue, &first).await?;
    expect_err(catalogue.catalogue_put(&queue, &second).await, is_moved, "another pool")?;
    check_eq!(catalogue.catalogue_get(&queue).await?, entry(&queue, "first", None, 0)?, "after it");
    catalogue.catalogue_move(&queue, &second, 1).await?;
    for at in [&first, &second] {
        expect_err(catalogue.catalogue_put(&queue, at).await, is_moved, "a moved queue")?;
    }
    let moved = entry(&queue, "second", Some("first"), 1)?;
    check_eq!(catalogue.catalogue_get(&queue).await?, moved, "the moved queue's mapping");
    Ok(())
}

async fn racing_nodes_agree(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    let (left, right) = (pool("left")?, pool("right")?);
    for number in 0..15 {
        let queue = ctx.unopened(&format!("orders-{number}")).await?;
        let (a, b) = futures_util::future::join(
            ctx.control.catalogue().catalogue_put(&queue, &left),
            other.control.catalogue().catalogue_put(&queue, &right),
        )
        .await;
        check!(a.is_ok() != b.is_ok(), "mapped twice at once: {a:?} and {b:?}");
        let winner = if a.is_ok() { "left" } else { "right" };
        let found = ctx.control.catalogue().catalogue_get(&queue).await?;
        check_eq!(found, entry(&queue, winner, None, 0)?, "the mapping");
    }
    other.close().await;
    Ok(())
}

async fn incarnations_are_mapped_alone(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let queue = ctx.unopened("orders").await?;
    catalogue.catalogue_put(&queue, &pool("pool")?).await?;
    let next = queue.key.incarnate(ctx.control.queues().queue_allocate_incarnation().await?);
    expect_err(catalogue.catalogue_get(&next).await, is_unmapped, "the next incarnation")?;
    let moved = catalogue.catalogue_move(&next, &pool("p")?, 9).await;
    expect_err(moved, is_unmapped, "moving it")?;
    expect_err(catalogue.catalogue_settle(&next, 0).await, is_unmapped, "settling it")?;
    catalogue.catalogue_delete(&next).await?;
    let found = catalogue.catalogue_get(&queue).await?;
    check_eq!(found, entry(&queue, "pool", None, 0)?, "the mapping afterwards");
    Ok(())
}

async fn moves_go_forward_alone(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let queue = ctx.unopened("orders").await?;
    catalogue.catalogue_put(&queue, &pool("old")?).await?;
    catalogue.catalogue_move(&queue, &pool("new")?, 4).await?;
    let moved = entry(&queue, "new", Some("old"), 4)?;
    check_eq!(catalogue.catalogue_get(&queue).await?, moved, "the mapping once moved");
    catalogue.catalogue_settle(&queue, 4).await?;
    let settled = entry(&queue, "new", None, 4)?;
    for epoch in [4, 3, 0] {
        let late = catalogue.catalogue_move(&queue, &pool("late")?, epoch).await;
        expect_err(late, is_moved, format!("a move of epoch {epoch} at 4"))?;
        check_eq!(catalogue.catalogue_get(&queue).await?, settled, "the mapping after it");
    }
    Ok(())
}

async fn moves_do_not_overlap(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let queue = ctx.unopened("orders").await?;
    catalogue.catalogue_put(&queue, &pool("a")?).await?;
    catalogue.catalogue_settle(&queue, 0).await?;
    catalogue.catalogue_move(&queue, &pool("b")?, 1).await?;
    let moving = entry(&queue, "b", Some("a"), 1)?;
    let early = catalogue.catalogue_move(&queue, &pool("c")?, 2).await;
    expect_err(early, is_moved, "a move during another")?;
    for epoch in [0, 2] {
        let strange = catalogue.catalogue_settle(&queue, epoch).await;
        expect_err(strange, is_moved, format!("settling epoch {epoch} at 1"))?;
    }
    check_eq!(catalogue.catalogue_get(&queue).await?, moving, "the mapping during the move");
    catalogue.catalogue_settle(&queue, 1).await?;
    catalogue.catalogue_settle(&queue, 1).await?;
    let settled = entry(&queue, "b", None, 1)?;
    check_eq!(catalogue.catalogue_get(&queue).await?, settled, "the settled mapping");
    catalogue.catalogue_move(&queue, &pool("a")?, 2).await?;
    let back = entry(&queue, "a", Some("b"), 2)?;
    check_eq!(catalogue.catalogue_get(&queue).await?, back, "the mapping on its way back");
    Ok(())
}

async fn racing_moves_have_one_winner(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    let queue = ctx.unopened("orders").await?;
    let catalogue = ctx.control.catalogue();
    catalogue.catalogue_put(&queue, &pool("old")?).await?;
    let mut before = "old";
    for epoch in 1..=15 {
        let (left, right) = (pool("left")?, pool("right")?);
        let (a, b) = futures_util::future::join(
            catalogue.catalogue_move(&queue, &left, epoch),
            other.control.catalogue().catalogue_move(&queue, &right, epoch),
        )
        .await;
        check!(a.is_ok() != b.is_ok(), "two moves under epoch {epoch}: {a:?} and {b:?}");
        let winner = if a.is_ok() { "left" } else { "right" };
        let found = catalogue.catalogue_get(&queue).await?;
        let wanted = entry(&queue, winner, Some(before), epoch)?;
        check_eq!(found, wanted, "the mapping after epoch {epoch}");
        catalogue.catalogue_settle(&queue, epoch).await?;
        before = winner;
    }
    other.close().await;
    Ok(())
}

/// Walks the listing of a pool, or of what is being moved, in pages of `size`.
async fn walk(
    ctx: &Context,
    of: Option<&PoolName>,
    size: u32,
) -> Result<Vec<CatalogueEntry>, Failure> {
    let catalogue = ctx.control.catalogue();
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let page = match of {
            Some(pool) => catalogue.catalogue_list_by_pool(pool, marker, limit(size)?).await?,
            None => catalogue.catalogue_list_moving(marker, limit(size)?).await?,
        };
        if page.items.is_empty() {
            return Ok(found);
        }
        let full = usize::try_from(size).unwrap_or(usize::MAX);
        check!(page.items.len() <= full, "a page of {size} holds {}", page.items.len());
        check!(page.next.is_some() && found.len() <= 100, "a walk of mappings does not end");
        found.extend(page.items);
        marker = page.next;
    }
}

/// Maps `names` in each of three projects; returns the mappings in order.
async fn map(ctx: &Context, at: &str, names: &[&str]) -> Result<Vec<CatalogueEntry>, Failure> {
    let mut entries = Vec::new();
    for label in ["b", "a", "c"] {
        let project = ctx.project(label)?;
        for name in names {
            let key = QueueKey::queue(project.clone(), QueueName::new(name)?);
            let incarnation = ctx.control.queues().queue_allocate_incarnation().await?;
            entries.push(entry(&key.incarnate(incarnation), at, None, 0)?);
        }
    }
    // Not in the order in which they are to be listed.
    for entry in entries.iter().rev() {
        ctx.control.catalogue().catalogue_put(&entry.queue, &entry.pool).await?;
    }
    Ok(entries)
}

async fn pool_lists_what_it_holds(ctx: &Context) -> CaseResult {
    let (first, second) = (pool("pool")?, pool("pool-2")?);
    check!(walk(ctx, Some(&first), 10).await?.is_empty(), "a fresh catalogue lists something");
    let mut wanted = map(ctx, "pool", &["q", "Q", "r", "s"]).await?;
    let mut theirs = map(ctx, "pool-2", &["q", "t"]).await?;
    let mut moved = wanted.remove(5);
    ctx.control.catalogue().catalogue_move(&moved.queue, &second, 1).await?;
    (moved.pool, moved.source, moved.epoch) = (second.clone(), Some(first.clone()), 1);
    theirs.insert(0, moved);
    for size in [1, 4, 11, 100] {
        check_eq!(walk(ctx, Some(&first), size).await?, wanted, "the pool in pages of {size}");
        check_eq!(walk(ctx, Some(&second), size).await?, theirs, "the other, in pages of {size}");
    }
    Ok(())
}

async fn moves_are_listed(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let mut entries = map(ctx, "pool", &["q", "r", "s"]).await?;
    check!(walk(ctx, None, 10).await?.is_empty(), "moves are listed before any");
    let mut moving = Vec::new();
    for (number, entry) in entries.iter_mut().enumerate() {
        if number % 2 == 0 {
            let target = pool(if number % 4 == 0 { "x" } else { "y" })?;
            catalogue.catalogue_move(&entry.queue, &target, 3).await?;
            (entry.source, entry.epoch) = (Some(std::mem::replace(&mut entry.pool, target)), 3);
            moving.push(entry.clone());
        }
    }
    for size in [1, 2, 5, 100] {
        check_eq!(walk(ctx, None, size).await?, moving, "the moves in pages of {size}");
    }
    catalogue.catalogue_settle(&moving.remove(1).queue, 3).await?;
    catalogue.catalogue_delete(&moving.remove(1).queue).await?;
    check_eq!(walk(ctx, None, 10).await?, moving, "the moves that are left");
    Ok(())
}

async fn mappings_are_removed(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let mut entries = map(ctx, "pool", &["q", "r"]).await?;
    let at = pool("pool")?;
    while entries.len() > 1 {
        let gone = entries.remove(1);
        catalogue.catalogue_delete(&gone.queue).await?;
        catalogue.catalogue_delete(&gone.queue).await?;
        expect_err(catalogue.catalogue_get(&gone.queue).await, is_unmapped, "a removed mapping")?;
        check_eq!(walk(ctx, Some(&at), 10).await?, entries, "the mappings that are left");
    }
    let last = entries.remove(0);
    check_eq!(catalogue.catalogue_get(&last.queue).await?, last, "the one that was not removed");
    Ok(())
}

fn flavor(project: &ProjectId, name: &str, capabilities: &[Capability]) -> Result<Flavor, Failure> {
    let capabilities: Capabilities = capabilities.iter().copied().collect();
    Ok(Flavor { project: project.clone(), name: FlavorName::new(name)?, capabilities })
}

async fn flavor_reads_as_stored(ctx: &Context) -> CaseResult {
    let flavors = ctx.control.flavors();
    let (main, other) = (ctx.project("main")?, ctx.project("other")?);
    let theirs = flavor(&other, "gold", &[Capability::Durable])?;
    flavors.flavor_put(theirs.clone()).await?;
    let missing = flavors.flavor_get(&main, &theirs.name).await;
    expect_err(missing, is_no_flavor, "another project's flavor")?;
    for capabilities in [&[Capability::Fifo, Capability::Claims][..], &[], &[Capability::Claims]] {
        let stored = flavor(&main, "gold", capabilities)?;
        flavors.flavor_put(stored.clone()).await?;
        check_eq!(flavors.flavor_get(&main, &stored.name).await?, stored, "the flavor read");
    }
    check_eq!(flavors.flavor_get(&other, &theirs.name).await?, theirs, "the other project's");
    Ok(())
}

async fn missing_flavor_is_not_found(ctx: &Context) -> CaseResult {
    let flavors = ctx.control.flavors();
    let (project, name) = (ctx.project("main")?, FlavorName::new("missing")?);
    expect_err(flavors.flavor_get(&project, &name).await, is_no_flavor, "reading it")?;
    let updated = flavors.flavor_update(&project, &name, Capabilities::default()).await;
    expect_err(updated, is_no_flavor, "updating it")?;
    flavors.flavor_delete(&project, &name).await?;
    let listed = flavors.flavor_list(&project, None, limit(10)?).await?;
    check!(listed.items.is_empty(), "an update of a missing flavor made one");
    Ok(())
}

async fn flavor_is_updated_and_removed(ctx: &Context) -> CaseResult {
    let flavors = ctx.control.flavors();
    let (main, other) = (ctx.project("main")?, ctx.project("other")?);
    let (ours, theirs) = (flavor(&main, "gold", &[])?, flavor(&other, "gold", &[])?);
    flavors.flavor_put(ours.clone()).await?;
    flavors.flavor_put(theirs.clone()).await?;
    let wanted = flavor(&main, "gold", &[Capability::Fifo])?;
    flavors.flavor_update(&main, &ours.name, wanted.capabilities.clone()).await?;
    check_eq!(flavors.flavor_get(&main, &ours.name).await?, wanted, "ours, updated");
    check_eq!(flavors.flavor_get(&other, &theirs.name).await?, theirs, "theirs, afterwards");
    flavors.flavor_delete(&main, &ours.name).await?;
    let gone = flavors.flavor_get(&main, &ours.name).await;
    expect_err(gone, is_no_flavor, "ours, deleted")?;
    check_eq!(flavors.flavor_get(&other, &theirs.name).await?, theirs, "theirs, afterwards");
    flavors.flavor_delete_all().await?;
    let gone = flavors.flavor_get(&other, &theirs.name).await;
    expect_err(gone, is_no_flavor, "theirs, once all are removed")?;
    Ok(())
}

async fn flavors_are_paged_by_name(ctx: &Context) -> CaseResult {
    let flavors = ctx.control.flavors();
    let (main, other) = (ctx.project("main")?, ctx.project("other")?);
    for number in (0..15_u8).rev() {
        let name = char::from(b'A' + number).to_string();
        flavors.flavor_put(flavor(&main, &name, &[Capability::Claims])?).await?;
        flavors.flavor_put(flavor(&other, &format!("{name}-other"), &[])?).await?;
    }
    let first = flavors.flavor_list(&main, None, limit(10)?).await?;
    check_eq!(first.items.len(), 10, "the first page");
    check_eq!(nth(&first.items, 0)?, &flavor(&main, "A", &[Capability::Claims])?, "its first");
    let second = flavors.flavor_list(&main, first.next.as_ref(), limit(10)?).await?;
    check_eq!(second.items.len(), 5, "the second page");
    let third = flavors.flavor_list(&main, second.next.as_ref(), limit(10)?).await?;
    check!(third.items.is_empty(), "the page after the end holds {:?}", third.items);
    let marker = FlavorName::new("D")?;
    let after = flavors.flavor_list(&main, Some(&marker), limit(5)?).await?;
    let names: Vec<&str> = after.items.iter().map(|flavor| flavor.name.as_str()).collect();
    check_eq!(names, ["E", "F", "G", "H", "I"], "five after a marker");
    Ok(())
}
