//! Who a store is: whether it still is the one that was opened (G15).

use std::sync::{Mutex, PoisonError};

/// A store's unique id, and how often it was opened; `None`: it does not say.
pub(crate) type Said = Option<(String, i64)>;

/// Who a store was when it was opened, and the highest count of openings seen; `None`: it did not
/// say, though it held data.
#[derive(Debug)]
pub(crate) struct Identity(Mutex<Said>);

/// The count of openings that was known at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before(Option<i64>);

impl Identity {
    pub(crate) fn new(said: &Said) -> Self {
        Self(Mutex::new(said.clone()))
    }

    /// What was known before the store was asked.
    pub(crate) fn before(&self) -> Before {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Before(known.as_ref().map(|(_, epoch)| *epoch))
    }

    /// Why this is not the store that was opened, if it is not. Openings are only ever counted up,
    /// so a lower count than before the store was asked is an old copy of it. One that was counted
    /// while it was asked says nothing: another question may have been answered earlier.
    pub(crate) fn compare(&self, before: Before, found: &Said) -> Option<&'static str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *known, found) {
            (None, _) => Some("store lost data: its incarnation record was missing when it opened"),
            (Some(_), None) => Some("store lost data: its incarnation record is missing"),
            (Some((uuid, _)), Some((found, _))) if uuid != found => {
                Some("store lost data: it was replaced by another store")
            }
            (Some(_), Some((_, found))) if Some(*found) < before.0 => {
                Some("store lost data: it was replaced by an older copy")
            }
            (Some((_, epoch)), Some((_, found))) => {
                *epoch = (*epoch).max(*found);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(uuid: &str, epoch: i64) -> Said {
        Some((uuid.to_owned(), epoch))
    }

    #[test]
    fn another_store_an_older_copy_and_a_missing_record_are_noticed() {
        let identity = Identity::new(&said("a", 4));
        let compare = |found: &Said| identity.compare(identity.before(), found);
        assert_eq!(compare(&said("a", 4)), None);
        assert_eq!(compare(&said("a", 7)), None);
        assert!(compare(&said("a", 6)).is_some());
        assert!(compare(&said("b", 9)).is_some());
        assert!(compare(&None).is_some());
        let unknown = Identity::new(&None);
        assert!(unknown.compare(unknown.before(), &None).is_some());
    }

    #[test]
    fn an_opening_that_is_counted_between_two_answers_is_no_loss() {
        let identity = Identity::new(&said("a", 4));
        let (first, second) = (identity.before(), identity.before());
        assert_eq!(identity.compare(second, &said("a", 5)), None);
        assert_eq!(identity.compare(first, &said("a", 4)), None);
        assert!(identity.compare(identity.before(), &said("a", 4)).is_some());
    }
}
