//! Pools of the control plane.

use zaqar_core::{
    Capabilities, Capability, Error, FlavorName, JsonObject, Pool, PoolName, UpdatePool,
};

use super::support::{limit, nth, object, only};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    pool_reads_as_stored = "pool.put.reads_as_stored" {
        level: Core,
        guarantees: [],
        methods: ["pool_put", "pool_get"],
        summary: "A pool reads as it was stored, options and capabilities included; storing it again replaces it.",
    }
    missing_pool_is_not_found = "pool.get.missing" {
        level: Core,
        guarantees: [],
        methods: ["pool_get", "pool_update", "pool_delete"],
        summary: "A pool that is not there is not found by read and update, and silent to delete.",
    }
    update_changes_what_is_named = "pool.update.changes_what_is_named" {
        level: Core,
        guarantees: [],
        methods: ["pool_update", "pool_get"],
        summary: "An update sets weight, address, flavor or options and leaves the rest; an empty one is refused.",
    }
    addresses_are_unique = "pool.put.address_in_use" {
        level: Core,
        guarantees: [],
        methods: ["pool_put", "pool_update"],
        summary: "Two pools of one address are refused, by storing and by updating, and nothing changes.",
    }
    pools_of_a_flavor_have_equal_capabilities = "pool.put.capabilities_of_its_flavor" {
        level: Core,
        guarantees: [],
        methods: ["pool_put", "pool_update"],
        summary: "A pool joins a flavor, or the pools without one, only with the capabilities that the others have.",
    }
    last_pool_of_a_flavor_stays = "pool.delete.last_of_its_flavor" {
        level: Core,
        guarantees: [],
        methods: ["pool_delete", "pool_update"],
        summary: "The last pool of a flavor is not deleted until it leaves the flavor; one of several is.",
    }
    pools_are_paged_by_name = "pool.list.paged_by_name" {
        level: Core,
        guarantees: [G9],
        methods: ["pool_list"],
        summary: "Fifteen pools are listed by name in pages of ten and five, from a marker, or all at once.",
    }
    pools_are_listed_by_flavor = "pool.list.by_flavor" {
        level: Core,
        guarantees: [],
        methods: ["pool_list_by_flavor"],
        summary: "Listing by flavor shows that flavor's pools; without a flavor, those that have none.",
    }
    all_pools_can_be_removed = "pool.delete.all" {
        level: Core,
        guarantees: [],
        methods: ["pool_delete_all", "pool_list"],
        summary: "Removing all pools leaves an empty list, pools of flavors included.",
    }
}

fn capabilities() -> Capabilities {
    [Capability::Fifo, Capability::Claims].into_iter().collect()
}

/// A pool `name` with an address of its own.
pub(super) fn pool(name: &str, flavor: Option<&str>) -> Result<Pool, Failure> {
    Ok(Pool {
        name: PoolName::new(name)?,
        weight: 100,
        uri: format!("sqlite:///var/lib/{name}"),
        flavor: flavor.map(FlavorName::new).transpose()?,
        options: JsonObject::new(),
        capabilities: capabilities(),
    })
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::PoolNotFound { .. })
}

fn is_uri_in_use(error: &Error) -> bool {
    matches!(error, Error::PoolUriInUse)
}

fn is_mismatch(error: &Error) -> bool {
    matches!(error, Error::PoolCapabilitiesMismatch)
}

/// The names of all pools, in the order listed.
async fn names(ctx: &Context) -> Result<Vec<String>, Failure> {
    let page = ctx.control.pools().pool_list(None, None).await?;
    Ok(page.items.iter().map(|pool| pool.name.to_string()).collect())
}

