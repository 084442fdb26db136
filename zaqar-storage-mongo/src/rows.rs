//! Stored documents, as they are written and read.

use serde::{Deserialize, Serialize};
use zaqar_core::{
    Body, ClaimId, Incarnation, Message, MessageId, MessageMarker, QueueKind, Timestamp, Ttl,
};

use mongodb::bson::{RawDocumentBuf, serialize_to_raw_document_buf};

use crate::error::{NativeResult, damaged};
use crate::tables::{FROZEN, message_id};

/// A message to be written.
#[derive(Debug, Serialize)]
pub(crate) struct NewRow<'m> {
    #[serde(rename = "_id")]
    pub(crate) key: String,
    pub(crate) q: i64,
    pub(crate) s: i64,
    pub(crate) avail: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) was: Option<i64>,
    pub(crate) expires: i64,
    pub(crate) ttl: i64,
    pub(crate) posted: i64,
    pub(crate) claims: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<&'m str>,
    pub(crate) body: &'m str,
}

/// A message as it is stored.
#[derive(Debug, Deserialize)]
pub(crate) struct MessageRow {
    pub(crate) q: i64,
    pub(crate) s: i64,
    avail: i64,
    /// Of a frozen message: what `avail` was.
    was: Option<i64>,
    ttl: i64,
    posted: i64,
    pub(crate) claims: i64,
    pub(crate) claim: Option<String>,
    /// The claim that held it last, once that is over.
    last: Option<String>,
    origin: Option<String>,
    checksum: Option<String>,
    body: String,
    /// Of a parked message: the queue that takes it, and its life there.
    pub(crate) target: Option<String>,
    pub(crate) moved_ttl: Option<i64>,
}

impl MessageRow {
    /// Until when it is claimed or delayed; what is on its way is shown as it was.
    pub(crate) fn until(&self) -> i64 {
        self.was.filter(|_| self.avail == FROZEN).unwrap_or(self.avail)
    }

    /// Its id for life.
    pub(crate) fn id(&self, incarnation: Incarnation) -> NativeResult<MessageId> {
        match &self.origin {
            Some(text) => text.parse().map_err(|_| damaged("message origin")),
            None => message_id(incarnation, self.s).map_err(|_| damaged("message position")),
        }
    }

    /// The claim that held it last, of a message that none holds.
    pub(crate) fn last_claim(&self) -> NativeResult<Option<ClaimId>> {
        self.last.as_deref().map(claim_id).transpose()
    }

    /// The message as it is shown.
    pub(crate) fn message(self, incarnation: Incarnation, now: Timestamp) -> NativeResult<Message> {
        let place = message_id(incarnation, self.s).map_err(|_| damaged("message position"))?;
        let posted_at = Timestamp::from_millis(self.posted);
        let claim = match &self.claim {
            // A claim that has ended holds nothing, whether or not a sweep has met it.
            Some(text) if self.until() > now.as_millis() => Some(claim_id(text)?),
            _ => None,
        };
        Ok(Message {
            id: self.id(incarnation)?,
            marker: MessageMarker::from(place),
            body: Body::from_checked(self.body),
            ttl: ttl(self.ttl),
            age_s: now.seconds_since(posted_at),
            posted_at,
            claim,
            claim_count: count(self.claims),
            checksum: self.checksum,
        })
    }
}

/// Serializes a document.
pub(crate) fn document(row: &impl Serialize) -> NativeResult<RawDocumentBuf> {
    Ok(serialize_to_raw_document_buf(row)?)
}

/// Reads a claim id.
pub(crate) fn claim_id(text: &str) -> NativeResult<ClaimId> {
    text.parse().map_err(|_| damaged("claim id"))
}

/// Reads a time-to-live.
pub(crate) fn ttl(seconds: i64) -> Ttl {
    Ttl::from_secs_clamped(seconds.unsigned_abs())
}

/// The stored form of a time-to-live.
pub(crate) fn ttl_code(ttl: Ttl) -> i64 {
    // At most TTL_S_MAX, by construction.
    i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)
}

/// Reads a small count.
pub(crate) fn count(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(u32::MAX)
}

/// The stored form of a length.
pub(crate) fn length_code(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The stored form of a queue's kind.
pub(crate) fn kind_code(kind: QueueKind) -> i64 {
    match kind {
        QueueKind::Queue => 0,
        QueueKind::Topic => 1,
    }
}

/// Reads a queue's kind.
pub(crate) fn kind_of(stored: i64) -> QueueKind {
    match stored {
        0 => QueueKind::Queue,
        _ => QueueKind::Topic,
    }
}
