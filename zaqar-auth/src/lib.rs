//! Who asks, and whether they may.
//!
//! - [`Identity`]: what is known of a caller, wherever it is known from
//! - [`keystone`]: tokens of the identity service

mod identity;
pub mod keystone;

pub use identity::Identity;
