//! The catalogue and flavors of the control plane.

use zaqar_core::{
    Capabilities, Capability, CatalogueEntry, Error, Flavor, FlavorName, PoolName, ProjectId,
    QueueKey, QueueName,
};

use super::support::{limit, nth};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    mapping_reads_as_stored = "catalogue.put.reads_as_stored" {
        level: Core,
        guarantees: [],
        methods: ["catalogue_put", "catalogue_get"],
        summary: "A mapping reads as it was stored; storing it again replaces pool and epoch; its pool need not be known.",
    }
    missing_mapping_is_not_found = "catalogue.get.missing" {
        level: Core,
        guarantees: [G12],
        methods: ["catalogue_get", "catalogue_move", "catalogue_delete"],
        summary: "Another name, project or kind is not mapped: not read, not moved, silent to delete.",
    }
    moves_go_forward_alone = "catalogue.move.epochs_ascend" {
        level: Core,
        guarantees: [G17],
        methods: ["catalogue_move"],
        summary: "A move sets pool and epoch if its epoch is higher; an equal or lower one is refused and changes nothing.",
    }
    racing_moves_have_one_winner = "catalogue.move.race" {
        level: Core,
        guarantees: [G17],
        methods: ["catalogue_move"],
        summary: "Of two nodes that move a queue under one epoch at once, one succeeds.",
    }
    project_lists_its_own = "catalogue.list.project" {
        level: Core,
        guarantees: [G9, G12],
        methods: ["catalogue_list"],
        summary: "A project's mappings are paged, queues before topics, each by name, and no other project's shown.",
    }
    pool_lists_what_it_holds = "catalogue.list.pool" {
        level: Core,
        guarantees: [G9],
        methods: ["catalogue_list_by_pool"],
        summary: "What a pool holds is paged over all projects, in the order of project, kind and name.",
    }
    mappings_are_counted_and_removed = "catalogue.delete.counted" {
        level: Core,
        guarantees: [],
        methods: ["catalogue_delete", "catalogue_count", "catalogue_delete_all"],
        summary: "Mappings of a name count queue and topic; removed ones are gone; removing all leaves none.",
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

fn entry(key: &QueueKey, pool: &str, epoch: u64) -> Result<CatalogueEntry, Failure> {
    Ok(CatalogueEntry { key: key.clone(), pool: PoolName::new(pool)?, epoch })
}

fn queue(project: &ProjectId, name: &str) -> Result<QueueKey, Failure> {
    Ok(QueueKey::queue(project.clone(), QueueName::new(name)?))
}

fn topic(project: &ProjectId, name: &str) -> Result<QueueKey, Failure> {
    Ok(QueueKey::topic(project.clone(), QueueName::new(name)?))
}

async fn mapping_reads_as_stored(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let key = queue(&ctx.project("main")?, "orders")?;
    for (pool, epoch) in [("unknown-pool", 0), ("another", 3), ("third", 1)] {
        let stored = entry(&key, pool, epoch)?;
        catalogue.catalogue_put(stored.clone()).await?;
        check_eq!(catalogue.catalogue_get(&key).await?, stored, "the mapping to {pool}");
    }
    Ok(())
}

async fn missing_mapping_is_not_found(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let (main, other) = (ctx.project("main")?, ctx.project("other")?);
    let key = queue(&main, "orders")?;
    let stored = entry(&key, "pool", 1)?;
    catalogue.catalogue_put(stored.clone()).await?;
    for stranger in [
        queue(&main, "order")?,
        queue(&main, "Orders")?,
        queue(&other, "orders")?,
        queue(&other, "x")?,
        topic(&main, "orders")?,
    ] {
        expect_err(catalogue.catalogue_get(&stranger).await, is_unmapped, format!("{stranger:?}"))?;
        let moved = catalogue.catalogue_move(&stranger, &PoolName::new("p")?, 9).await;
        expect_err(moved, is_unmapped, format!("moving {stranger:?}"))?;
        catalogue.catalogue_delete(&stranger).await?;
    }
    check_eq!(catalogue.catalogue_get(&key).await?, stored, "the mapping afterwards");
    Ok(())
}

async fn moves_go_forward_alone(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let key = queue(&ctx.project("main")?, "orders")?;
    catalogue.catalogue_put(entry(&key, "old", 0)?).await?;
    catalogue.catalogue_move(&key, &PoolName::new("new")?, 4).await?;
    let moved = entry(&key, "new", 4)?;
    check_eq!(catalogue.catalogue_get(&key).await?, moved, "the mapping once moved");
    let refused = |error: &Error| matches!(error, Error::QueueMoved { .. });
    for epoch in [4, 3, 0] {
        let late = catalogue.catalogue_move(&key, &PoolName::new("late")?, epoch).await;
        expect_err(late, refused, format!("a move of epoch {epoch} at 4"))?;
        check_eq!(catalogue.catalogue_get(&key).await?, moved, "the mapping after it");
    }
    Ok(())
}

async fn racing_moves_have_one_winner(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    let key = queue(&ctx.project("main")?, "orders")?;
    ctx.control.catalogue().catalogue_put(entry(&key, "old", 0)?).await?;
    for epoch in 1..=15 {
        let (left, right) = (PoolName::new("left")?, PoolName::new("right")?);
        let (a, b) = futures_util::future::join(
            ctx.control.catalogue().catalogue_move(&key, &left, epoch),
            other.control.catalogue().catalogue_move(&key, &right, epoch),
        )
        .await;
        check!(a.is_ok() != b.is_ok(), "two moves under epoch {epoch}: {a:?} and {b:?}");
        let winner = if a.is_ok() { "left" } else { "right" };
        let found = ctx.control.catalogue().catalogue_get(&key).await?;
        check_eq!(found, entry(&key, winner, epoch)?, "the mapping after epoch {epoch}");
    }
    other.close().await;
    Ok(())
}

/// Maps `names`, queue and topic each, in `project` to `pool`; returns the keys in order.
async fn map(
    ctx: &Context,
    project: &ProjectId,
    pool: &str,
    names: &[&str],
) -> Result<Vec<QueueKey>, Failure> {
    let mut keys = Vec::new();
    for name in names.iter().rev() {
        keys.extend([topic(project, name)?, queue(project, name)?]);
    }
    for key in &keys {
        ctx.control.catalogue().catalogue_put(entry(key, pool, 0)?).await?;
    }
    keys.sort();
    Ok(keys)
}

async fn project_lists_its_own(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let (main, other) = (ctx.project("main")?, ctx.project("main.other")?);
    check!(
        catalogue.catalogue_list(&main, None, limit(10)?).await?.items.is_empty(),
        "a fresh catalogue lists something"
    );
    let wanted = map(ctx, &main, "pool", &["a", "B", "a.b", "c", "d", "Z"]).await?;
    map(ctx, &other, "pool", &["a", "x"]).await?;
    for size in [1, 5, 12, 100] {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let page = catalogue.catalogue_list(&main, marker.as_ref(), limit(size)?).await?;
            if page.items.is_empty() {
                break;
            }
            check!(page.next.is_some() && found.len() <= 12, "a walk of mappings does not end");
            found.extend(page.items.into_iter().map(|entry| entry.key));
            marker = page.next;
        }
        check_eq!(found, wanted, "the project's mappings in pages of {size}");
    }
    Ok(())
}

