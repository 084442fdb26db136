//! How often projects may ask, on both transports together.
//!
//! What they may hold is the engine's business ([`zaqar_engine::quotas`]); `settings` reads both from
//! the configuration. A project's buckets are its own, and nothing here waits: whoever asks too
//! often is told at once when to come back, before its request costs anything.

mod rates;
pub(crate) mod settings;

pub(crate) use rates::RateExceeded;
pub use rates::{ProjectRates, Rate, RateLimits, RateSettings};

/// Marks the answer to a request that was one too many: an operator need not hear of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limited;
