//! Pages: bounded pieces of a listing.

use crate::ids::InvalidId;
use crate::limits::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX};

/// How many items a call may return at most: 1 to [`PAGE_LIMIT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u32);

impl PageLimit {
    /// A limit of `items`.
    ///
    /// # Errors
    /// [`InvalidId`] outside `1..=PAGE_LIMIT_MAX`.
    pub fn new(items: u32) -> Result<Self, InvalidId> {
        if items == 0 || items > PAGE_LIMIT_MAX {
            return Err(InvalidId::new("limit", format!("must be 1 to {PAGE_LIMIT_MAX}")));
        }
        Ok(Self(items))
    }

    /// The limit as a number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The limit as a length.
    #[must_use]
    pub fn as_usize(self) -> usize {
        // u32 always fits: the supported targets have at least 32-bit addresses.
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(PAGE_LIMIT_DEFAULT)
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, M> {
    /// The items, in order. Empty only at the end of the listing (G9).
    pub items: Vec<T>,
    /// Where the next page starts: set on every page that holds an item, the last one too.
    pub next: Option<M>,
}

impl<T, M> Page<T, M> {
    /// A page with nothing on it: the end.
    #[must_use]
    pub fn empty() -> Self {
        Self { items: Vec::new(), next: None }
    }

    /// The page that holds `items`, whose next marker `marker_of` makes from the last one.
    pub fn of(items: Vec<T>, marker_of: impl FnOnce(&T) -> M) -> Self {
        let next = items.last().map(marker_of);
        Self { items, next }
    }
}

impl<T, M> Default for Page<T, M> {
    fn default() -> Self {
        Self::empty()
    }
}
