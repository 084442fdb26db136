//! The errors that this crate answers with by itself.

use zaqar_core::{Effect, Error, Retry};

/// The store was closed before the operation began.
pub(crate) fn closed(operation: &'static str) -> Error {
    Error::backend(operation, Effect::None, Retry::AfterReopen, "the store is closed")
}

/// The task that would have begun the operation is gone, with its runtime or by a defect.
pub(crate) fn not_begun(operation: &'static str) -> Error {
    Error::backend(operation, Effect::None, Retry::Later, "the operation was not begun")
}

/// The operation was begun and nobody is left who could tell what became of it.
pub(crate) fn lost(operation: &'static str) -> Error {
    Error::backend(operation, Effect::Unknown, Retry::Later, "the answer was lost")
}
