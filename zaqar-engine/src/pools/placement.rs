//! Which pool a new queue goes to: by weight, among the pools of its flavor.

use zaqar_core::{Error, FlavorName, Pool, PoolName, QueueRef, Result};

use super::Pools;

/// How often a queue is placed anew because its pool was removed meanwhile.
const ATTEMPTS_MAX: u32 = 8;

/// The pool that a draw falls on: each has a share of the draws as its weight is to the sum of all;
/// one of weight 0 has none. `draw` is given that sum and returns a number below it; it is not asked
/// when the sum is 0.
pub fn choose<'p>(
    pools: impl Iterator<Item = &'p Pool> + Clone,
    draw: impl FnOnce(u64) -> u64,
) -> Option<&'p Pool> {
    let total: u64 = pools.clone().map(|pool| u64::from(pool.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut left = draw(total);
    for pool in pools {
        let weight = u64::from(pool.weight);
        if left < weight {
            return Some(pool);
        }
        left -= weight;
    }
    None
}

/// The pools that a queue of this flavor may be placed in.
pub fn eligible<'p>(
    pools: &'p [Pool],
    flavor: Option<&FlavorName>,
) -> impl Iterator<Item = &'p Pool> + Clone {
    pools.iter().filter(move |pool| pool.flavor.as_ref() == flavor)
}

impl Pools {
    /// Places a new incarnation. `QueueNotMapped` if there is no pool for it.
    ///
    /// The mapping is written first and the pool looked for afterwards; whoever removes a pool does
    /// it the other way round, so that one of the two notices.
    pub(crate) async fn place(&self, queue: &QueueRef, flavor: Option<&FlavorName>) -> Result<()> {
        if let Some(flavor) = flavor {
            self.0.control.flavors().flavor_get(&queue.key.project, flavor).await?;
        }
        let catalogue = self.0.control.catalogue();
        for _ in 0..ATTEMPTS_MAX {
            let Some(pool) = self.draw(flavor).await? else {
                if flavor.is_none() && self.0.virtual_pool {
                    return Ok(());
                }
                return Err(no_pool(queue));
            };
            catalogue.catalogue_put(queue, &pool).await?;
            match self.0.control.pools().pool_get(&pool).await {
                Ok(_) => return Ok(()),
                Err(Error::PoolNotFound { .. }) => {
                    self.unplace(queue).await?;
                    self.0.listing.forget().await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(no_pool(queue))
    }

    /// Removes what was remembered of an incarnation that is over, once its head is closed.
    pub(crate) async fn unplace(&self, queue: &QueueRef) -> Result<()> {
        self.0.control.catalogue().catalogue_delete(queue).await?;
        self.forget(queue).await;
        Ok(())
    }

    async fn draw(&self, flavor: Option<&FlavorName>) -> Result<Option<PoolName>> {
        let pools = self.all().await?;
        let below = |total| rand::Rng::random_range(&mut rand::rng(), 0..total);
        Ok(choose(eligible(&pools, flavor), below).map(|pool| pool.name.clone()))
    }
}

fn no_pool(queue: &QueueRef) -> Error {
    Error::QueueNotMapped { project: queue.key.project.clone(), queue: queue.key.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, weight: u32, flavor: Option<&str>) -> Pool {
        Pool {
            name: PoolName::new(name).unwrap(),
            weight,
            uri: format!("memory://{name}"),
            flavor: flavor.map(|flavor| FlavorName::new(flavor).unwrap()),
            options: Default::default(),
            capabilities: Default::default(),
        }
    }

    #[test]
    fn every_draw_falls_on_one_pool_by_its_weight() {
        let pools = [pool("a", 2, None), pool("b", 0, None), pool("c", 3, None)];
        let fallen = |draw| {
            choose(pools.iter(), |total| {
                assert_eq!(total, 5);
                draw
            })
        };
        let names: Vec<&str> = (0..5).map(|draw| fallen(draw).unwrap().name.as_str()).collect();
        assert_eq!(names, ["a", "a", "c", "c", "c"]);
    }

    #[test]
    fn pools_without_weight_are_not_drawn_from() {
        assert!(choose([pool("a", 0, None)].iter(), |_| panic!("drawn")).is_none());
        assert!(choose([].iter(), |_| panic!("drawn")).is_none());
        let heaviest = [pool("a", u32::MAX, None), pool("b", u32::MAX, None)];
        assert_eq!(choose(heaviest.iter(), |total| total - 1).unwrap().name.as_str(), "b");
    }

    #[test]
    fn a_flavor_has_its_own_pools_alone() {
        let pools = [pool("a", 1, None), pool("b", 1, Some("gold")), pool("c", 1, Some("tin"))];
        let gold = FlavorName::new("gold").unwrap();
        let names = |flavor| -> Vec<String> {
            eligible(&pools, flavor).map(|pool| pool.name.to_string()).collect()
        };
        assert_eq!(names(None), ["a"]);
        assert_eq!(names(Some(&gold)), ["b"]);
    }
}
