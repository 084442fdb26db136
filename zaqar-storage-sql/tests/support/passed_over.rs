//! Claims pass over a message that somebody has locked; who then leaves it as it was must not have hidden
//! it from the claims that follow.

use std::sync::Arc;
use std::time::Duration;

use zaqar_core::{ClaimId, CreateClaim, ManualClock, PageLimit, QueueRef, Ttl};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};

use super::{TestStore, post, queue};

/// A queue of three messages.
pub(crate) struct PassedOver {
    pub(crate) drivers: SqlDrivers,
    pub(crate) queue: QueueRef,
    pub(crate) clock: Arc<ManualClock>,
}

impl PassedOver {
    pub(crate) async fn of(place: &impl TestStore) -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::default());
        let options = OpenOptions::new(Arc::<ManualClock>::clone(&clock));
        let drivers = zaqar_storage_sql::open(&place.store(), options).await?;
        let queue = queue(&drivers, "q").await?;
        assert_eq!(post(&drivers, &queue, 3).await?, 3);
        Ok(Self { drivers, queue, clock })
    }

    /// The positions that a claim of so many messages takes.
    pub(crate) async fn claim(&self, count: u32) -> anyhow::Result<Vec<u64>> {
        let (id, ttl) = (ClaimId::random(), Ttl::from_secs(300)?);
        let claim = CreateClaim::new(id, ttl, ttl).limit(PageLimit::new(count)?);
        let claimed = self.drivers.data.claims().claim_create(&self.queue, claim).await?;
        Ok(claimed.messages.iter().map(|message| message.id.sequence()).collect())
    }

    /// Nobody has anything locked any more: within a second, claims have taken the first and the last.
    pub(crate) async fn are_met_again(self) -> anyhow::Result<()> {
        let mut taken = self.claim(10).await?;
        self.clock.advance(Duration::from_secs(1));
        taken.extend(self.claim(10).await?);
        taken.sort_unstable();
        assert_eq!(taken, [1, 3]);
        self.drivers.data.close().await;
        Ok(())
    }
}

/// Locks the first message of the first queue.
pub(crate) const LOCK_FIRST: &str = "SELECT 1 FROM messages WHERE id = 34359738369 FOR UPDATE";
