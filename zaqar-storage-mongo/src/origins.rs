//! Where dead letters came from, kept with what remembers that they arrived.

use std::collections::HashMap;

use mongodb::bson::doc;
use serde::{Deserialize, Serialize};
use zaqar_core::{ClaimId, DeadLetterOrigin, MessageId, QueueName, QueueRef, Result, Timestamp};

use crate::barrier::Place;
use crate::error::{NativeResult, damaged};
use crate::query::Query;
use crate::rows::{claim_id, count};
use crate::schema::DATA;
use crate::store::Store;
use crate::tables::{arrival_key, queue_code};

const OPERATION: &str = "message_origins";

/// An arrival to be written.
#[derive(Debug, Serialize)]
pub(crate) struct NewArrival {
    #[serde(rename = "_id")]
    pub(crate) key: String,
    pub(crate) q: i64,
    pub(crate) at: i64,
    pub(crate) origin: OriginRow,
}

/// Where a dead letter came from, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OriginRow {
    queue: String,
    claims: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    at: i64,
}

impl OriginRow {
    pub(crate) fn of(origin: &DeadLetterOrigin) -> Self {
        Self {
            queue: origin.queue.to_string(),
            claims: i64::from(origin.claim_count),
            last: origin.last_claim.as_ref().map(ClaimId::to_string),
            at: origin.died_at.as_millis(),
        }
    }

    pub(crate) fn origin(&self) -> NativeResult<DeadLetterOrigin> {
        Ok(DeadLetterOrigin {
            queue: QueueName::new(self.queue.as_str())
                .map_err(|_| damaged("source of a dead letter"))?,
            claim_count: count(self.claims),
            last_claim: self.last.as_deref().map(claim_id).transpose()?,
            died_at: Timestamp::from_millis(self.at),
        })
    }
}

/// An arrival as far as it is asked where it came from.
#[derive(Debug, Deserialize)]
struct Origins {
    #[serde(rename = "_id")]
    key: String,
    /// Missing: it arrived before this was kept.
    origin: Option<OriginRow>,
}

/// Where messages came from, in the order asked.
pub(crate) async fn origins(
    store: &Store,
    queue: &QueueRef,
    ids: &[MessageId],
) -> Result<Vec<Option<DeadLetterOrigin>>> {
    let q = queue_code(queue.incarnation);
    let view = store.view(OPERATION, Place::Queue(q)).await?;
    let keys: Vec<String> = ids.iter().map(|id| arrival_key(q, *id)).collect();
    let arrivals: Vec<Origins> = match keys.is_empty() {
        true => Vec::new(),
        false => {
            view.find(DATA, Query::of(doc! { "_id": { "$in": keys.clone() }, "q": q })).await?
        }
    };
    view.head(queue).await?;
    let read = |row: &OriginRow| row.origin().map_err(|error| view.failed(&error));
    let mut told = HashMap::with_capacity(arrivals.len());
    for arrival in &arrivals {
        told.insert(arrival.key.as_str(), arrival.origin.as_ref().map(read).transpose()?);
    }
    Ok(keys.iter().map(|key| told.get(key.as_str()).cloned().flatten()).collect())
}
