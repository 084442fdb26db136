//! Watching the store: whether it still is safe, and still the store that was opened (G15).

use zaqar_core::{Health, Result, Timestamp};

use crate::findings;
use crate::identity::Identity;

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
    identity: Identity,
}

impl Watch {
    pub(crate) fn of(schema: &str, level: Level, findings: &Findings) -> Self {
        let identity = Identity::new(&findings.identity);
        Self { schema: schema.to_owned(), weak: level == Level::Weak, identity }
    }

    /// Asks the server.
    pub(crate) async fn look(&self, server: &Server) -> Result<Health> {
        const OPERATION: &str = "health";
        let before = self.identity.before();
        let rows = server.read(OPERATION, settings::look(&self.schema)).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound).told(OPERATION)?;
        let findings = settings::read(row).told(OPERATION)?;
        let mut health = Health::good(server.clock.now());
        health.backend_now = Some(Timestamp::from_millis(findings.server_now));
        findings::tell(&findings.unsafe_settings, &mut health);
        if self.weak {
            health.safe = false;
            health.warnings.push("may lose messages: synchronous_commit is not on".to_owned());
        }
        if let Some(lost) = self.identity.compare(before, &findings.identity) {
            tracing::error!(schema = %self.schema, "{lost}");
            health.safe = false;
            health.warnings.push(lost.to_owned());
        }
        health.warnings.extend(findings.warnings);
        Ok(health)
    }
}
