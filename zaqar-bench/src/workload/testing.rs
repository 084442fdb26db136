//! Help for unit tests.

use clap::Parser;

use crate::options::Options;
use crate::run::{Context, Progress};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A context with default options that is connected to nothing.
pub(crate) fn context(queues: u32) -> Context {
    let Line { options } = Line::parse_from(["test"]);
    Context::new(&options, "http://127.0.0.1:1", &[], queues, Progress::new(true)).unwrap()
}
