//! JSON at the border: strict checking, walking without a DOM, and writing.

#[cfg(test)]
mod fuzz;
pub(crate) mod scan;
pub(crate) mod walk;
pub(crate) mod write;
