//! A session with the server: opened, set up, checked, then used for any operation.
//!
//! How a commit is flushed is a setting of the whole server, so [`super::settings`] asks for it. What
//! a session can change is set here and read back, once: nothing of ours changes it afterwards. A
//! proxy that swallows the statements, or hands one session to many clients, shows other values and
//! is refused.
//!
//! `READ COMMITTED` is no matter of taste: under the default level a search locks the gaps that it
//! passes, and an idle consumer's empty claim makes posts wait.

use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use zaqar_core::OpenError;

use crate::connections::Dial;

use super::durable;
use super::error::{is_unknown_database, open_failed};
use super::row::SqlRow;
use super::sql::{Script, sql};
use super::step::run;

/// What a session is set to. What a web head that stopped in the middle leaves locked is freed when
/// it stays silent; a resting connection is asked for a sign of life before that.
const SET: &[&str] = &[
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
       autocommit = 1, innodb_lock_wait_timeout = 5, wait_timeout = 60 \
       /*M! , idle_transaction_timeout = 15 */",
];

/// What is read back.
const ASK: &str = "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', \
     'transaction_isolation', 'autocommit', 'sql_mode', 'max_allowed_packet')";

/// What one statement must be allowed to carry: twice the largest batch of posts.
pub(crate) const PACKET_MIN: usize = 16 << 20;

/// A setting of a session that is not as it was set.
#[derive(Debug)]
pub(crate) struct Refused {
    setting: String,
    value: String,
    safe: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { setting, value, safe } = self;
        write!(f, "{setting} is {value}, must be {safe}")
    }
}

impl std::error::Error for Refused {}

/// Opens sessions.
#[derive(Debug, Clone)]
pub(crate) struct MyDial {
    pub(crate) options: MySqlConnectOptions,
}

/// What a fresh session says of itself.
#[derive(Debug, Default)]
struct Said {
    isolation: String,
    autocommit: String,
    modes: String,
    packet: String,
}

impl Said {
    fn read(rows: &[SqlRow]) -> Result<Self, sqlx::Error> {
        let mut said = Self::default();
        for row in rows {
            let value = row.try_get(1)?;
            match row.try_get::<&str>(0)? {
                "tx_isolation" | "transaction_isolation" => said.isolation = value,
                "autocommit" => said.autocommit = value,
                "sql_mode" => said.modes = value,
                "max_allowed_packet" => said.packet = value,
                _ => {}
            }
        }
        Ok(said)
    }

    /// The bytes that a statement may carry, if all is as it must be.
    fn check(&self) -> Result<usize, Refused> {
        let refused = |setting: &str, value: &str, safe: &str| {
            let owned = str::to_owned;
            Err(Refused { setting: owned(setting), value: owned(value), safe: owned(safe) })
        };
        if self.isolation != "READ-COMMITTED" {
            return refused("transaction_isolation", &self.isolation, "READ-COMMITTED");
        }
        if self.autocommit != "ON" {
            return refused("autocommit", &self.autocommit, "ON");
        }
        if !self.modes.contains("STRICT_ALL_TABLES") {
            return refused(
                "sql_mode",
                &self.modes,
                "as this session set it, with STRICT_ALL_TABLES",
            );
        }
        match self.packet.parse() {
            Ok(packet) if packet >= PACKET_MIN => Ok(packet),
            _ => {
                let safe = format!("at least {PACKET_MIN}, twice the largest batch of posts");
                refused("max_allowed_packet", &self.packet, &safe)
            }
        }
    }
}

impl MyDial {
    /// Opens a session, and says how many bytes a statement of it may carry. Before the first
    /// operation it must be [marked](durable::mark), which needs the tables.
    pub(crate) async fn open(&self) -> Result<(MySqlConnection, usize), sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let script = Script::of(SET.iter().chain([&ASK]).map(|text| sql(text)))?;
        let answers = run(&mut connection, script).await?;
        let said = Said::read(answers.rows(SET.len()))?;
        let packet = said.check().map_err(|refused| sqlx::Error::Configuration(refused.into()))?;
        Ok((connection, packet))
    }

    /// Opens the first session of a store, and makes its database if there is none.
    pub(crate) async fn first(
        &self,
        database: &str,
    ) -> Result<(MySqlConnection, usize), OpenError> {
        let opened = match self.open().await {
            Err(error) if is_unknown_database(&error) => {
                self.make(database).await.map_err(open_failed)?;
                self.open().await
            }
            opened => opened,
        };
        opened.map_err(|error| match error {
            sqlx::Error::Configuration(reason) => match reason.downcast::<Refused>() {
                Ok(refused) => {
                    let Refused { setting, value, safe } = *refused;
                    OpenError::Unsafe { setting, value, safe }
                }
                Err(reason) => open_failed(sqlx::Error::Configuration(reason)),
            },
            error => open_failed(error),
        })
    }

    /// Makes the database; its name was checked to need no escaping.
    async fn make(&self, database: &str) -> Result<(), sqlx::Error> {
        let mut connection = self.options.clone().database("").connect().await?;
        let text = format!(
            "CREATE DATABASE IF NOT EXISTS `{database}` \
             CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await?;
        sqlx::Connection::close(connection).await
    }
}

#[async_trait]
impl Dial for MyDial {
    type Connection = MySqlConnection;

    async fn dial(&self) -> Result<MySqlConnection, sqlx::Error> {
        let (mut connection, _) = self.open().await?;
        durable::mark(&mut connection).await?;
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_not_as_it_was_set_is_refused() {
        let good = || Said {
            isolation: "READ-COMMITTED".into(),
            autocommit: "ON".into(),
            modes: "STRICT_ALL_TABLES".into(),
            packet: PACKET_MIN.to_string(),
        };
        assert_eq!(good().check().unwrap(), PACKET_MIN);
        let refused = |said: Said| said.check().unwrap_err().setting;
        let said = Said { isolation: "REPEATABLE-READ".into(), ..good() };
        assert_eq!(refused(said), "transaction_isolation");
        assert_eq!(refused(Said { autocommit: "OFF".into(), ..good() }), "autocommit");
        assert_eq!(refused(Said { modes: String::new(), ..good() }), "sql_mode");
        assert_eq!(refused(Said { packet: "1048576".into(), ..good() }), "max_allowed_packet");
    }
}
