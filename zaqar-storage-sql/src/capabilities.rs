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
        Capability::LiveMove,
    ]
    .into_iter()
    .collect()
}
