//! What an operator may set about the service itself.

use std::time::Duration;

use crate::quotas::Quotas;
use crate::stages::EncryptionKeys;

/// Settings of an [`Engine`](crate::Engine).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineConfig {
    /// What holds where a request says nothing.
    pub defaults: Defaults,
    /// What a request may ask for.
    pub limits: Limits,
    /// What projects may hold.
    pub quotas: Quotas,
    /// Whether messages get a checksum of their body.
    pub enable_checksum: bool,
    /// The keys of queues whose messages are stored encrypted; `None`: there are no such queues.
    pub encryption: Option<EncryptionKeys>,
    /// What subscribers may be.
    pub subscribers: SubscriberRules,
    /// How stale a queue's metadata may be: a change made through another process takes effect
    /// here within this time. Messages are never stale; the queue's head sees to that.
    pub queue_cache_ttl: Duration,
    /// Whether posts are taken although the store is set up to lose messages.
    pub unreliable: bool,
    /// How queues are moved between pools.
    pub moves: Moves,
    /// How long an operation may take before its caller is told that its outcome is unknown.
    pub operation_timeout: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            defaults: Defaults::default(),
            limits: Limits::default(),
            quotas: Quotas::default(),
            enable_checksum: false,
            encryption: None,
            subscribers: SubscriberRules::default(),
            queue_cache_ttl: Duration::from_secs(5),
            unreliable: false,
            moves: Moves::default(),
            operation_timeout: Duration::from_secs(30),
        }
    }
}

/// What holds where neither a request nor its queue says anything, in seconds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Defaults {
    /// Life of a message.
    pub message_ttl: u64,
    /// Delay of a message.
    pub message_delay: u64,
    /// Life of a claim.
    pub claim_ttl: u64,
    /// How much longer than its claim a message lives at least.
    pub claim_grace: u64,
    /// Life of a subscription.
    pub subscription_ttl: u64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            message_ttl: 3_600,
            message_delay: 0,
            claim_ttl: 300,
            claim_grace: 60,
            subscription_ttl: 3_600,
        }
    }
}

/// How queues are moved between pools.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Moves {
    /// Messages that one head moves in a second at most; `None`: as fast as the stores are.
    pub messages_per_second_max: Option<u32>,
    /// Messages that are on their way at once, and stand still for so long.
    pub messages_per_part: u32,
    /// How long a move must have stood still before a head carries it on that another began.
    pub takeover_after: Duration,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            messages_per_second_max: None,
            messages_per_part: 200,
            takeover_after: Duration::from_secs(5),
        }
    }
}

/// What an operator demands of subscribers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SubscriberRules {
    /// Schemes that a subscriber's address may have, in lower case, in the order in which clients
    /// are told them.
    pub types: Vec<String>,
    /// Whether a subscriber that is made from now on gets nothing before it has confirmed.
    pub require_confirmation: bool,
}

impl Default for SubscriberRules {
    fn default() -> Self {
        let types = ["http", "https", "mailto", "trust+http", "trust+https"];
        Self { types: types.map(str::to_owned).to_vec(), require_confirmation: false }
    }
}

/// What a request may ask for at most: spans in seconds, sizes in bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Life of a message.
    pub message_ttl_max: u64,
    /// Delay of a message.
    pub message_delay_max: u64,
    /// Life of a claim.
    pub claim_ttl_max: u64,
    /// Grace of a claim.
    pub claim_grace_max: u64,
    /// Bytes of one post; a queue may set less for itself.
    pub messages_post_size_max: u64,
    /// Messages in one post.
    pub messages_per_post_max: u64,
    /// Bytes of a queue's metadata.
    pub queue_metadata_size_max: u64,
    /// Queues in a page.
    pub queues_per_page_max: u64,
    /// Messages in a page.
    pub messages_per_page_max: u64,
    /// Messages that one claim or pop takes.
    pub messages_per_claim_or_pop_max: u64,
    /// Subscriptions in a page.
    pub subscriptions_per_page_max: u64,
    /// Seconds that a claim or a listing may wait for messages.
    pub wait_max: u64,
    /// Pools in a page.
    pub pools_per_page_max: u64,
    /// Flavors in a page.
    pub flavors_per_page_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_ttl_max: 1_209_600,
            message_delay_max: 900,
            claim_ttl_max: 43_200,
            claim_grace_max: 43_200,
            messages_post_size_max: 262_144,
            messages_per_post_max: 1_000,
            queue_metadata_size_max: 65_536,
            queues_per_page_max: 20,
            messages_per_page_max: 20,
            messages_per_claim_or_pop_max: 20,
            subscriptions_per_page_max: 20,
            wait_max: 20,
            pools_per_page_max: 20,
            flavors_per_page_max: 20,
        }
    }
}
