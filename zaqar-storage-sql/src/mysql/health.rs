//! Watching the store: whether it still is safe, and still the store that was opened (G15).

use std::sync::{Mutex, PoisonError};

use zaqar_core::{Health, Result};

use super::server::Server;
use super::settings::{self, Findings};
use super::told::Told;

/// What is compared at every look.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) database: String,
    /// Who the store was when it was opened, and the highest count of openings seen; `None`: it did
    /// not say, though it held data.
    pub(crate) identity: Mutex<Option<(String, i64)>>,
}

impl Watch {
    pub(crate) fn of(database: &str, findings: &Findings) -> Self {
        Self { database: database.to_owned(), identity: Mutex::new(findings.identity.clone()) }
    }

    /// Asks the server.
    pub(crate) async fn look(&self, server: &Server) -> Result<Health> {
        const OPERATION: &str = "health";
        let answers = server.read_all(OPERATION, settings::look()).await?;
        let findings = settings::read(&answers).told(OPERATION)?;
        let mut health = Health::good(server.clock.now());
        health.backend_now = findings.server_now;
        for finding in &findings.unsafe_settings {
            let settings::Finding { setting, value, safe } = finding;
            health.safe = false;
            health
                .warnings
                .push(format!("may lose messages: {setting} is {value}, must be {safe}"));
        }
        if let Some(lost) = self.compare(&findings) {
            tracing::error!(database = %self.database, "{lost}");
            health.safe = false;
            health.warnings.push(lost.to_owned());
        }
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
        let watch = Watch::of("zaqar", &found(Some(("a", 4))));
        assert_eq!(watch.compare(&found(Some(("a", 4)))), None);
        assert_eq!(watch.compare(&found(Some(("a", 7)))), None);
        assert!(watch.compare(&found(Some(("a", 6)))).is_some());
        assert!(watch.compare(&found(Some(("b", 9)))).is_some());
        assert!(watch.compare(&found(None)).is_some());
        assert!(Watch::of("zaqar", &found(None)).compare(&found(None)).is_some());
    }
}