async fn pool_lists_what_it_holds(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let mut wanted = Vec::new();
    for label in ["b", "a", "c"] {
        let project = ctx.project(label)?;
        wanted.extend(map(ctx, &project, "pool", &["q", "Q", "r"]).await?);
        map(ctx, &project, "pool-2", &["s"]).await?;
    }
    wanted.sort();
    let pool = PoolName::new("pool")?;
    for size in [1, 4, 18, 100] {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let asked = catalogue.catalogue_list_by_pool(&pool, marker.as_ref(), limit(size)?);
            let page = asked.await?;
            if page.items.is_empty() {
                break;
            }
            check!(page.next.is_some() && found.len() <= 18, "a walk of a pool does not end");
            found.extend(page.items.into_iter().map(|entry| entry.key));
            marker = page.next;
        }
        check_eq!(found, wanted, "the pool's mappings in pages of {size}");
    }
    Ok(())
}

async fn mappings_are_counted_and_removed(ctx: &Context) -> CaseResult {
    let catalogue = ctx.control.catalogue();
    let (main, other) = (ctx.project("main")?, ctx.project("other")?);
    map(ctx, &main, "pool", &["a", "b"]).await?;
    map(ctx, &other, "pool", &["a"]).await?;
    let name = QueueName::new("a")?;
    for (wanted, doomed) in [(2, queue(&main, "a")?), (1, topic(&main, "a")?)] {
        check_eq!(catalogue.catalogue_count(&main, &name).await?, wanted, "mappings of the name");
        catalogue.catalogue_delete(&doomed).await?;
        catalogue.catalogue_delete(&doomed).await?;
        expect_err(catalogue.catalogue_get(&doomed).await, is_unmapped, "a removed mapping")?;
    }
    check_eq!(catalogue.catalogue_count(&main, &name).await?, 0, "mappings of the name");
    check_eq!(catalogue.catalogue_count(&other, &name).await?, 2, "in the other project");
    let left = catalogue.catalogue_list(&main, None, limit(10)?).await?;
    check_eq!(left.items.len(), 2, "mappings left");
    catalogue.catalogue_delete_all().await?;
    for project in [&main, &other] {
        let left = catalogue.catalogue_list(project, None, limit(10)?).await?;
        check!(left.items.is_empty(), "mappings are left: {:?}", left.items);
    }
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
