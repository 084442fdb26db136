//! Who may do what: rules in the language of oslo.policy.
//!
//! - [`Rule`]: every rule that guards an operation, and its default
//! - [`Policy`]: the rules in force, the defaults or a file's; it decides and explains
//! - [`Check`]: one rule, read from its text
//! - [`Target`]: what a request is about
//! - [`sample`]: a policy file to begin with
//!
//! Everything is read and checked once, when the service starts: a rule that cannot be read, that
//! refers to nothing or to itself is an error then, not a denial or a permission later.

mod caller_fact;
mod check;
mod evaluate;
mod explain;
mod file;
mod leaf;
mod parse;
#[expect(clippy::module_inception, reason = "the policy is the module's subject")]
mod policy;
mod references;
mod rule;
mod sample;
mod target;
mod template;
mod token;

#[cfg(test)]
mod tests;

pub use check::Check;
pub use explain::Explanation;
pub use parse::ParseError;
pub use policy::{Policy, PolicyError};
pub use rule::Rule;
pub use sample::sample;
pub use target::Target;
pub use template::Template;
