//! Claims and pops: what waits for one queue goes into one transaction ([`super::take_step`]), so
//! takers share its flush, and the takers of one web head never pass over each other's rows.
//!
//! Anything due, a lease that ended or a life, is put right first: the transaction looks whether
//! there is any and then takes nothing; [`super::sweep`] releases and retires up to K rows, and it
//! runs again.
//!
//! Each caller keeps its place at the gate while it waits in the lane. So what a caller abandoned is
//! finished before its project's next operation begins, and a claim that nobody waits for any more
//! is given back by whoever finishes it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use zaqar_core::{
    ClaimId, Claimed, CreateClaim, Effect, Error, Message, PageLimit, QueueRef, Result,
};
use zaqar_storage_lanes::{LaneStep, Weight};

use crate::layout::{gone, refused_too};

use super::driver::Store;
use super::error::{Broken, failed};
use super::memory::Floor;
use super::server::Server;
use super::take_step::{Purpose, TakeStep, Taken, Took};

pub(crate) const CLAIM_OPERATION: &str = "claim_create";
pub(crate) const POP_OPERATION: &str = "message_pop";

/// Steps over what is due before a claim answers with nothing.
const STEPS_MAX: usize = 1_000;
/// Looks at messages that others hold at that moment, before a claim answers with nothing: two that
/// pass over each other's locks must not both believe that the queue is empty.
const HELD_LOOKS_MAX: usize = 5;

/// A claim or a pop.
#[derive(Debug, Clone)]
pub(crate) struct Take {
    purpose: Purpose,
    operation: &'static str,
}

/// What lanes do with claims and pops.
#[derive(Debug)]
pub(crate) struct TakeLane {
    pub(crate) server: Arc<Server>,
}

#[async_trait]
impl LaneStep for TakeLane {
    type Key = QueueRef;
    type Operation = Take;
    type Answer = Took;
    const OPERATION: &'static str = CLAIM_OPERATION;

    async fn run(&self, queue: &QueueRef, takes: Vec<Take>) -> Vec<Result<Took>> {
        let mut batch = Batch::new(queue, takes);
        if let Err(broken) = self.take(&mut batch).await {
            if broken.effect == Effect::Unknown || batch.waiting.len() == 1 {
                batch.fail(&broken);
            } else {
                self.take_apart(&mut batch).await;
            }
        }
        batch.answers()
    }
}

impl TakeLane {
    /// Nothing was stored. Whose fault it was shows when each is alone; a place at the gate, and so a
    /// connection, each of them has.
    async fn take_apart(&self, batch: &mut Batch) {
        let alone = batch.apart().into_iter().map(|(place, mut alone)| async move {
            if let Err(broken) = self.take(&mut alone).await {
                alone.fail(&broken);
            }
            (place, alone)
        });
        for (place, alone) in join_all(alone).await {
            for answer in alone.answers() {
                batch.tell(place, answer);
            }
        }
    }

    /// Runs the transaction, with as many steps over what is due as it takes to find something for
    /// those who wait.
    async fn take(&self, batch: &mut Batch) -> Result<(), Broken> {
        let number = match self.server.find_number(&batch.queue).await {
            Ok(Some(number)) => number,
            Ok(None) => {
                batch.refuse(&gone(&batch.queue));
                return Ok(());
            }
            Err(error) => return Err(Broken::inside(error)),
        };
        let (mut regardless, mut held_looks) = (false, 0);
        for _ in 0..STEPS_MAX {
            let floor =
                if held_looks == 0 { self.server.memory.floor(number) } else { Floor::NONE };
            let (due, left) = match self.step(batch, number, floor, regardless).await? {
                Ok(found) => found,
                Err(refusal) => {
                    batch.refuse(&refusal);
                    return Ok(());
                }
            };
            if batch.waiting.is_empty() {
                return Ok(());
            }
            if due {
                let rows = super::sweep::settle_rows(&self.server, number).await?;
                if rows == 0 && regardless {
                    // Somebody else has them in hand at this moment.
                    break;
                }
                regardless = true;
            } else if left && held_looks < HELD_LOOKS_MAX {
                held_looks += 1;
                tokio::task::yield_now().await;
            } else {
                break;
            }
        }
        batch.leave_empty();
        Ok(())
    }

