//! A small HTTP/1.1 client: one connection, one request at a time, bytes prepared beforehand.
//!
//! A general client spends more on a request than the server under test does. This one writes
//! a ready-made buffer, reads the answer into another and looks only at what a check needs.

mod answer;
mod connection;
mod target;

pub use answer::{Answer, ErrorClass};
pub use connection::Connection;
pub use target::Target;
