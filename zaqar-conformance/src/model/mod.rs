//! Trials of their own.

use crate::suite::SuiteTrial;

/// The trials that this module adds to the suite.
pub(crate) fn trials() -> Vec<SuiteTrial> {
    Vec::new()
}
