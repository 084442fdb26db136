//! Claims.

use async_trait::async_trait;
use zaqar_core::{
    Capability, Claim, ClaimController, ClaimId, Claimed, CreateClaim, Error, Message, QueueRef,
    Result, Timestamp, Ttl,
};

use super::driver::ReferenceData;
use super::head::Head;
use super::quirks::Quirk;
use super::stored::{Hold, Parked, Stored};

#[async_trait]
impl ClaimController for ReferenceData {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        self.step("claim_create", |state, now| {
            state.require(Capability::Claims, "claim_create")?;
            if options.redrive.is_some() {
                state.require(Capability::DeadLetter, "claim_create")?;
            }
            state.head_mut(queue)?.claim(&options, now)
        })
        .await
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        self.step("claim_get", |state, now| {
            state.require(Capability::Claims, "claim_get")?;
            let head = state.head(queue)?;
            let hold = head.held(id, now).next().and_then(|message| message.hold);
            let Hold { claim, ttl, since, ends_at } = hold.ok_or_else(|| missing(queue, id))?;
            let claim = Claim { id: claim, ttl, age_s: now.seconds_since(since), ends_at };
            Ok((claim, head.show_held(id, now)?))
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
        self.step("claim_update", |state, now| {
            state.require(Capability::Claims, "claim_update")?;
            let home = state.home_of(queue, id);
            let head = state.head_mut(home.as_ref().unwrap_or(queue))?;
            head.check_hold_still(id, now)?;
            let quirks = head.quirks;
            let forget = quirks.has(Quirk::ForgetClaimCountOnUpdate);
            let hold = Hold { claim: id, ttl, since: now, ends_at: now.after(ttl) };
            let mut found = false;
            for message in head.held_mut(id, now) {
                message.hold(hold, grace, quirks);
                message.claim_count = if forget { 0 } else { message.claim_count };
                found = true;
            }
            if !found {
                return Err(missing(queue, id));
            }
            head.claims.insert(id, hold.ends_at);
            Ok(())
        })
        .await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        self.step("claim_delete", |state, now| {
            state.require(Capability::Claims, "claim_delete")?;
            let home = state.home_of(queue, id);
            let head = state.head_mut(home.as_ref().unwrap_or(queue))?;
            head.check_hold_still(id, now)?;
            let forget = head.quirks.has(Quirk::ForgetLastClaims);
            for message in head.held_mut(id, now) {
                message.hold = None;
                message.last_claim = message.last_claim.filter(|_| !forget);
            }
            head.claims.remove(&id);
            head.free_anyway(id);
            head.resurrect();
            Ok(())
        })
        .await
    }
}

fn missing(queue: &QueueRef, id: ClaimId) -> Error {
    Error::ClaimNotFound { queue: queue.key.name.clone(), id }
}

impl Head {
    /// What a live claim holds, in queue order. A claim is nothing but its hold on messages, so one
    /// whose messages are all gone is no claim.
    fn held(&self, id: ClaimId, now: Timestamp) -> impl Iterator<Item = &Stored> {
        self.live(now)
            .filter(move |message| message.live_hold(now).is_some_and(|hold| hold.claim == id))
    }

    fn held_mut(&mut self, id: ClaimId, now: Timestamp) -> impl Iterator<Item = &mut Stored> {
        let quirks = self.quirks;
        self.messages.values_mut().filter(move |message| {
            message.is_live(now, quirks)
                && message.live_hold(now).is_some_and(|hold| hold.claim == id)
        })
    }

    /// Refuses to change a claim that holds what is on its way.
    fn check_hold_still(&self, id: ClaimId, now: Timestamp) -> Result<()> {
        self.held(id, now).try_for_each(|message| self.check_still(message.position))
    }

    fn show_held(&self, id: ClaimId, now: Timestamp) -> Result<Vec<Message>> {
        self.held(id, now).map(|message| message.show(self.incarnation, now)).collect()
    }

    fn claim(&mut self, options: &CreateClaim, now: Timestamp) -> Result<Claimed> {
        // A repeat under the same id: what the claim still holds, and nothing more.
        if self.claims.contains_key(&options.id) {
            return Ok(Claimed { messages: self.show_held(options.id, now)?, parked: 0 });
        }
        let hold = Hold {
            claim: options.id,
            ttl: options.ttl,
            since: now,
            ends_at: now.after(options.ttl),
        };
        let (quirks, incarnation) = (self.quirks, self.incarnation);
        let end = self.takeable_end();
        self.choke(now)?;
        let mut claimed = Claimed::default();
        for message in self.messages.values_mut() {
            if claimed.messages.len() == options.limit.as_usize() {
                break;
            }
            let anyway = quirks.has(Quirk::TakeAllAfterFirstFree)
                && !claimed.messages.is_empty()
                && message.is_live(now, quirks);
            if message.position >= end || !(message.is_claimable(now, quirks) || anyway) {
                continue;
            }
            match &options.redrive {
                Some(redrive) if message.claim_count >= redrive.claims_max => {
                    message.hold = None;
                    message.last_claim =
                        message.last_claim.filter(|_| !quirks.has(Quirk::ForgetLastClaims));
                    message.parked = Some(Parked { redrive: redrive.clone(), lease: None });
                    claimed.parked += 1;
                }
                _ => {
                    message.hold(hold, options.grace, quirks);
                    message.claim_count = message.claim_count.saturating_add(1);
                    claimed.messages.push(message.show(incarnation, now)?);
                }
            }
        }
        if !claimed.messages.is_empty() {
            self.claims.insert(options.id, hold.ends_at);
            let positions = claimed.messages.iter().map(|message| message.marker.sequence());
            self.taken.insert(options.id, positions.collect());
        }
        Ok(claimed)
    }

    /// Planted bug: what a claim took is freed with it, whoever holds it now.
    fn free_anyway(&mut self, id: ClaimId) {
        let taken = self.taken.remove(&id).unwrap_or_default();
        if self.quirks.has(Quirk::ReleaseClearsNewerLease) {
            for position in taken {
                if let Some(message) = self.messages.get_mut(&position) {
                    message.hold = None;
                }
            }
        }
    }

    /// Planted bug: what has expired is handled in one go, which has a limit.
    fn choke(&self, now: Timestamp) -> Result<()> {
        let dead = || self.messages.len() - self.live(now).count();
        if self.quirks.has(Quirk::ChokeOnManyExpired) && dead() > 8_000 {
            let effect = zaqar_core::Effect::None;
            return Err(Error::backend(
                "claim_create",
                effect,
                zaqar_core::Retry::Later,
                "planted",
            ));
        }
        Ok(())
    }
}
