//! Where stores are that a test may use beside others.

use tempfile::TempDir;
use zaqar_testbed::Service;

/// The URI of a namespace of its own on a server that tests share; `None` leaves the test out.
pub(crate) fn uri_in(service: Service, namespace: &str) -> Option<String> {
    let uri = zaqar_testbed::uri_unless_absent(service).unwrap()?;
    Some(match service {
        Service::Postgres => with(&uri, &format!("schema={namespace}&connections=4")),
        Service::Mysql => with(&database(&uri, namespace), "connections=4"),
        Service::Mongo | Service::MongoSet => database(&uri, namespace),
        _ => with(&uri, &format!("prefix={namespace}")),
    })
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
fn database(uri: &str, name: &str) -> String {
    let (address, parameters) = uri.split_once('?').unwrap_or((uri, ""));
    let (scheme, rest) = address.split_once("://").unwrap();
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    format!("{scheme}://{host}/{name}?{parameters}")
}
