//! Codes in columns that every database of this crate has alike.

use zaqar_core::{Incarnation, QueueKind};

/// The stored form of a queue's kind.
pub(crate) fn kind_code(kind: QueueKind) -> i64 {
    match kind {
        QueueKind::Queue => 0,
        QueueKind::Topic => 1,
    }
}

/// The kind behind its stored form.
pub(crate) fn kind_of(code: i64) -> QueueKind {
    match code {
        0 => QueueKind::Queue,
        _ => QueueKind::Topic,
    }
}

/// The stored form of an incarnation.
pub(crate) fn incarnation_code(incarnation: Incarnation) -> i64 {
    // At most 40 bits, by construction.
    i64::try_from(incarnation.get()).unwrap_or(i64::MAX)
}

/// The stored form of an epoch or another counter; what no counter reaches is clamped.
pub(crate) fn counter_code(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}
