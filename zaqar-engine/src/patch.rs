//! Changes to a queue's metadata.

use serde_json::Value;
use zaqar_core::{Error, FlavorName, JsonObject, QueueKey, QueueKind, QueueState};

use crate::attributes;
use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;

/// How often a change is tried anew because somebody else's came first.
const ATTEMPTS_MAX: u32 = 16;

/// One change to a queue's metadata, its syntax checked.
#[derive(Debug, Clone, PartialEq)]
pub enum PatchOperation {
    /// Sets a key, there or not.
    Add {
        /// The key.
        key: String,
        /// Its new value.
        value: Value,
    },
    /// Sets a key that is there, or a reserved one.
    Replace {
        /// The key.
        key: String,
        /// Its new value.
        value: Value,
    },
    /// Removes a key that is there; a reserved one need not be.
    Remove {
        /// The key.
        key: String,
    },
}

impl Engine {
    /// Applies the operations in order, all or none, and returns the new metadata with defaults.
    ///
    /// Concurrent changes are applied one after the other; none is lost.
    ///
    /// # Errors
    /// `QueueNotFound`: this operation makes no queue. `PatchConflict` if a key to replace or
    /// remove is not there, `Attribute` if the result is not valid or too large; the control store's.
    pub async fn queue_patch(
        &self,
        key: &QueueKey,
        operations: &[PatchOperation],
    ) -> EngineResult<JsonObject> {
        let (engine, key, operations) = (self.clone(), key.clone(), operations.to_vec());
        self.detached(Call::write("queue_set_metadata"), async move {
            engine.patch(&key, &operations).await
        })
        .await
    }

    async fn patch(
        &self,
        key: &QueueKey,
        operations: &[PatchOperation],
    ) -> EngineResult<JsonObject> {
        let queues = self.control().queues();
        let mut attempts = 1;
        loop {
            let found = queues.queue_find(key).await?;
            let Some(record) = found.filter(|record| record.state == QueueState::Active) else {
                let (project, name) = (key.project.clone(), key.name.clone());
                return Err(Error::QueueNotFound { project, name }.into());
            };
            let mut metadata = record.metadata.clone();
            for operation in operations {
                apply(&mut metadata, operation, key.kind)?;
            }
            attributes::check(&metadata, &key.name, self.config())?;
            self.metadata_size_check(&metadata)?;
            self.flavor_check(key, &record.metadata, &metadata).await?;
            let stored =
                queues.queue_set_metadata(&record.queue_ref(), record.revision, &metadata).await;
            match stored {
                Ok(record) => {
                    self.routes().keep(&record).await;
                    return Ok(attributes::display(record.metadata, key.kind, self.config()));
                }
                // Somebody changed it, or deleted and perhaps remade it: look again.
                Err(
                    Error::QueueChanged { .. }
                    | Error::QueueNotFound { .. }
                    | Error::QueueGone { .. },
                ) if attempts < ATTEMPTS_MAX => attempts += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Engine {
    /// A patch is small, but many of them may add up.
    fn metadata_size_check(&self, metadata: &JsonObject) -> EngineResult<()> {
        let max = self.config().limits.queue_metadata_size_max;
        let bytes = serde_json::to_vec(metadata).map_or(usize::MAX, |text| text.len());
        if u64::try_from(bytes).unwrap_or(u64::MAX) <= max {
            return Ok(());
        }
        Err(EngineError::attribute(format!("Queue metadata is too large. Max size: {max}")))
    }
}

impl Engine {
    /// A queue stays where it was placed: to ask for another flavor afterwards would say one thing
    /// and mean another.
    async fn flavor_check(
        &self,
        key: &QueueKey,
        before: &JsonObject,
        after: &JsonObject,
    ) -> EngineResult<()> {
        let (before, after) = (attributes::flavor(before), attributes::flavor(after));
        if self.pools().is_none() || before == after {
            return Ok(());
        }
        if let Some(name) = after {
            self.flavor_get(&key.project, &FlavorName::new(name).map_err(Error::from)?).await?;
        }
        let message = "_flavor can not be changed once the queue is made.";
        Err(EngineError::attribute(message))
    }
}

fn apply(
    metadata: &mut JsonObject,
    operation: &PatchOperation,
    kind: QueueKind,
) -> EngineResult<()> {
    match operation {
        PatchOperation::Add { key, value } => {
            metadata.insert(key.clone(), value.clone());
        }
        PatchOperation::Replace { key, value } => {
            if !metadata.contains_key(key) && !attributes::is_always_shown(key, kind) {
                return Err(missing("replace", key));
            }
            metadata.insert(key.clone(), value.clone());
        }
        PatchOperation::Remove { key } => {
            if metadata.shift_remove(key).is_none() && !attributes::is_always_shown(key, kind) {
                return Err(missing("remove", key));
            }
        }
    }
    Ok(())
}

fn missing(verb: &str, key: &str) -> EngineError {
    EngineError::PatchConflict { message: format!("Can't {verb} non-existent object {key}.") }
}
