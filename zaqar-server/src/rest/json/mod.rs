//! JSON at the border: strict checking, walking without a DOM, and writing.

pub(crate) mod scan;
pub(crate) mod walk;
pub(crate) mod write;
