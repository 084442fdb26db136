//! Pools, and the engine's choice among them.

use std::collections::HashMap;

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;
use zaqar_core::{FlavorName, Pool, PoolName};
use zaqar_engine::pools::placement::{choose, eligible};

/// Chooses a pool for a new queue.
pub type Draw = for<'p> fn(&'p [Pool], Option<&FlavorName>, &mut StdRng) -> Option<&'p Pool>;

/// The engine's choice, by a seeded draw.
#[must_use]
pub fn engine_draw<'p>(
    pools: &'p [Pool],
    flavor: Option<&FlavorName>,
    random: &mut StdRng,
) -> Option<&'p Pool> {
    choose(eligible(pools, flavor), |total| random.random_range(0..total))
}

/// The pools of an installation.
#[derive(Debug, Clone)]
pub struct Installation {
    pools: Vec<Pool>,
    places: HashMap<PoolName, usize>,
    draw: Draw,
}

impl Installation {
    /// Pools of these weights and flavors, in this order, among which the engine chooses.
    ///
    /// # Errors
    /// A flavor's name is not valid.
    pub fn new<'f>(
        pools: impl IntoIterator<Item = (u32, Option<&'f str>)>,
    ) -> anyhow::Result<Self> {
        Self::with_draw(pools, engine_draw)
    }

    /// The same with another way to choose.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn with_draw<'f>(
        pools: impl IntoIterator<Item = (u32, Option<&'f str>)>,
        draw: Draw,
    ) -> anyhow::Result<Self> {
        let pools = pools.into_iter().enumerate().map(|(place, (weight, flavor))| {
            let name = format!("pool-{place}");
            Ok(Pool {
                name: PoolName::new(&name)?,
                weight,
                uri: format!("model://{name}"),
                flavor: flavor.map(FlavorName::new).transpose()?,
                options: Default::default(),
                capabilities: Default::default(),
            })
        });
        let pools: Vec<Pool> = pools.collect::<anyhow::Result<_>>()?;
        let name = |(place, pool): (usize, &Pool)| (pool.name.clone(), place);
        let places = pools.iter().enumerate().map(name).collect();
        Ok(Self { pools, places, draw })
    }

    /// As many pools of one weight, without flavors.
    ///
    /// # Errors
    /// None: there is no flavor.
    pub fn equal(pools: u32) -> anyhow::Result<Self> {
        Self::new((0..pools).map(|_| (100, None)))
    }

    /// The weights, in order.
    #[must_use]
    pub fn weights(&self) -> Vec<u32> {
        self.pools.iter().map(|pool| pool.weight).collect()
    }

    /// Places a queue, and returns the index of its pool.
    ///
    /// # Errors
    /// There is no pool for it.
    pub fn place(&self, flavor: Option<&FlavorName>, random: &mut StdRng) -> anyhow::Result<usize> {
        let pool = (self.draw)(&self.pools, flavor, random).context("no pool for a queue")?;
        self.places.get(&pool.name).copied().context("a pool was chosen that is not there")
    }

    /// Places as many queues without a flavor, and returns the pool of each.
    ///
    /// # Errors
    /// As for [`Self::place`].
    pub fn place_all(&self, queues: u32, random: &mut StdRng) -> anyhow::Result<Vec<usize>> {
        (0..queues).map(|_| self.place(None, random)).collect()
    }

    /// How many of these queues each pool has.
    #[must_use]
    pub fn count(&self, places: &[usize]) -> Vec<u64> {
        let mut counts = vec![0; self.pools.len()];
        for place in places {
            if let Some(count) = counts.get_mut(*place) {
                *count += 1;
            }
        }
        counts
    }

    /// The sum of what is given for each of these queues, by pool.
    #[must_use]
    pub fn sum(&self, places: &[usize], values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.pools.len()];
        for (place, value) in places.iter().zip(values) {
            if let Some(sum) = sums.get_mut(*place) {
                *sum += value;
            }
        }
        sums
    }
}
