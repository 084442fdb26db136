//! The incarnation record: a store that lost its data, or is another one than before, is found out.
//!
//! The record holds a name that was drawn when the store was first opened. Each bucket in use bears
//! the same name, so that a node of a cluster that came back empty shows; the counter of incarnations
//! may never be lower than this handle has seen it, so that an old copy of the data shows.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use zaqar_core::{Incarnation, LeaseId, OpenError, ProjectId, QueueRef, Result};

use crate::keys::{BUCKETS, Place, bucket_of, bucket_of_project};
use crate::registry::{BUCKET_MARK, BUCKET_USE, STORE_OPEN, STORE_READ};
use crate::store::{Call, Store};

/// The format of stored data that this version writes.
const FORMAT: i64 = 1;

/// Buckets that are asked at the same time.
pub(crate) const AT_ONCE: usize = 64;

/// What this handle knows of its store.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    name: String,
    /// The highest incarnation that was seen.
    latest: u64,
    /// Buckets that are known to be in use.
    data: BTreeSet<u16>,
    control: BTreeSet<u16>,
    /// What was found to be wrong, for good.
    lost: bool,
}

/// A plane's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plane {
    Data,
    Control,
}

impl Plane {
    fn place(self, bucket: u16) -> Place {
        match self {
            Self::Data => Place::data_bucket(bucket),
            Self::Control => Place::control_bucket(bucket),
        }
    }
}

/// What the store's record says.
struct Found {
    name: String,
    lost: bool,
    latest: u64,
    data: Vec<u16>,
    control: Vec<u16>,
}

impl Store {
    fn identity(&self) -> std::sync::MutexGuard<'_, Identity> {
        // Nothing panics while it is held.
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the record, and makes it if the store has none.
    pub(crate) async fn identify(&self) -> Result<(), OpenError> {
        let fresh = LeaseId::random().to_string();
        let call = Call {
            operation: "open",
            script: &STORE_OPEN,
            place: Place::global("store"),
            writes: true,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&fresh).arg(FORMAT);
            },
        };
        let open_error = |error: zaqar_core::Error| OpenError::Backend { source: Box::new(error) };
        let answer = self.call(&call, None).await.map_err(open_error)?;
        let mut reply = answer.plain().map_err(open_error)?;
        let name = reply.text("store").map_err(open_error)?;
        let found = reply.int("store").map_err(open_error)?;
        if found > FORMAT {
            return Err(OpenError::SchemaTooNew { found, supported: FORMAT });
        }
        let lost = reply.int("store").map_err(open_error)? != 0;
        *self.identity() = Identity { name, lost, ..Identity::default() };
        Ok(())
    }

    async fn record(&self) -> Result<Found> {
        let call = Call {
            operation: "health",
            script: &STORE_READ,
            place: Place::global("store"),
            writes: false,
            arguments: |_: &mut redis::Cmd, _| {},
        };
        let mut reply = self.call(&call, None).await?.plain()?;
        Ok(Found {
            name: reply.text("store")?,
            lost: reply.int("store")? != 0,
            latest: reply.number("store")?,
            data: bits(&reply.bytes("store")?),
            control: bits(&reply.bytes("store")?),
        })
    }

    /// Whether the store lost data, in a sentence for the operator; changes nothing.
    pub(crate) async fn check_identity(&self) -> Result<Option<String>> {
        // As of before the record is read: what is handed out meanwhile is not in it yet.
        let seen = self.identity().latest;
        let found = self.record().await?;
        let planes = [(Plane::Data, found.data), (Plane::Control, found.control)];
        for (plane, buckets) in planes {
            let marks = stream::iter(buckets).map(|bucket| self.mark(plane, bucket, false));
            let marks: Vec<String> = marks.buffered(AT_ONCE).try_collect().await?;
            if marks.iter().any(|mark| *mark != found.name) {
                self.identity().lost = true;
            }
        }
        let mut identity = self.identity();
        if found.name != identity.name || found.lost || found.latest < seen {
            identity.lost = true;
        }
        identity.latest = identity.latest.max(found.latest);
        let text = "the store lost data: it is not what it was when it was opened, or was restored \
                    from an older copy";
        Ok(identity.lost.then(|| text.to_owned()))
    }

    /// An incarnation was handed out by this store.
    pub(crate) fn saw_incarnation(&self, number: u64) {
        let mut identity = self.identity();
        identity.latest = identity.latest.max(number);
    }

    /// Buckets of a plane that hold anything.
    pub(crate) async fn buckets(&self, plane: Plane) -> Result<Vec<u16>> {
        let found = self.record().await?;
        Ok(match plane {
            Plane::Data => found.data,
            Plane::Control => found.control,
        })
    }

    /// Sees to it that a queue's bucket is known to be in use, before anything is put there.
    pub(crate) async fn use_bucket_of(&self, queue: &QueueRef) -> Result<()> {
        self.use_bucket(Plane::Data, bucket_of(queue.incarnation)).await
    }

    /// As [`Self::use_bucket_of`], for a project's records.
    pub(crate) async fn use_bucket_of_project(&self, project: &ProjectId) -> Result<()> {
        self.use_bucket(Plane::Control, bucket_of_project(project)).await
    }

    async fn use_bucket(&self, plane: Plane, bucket: u16) -> Result<()> {
        let known = {
            let identity = self.identity();
            match plane {
                Plane::Data => identity.data.contains(&bucket),
                Plane::Control => identity.control.contains(&bucket),
            }
        };
        if known {
            return Ok(());
        }
        self.mark(plane, bucket, true).await?;
        let call = Call {
            operation: "head_open",
            script: &BUCKET_USE,
            place: Place::global("store"),
            writes: true,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(if plane == Plane::Data { "data" } else { "control" }).arg(bucket);
            },
        };
        self.call(&call, None).await?.plain()?;
        let mut identity = self.identity();
        match plane {
            Plane::Data => identity.data.insert(bucket),
            Plane::Control => identity.control.insert(bucket),
        };
        Ok(())
    }

    /// The name that a bucket bears; if it has none and `make` is set, that of this store.
    async fn mark(&self, plane: Plane, bucket: u16, make: bool) -> Result<String> {
        let name = if make { self.identity().name.clone() } else { String::new() };
        let call = Call {
            operation: "health",
            script: &BUCKET_MARK,
            place: plane.place(bucket),
            writes: make,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&name);
            },
        };
        self.call(&call, None).await?.plain()?.text("mark")
    }
}

/// The positions of the bits that are set, the first one the highest of the first byte.
fn bits(bytes: &[u8]) -> Vec<u16> {
    let set = |bucket: &u16| {
        let byte = bytes.get(usize::from(bucket / 8)).copied().unwrap_or(0);
        byte & (0x80 >> (bucket % 8)) != 0
    };
    (0..BUCKETS).filter(set).collect()
}

/// The incarnation that a bucket's index names.
pub(crate) fn incarnation_of(member: &str) -> Option<Incarnation> {
    Incarnation::new(member.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_as_redis_sets_them() {
        assert_eq!(bits(&[0b1000_0001, 0b0100_0000]), [0, 7, 9]);
        assert!(bits(&[]).is_empty());
    }
}
