//! A driver's `tests/conformance.rs` in one line.