async fn pool_reads_as_stored(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    let mut stored = pool("one", Some("gold"))?;
    stored.options = object(r#"{"z": 1, "a": {"b": [null, "ü"]}}"#)?;
    pools.pool_put(stored.clone()).await?;
    check_eq!(pools.pool_get(&stored.name).await?, stored, "the pool read");
    let mut replaced = pool("one", None)?;
    (replaced.weight, replaced.uri) = (0, "localhost".to_owned());
    replaced.capabilities = [Capability::Durable].into_iter().collect();
    pools.pool_put(replaced.clone()).await?;
    check_eq!(pools.pool_get(&stored.name).await?, replaced, "the pool replaced");
    check_eq!(names(ctx).await?, ["one"], "the pools listed");
    Ok(())
}

async fn missing_pool_is_not_found(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    let name = PoolName::new("missing")?;
    expect_err(pools.pool_get(&name).await, is_missing, "reading it")?;
    let mut change = UpdatePool::new();
    change.weight = Some(1);
    expect_err(pools.pool_update(&name, change).await, is_missing, "updating it")?;
    pools.pool_delete(&name).await?;
    check!(names(ctx).await?.is_empty(), "an update of a missing pool made one");
    Ok(())
}

async fn update_changes_what_is_named(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    let mut wanted = pool("one", None)?;
    pools.pool_put(wanted.clone()).await?;
    let mut change = UpdatePool::new();
    change.weight = Some(7);
    pools.pool_update(&wanted.name, change).await?;
    wanted.weight = 7;
    check_eq!(pools.pool_get(&wanted.name).await?, wanted, "after a change of weight");
    let mut change = UpdatePool::new();
    let moved: Capabilities = [Capability::Durable].into_iter().collect();
    change.uri = Some(("sqlite:///elsewhere".to_owned(), moved.clone()));
    change.options = Some(object(r#"{"x": 1}"#)?);
    pools.pool_update(&wanted.name, change).await?;
    wanted.uri = "sqlite:///elsewhere".to_owned();
    wanted.capabilities = moved;
    wanted.options = object(r#"{"x": 1}"#)?;
    check_eq!(pools.pool_get(&wanted.name).await?, wanted, "after a change of address");
    for flavor in [Some(FlavorName::new("gold")?), None] {
        let mut change = UpdatePool::new();
        change.flavor = Some(flavor.clone());
        pools.pool_update(&wanted.name, change).await?;
        wanted.flavor = flavor;
        check_eq!(pools.pool_get(&wanted.name).await?, wanted, "after a change of flavor");
    }
    let nothing = pools.pool_update(&wanted.name, UpdatePool::new()).await;
    let invalid = |error: &Error| matches!(error, Error::Invalid { .. });
    expect_err(nothing, invalid, "an update of nothing")?;
    Ok(())
}

async fn addresses_are_unique(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    let (one, two) = (pool("one", None)?, pool("two", Some("gold"))?);
    pools.pool_put(one.clone()).await?;
    pools.pool_put(two.clone()).await?;
    let mut third = pool("three", None)?;
    third.uri = one.uri.clone();
    expect_err(pools.pool_put(third).await, is_uri_in_use, "storing a third")?;
    let mut change = UpdatePool::new();
    change.uri = Some((one.uri.clone(), capabilities()));
    change.weight = Some(1);
    let changed = pools.pool_update(&two.name, change).await;
    expect_err(changed, is_uri_in_use, "updating the second")?;
    check_eq!(names(ctx).await?, ["one", "two"], "the pools afterwards");
    check_eq!(pools.pool_get(&two.name).await?, two, "the second, afterwards");
    pools.pool_put(one.clone()).await?;
    check_eq!(pools.pool_get(&one.name).await?, one, "the first, stored again");
    Ok(())
}

async fn pools_of_a_flavor_have_equal_capabilities(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    let other: Capabilities = [Capability::Claims].into_iter().collect();
    for flavor in [Some("gold"), None] {
        let tag = flavor.unwrap_or("none");
        let first = pool(&format!("first-{tag}"), flavor)?;
        pools.pool_put(first.clone()).await?;
        let mut odd = pool(&format!("odd-{tag}"), flavor)?;
        odd.capabilities = other.clone();
        let joined = pools.pool_put(odd.clone()).await;
        expect_err(joined, is_mismatch, format!("an odd pool joining {flavor:?}"))?;
        // The only one of its flavor may change: it agrees with itself.
        let mut changed = first.clone();
        changed.capabilities = other.clone();
        pools.pool_put(changed).await?;
        pools.pool_put(odd).await?;
        let back = pools.pool_put(first).await;
        expect_err(back, is_mismatch, format!("one of two going back in {flavor:?}"))?;
    }
    let equal = pool("equal", Some("silver"))?;
    pools.pool_put(equal.clone()).await?;
    let mut change = UpdatePool::new();
    change.flavor = Some(Some(FlavorName::new("gold")?));
    let moved = pools.pool_update(&equal.name, change).await;
    expect_err(moved, is_mismatch, "a pool moved into a flavor of other capabilities")?;
    check_eq!(pools.pool_get(&equal.name).await?, equal, "that pool, afterwards");
    Ok(())
}

async fn last_pool_of_a_flavor_stays(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    let (one, two) = (pool("one", Some("gold"))?, pool("two", Some("gold"))?);
    pools.pool_put(one.clone()).await?;
    pools.pool_put(two.clone()).await?;
    pools.pool_put(pool("alone", None)?).await?;
    pools.pool_delete(&one.name).await?;
    let in_use = |error: &Error| matches!(error, Error::PoolInUse { .. });
    expect_err(pools.pool_delete(&two.name).await, in_use, "deleting a flavor's last pool")?;
    check_eq!(pools.pool_get(&two.name).await?, two, "that pool, afterwards");
    let mut change = UpdatePool::new();
    change.flavor = Some(None);
    pools.pool_update(&two.name, change).await?;
    pools.pool_delete(&two.name).await?;
    pools.pool_delete(&PoolName::new("alone")?).await?;
    check!(names(ctx).await?.is_empty(), "pools are left");
    Ok(())
}

async fn pools_are_paged_by_name(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    for number in (0..15).rev() {
        pools.pool_put(pool(&format!("pool-{number:02}"), None)?).await?;
    }
    let first = pools.pool_list(None, Some(limit(10)?)).await?;
    check_eq!(first.items.len(), 10, "the first page");
    check_eq!(first.next, Some(PoolName::new("pool-09")?), "its marker");
    let second = pools.pool_list(first.next.as_ref(), Some(limit(10)?)).await?;
    check_eq!(second.items.len(), 5, "the second page");
    check_eq!(nth(&second.items, 0)?.name.as_str(), "pool-10", "where it starts");
    let third = pools.pool_list(second.next.as_ref(), Some(limit(10)?)).await?;
    check!(third.items.is_empty(), "the page after the end holds {:?}", third.items);
    check_eq!(pools.pool_list(None, Some(limit(5)?)).await?.items.len(), 5, "a page of five");
    let wanted: Vec<String> = (0..15).map(|number| format!("pool-{number:02}")).collect();
    check_eq!(names(ctx).await?, wanted, "all of them");
    let marker = PoolName::new("pool-13")?;
    let rest = pools.pool_list(Some(&marker), None).await?;
    check_eq!(only(&rest.items)?.name.as_str(), "pool-14", "all after a marker");
    Ok(())
}

async fn pools_are_listed_by_flavor(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    for (name, flavor) in [
        ("a", Some("gold")),
        ("b", None),
        ("c", Some("gold")),
        ("d", Some("goldfish")),
        ("e", None),
    ] {
        pools.pool_put(pool(name, flavor)?).await?;
    }
    for (flavor, wanted) in [
        (Some("gold"), vec!["a", "c"]),
        (Some("goldfish"), vec!["d"]),
        (Some("silver"), vec![]),
        (None, vec!["b", "e"]),
    ] {
        let name = flavor.map(FlavorName::new).transpose()?;
        let mut found: Vec<String> = pools
            .pool_list_by_flavor(name.as_ref())
            .await?
            .iter()
            .map(|pool| pool.name.to_string())
            .collect();
        found.sort();
        check_eq!(found, wanted, "the pools of flavor {flavor:?}");
    }
    Ok(())
}

async fn all_pools_can_be_removed(ctx: &Context) -> CaseResult {
    let pools = ctx.control.pools();
    for (name, flavor) in [("a", Some("gold")), ("b", None)] {
        pools.pool_put(pool(name, flavor)?).await?;
    }
    pools.pool_delete_all().await?;
    check!(names(ctx).await?.is_empty(), "pools are left");
    pools.pool_delete_all().await?;
    pools.pool_put(pool("a", None)?).await?;
    check_eq!(names(ctx).await?, ["a"], "the pools stored afterwards");
    Ok(())
}
