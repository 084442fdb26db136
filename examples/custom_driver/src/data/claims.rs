//! Claims.

use async_trait::async_trait;
use zaqar_core::{
    Capability, Claim, ClaimController, ClaimId, Claimed, CreateClaim, Error, Message, QueueRef,
    Result, Timestamp, Ttl,
};

use crate::head::Head;
use crate::message::Hold;
use crate::node::Node;
use crate::record::{Change, Record};
use crate::state::State;
use crate::store::Decision;

#[async_trait]
impl ClaimController for Node {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        self.require(Capability::Claims, "claim_create")?;
        if options.redrive.is_some() {
            self.require(Capability::DeadLetter, "claim_create")?;
        }
        let id = options.id;
        let pending = self
            .decide("claim_create", |state, now| create(state.head(queue)?, queue, &options, now));
        // Until it is answered: a claim that nobody knows of would only hold its messages up.
        let mut unanswered = Unanswered { node: self, queue, id, claimed: pending.wrote() };
        let claimed = self.store.settle(pending).await;
        unanswered.claimed = false;
        claimed
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        self.require(Capability::Claims, "claim_get")?;
        self.read("claim_get", |state, now| {
            let head = state.head(queue)?;
            let hold = head.held(id, now).find_map(|(_, message)| message.held_by(now));
            let Hold { claim, ttl, since, ends_at } = hold.ok_or_else(|| missing(queue, id))?;
            let claim = Claim { id: claim, ttl, age_s: now.seconds_since(since), ends_at };
            Ok((claim, show_held(head, id, now)?))
        })
        .await
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        self.require(Capability::Claims, "claim_update")?;
        self.step("claim_update", |state, now| {
            // Only what it holds at this moment: another claim may have taken the rest (G6).
            let positions = positions(state.head(queue)?, id, now);
            if positions.is_empty() {
                return Err(missing(queue, id));
            }
            let change =
                Change::Held { hold: Hold::new(id, ttl, now), grace, positions, anew: false };
            Ok((vec![Record::Head(queue.incarnation, change)], ()))
        })
        .await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        self.require(Capability::Claims, "claim_delete")?;
        self.step("claim_delete", |state, now| release(state, queue, id, now)).await
    }
}

/// A claim whose answer was not handed over.
struct Unanswered<'n> {
    node: &'n Node,
    queue: &'n QueueRef,
    id: ClaimId,
    /// Whether there is something to release.
    claimed: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Self { node, queue, id, claimed } = self;
        if *claimed {
            // Nobody waits for it: if it is refused, the claim ends by itself.
            drop(node.decide("claim_create", |state, now| release(state, queue, *id, now)));
        }
    }
}

fn create(
    head: &Head,
    queue: &QueueRef,
    options: &CreateClaim,
    now: Timestamp,
) -> Decision<Claimed> {
    // A repeat under the same id: what the claim still holds, and nothing more.
    if head.claims.contains_key(&options.id) {
        let messages = show_held(head, options.id, now)?;
        return Ok((Vec::new(), Claimed { messages, parked: 0 }));
    }
    let (hold, grace) = (Hold::new(options.id, options.ttl, now), options.grace);
    let (mut positions, mut messages) = (Vec::new(), Vec::new());
    let claimable = head.live(now).filter(|(_, message)| message.is_claimable(now));
    for (position, message) in claimable.take(options.limit.as_usize()) {
        let mut taken = message.clone();
        taken.put_under(hold, grace);
        taken.count_claim();
        messages.push(taken.show(head.incarnation, position, now)?);
        positions.push(position);
    }
    let records = if positions.is_empty() {
        Vec::new()
    } else {
        let change = Change::Held { hold, grace, positions, anew: true };
        vec![Record::Head(queue.incarnation, change)]
    };
    Ok((records, Claimed { messages, parked: 0 }))
}

fn release(state: &State, queue: &QueueRef, id: ClaimId, now: Timestamp) -> Decision<()> {
    let head = state.head(queue)?;
    if !head.claims.contains_key(&id) {
        return Ok((Vec::new(), ()));
    }
    let change = Change::Released { claim: id, positions: positions(head, id, now) };
    Ok((vec![Record::Head(queue.incarnation, change)], ()))
}

fn positions(head: &Head, id: ClaimId, now: Timestamp) -> Vec<u64> {
    head.held(id, now).map(|(position, _)| position).collect()
}

fn show_held(head: &Head, id: ClaimId, now: Timestamp) -> Result<Vec<Message>> {
    head.held(id, now).map(|(at, message)| message.show(head.incarnation, at, now)).collect()
}

fn missing(queue: &QueueRef, id: ClaimId) -> Error {
    Error::ClaimNotFound { queue: queue.key.name.clone(), id }
}
