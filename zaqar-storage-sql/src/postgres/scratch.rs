//! A schema of the same database.

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use zaqar_core::OpenError;

use super::config::PostgresConfig;
use crate::error::open_error;

pub(crate) fn uri(uri: &str, name: &str) -> Result<String, OpenError> {
    PostgresConfig::parse(uri)?;
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let kept = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("schema="));
    let own = format!("schema={name}");
    Ok(format!("{base}?{}", kept.chain([own.as_str()]).collect::<Vec<_>>().join("&")))
}

pub(crate) async fn remove(uri: &str, name: &str) -> Result<(), OpenError> {
    // What is removed need not be flushed.
    let options = PostgresConfig::parse(uri)?.options.options([("synchronous_commit", "off")]);
    let mut connection = options.connect().await.map_err(open_error)?;
    let drop = format!("DROP SCHEMA IF EXISTS {name} CASCADE");
    for statement in ["SET client_min_messages = error".to_owned(), drop] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.map_err(open_error)?;
    }
    connection.close().await.map_err(open_error)
}
