//! Stores that a test may use beside others.

#[path = "uris.rs"]
mod uris;

use tempfile::TempDir;
use zaqar_testbed::Service;

use uris::{file_uri, uri_in};

/// Where the tests keep their data on a server that they share: each has queues of its own.
const NAMESPACE: &str = "zaqar_server_tests";

/// What two servers share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Store {
    /// A file of their own.
    File,
    /// A server that other tests use too.
    Shared(Service),
}

impl Store {
    /// Its URI; `None` leaves the test out.
    pub(crate) fn uri(self, folder: &TempDir) -> Option<String> {
        match self {
            Self::File => Some(file_uri(folder)),
            Self::Shared(service) => uri_in(service, NAMESPACE),
        }
    }
}
