//! What several tests need: a small HTTP client and the real program as a child process.

pub(crate) mod client;
pub(crate) mod program;
