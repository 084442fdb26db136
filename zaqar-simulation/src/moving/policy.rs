//! Which queue goes where next.

use std::collections::BTreeSet;

use crate::balance::Spread;

/// A queue that goes from one pool to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// The pool that has it.
    pub source: usize,
    /// The pool that gets it.
    pub target: usize,
    /// Which queue.
    pub queue: usize,
    /// What it counts for.
    pub size: u64,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This move.
    Move(Order),
    /// Nothing before a move that is under way has ended.
    Wait,
    /// Nothing more.
    Done,
}

#[derive(Debug, Clone, Default)]
struct Pool {
    weight: f64,
    /// What its queues count for, those on their way to it included.
    held: f64,
    queues: BTreeSet<(u64, usize)>,
    /// Moves out of it and into it that are under way.
    moves: u32,
    /// It is above its fair share and has no queue that could go.
    is_stuck: bool,
}

/// Pools that are being levelled.
#[derive(Debug)]
pub struct Levelling {
    pools: Vec<Pool>,
    moves_per_pool: u32,
    under_way: u32,
    /// Furthest from the fair share, as a part of it.
    near: f64,
}

impl Levelling {
    /// Pools of these weights, whose queues have these places and sizes.
    #[must_use]
    pub fn new(
        weights: &[u32],
        queues: impl IntoIterator<Item = (usize, u64)>,
        moves_per_pool: u32,
        near: f64,
    ) -> Self {
        let pool = |weight: &u32| Pool { weight: f64::from(*weight), ..Pool::default() };
        let mut pools: Vec<Pool> = weights.iter().map(pool).collect();
        for (queue, (place, size)) in queues.into_iter().enumerate() {
            if let Some(pool) = pools.get_mut(place) {
                pool.held += size as f64;
                pool.queues.insert((size, queue));
            }
        }
        Self { pools, moves_per_pool, under_way: 0, near }
    }

    /// Decides, and counts a move as made: its queue belongs to the target from then on.
    pub fn decide(&mut self) -> Next {
        loop {
            let level = self.level();
            let Some((source, target)) = self.ends(level) else {
                return if self.under_way == 0 { Next::Done } else { Next::Wait };
            };
            match self.fitting(source, target, level) {
                Some((size, queue)) => {
                    let order = Order { source, target, queue, size };
                    self.begin(order);
                    return Next::Move(order);
                }
                None => {
                    if let Some(pool) = self.pools.get_mut(source) {
                        pool.is_stuck = true;
                    }
                }
            }
        }
    }

    /// What a unit of weight is to hold, of what the pools that are not stuck hold.
    fn level(&self) -> f64 {
        let rest = || self.pools.iter().filter(|pool| !pool.is_stuck);
        let held: f64 = rest().map(|pool| pool.held).sum();
        let weight: f64 = rest().map(|pool| pool.weight).sum();
        if weight > 0.0 { held / weight } else { 0.0 }
    }

    /// The pools furthest above and below the level among those that may take part in another move;
    /// `None` if they are all near enough.
    fn ends(&self, level: f64) -> Option<(usize, usize)> {
        let (mut source, mut target) = (None, None);
        let (mut most, mut least) = (1.0, 1.0);
        for (place, pool) in self.pools.iter().enumerate() {
            if pool.is_stuck || pool.moves >= self.moves_per_pool {
                continue;
            }
            let fair = level * pool.weight;
            let ratio = match fair > 0.0 {
                true => pool.held / fair,
                false if pool.queues.is_empty() => 1.0,
                false => f64::INFINITY,
            };
            if ratio > most {
                (most, source) = (ratio, Some(place));
            }
            if ratio < least {
                (least, target) = (ratio, Some(place));
            }
        }
        let is_far = most > 1.0 + self.near || least < 1.0 - self.near;
        source.zip(target).filter(|_| is_far)
    }

    /// The largest queue that takes the source not below its fair share and the target not above;
    /// else the smallest one, if that leaves both nearer to theirs than the further one was.
    fn fitting(&self, source: usize, target: usize, level: f64) -> Option<(u64, usize)> {
        let (source, target) = (self.pools.get(source)?, self.pools.get(target)?);
        let above = source.held - level * source.weight;
        let below = level * target.weight - target.held;
        let fitting = source.queues.range(..=(above.min(below) as u64, usize::MAX)).next_back();
        let smallest =
            || source.queues.first().filter(|(size, _)| *size as f64 <= above.max(below));
        fitting.or_else(smallest).copied()
    }

