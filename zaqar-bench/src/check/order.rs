//! Order of each producer's messages in one stream of deliveries.

/// The highest sequence met so far, by producer.
///
/// One consumer that claims again and again meets the messages of each producer in posting order,
/// whoever else claims beside it: whatever it gets later was behind what it got before.
#[derive(Debug, Default)]
pub struct Order {
    // Highest sequence plus one, so that zero means none.
    after: Vec<u64>,
}

impl Order {
    /// Meets a message; false when a later one (or the same) of its producer was met before.
    pub fn meet(&mut self, producer: usize, sequence: u64) -> bool {
        if producer >= self.after.len() {
            self.after.resize(producer + 1, 0);
        }
        self.after.get_mut(producer).is_some_and(|after| {
            let in_order = sequence >= *after;
            *after = (*after).max(sequence + 1);
            in_order
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_are_ordered_each_for_itself() {
        let mut order = Order::default();
        assert!(order.meet(0, 0));
        assert!(order.meet(1, 7));
        assert!(order.meet(0, 2));
        assert!(!order.meet(0, 1));
        assert!(!order.meet(0, 2));
        assert!(order.meet(0, 3));
        assert!(!order.meet(1, 6));
    }
}
