//! Idempotency keys that are kept beside the step that stores the messages, not in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use zaqar_core::{
    Error, IdempotencyKey, Incarnation, MessageController, MessageId, NewMessage, PostMessages,
    Posted, QueueRef, Result,
};

/// How often others may run between the two steps.
const YIELDS: usize = 3;
/// Where the ids begin that an unsound repeat makes up.
const MADE_UP_FROM: u64 = 1 << 40;

/// What is wrong with the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyBug {
    /// The messages in one step, the key in a later one: a post that is cut off in between is stored
    /// again by its repeat.
    AfterMessages,
    /// The key in one step, the messages in a later one: of a post that is cut off in between, its
    /// repeat is told that all is well.
    BeforeMessages,
    /// The key is known to the connection alone: a repeat over another one is stored again.
    InMemory,
}

impl KeyBug {
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::AfterMessages => {
                "Idempotency keys are stored in a step after that of the messages."
            }
            Self::BeforeMessages => {
                "Idempotency keys are stored in a step before that of the messages."
            }
            Self::InMemory => "Idempotency keys are known to the connection alone.",
        }
    }
}

#[derive(Debug)]
struct Known {
    digest: [u8; 32],
    /// `None`: the messages are still to come.
    ids: Option<Vec<MessageId>>,
}

/// The keys that a driver remembers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Arc<Mutex<BTreeMap<(Incarnation, IdempotencyKey), Known>>>);

impl Keys {
    pub(crate) async fn post(
        &self,
        bug: KeyBug,
        inner: &dyn MessageController,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        mut options: PostMessages,
    ) -> Result<Posted> {
        let Some(key) = options.key.take() else {
            return inner.message_post(queue, messages, options).await;
        };
        let place = (queue.incarnation, key.key);
        let known = |ids| Known { digest: key.digest, ids };
        if let Some(repeated) = self.repeated(&place, key.digest, messages.len())? {
            return Ok(repeated);
        }
        if bug == KeyBug::BeforeMessages {
            self.keep(place.clone(), known(None));
            let_others_run().await;
        }
        let posted = inner.message_post(queue, messages, options).await?;
        if bug == KeyBug::AfterMessages {
            let_others_run().await;
        }
        self.keep(place, known(Some(posted.ids.clone())));
        Ok(posted)
    }

    fn keep(&self, place: (Incarnation, IdempotencyKey), known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place, known);
    }

    fn repeated(
        &self,
        place: &(Incarnation, IdempotencyKey),
        digest: [u8; 32],
        count: usize,
    ) -> Result<Option<Posted>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.get(place) else { return Ok(None) };
        if known.digest != digest {
            return Err(Error::IdempotencyConflict);
        }
        let made_up = || (MADE_UP_FROM..).take(count).map(|n| MessageId::new(place.0, n)).collect();
        let ids = known.ids.clone().map_or_else(made_up, Ok)?;
        Ok(Some(Posted { ids, repeated: true }))
    }
}

async fn let_others_run() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}
