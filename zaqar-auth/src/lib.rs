//! Who asks, and whether they may.
//!
//! - [`Identity`]: what is known of a caller, wherever it is known from

mod identity;

pub use identity::Identity;
