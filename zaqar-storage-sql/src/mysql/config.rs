//! The storage URI of MySQL and MariaDB: where the server is, and which database in it is ours.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::mysql::MySqlConnectOptions;
use zaqar_core::OpenError;

/// The database where none is named.
const DATABASE: &str = "zaqar";
/// Connections where no number is named.
const CONNECTIONS: usize = 16;
/// The most connections that one handle may be given.
const CONNECTIONS_MAX: usize = 1_000;
/// Prepared statements kept by a connection: every text of this driver, and room to spare.
const STATEMENTS_MAX: usize = 128;

/// A parsed URI.
#[derive(Debug, Clone)]
pub(crate) struct MySqlConfig {
    pub(crate) options: MySqlConnectOptions,
    pub(crate) database: String,
    pub(crate) connections: usize,
}

impl MySqlConfig {
    /// Parses `mysql://user:password@host:port/database?connections=16`, or the same as
    /// `mariadb://`; all other parameters are as sqlx reads them.
    pub(crate) fn parse(uri: &str) -> Result<Self, OpenError> {
        let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
        let mut connections = CONNECTIONS;
        let mut rest = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("connections", number)) => connections = checked_connections(number)?,
                _ => rest.push(parameter),
            }
        }
        let uri = format!("{base}?{}", rest.join("&"));
        let options = MySqlConnectOptions::from_str(&uri)
            // The error names the part at fault, never the URI.
            .map_err(|_| OpenError::InvalidUri { reason: "it is not a mysql URI".to_owned() })?
            // Modes are set by the session itself, all of them.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .statement_cache_capacity(STATEMENTS_MAX)
            .disable_statement_logging();
        let database = match options.get_database() {
            Some("") | None => DATABASE.to_owned(),
            Some(name) => checked_database(name)?,
        };
        let options = options.database(&database);
        Ok(Self { options, database, connections })
    }

    /// Where the store is, without credentials.
    pub(crate) fn location(&self) -> String {
        let host = match self.options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => self.options.get_host().to_owned(),
        };
        format!("{host}:{}/{}", self.options.get_port(), self.database)
    }
}

/// A database that is not there is made under its name as it stands, so it must need no escaping.
fn checked_database(name: &str) -> Result<String, OpenError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.len() <= 64 && name.bytes().all(good) {
        return Ok(name.to_owned());
    }
    let reason = "database: may hold letters, digits, '_' and '-', at most 64".to_owned();
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
    fn connections_are_ours_and_a_database_has_a_default() {
        let config =
            MySqlConfig::parse("mysql://u:secret@db.example:3307/mail?connections=4").unwrap();
        assert_eq!((config.database.as_str(), config.connections), ("mail", 4));
        assert_eq!(config.location(), "db.example:3307/mail");
        let config = MySqlConfig::parse("mariadb://u@db.example").unwrap();
        assert_eq!((config.database.as_str(), config.connections), ("zaqar", CONNECTIONS));
    }

    #[test]
    fn a_database_that_needs_escaping_and_silly_numbers_are_refused() {
        for rest in ["/a%60b", "/a.b", "/a?connections=0", "/a?connections=x"] {
            let parsed = MySqlConfig::parse(&format!("mysql://localhost{rest}"));
            assert!(matches!(parsed, Err(OpenError::InvalidUri { .. })), "{rest}");
        }
        assert!(MySqlConfig::parse("mysql://localhost:port/x").is_err());
    }
}
