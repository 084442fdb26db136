//! Stages: layers around the data driver.
//!
//! A stage takes a driver and gives one back that does something besides: measure, log, encrypt,
//! refuse. The engine puts them around the driver in the order in which they were added, the first
//! one outermost, and knows nothing of what they do; another crate can bring its own.
//!
//! What only looks at messages that are posted is a [`MessageFilter`], of one method. A stage that
//! does more must keep the driver's promises. What it forwards it forwards whole: implement every
//! method of every controller, and let `#[deny(clippy::missing_trait_methods)]` watch over it.

mod encryption;
mod filter;
mod metrics;

use std::fmt::Debug;
use std::sync::Arc;

use zaqar_core::DataDriver;

pub use encryption::{EncryptionKeys, EncryptionStage, InvalidKey};
pub use filter::{FilterStage, MessageFilter};
pub use metrics::MetricsStage;

/// A layer around the data driver.
pub trait Stage: Debug + Send + Sync {
    /// The stage's name, for configuration and logs.
    fn name(&self) -> &str;

    /// Puts this stage around `data`.
    fn wrap(&self, data: Arc<dyn DataDriver>) -> Arc<dyn DataDriver>;
}
