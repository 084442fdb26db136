//! A session with the server: opened, checked, then used for any operation.
//!
//! # Why a commit is flushed
//! `synchronous_commit` may be set for a database, a role or in a session, so it is not enough to
//! ask the configuration. Each session of ours gets it in its start-up packet, and the first thing
//! done on it is to ask for the value *and its source*. The source `client` means that the value is
//! the one of the start-up packet: only a `SET` within the same session could change it any more,
//! and nothing of ours does one. A pooler that swallows the packet's options, or hands one session to
//! many clients, shows another source and is refused. So a statement that commits by itself is
//! covered at no cost; transactions of several statements set the level once more, in the text that
//! begins them.

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Row};
use zaqar_core::OpenError;

use crate::connections::Dial;

/// How a session commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Flushed here, and on synchronous standbys if there are any.
    On,
    /// As `On`, and visible on the standbys.
    RemoteApply,
    /// Flushed here and, where standbys are synchronous, not necessarily there.
    LocalOnly,
    /// Not certain to be flushed.
    Weak,
}

impl Level {
    fn of(value: &str, source: &str, has_standbys: bool) -> Self {
        match value {
            _ if source != "client" => Self::Weak,
            "on" => Self::On,
            "remote_apply" => Self::RemoteApply,
            "local" | "remote_write" if !has_standbys => Self::LocalOnly,
            _ => Self::Weak,
        }
    }

    /// The text that begins a transaction of that level.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::On => "BEGIN; SET LOCAL synchronous_commit = on",
            Self::RemoteApply => "BEGIN; SET LOCAL synchronous_commit = remote_apply",
            Self::LocalOnly => "BEGIN; SET LOCAL synchronous_commit = local",
            // Allowed by `unreliable` alone: whatever the operator set.
            Self::Weak => "BEGIN",
        }
    }
}

/// Asks how this session commits.
const ASK: &str = "SELECT s.setting, s.source, current_setting('synchronous_standby_names') <> '', \
       current_setting('server_encoding') \
     FROM pg_settings AS s WHERE s.name = 'synchronous_commit'";

/// Why a session is not used. Once the store is open it reaches an operator as an error's source.
#[derive(Debug)]
struct RefusedSession {
    setting: &'static str,
    value: String,
    safe: &'static str,
}

impl std::fmt::Display for RefusedSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}, must be {}", self.setting, self.value, self.safe)
    }
}

impl std::error::Error for RefusedSession {}

fn refused(setting: &'static str, value: String, safe: &'static str) -> sqlx::Error {
    sqlx::Error::Configuration(Box::new(RefusedSession { setting, value, safe }))
}

/// Opens sessions.
#[derive(Debug, Clone)]
pub(crate) struct PgDial {
    pub(crate) options: PgConnectOptions,
    /// Whether a session that may lose commits is accepted.
    pub(crate) unreliable: bool,
}

impl PgDial {
    /// Opens a session, and says how it commits.
    pub(crate) async fn open(&self) -> Result<(PgConnection, Level), sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let row = sqlx::query(ASK).fetch_one(&mut connection).await?;
        let (value, source): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let level = Level::of(value, source, row.try_get(2)?);
        if level == Level::Weak && !self.unreliable {
            let value = format!("{value} (source {source})");
            return Err(refused("synchronous_commit of a fresh session", value, SAFE_LEVEL));
        }
        let encoding: &str = row.try_get(3)?;
        if encoding != "UTF8" {
            return Err(refused("server_encoding", encoding.to_owned(), "UTF8"));
        }
        Ok((connection, level))
    }

    /// Opens the first session of a store.
    pub(crate) async fn first(&self) -> Result<(PgConnection, Level), OpenError> {
        let error = match self.open().await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let sqlx::Error::Configuration(source) = &error else {
            return Err(super::error::open_failed(error));
        };
        match source.downcast_ref::<RefusedSession>() {
            Some(RefusedSession { setting, value, safe }) => Err(OpenError::Unsafe {
                setting: (*setting).to_owned(),
                value: value.clone(),
                safe: (*safe).to_owned(),
            }),
            None => Err(super::error::open_failed(error)),
        }
    }
}

const SAFE_LEVEL: &str = "on or remote_apply, set by the client (no pooler in between)";

#[async_trait]
impl Dial for PgDial {
    type Connection = PgConnection;

    async fn dial(&self) -> Result<PgConnection, sqlx::Error> {
        self.open().await.map(|(connection, _)| connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_level_that_the_client_set_and_that_flushes_is_trusted() {
        assert_eq!(Level::of("on", "client", true), Level::On);
        assert_eq!(Level::of("on", "user", false), Level::Weak);
        assert_eq!(Level::of("off", "client", false), Level::Weak);
        assert_eq!(Level::of("local", "client", false), Level::LocalOnly);
        assert_eq!(Level::of("local", "client", true), Level::Weak);
    }
}
