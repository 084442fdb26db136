//! Seeds: each part of a run draws from a generator of its own, so that a change to one part leaves
//! the figures of the others alone.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// A part of a run that draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Where queues are placed.
    Placement,
    /// Which queues end, and where those that follow them are placed.
    Churn,
    /// Attempts to make queues while a pool is lost.
    Loss,
    /// Requests to heads in steady state.
    Lookups,
    /// Requests to heads that were just started.
    Herd,
    /// Requests around a change.
    Staleness,
    /// How much queues hold.
    Sizes,
}

impl Part {
    fn number(self) -> u64 {
        match self {
            Self::Placement => 1,
            Self::Churn => 2,
            Self::Loss => 3,
            Self::Lookups => 4,
            Self::Herd => 5,
            Self::Staleness => 6,
            Self::Sizes => 7,
        }
    }
}

/// The generator of one part of a run; `turn` tells apart what the part does several times.
#[must_use]
pub fn generator(seed: u64, part: Part, turn: u32) -> StdRng {
    let mut bytes = [0; 32];
    let numbers = [seed, part.number(), u64::from(turn)];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    StdRng::from_seed(bytes)
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn generators_differ_by_seed_part_and_turn_alone() {
        let first = |seed, part, turn| generator(seed, part, turn).random::<u64>();
        let plain = first(1, Part::Placement, 0);
        assert_eq!(plain, first(1, Part::Placement, 0));
        for other in
            [first(2, Part::Placement, 0), first(1, Part::Churn, 0), first(1, Part::Placement, 1)]
        {
            assert_ne!(plain, other);
        }
    }
}
