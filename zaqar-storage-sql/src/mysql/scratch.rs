//! A database of the same server.

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use zaqar_core::OpenError;

use super::config::MySqlConfig;
use crate::error::open_error;

/// A database that every server has and every account may enter.
const ALWAYS_THERE: &str = "information_schema";

pub(crate) fn uri(uri: &str, name: &str) -> Result<String, OpenError> {
    MySqlConfig::parse(uri)?;
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let (scheme, rest) = base.split_once("://").unwrap_or((base, ""));
    let server = rest.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{server}/{name}?{query}"))
}

pub(crate) async fn remove(uri: &str, name: &str) -> Result<(), OpenError> {
    let options = MySqlConfig::parse(uri)?.options.database(ALWAYS_THERE);
    let mut connection = options.connect().await.map_err(open_error)?;
    let drop = format!("DROP DATABASE IF EXISTS `{name}`");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.map_err(open_error)?;
    connection.close().await.map_err(open_error)
}
