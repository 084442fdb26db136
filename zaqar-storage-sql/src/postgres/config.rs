//! The storage URI of PostgreSQL: where the server is, and which schema in it is ours.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use zaqar_core::OpenError;

/// The schema where none is named.
const SCHEMA: &str = "zaqar";
/// Connections where no number is named.
const CONNECTIONS: usize = 16;
/// The most connections that one handle may be given.
const CONNECTIONS_MAX: usize = 1_000;
/// Prepared statements kept by a connection: every text of this driver, and room to spare.
const STATEMENTS_MAX: usize = 256;

/// What this driver sets on each of its sessions, in the start-up packet.
///
/// A setting that comes with the start-up packet beats those of the configuration file, the database
/// and the role, and does not change when any of them does. `synchronous_commit` is the one that
/// decides whether a commit is flushed; see [`super::session`] for how it is checked.
///
/// Plans: every statement is a walk of a known index with nested loops. Plans are made once for each
/// connection and statement, without looking at values; the ways that only a wrong guess would take
/// are closed, so that a claim cannot become slow because the statistics are old.
const SETTINGS: &[(&str, &str)] = &[
    ("default_transaction_isolation", "read committed"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    // What a web head that stopped in the middle leaves locked is freed.
    ("idle_in_transaction_session_timeout", "15000"),
    ("statement_timeout", "25000"),
    ("client_min_messages", "warning"),
];

/// A parsed URI.
#[derive(Debug, Clone)]
pub(crate) struct PostgresConfig {
    pub(crate) options: PgConnectOptions,
    pub(crate) schema: String,
    pub(crate) connections: usize,
}

impl PostgresConfig {
    /// Parses `postgres://user:password@host:port/database?schema=zaqar&connections=16`; all other
    /// parameters are libpq's, as sqlx reads them.
    pub(crate) fn parse(uri: &str) -> Result<Self, OpenError> {
        let invalid = |reason: String| OpenError::InvalidUri { reason };
        let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
        let (mut schema, mut connections) = (SCHEMA.to_owned(), CONNECTIONS);
        // First, so that what the URI says comes later in the start-up packet and wins: a stronger
        // level is welcome, and a weaker one is found by the check.
        let mut rest = vec!["options[synchronous_commit]=on".to_owned()];
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("schema", name)) => schema = checked_schema(name)?,
                Some(("connections", number)) => connections = checked_connections(number)?,
                _ => rest.push(parameter.to_owned()),
            }
        }
        let uri = format!("{base}?{}", rest.join("&"));
        let options = PgConnectOptions::from_str(&uri)
            // The error names the part at fault, never the URI.
            .map_err(|_| invalid("it is not a postgres URI".to_owned()))?
            .options(SETTINGS.iter().copied())
            .options([("search_path", schema.as_str())])
            .statement_cache_capacity(STATEMENTS_MAX)
            .disable_statement_logging();
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("zaqar"),
        };
        Ok(Self { options, schema, connections })
    }

    /// Where the store is, without credentials.
    pub(crate) fn location(&self) -> String {
        let host = match self.options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => self.options.get_host().to_owned(),
        };
        let database = self.options.get_database().unwrap_or_default();
        format!("{host}:{}/{database}, schema {}", self.options.get_port(), self.schema)
    }
}

/// A schema is named in statements as it is, so it must need no quoting.
fn checked_schema(name: &str) -> Result<String, OpenError> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let others = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if first && others && name.len() <= 63 && !name.starts_with("pg_") {
        return Ok(name.to_owned());
    }
    let reason = "schema: may hold lower-case letters, digits and '_', at most 63".to_owned();
    Err(OpenError::InvalidUri { reason })
}

fn checked_connections(number: &str) -> Result<usize, OpenError> {
    let parsed = number.parse().ok().filter(|number| (1..=CONNECTIONS_MAX).contains(number));
    let reason = || format!("connections: must be 1 to {CONNECTIONS_MAX}");
    parsed.ok_or_else(|| OpenError::InvalidUri { reason: reason() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_and_connections_are_ours_and_the_rest_is_libpqs() {
        let config = PostgresConfig::parse(
            "postgres://u:secret@db.example:5433/mail?schema=a_1&connections=4&application_name=x",
        )
        .unwrap();
        assert_eq!((config.schema.as_str(), config.connections), ("a_1", 4));
        assert_eq!(config.options.get_application_name(), Some("x"));
        assert_eq!(config.location(), "db.example:5433/mail, schema a_1");
        let options = config.options.get_options().unwrap().to_owned();
        assert!(options.starts_with("-c synchronous_commit=on "), "{options}");
        assert!(options.ends_with("-c search_path=a_1"), "{options}");
        assert!(options.contains(r"isolation=read\ committed"), "{options}");
    }

    #[test]
    fn a_schema_that_needs_quoting_and_silly_numbers_are_refused() {
        for query in ["schema=", "schema=A", "schema=a;b", "schema=pg_x", "connections=0"] {
            let parsed = PostgresConfig::parse(&format!("postgres://localhost/x?{query}"));
            assert!(matches!(parsed, Err(OpenError::InvalidUri { .. })), "{query}");
        }
        assert!(PostgresConfig::parse("postgres://localhost:port/x").is_err());
    }
}
