//! Stores that a test may use beside others.

use tempfile::TempDir;
use zaqar_testbed::Service;

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
        let service = match self {
            Self::File => return Some(file_uri(folder)),
            Self::Shared(service) => service,
        };
        let uri = zaqar_testbed::uri_unless_absent(service).unwrap()?;
        Some(match service {
            Service::Postgres => with(&uri, &format!("schema={NAMESPACE}&connections=4")),
            Service::Mysql => with(&database(&uri), "connections=4"),
            Service::Mongo | Service::MongoSet => database(&uri),
            _ => with(&uri, &format!("prefix={NAMESPACE}")),
        })
    }
}

/// The file in a folder.
pub(crate) fn file_uri(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("zaqar.db").display())
}

fn with(uri: &str, parameters: &str) -> String {
    let mark = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{mark}{parameters}")
}

/// The same server, another database.
fn database(uri: &str) -> String {
    let (address, parameters) = uri.split_once('?').unwrap_or((uri, ""));
    let (scheme, rest) = address.split_once("://").unwrap();
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    format!("{scheme}://{host}/{NAMESPACE}?{parameters}")
}
