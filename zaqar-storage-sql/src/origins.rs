//! Where dead letters came from, as the table of arrivals keeps it.

use zaqar_core::{ClaimId, DeadLetterOrigin, QueueName, Timestamp};

use crate::error::damaged;
use crate::layout::count_of;

/// The columns of an origin, as they are stored: all are missing if it came before they were kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct OriginColumns {
    pub(crate) source: Option<String>,
    pub(crate) claims: Option<i64>,
    pub(crate) last_claim: Option<Vec<u8>>,
    pub(crate) arrived: Option<i64>,
}

impl OriginColumns {
    /// What is written of an origin.
    pub(crate) fn of(origin: Option<&DeadLetterOrigin>) -> Self {
        let Some(origin) = origin else { return Self::default() };
        Self {
            source: Some(origin.queue.to_string()),
            claims: Some(i64::from(origin.claim_count)),
            last_claim: origin.last_claim.map(|claim| claim.as_bytes().to_vec()),
            arrived: Some(origin.died_at.as_millis()),
        }
    }

    /// The origin that was written.
    pub(crate) fn origin(self) -> Result<Option<DeadLetterOrigin>, sqlx::Error> {
        let (Some(source), Some(arrived)) = (self.source, self.arrived) else { return Ok(None) };
        let last_claim = self.last_claim.map(|bytes| ClaimId::from_slice(&bytes)).transpose();
        Ok(Some(DeadLetterOrigin {
            queue: QueueName::new(source).map_err(|_| damaged("source of a dead letter"))?,
            claim_count: count_of(self.claims.unwrap_or_default()),
            last_claim: last_claim.map_err(|_| damaged("claim id"))?,
            died_at: Timestamp::from_millis(arrived),
        }))
    }
}

/// Reads the columns from `$offset` on of a row of any of the databases.
macro_rules! origin_of {
    ($row:expr, $offset:expr) => {
        crate::origins::OriginColumns {
            source: $row.try_get($offset)?,
            claims: $row.try_get($offset + 1)?,
            last_claim: $row.try_get($offset + 2)?,
            arrived: $row.try_get($offset + 3)?,
        }
        .origin()
    };
}
pub(crate) use origin_of;
