//! A connection that goes on in another protocol once its HTTP has ended.

use std::sync::Arc;

use super::gate::Pass;
use crate::telemetry::metrics::OpenConnection;

/// Keeps a connection counted as open until the last clone is dropped. It is among the extensions
/// of each request that asks for another protocol; whoever takes the connection over holds it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    _open: Arc<(OpenConnection, Pass)>,
}

impl Held {
    /// A connection that the gate let in.
    pub(crate) fn new(open: OpenConnection, pass: Pass) -> Self {
        Self { _open: Arc::new((open, pass)) }
    }
}
