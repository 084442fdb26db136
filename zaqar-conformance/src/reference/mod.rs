//! A driver in memory: the executable specification of the traits.
//!
//! It is the simplest code that keeps every guarantee but durability, which it does not declare: one
//! lock, ordered maps, and a scan wherever a real driver needs an index. Each operation is one
//! closure under that lock: a future that is dropped did nothing, or all of it. Where the documents
//! leave a question open, this code is the answer; the model tests compare real drivers with it.
//!
//! [`ReferenceHarness`] puts it under the suite, if wanted with one planted bug ([`Quirk`]), which
//! shows that the suite would notice.

mod catalogue;
mod claims;
mod driver;
mod flavors;
mod harness;
mod head;
mod heads;
mod messages;
mod moves;
mod outbox;
mod pools;
mod posts;
mod queues;
mod quirks;
mod state;
mod stored;
mod subscriptions;

pub use driver::{ReferenceControl, ReferenceData, ReferenceStore};
pub use harness::ReferenceHarness;
pub use quirks::Quirk;
