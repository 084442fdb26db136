//! A growing set of sequence numbers.

/// One bit per sequence number.
#[derive(Debug, Default, Clone)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Adds `number`; false when it was there already.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let Ok(word) = usize::try_from(number / 64) else {
            return false;
        };
        if word >= self.0.len() {
            self.0.resize((word + 1).next_power_of_two(), 0);
        }
        let mask = 1 << (number % 64);
        self.0.get_mut(word).is_some_and(|word| {
            let new = *word & mask == 0;
            *word |= mask;
            new
        })
    }

    /// True when `number` was added.
    pub(super) fn contains(&self, number: u64) -> bool {
        usize::try_from(number / 64)
            .ok()
            .and_then(|word| self.0.get(word))
            .is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// How many numbers were added.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The numbers added, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        (0_u64..).zip(&self.0).flat_map(|(index, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once() {
        let mut bits = Bits::default();
        assert!(bits.insert(200));
        assert!(!bits.insert(200));
        assert!(bits.insert(3));
        assert!(bits.contains(200) && !bits.contains(199) && !bits.contains(1 << 40));
        assert_eq!(bits.iter().collect::<Vec<_>>(), [3, 200]);
        assert_eq!(bits.len(), 2);
    }
}