    /// One transaction: whether something is due, and whether something is there all the same.
    /// Or the head refused.
    async fn step(
        &self,
        batch: &mut Batch,
        number: i64,
        floor: Floor,
        regardless: bool,
    ) -> Result<Result<(bool, bool)>, Broken> {
        let memory = &self.server.memory;
        let clear = memory.clear(number);
        let looked_at = self.server.clock.now().as_millis();
        let (queue, takers) = (batch.queue.clone(), batch.takers());
        let mut step = TakeStep { queue, number, takers, floor, clear, regardless };
        let taken = match self.server.transact_for_many(&mut step).await? {
            Ok(taken) => taken,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(risen) = taken.floor {
            memory.raise_floor(number, floor, risen);
        }
        if !taken.due {
            memory.keep_clear(number, clear, looked_at);
        }
        let Taken { took, due, left, .. } = taken;
        batch.answer(took);
        Ok(Ok((due, left)))
    }
}

/// The takers of a batch, and what they are told.
struct Batch {
    queue: QueueRef,
    takes: Vec<Take>,
    answers: Vec<Option<Result<Took>>>,
    /// Places of those who got nothing yet.
    waiting: Vec<usize>,
}

impl Batch {
    fn new(queue: &QueueRef, takes: Vec<Take>) -> Self {
        let waiting = (0..takes.len()).collect();
        let answers = takes.iter().map(|_| None).collect();
        Self { queue: queue.clone(), takes, answers, waiting }
    }

    /// A batch of its own for each of those who wait, and its place in this one.
    fn apart(&mut self) -> Vec<(usize, Self)> {
        let alone = |place: usize| {
            let take = self.takes.get(place)?;
            Some((place, Self::new(&self.queue, vec![take.clone()])))
        };
        std::mem::take(&mut self.waiting).into_iter().filter_map(alone).collect()
    }

    fn takers(&self) -> Vec<Purpose> {
        let waiting = self.waiting.iter().filter_map(|place| self.takes.get(*place));
        waiting.map(|take| take.purpose.clone()).collect()
    }

    fn tell(&mut self, place: usize, answer: Result<Took>) {
        if let Some(slot) = self.answers.get_mut(place) {
            *slot = Some(answer);
        }
    }

    /// Those who wait got this; whoever got nothing waits on.
    fn answer(&mut self, took: Vec<Took>) {
        for (place, took) in std::mem::take(&mut self.waiting).into_iter().zip(took) {
            if took.is_nothing() {
                self.waiting.push(place);
            } else {
                self.tell(place, Ok(took));
            }
        }
    }

    fn leave_empty(&mut self) {
        for place in std::mem::take(&mut self.waiting) {
            self.tell(place, Ok(Took::default()));
        }
    }

    fn refuse(&mut self, refusal: &Error) {
        for place in std::mem::take(&mut self.waiting) {
            self.tell(place, Err(refused_too(&self.queue, refusal)));
        }
    }

    fn fail(&mut self, broken: &Broken) {
        for place in std::mem::take(&mut self.waiting) {
            let operation = self.takes.get(place).map_or(CLAIM_OPERATION, |take| take.operation);
            self.tell(place, Err(broken.tell(operation)));
        }
    }

    fn answers(self) -> Vec<Result<Took>> {
        // Whoever has no answer is told by the lane that the effect is unknown.
        self.answers.into_iter().map_while(|answer| answer).collect()
    }
}

async fn take(store: &Store, queue: &QueueRef, take: Take) -> Result<Took> {
    let party = Some(queue.key.project.clone());
    let weight = Weight::new(take.purpose.limit(), 0);
    store.takes.submit(&party, queue, weight, take).await
}

/// Claims messages, at a place that the caller has already.
pub(crate) async fn claim(store: &Store, queue: &QueueRef, claim: CreateClaim) -> Result<Claimed> {
    if claim.id == ClaimId::from_u128(0) {
        // It stands for "no claim" in the rows.
        let reason = "must not be nil".to_owned();
        return Err(Error::Invalid { field: "claim id", reason });
    }
    let id = claim.id;
    let purpose = Purpose::Claim(claim);
    let took = take(store, queue, Take { purpose, operation: CLAIM_OPERATION }).await?;
    if took.known {
        let server = &store.server;
        let number = server.number(CLAIM_OPERATION, queue).await?;
        let messages = super::claims::held(server, queue, number, id).await?;
        // Another run made it, and may not have flushed it yet.
        server.pass_fence().await.map_err(|error| failed(CLAIM_OPERATION, error))?;
        return Ok(Claimed { messages, parked: 0 });
    }
    Ok(Claimed { messages: took.messages, parked: took.parked })
}

/// Pops messages, at a place that the caller has already.
pub(crate) async fn pop(store: &Store, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
    let purpose = Purpose::Pop(limit);
    Ok(take(store, queue, Take { purpose, operation: POP_OPERATION }).await?.messages)
}

/// Releases a claim whose caller left before the answer could be handed over.
pub(crate) async fn release_unheard(server: Arc<Server>, queue: QueueRef, id: ClaimId) {
    // A failure is harmless: the lease ends by itself.
    if let Err(error) = super::claims::release(&server, &queue, id).await {
        tracing::debug!(%error, "an abandoned claim is left to run out");
    }
}
