//! Who asks, and whether they may.
//!
//! - [`Identity`]: what is known of a caller, wherever it is known from
//! - [`keystone`]: tokens of the identity service
//! - [`policy`]: who may do what

mod identity;
pub mod keystone;
pub mod policy;

pub use identity::Identity;
