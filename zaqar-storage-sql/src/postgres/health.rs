//! Watching the store: whether it still is safe, and still the store that was opened (G15).

use std::sync::{Mutex, PoisonError};

use zaqar_core::{Health, Result, Timestamp};

use super::server::Server;
use super::session::Level;
use super::settings::{self, Findings};
use super::told::Told;

/// What is compared at every look.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) schema: String,
    /// Whether sessions may lose commits: accepted by `unreliable` alone.
    pub(crate) weak: bool,
    /// Who the store was when it was opened, and the highest count of openings seen; `None`: it did
    /// not say, though it held data.
    pub(crate) identity: Mutex<Option<(String, i64)>>,
}

impl Watch {
    pub(crate) fn of(schema: &str, level: Level, findings: &Findings) -> Self {
        let identity = Mutex::new(findings.identity.clone());
        Self { schema: schema.to_owned(), weak: level == Level::Weak, identity }
    }

    /// Asks the server.
    pub(crate) async fn look(&self, server: &Server) -> Result<Health> {
        const OPERATION: &str = "health";
        let rows = server.read(OPERATION, settings::look(&self.schema)).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound).told(OPERATION)?;
        let findings = settings::read(row).told(OPERATION)?;
        let mut health = Health::good(server.clock.now());
        health.backend_now = Some(Timestamp::from_millis(findings.server_now));
        for finding in &findings.unsafe_settings {
            let settings::Finding { setting, value, safe } = finding;
            health.safe = false;
            health
                .warnings
                .push(format!("may lose messages: {setting} is {value}, must be {safe}"));
        }
        if self.weak {
            health.safe = false;
            health.warnings.push("may lose messages: synchronous_commit is not on".to_owned());
        }
        if let Some(lost) = self.compare(&findings) {
            tracing::error!(schema = %self.schema, "{lost}");
            health.safe = false;
            health.warnings.push(lost.to_owned());
        }
        health.warnings.extend(findings.warnings);
        Ok(health)
    }

    /// Why this is not the store that was opened, if it is not. Openings are only ever counted up,
    /// so a lower count is an old copy of the store.
    fn compare(&self, findings: &Findings) -> Option<&'static str> {
        let mut known = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *known, &findings.identity) {
            (None, _) => Some("store lost data: its incarnation record was missing when it opened"),
            (Some(_), None) => Some("store lost data: its incarnation record is missing"),
            (Some((uuid, _)), Some((found, _))) if uuid != found => {
                Some("store lost data: it was replaced by another store")
            }
            (Some((_, epoch)), Some((_, found))) if found < epoch => {
                Some("store lost data: it was replaced by an older copy")
            }
            (Some((_, epoch)), Some((_, found))) => {
                *epoch = *found;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(identity: Option<(&str, i64)>) -> Findings {
        let identity = identity.map(|(uuid, epoch)| (uuid.to_owned(), epoch));
        Findings { identity, ..Findings::default() }
    }

    #[test]
    fn another_store_an_older_copy_and_a_missing_record_are_noticed() {
        let watch = Watch::of("zaqar", Level::On, &found(Some(("a", 4))));
        assert_eq!(watch.compare(&found(Some(("a", 4)))), None);
        assert_eq!(watch.compare(&found(Some(("a", 7)))), None);
        assert!(watch.compare(&found(Some(("a", 6)))).is_some());
        assert!(watch.compare(&found(Some(("b", 9)))).is_some());
        assert!(watch.compare(&found(None)).is_some());
        assert!(Watch::of("zaqar", Level::On, &found(None)).compare(&found(None)).is_some());
    }
}
