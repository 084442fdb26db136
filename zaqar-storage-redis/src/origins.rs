//! Where dead letters came from, and how that is stored: when it arrived as a big-endian double, how
//! often it was claimed, its last claim or sixteen zero bytes, the name of the queue.

use zaqar_core::limits::PAGE_LIMIT_MAX;
use zaqar_core::{ClaimId, DeadLetterOrigin, MessageId, QueueName, QueueRef, Result, Timestamp};

use crate::codec::{double, integer, moment};
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::ORIGINS;
use crate::store::{Call, queue_text};

const OPERATION: &str = "message_origins";
const NOBODY: [u8; 16] = [0; 16];

/// The stored form of an origin; empty if it is not known.
pub(crate) fn pack_origin(origin: Option<&DeadLetterOrigin>) -> Vec<u8> {
    let Some(origin) = origin else { return Vec::new() };
    let mut stored = double(moment(origin.died_at)).to_vec();
    stored.extend(origin.claim_count.to_be_bytes());
    stored.extend(origin.last_claim.as_ref().map_or(&NOBODY, ClaimId::as_bytes));
    stored.extend(origin.queue.as_str().as_bytes());
    stored
}

/// `None` if the bytes are no origin.
pub(crate) fn read_origin(stored: &[u8]) -> Option<Option<DeadLetterOrigin>> {
    if stored.is_empty() {
        return Some(None);
    }
    Some(Some(DeadLetterOrigin {
        queue: QueueName::new(std::str::from_utf8(stored.get(28..)?).ok()?).ok()?,
        claim_count: u32::from_be_bytes(stored.get(8..12)?.try_into().ok()?),
        last_claim: known_claim(ClaimId::from_slice(stored.get(12..28)?).ok()?),
        died_at: Timestamp::from_millis(integer(stored.get(..8)?)?),
    }))
}

/// Nobody's claim is none.
pub(crate) fn known_claim(claim: ClaimId) -> Option<ClaimId> {
    (*claim.as_bytes() != NOBODY).then_some(claim)
}

impl RedisData {
    pub(crate) async fn origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        let step = usize::try_from(PAGE_LIMIT_MAX).unwrap_or(usize::MAX);
        let mut told = Vec::with_capacity(ids.len());
        for ids in ids.chunks(step) {
            self.origins_of(queue, ids, &mut told).await?;
        }
        if ids.is_empty() {
            self.origins_of(queue, ids, &mut told).await?;
        }
        Ok(told)
    }

    async fn origins_of(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        told: &mut Vec<Option<DeadLetterOrigin>>,
    ) -> Result<()> {
        let text = queue_text(queue);
        let call = Call {
            operation: OPERATION,
            script: &ORIGINS,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: |command: &mut redis::Cmd, _| {
                command.arg(&text);
                for id in ids {
                    command.arg(id.to_string());
                }
            },
        };
        let answer = self.store.read(Some(&queue.key.project), call).await?;
        let mut reply = answer.done(queue)?;
        for _ in ids {
            let stored = reply.bytes("origin")?;
            told.push(read_origin(&stored).ok_or_else(|| reply.damaged("origin"))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_comes_apart_as_it_was_packed() {
        for last_claim in [None, Some(ClaimId::random())] {
            let origin = DeadLetterOrigin {
                queue: QueueName::new("a-b_c").unwrap(),
                claim_count: 7,
                last_claim,
                died_at: Timestamp::from_millis(1_234_567_890_123),
            };
            let stored = pack_origin(Some(&origin));
            assert_eq!(read_origin(&stored), Some(Some(origin)));
            assert_eq!(read_origin(&stored[..20]), None);
        }
        assert_eq!(read_origin(&pack_origin(None)), Some(None));
    }
}
