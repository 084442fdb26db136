//! Domain types, storage traits, errors and the clock of a Zaqar message service.
//!
//! This crate does no I/O, starts no task, and names no backend. An application holds two handles,
//! a [`ControlDriver`] (what exists, and where) and a
//! [`DataDriver`] (messages, claims, subscriptions); a driver crate implements
//! both over its backend and proves with `zaqar-conformance` that it keeps the promise:
//! **a message that was accepted is never lost before its TTL ends.**
//!
//! Where to go: a resource's module holds its types, its option structs and its controller trait
//! ([`queue`], [`head`], [`message`], [`claim`], [`subscription`], [`outbox`], [`pool`],
//! [`flavor`], [`catalogue`]); [`moves`] is how a queue changes its store; [`error`] says what may have happened when a call fails; [`clock`]
//! says what time it is. `G1`…`G17` are the guarantees of `docs/guarantees.md`.

pub mod body;
pub mod capability;
pub mod catalogue;
pub mod claim;
pub mod clock;
pub mod driver;
pub mod error;
pub mod flavor;
pub mod head;
pub mod ids;
pub mod limits;
pub mod message;
pub mod message_controller;
pub mod move_rules;
pub mod moves;
pub mod outbox;
pub mod page;
pub mod pool;
pub mod queue;
pub mod subscription;

pub use body::Body;
pub use capability::{Capabilities, Capability};
pub use catalogue::{CatalogueController, CatalogueEntry};
pub use claim::{Claim, ClaimController, Claimed, CreateClaim, Redrive};
pub use clock::{Clock, DisciplinedClock, ManualClock, Timestamp, Ttl};
pub use driver::{ControlDriver, DataDriver, DriverInfo, GcOptions, GcReport, Health, StoreVolume};
pub use error::{Effect, Error, ErrorClass, OpenError, Result, Retry};
pub use flavor::{Flavor, FlavorController};
pub use head::{HeadState, QueueHead, QueueHeadController};
pub use ids::{
    ClaimId, ClientId, FlavorName, IdempotencyKey, Incarnation, InvalidId, LeaseId, MessageId,
    MessageMarker, PoolName, ProjectId, QueueName, SubscriptionId,
};
pub use message::{
    DeadLetterOrigin, ListMessages, Message, MessageEdge, MessageWatch, MovedMessage, NewMessage,
    PostKey, PostMessages, Posted, QueueEnd, QueueStats,
};
pub use message_controller::MessageController;
pub use moves::{
    MoveController, MoveOpening, MovePart, MoveRecord, MovingHold, MovingMessage, NoMoves,
};
pub use outbox::{
    Delivery, DeliveryOutcome, ExhaustedDelivery, LeaseDeliveries, OutboxBacklog, OutboxController,
    OutboxMessage, Transfer,
};
pub use page::{Page, PageLimit};
pub use pool::{Pool, PoolController, UpdatePool};
pub use queue::{
    Created, FilterValue, JsonObject, ListQueues, MetadataFilter, QueueController, QueueKey,
    QueueKind, QueueRecord, QueueRef, QueueState,
};
pub use subscription::{NewSubscription, Subscription, SubscriptionController, UpdateSubscription};
