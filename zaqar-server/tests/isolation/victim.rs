//! Who is attacked, and with what.

use crate::server::Server;
use crate::tenant::Tenant;
use crate::things::{Leak, Names, fresh, inventory, settle};

/// What an attacker brings besides what leaked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kit {
    /// Nothing.
    Bare,
    /// A queue and a topic of the same names, with as much in them.
    Namesakes,
    /// The victim's signed URL.
    Signature,
}

/// A victim and what it had before anybody tried anything.
pub(crate) struct Victim {
    pub(crate) tenant: Tenant,
    pub(crate) leak: Leak,
    before: Vec<String>,
}

impl Victim {
    pub(crate) async fn new(server: &Server) -> Self {
        let mut tenant = server.tenant(format!("victim-{}", fresh())).await;
        let leak = settle(&mut tenant, &Names::fresh()).await;
        let before = inventory(&mut tenant, &leak).await;
        Self { tenant, leak, before }
    }

    /// What of its things is not as it was.
    pub(crate) async fn losses(&mut self) -> Vec<String> {
        let after = inventory(&mut self.tenant, &self.leak).await;
        assert_eq!(after.len(), self.before.len());
        let pairs = self.before.iter().zip(&after).filter(|(before, after)| before != after);
        pairs.map(|(before, after)| format!("{before}\n  became {after}")).collect()
    }

    pub(crate) fn names(&self) -> Names {
        let word = |word| self.leak.word(word).to_owned();
        Names { queue: word("queue"), topic: word("topic") }
    }
}
