//! Messages: what is posted, what is stored, and the options of the operations on them.
//!
//! The operations are in [`message_controller`](crate::message_controller).

use crate::body::Body;
use crate::clock::{Timestamp, Ttl};
use crate::ids::{ClaimId, ClientId, IdempotencyKey, MessageId, MessageMarker, QueueName};
use crate::page::PageLimit;
use crate::queue::QueueRef;

/// A message to be posted.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// What it says.
    pub body: Body,
    /// How long it lives from now.
    pub ttl: Ttl,
    /// How long it is hidden from claims, pops and default listings.
    pub delay: Ttl,
    /// Checksum of the body, as it will be shown; `None` where checksums are off.
    pub checksum: Option<String>,
}

impl NewMessage {
    /// A message without delay or checksum.
    #[must_use]
    pub fn new(body: Body, ttl: Ttl) -> Self {
        Self { body, ttl, delay: Ttl::ZERO, checksum: None }
    }

    /// Hides it for `delay`.
    #[must_use]
    pub fn delay(mut self, delay: Ttl) -> Self {
        self.delay = delay;
        self
    }

    /// Stores a checksum with it.
    #[must_use]
    pub fn checksum(mut self, checksum: impl Into<Option<String>>) -> Self {
        self.checksum = checksum.into();
        self
    }
}

/// The key under which a post is stored once, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostKey {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// Digest of what the caller posts; the same key with another digest is refused.
    pub digest: [u8; 32],
    /// How long the store remembers the key.
    pub keep: Ttl,
}

/// Options of [`message_post`](crate::MessageController::message_post).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PostMessages {
    /// Who posts.
    pub client: Option<ClientId>,
    /// Makes a repeat safe.
    pub key: Option<PostKey>,
    /// Whether the bodies are to be stored encrypted. A layer above the driver sees to it; a driver
    /// stores what it is given.
    pub encrypt: bool,
}

impl PostMessages {
    /// Nobody in particular posts, and a repeat stores again.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says who posts.
    #[must_use]
    pub fn client(mut self, client: impl Into<Option<ClientId>>) -> Self {
        self.client = client.into();
        self
    }

    /// Makes a repeat safe.
    #[must_use]
    pub fn key(mut self, key: impl Into<Option<PostKey>>) -> Self {
        self.key = key.into();
        self
    }

    /// Says whether the bodies are to be stored encrypted.
    #[must_use]
    pub fn encrypt(mut self, encrypt: bool) -> Self {
        self.encrypt = encrypt;
        self
    }
}

/// What a post stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// One id for each message, in their order.
    pub ids: Vec<MessageId>,
    /// Whether an earlier post under the same key stored them.
    pub repeated: bool,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name.
    pub id: MessageId,
    /// Its position in this queue, to page from.
    pub marker: MessageMarker,
    /// What it says.
    pub body: Body,
    /// Its life in seconds as it is shown: as posted, or as raised by a claim.
    pub ttl: Ttl,
    /// Whole seconds since it was posted.
    pub age_s: u64,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// The live claim that holds it.
    pub claim: Option<ClaimId>,
    /// How often it was claimed.
    pub claim_count: u32,
    /// Checksum of the body, if one was stored.
    pub checksum: Option<String>,
}

/// A place in a queue behind which something may come that can be claimed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageWatch {
    /// The queue.
    pub queue: QueueRef,
    /// Only what comes strictly after this place counts; `None`: anything does.
    pub after: Option<MessageMarker>,
}

/// Options of [`message_list`](crate::MessageController::message_list).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListMessages {
    /// Start strictly after this place.
    pub marker: Option<MessageMarker>,
    /// Page size.
    pub limit: PageLimit,
    /// Leave out messages that this client posted ("echo" off).
    pub hide_client: Option<ClientId>,
    /// Show messages under a live claim too.
    pub include_claimed: bool,
    /// Show messages still delayed too.
    pub include_delayed: bool,
}

impl ListMessages {
    /// The first ten messages that are neither claimed nor delayed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts strictly after `marker`.
    #[must_use]
    pub fn marker(mut self, marker: impl Into<Option<MessageMarker>>) -> Self {
        self.marker = marker.into();
        self
    }

    /// Sets the page size.
    #[must_use]
    pub fn limit(mut self, limit: PageLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Leaves out messages that `client` posted.
    #[must_use]
    pub fn hide_client(mut self, client: impl Into<Option<ClientId>>) -> Self {
        self.hide_client = client.into();
        self
    }

    /// Shows claimed messages too, if `include`.
    #[must_use]
    pub fn include_claimed(mut self, include: bool) -> Self {
        self.include_claimed = include;
        self
    }

    /// Shows delayed messages too, if `include`.
    #[must_use]
    pub fn include_delayed(mut self, include: bool) -> Self {
        self.include_delayed = include;
        self
    }
}

/// Which end of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueEnd {
    /// The message posted first.
    Oldest,
    /// The message posted last.
    Newest,
}

/// The oldest or newest message, as statistics show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageEdge {
    /// Its name.
    pub id: MessageId,
    /// Whole seconds since it was posted.
    pub age_s: u64,
    /// When it was posted.
    pub posted_at: Timestamp,
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Live messages under a live claim, or parked on their way to the dead-letter queue.
    pub claimed: u64,
    /// All other live messages, delayed ones too.
    pub free: u64,
    /// The oldest live message.
    pub oldest: Option<MessageEdge>,
    /// The newest live message.
    pub newest: Option<MessageEdge>,
}

impl QueueStats {
    /// All live messages.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.claimed.saturating_add(self.free)
    }
}

/// A message on its way into this queue from another (dead letter).
#[derive(Debug, Clone)]
pub struct MovedMessage {
    /// The id that it keeps.
    pub id: MessageId,
    /// What it says.
    pub body: Body,
    /// Its new life, from the moment it arrives.
    pub ttl: Ttl,
    /// How often it was claimed so far.
    pub claim_count: u32,
    /// When it was first posted.
    pub posted_at: Timestamp,
    /// Checksum of the body, if one was stored.
    pub checksum: Option<String>,
    /// The queue of the same project that it comes from.
    pub source: QueueName,
    /// The claim that held it last there, if the store still knows.
    pub last_claim: Option<ClaimId>,
}

/// Where a dead letter came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterOrigin {
    /// The queue of the same project in which it was claimed too often.
    pub queue: QueueName,
    /// How often it had been claimed when it left.
    pub claim_count: u32,
    /// The claim that held it last there, if that is known.
    pub last_claim: Option<ClaimId>,
    /// When it arrived.
    pub died_at: Timestamp,
}

impl DeadLetterOrigin {
    /// What is remembered of a message that arrives at `now`.
    #[must_use]
    pub fn of(message: &MovedMessage, now: Timestamp) -> Self {
        Self {
            queue: message.source.clone(),
            claim_count: message.claim_count,
            last_claim: message.last_claim,
            died_at: now,
        }
    }
}
