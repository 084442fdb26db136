//! Claims: reading, renewing and releasing them. Making one is in [`crate::takes`].

use async_trait::async_trait;
use zaqar_core::{
    Claim, ClaimController, ClaimId, Claimed, CreateClaim, Error, Message, QueueRef, Result,
    Timestamp, Ttl,
};

use crate::codec::moment;
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::{CLAIM_GET, CLAIM_UPDATE};
use crate::store::{Call, queue_text};
use crate::takes::release_call;

/// There is no such claim.
const MISSING: i64 = 6;

fn not_found(queue: &QueueRef, id: ClaimId) -> Error {
    Error::ClaimNotFound { queue: queue.key.name.clone(), id }
}

#[async_trait]
impl ClaimController for RedisData {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        self.claim(queue, options).await
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        let text = queue_text(queue);
        let call = Call {
            operation: "claim_get",
            script: &CLAIM_GET,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(id.as_bytes());
            },
        };
        let answer = self.store.read(Some(&queue.key.project), call).await?;
        if answer.code == MISSING {
            return Err(not_found(queue, id));
        }
        let now = answer.now;
        let mut reply = answer.done(queue)?;
        let ttl = reply.ttl("claim")?;
        let started = reply.moment("claim")?;
        let ends_at = reply.moment("claim")?;
        let claim = Claim { id, ttl, age_s: now.seconds_since(started), ends_at };
        Ok((claim, reply.messages(queue.incarnation, now)?))
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let call = Call {
            operation: "claim_update",
            script: &CLAIM_UPDATE,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                let ends = now.after(ttl);
                command.arg(&text).arg(moment(now)).arg(incarnation).arg(id.as_bytes());
                command.arg(moment(ends)).arg(ttl.as_secs());
                command.arg(moment(ends.after(grace))).arg(ttl.plus(grace).as_secs());
            },
        };
        let answer = self.store.write(Some(&queue.key.project), call).await?;
        if answer.code == MISSING {
            return Err(not_found(queue, id));
        }
        answer.done(queue).map(drop)
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        let call = release_call(queue, id, None);
        self.store.write(Some(&queue.key.project), call).await?.done(queue).map(drop)
    }
}
