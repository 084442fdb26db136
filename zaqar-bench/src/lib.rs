//! Load generator for Zaqar servers: measures over REST v2 and checks every message as it goes.
//!
//! `docs/benchmarking.md` is the tutorial. This library exists for the program of the same name
//! and for its tests; its interface follows their needs.

pub mod check;
pub mod cli;
pub mod fan_out;
pub mod http;
pub mod measure;
pub mod message;
pub mod options;
#[cfg(feature = "raw-sqlite")]
pub mod raw_sqlite;
pub mod report;
pub mod rounds;
pub mod run;
pub mod scan;
pub mod sockets;
pub mod suite;
pub mod wait;
pub mod workload;
