//! Who a store is: whether it still is the one that was opened (G15).

use std::sync::{Mutex, PoisonError};

/// A store's unique id, and how often it was opened; `None`: it does not say.
pub(crate) type Said = Option<(String, i64)>;

/// Who a store was when it was opened, and the highest count of openings seen; `None`: it did not
/// say, though it held data.
#[derive(Debug)]
pub(crate) struct Identity(Mutex<Said>);

impl Identity {
    pub(crate) fn new(said: &Said) -> Self {
        Self(Mutex::new(said.clone()))
    }

    /// Why this is not the store that was opened, if it is not. Openings are only ever counted up,
    /// so a lower count is an old copy of the store.
    pub(crate) fn compare(&self, found: &Said) -> Option<&'static str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *known, found) {
            (None, _) => Some("store lost data: its incarnation record was missing when it opened"),
            (Some(_), None) => Some("store lost data: its incarnation record is missing"),
            (Some((uuid, _)), Some((found, _))) if uuid != found => {
                Some("store lost data: it was replaced by another store")
            }
            (Some((_, epoch)), Some((_, found))) if found < epoch => {
                Some("store lost data: it was replaced by an older copy")
            }
            (Some((_, epoch)), Some((_, found))) => {
                *epoch = *found;
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
        assert_eq!(identity.compare(&said("a", 4)), None);
        assert_eq!(identity.compare(&said("a", 7)), None);
        assert!(identity.compare(&said("a", 6)).is_some());
        assert!(identity.compare(&said("b", 9)).is_some());
        assert!(identity.compare(&None).is_some());
        assert!(Identity::new(&None).compare(&None).is_some());
    }
}