    fn begin(&mut self, order: Order) {
        self.under_way += 1;
        if let Some(source) = self.pools.get_mut(order.source) {
            source.queues.remove(&(order.size, order.queue));
            source.held -= order.size as f64;
            source.moves += 1;
        }
        if let Some(target) = self.pools.get_mut(order.target) {
            target.held += order.size as f64;
            target.moves += 1;
        }
    }

    /// Ends a move: its queue may be moved again.
    pub fn end(&mut self, order: Order) {
        self.under_way = self.under_way.saturating_sub(1);
        for place in [order.source, order.target] {
            if let Some(pool) = self.pools.get_mut(place) {
                pool.moves = pool.moves.saturating_sub(1);
            }
        }
        if let Some(target) = self.pools.get_mut(order.target) {
            target.queues.insert((order.size, order.queue));
        }
    }

    /// How far all pools are from their fair shares.
    #[must_use]
    pub fn spread(&self) -> Spread {
        spread(self.pools.iter())
    }

    /// The same of those that are not stuck, among themselves.
    #[must_use]
    pub fn spread_of_rest(&self) -> Spread {
        spread(self.pools.iter().filter(|pool| !pool.is_stuck))
    }

    /// Pools that stay above their fair share because they have no queue that could go.
    #[must_use]
    pub fn stuck(&self) -> usize {
        self.pools.iter().filter(|pool| pool.is_stuck).count()
    }

    /// What is held by pools of weight 0.
    #[must_use]
    pub fn held_without_weight(&self) -> f64 {
        self.pools.iter().filter(|pool| pool.weight == 0.0).map(|pool| pool.held).sum()
    }
}

fn spread<'p>(pools: impl Iterator<Item = &'p Pool>) -> Spread {
    let (loads, weights): (Vec<f64>, Vec<u32>) =
        pools.map(|pool| (pool.held, pool.weight as u32)).unzip();
    Spread::of(&loads, &weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves one queue at a time, and returns the moves.
    fn level(levelling: &mut Levelling) -> Vec<Order> {
        let mut orders = Vec::new();
        while let Next::Move(order) = levelling.decide() {
            levelling.end(order);
            orders.push(order);
            assert!(orders.len() < 1_000, "it does not end");
        }
        orders
    }

    #[test]
    fn the_largest_queue_that_fits_goes_first() {
        let queues = [(0, 50), (0, 30), (0, 20), (0, 10), (1, 10)];
        let mut levelling = Levelling::new(&[1, 1], queues, 1, 0.05);
        let orders = level(&mut levelling);
        assert_eq!(orders, [Order { source: 0, target: 1, queue: 0, size: 50 }]);
        assert_eq!(levelling.spread().max, 1.0);
    }

    #[test]
    fn a_queue_larger_than_a_fair_share_stays_and_its_pool_gives_all_else() {
        let queues = [(0, 500), (0, 30), (0, 20), (1, 30), (2, 30)];
        let mut levelling = Levelling::new(&[1, 1, 1], queues, 1, 0.3);
        let orders = level(&mut levelling);
        assert_eq!(orders.iter().map(|order| order.size).collect::<Vec<_>>(), [30, 20]);
        assert_eq!(levelling.stuck(), 1);
        assert!(levelling.spread_of_rest().max <= 1.3, "{levelling:?}");
    }

    #[test]
    fn a_pool_of_weight_0_is_emptied_and_gets_nothing() {
        let queues = (0..30).map(|queue| (queue % 3, 10));
        let mut levelling = Levelling::new(&[0, 1, 2], queues, 1, 0.05);
        assert!(level(&mut levelling).iter().all(|order| order.target != 0));
        assert_eq!((levelling.held_without_weight(), levelling.stuck()), (0.0, 0));
    }

    #[test]
    fn a_pool_takes_part_in_no_more_moves_than_it_may() {
        let mut levelling = Levelling::new(&[1, 1, 1], (0..90).map(|_| (0, 1)), 2, 0.05);
        let Next::Move(first) = levelling.decide() else { panic!("nothing to move") };
        assert!(matches!(levelling.decide(), Next::Move(_)));
        assert_eq!(levelling.decide(), Next::Wait);
        levelling.end(first);
        assert!(matches!(levelling.decide(), Next::Move(_)));
    }
}
