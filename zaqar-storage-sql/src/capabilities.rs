//! What every store of this crate can do.

use zaqar_core::{Capabilities, Capability};

pub(crate) fn capabilities() -> Capabilities {
    [
        Capability::Fifo,
        Capability::Claims,
        Capability::Durable,
        Capability::AtLeastOnce,
        Capability::HighThroughput,
        Capability::Subscriptions,
        Capability::Delay,
        Capability::DeadLetter,
        Capability::VirtualTime,
    ]
    .into_iter()
    .collect()
}

/// The same of a store that queues can be moved into and out of while they are in use.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) fn capabilities_with_moves() -> Capabilities {
    let all = capabilities();
    all.iter().chain([Capability::LiveMove]).collect()
}
