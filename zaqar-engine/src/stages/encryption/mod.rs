//! Encryption at rest: bodies of queues that ask for it are stored encrypted and read as plaintext.
//!
//! The engine puts this stage next to the store, behind all others, so that they see what clients
//! see. Without keys it still knows an envelope when it meets one: the reader is told, and the
//! message stays.
//!
//! * `zaqar_encryption_unreadable_total`: messages that could not be decrypted, each time.

mod controllers;
mod deliveries;
mod envelope;
mod keys;
mod takes;

use std::sync::Arc;

use metrics::Counter;
use moka::sync::Cache;
use zaqar_core::{
    Clock, DataDriver, Error, Incarnation, Message, MessageId, NewMessage, ProjectId, QueueRef,
    Result,
};

use self::envelope::{Opened, Place};
pub use self::keys::{EncryptionKeys, InvalidKey};
use super::Stage;

/// Queues of which it is remembered that they hold unreadable messages.
const SUSPECTS_MAX: u64 = 100_000;

/// Encrypts and decrypts bodies.
#[derive(Debug, Clone)]
pub struct EncryptionStage {
    keys: Option<EncryptionKeys>,
    clock: Arc<dyn Clock>,
}

impl EncryptionStage {
    /// The stage. Without keys it encrypts nothing, and refuses what is to be encrypted.
    #[must_use]
    pub fn new(keys: Option<EncryptionKeys>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock }
    }
}

impl Stage for EncryptionStage {
    fn name(&self) -> &'static str {
        "encryption"
    }

    fn wrap(&self, data: Arc<dyn DataDriver>) -> Arc<dyn DataDriver> {
        Arc::new(Encrypted {
            codec: Arc::new(Codec {
                keys: self.keys.clone(),
                unreadable: metrics::counter!("zaqar_encryption_unreadable_total"),
                suspects: Cache::new(SUSPECTS_MAX),
            }),
            clock: Arc::clone(&self.clock),
            data,
        })
    }
}

/// A data driver some of whose bodies are encrypted.
#[derive(Debug)]
struct Encrypted {
    data: Arc<dyn DataDriver>,
    codec: Arc<Codec>,
    clock: Arc<dyn Clock>,
}

/// Turns what clients see into what is stored, and back.
struct Codec {
    keys: Option<EncryptionKeys>,
    unreadable: Counter,
    /// Queues whose next messages were found unreadable: see [`takes`].
    suspects: Cache<Incarnation, ()>,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Codec {
    /// The message as it is to be stored in the queue.
    fn store(
        &self,
        queue: &QueueRef,
        encrypt: bool,
        mut message: NewMessage,
    ) -> Result<NewMessage> {
        if encrypt {
            let key = self.keys.as_ref().and_then(EncryptionKeys::first);
            let key = key.ok_or(Error::NoEncryptionKey)?;
            let place = Place { project: &queue.key.project, incarnation: queue.incarnation };
            let checksum = message.checksum.take();
            message.body = envelope::seal(key, place, &message.body, checksum.as_deref())
                .ok_or(Error::NoEncryptionKey)?;
        } else {
            message.body = envelope::plain(message.body);
        }
        Ok(message)
    }

    /// The message as clients see it.
    fn read(&self, queue: &QueueRef, mut message: Message) -> Result<Message> {
        if let Some(opened) = self.open(&queue.key.project, message.id, &message.body)? {
            message.body = opened.body;
            if let Some(checksum) = opened.checksum {
                message.checksum = checksum;
            }
        }
        Ok(message)
    }

    fn read_all(&self, queue: &QueueRef, messages: Vec<Message>) -> Result<Vec<Message>> {
        messages.into_iter().map(|message| self.read(queue, message)).collect()
    }

    fn open(
        &self,
        project: &ProjectId,
        id: MessageId,
        body: &zaqar_core::Body,
    ) -> Result<Option<Opened>> {
        let place = Place { project, incarnation: id.incarnation() };
        envelope::open(self.keys.as_ref(), place, body).map_err(|closed| {
            self.unreadable.increment(1);
            tracing::error!(message = %id, reason = closed.text(), "a message cannot be decrypted");
            Error::Unreadable { id, reason: closed.text() }
        })
    }
}
