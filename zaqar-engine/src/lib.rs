//! The transport-neutral service: what Zaqar does, over any storage driver.
//!
//! An [`Engine`] holds two drivers ([`Stores`]) and offers one method for each operation of the
//! service, named as the drivers name theirs: `queue_create`, `message_post`, `claim_create`. It
//! adds what no driver knows: defaults and reserved queue attributes ([`attributes`]), queues made
//! on first use, the dead-letter policy, the cache of queue names and the fence that makes the
//! cache safe, [`stages`] around the data driver, and upkeep in the background ([`maintenance`]).
//! Which driver serves a storage URI is decided in [`registry`].
//!
//! It knows no HTTP and no authentication, and reads no configuration file: a transport hands it
//! well-formed, typed requests and turns [`EngineError`] into answers.

pub mod attributes;
mod bounds;
mod checksum;
mod claims;
pub mod config;
mod dead_letters;
mod engine;
mod error;
mod fence;
mod health;
mod idempotency;
mod lifecycle;
pub mod maintenance;
mod messages;
mod patch;
pub mod pools;
mod queues;
pub mod quotas;
mod redrive;
pub mod registry;
mod retry_policy;
mod routing;
pub mod stages;
mod statistics;
mod subscriber_check;
mod subscriptions;
mod waiting;
mod watch;

pub use claims::{ClaimRequest, ClaimedMessages};
pub use config::{Defaults, EngineConfig, Limits, SubscriberRules};
pub use engine::{Engine, EngineBuilder, Stores};
pub use error::{EngineError, EngineResult};
pub use health::{EngineHealth, StoreHealth};
pub use maintenance::Maintenance;
pub use messages::{PostMessage, PostRequest, PostSizeMax};
pub use patch::PatchOperation;
pub use pools::{
    ChangePool, DrainReport, FlavorView, MovesReport, MovingQueue, NewPool, PoolOptions, QueuePlace,
};
pub use queues::{PurgeTargets, QueueView};
pub use quotas::{Quota, Quotas};
pub use redrive::{DeadLetter, LeftReason, RedriveReport, RedriveRequest, RedriveSlice};
pub use registry::StoreOptions;
pub use stages::{FilterStage, MessageFilter, Stage};
pub use subscriber_check::SubscriberCheck;
