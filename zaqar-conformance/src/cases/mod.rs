//! The cases, one file for each subject.

use crate::case::Case;

/// Every list of cases, each once.
pub(crate) fn groups() -> Vec<&'static [Case]> {
    Vec::new()
}
