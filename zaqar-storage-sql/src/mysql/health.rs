//! Watching the store: whether it still is safe, and still the store that was opened (G15).

use zaqar_core::{Health, Result};

use crate::findings;
use crate::identity::Identity;

use super::server::Server;
use super::settings::{self, Findings};
use super::told::Told;

/// What is compared at every look.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) database: String,
    identity: Identity,
}

impl Watch {
    pub(crate) fn of(database: &str, findings: &Findings) -> Self {
        Self { database: database.to_owned(), identity: Identity::new(&findings.identity) }
    }

    /// Asks the server.
    pub(crate) async fn look(&self, server: &Server) -> Result<Health> {
        const OPERATION: &str = "health";
        let before = self.identity.before();
        let answers = server.read_all(OPERATION, settings::look()).await?;
        let findings = settings::read(&answers).told(OPERATION)?;
        let mut health = Health::good(server.clock.now());
        health.backend_now = findings.server_now;
        findings::tell(&findings.unsafe_settings, &mut health);
        if let Some(lost) = self.identity.compare(before, &findings.identity) {
            tracing::error!(database = %self.database, "{lost}");
            health.safe = false;
            health.warnings.push(lost.to_owned());
        }
        Ok(health)
    }
}
