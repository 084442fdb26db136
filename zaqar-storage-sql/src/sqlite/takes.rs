//! Claims and pops, as they wait for the writer. How they are served is in [`super::deal`].

use std::sync::Arc;

use tokio::sync::oneshot;
use zaqar_core::{
    ClaimId, Claimed, CreateClaim, Effect, Error, Message, PageLimit, QueueRef, Result,
};

use crate::error::{Failure, engine_error};
use crate::layout::refused_too;

use super::deal::Dealer;
use super::intake::{Intake, Operation};
use super::step::Step;
use super::task::{Waiting, answer};

/// What a taker does with what it takes, and who waits for it.
pub(crate) enum Taker {
    /// A claim.
    Claim(CreateClaim, oneshot::Sender<Result<Claimed>>),
    /// A pop.
    Pop(oneshot::Sender<Result<Vec<Message>>>),
}

/// A claim or a pop.
pub(crate) struct Take {
    pub(crate) queue: QueueRef,
    pub(crate) limit: PageLimit,
    pub(crate) taker: Taker,
    pub(crate) outcome: Outcome,
}

/// What became of a take.
#[derive(Default)]
pub(crate) enum Outcome {
    /// Nothing yet: the step met only what was due; the next one goes on.
    #[default]
    Unfinished,
    /// It took these and parked so many.
    Took(Vec<Message>, u32),
    /// It was refused.
    Refused(Error),
}

impl Take {
    pub(crate) fn is_abandoned(&self) -> bool {
        match &self.taker {
            Taker::Claim(_, reply) => reply.is_closed(),
            Taker::Pop(reply) => reply.is_closed(),
        }
    }

    fn operation(&self) -> &'static str {
        match self.taker {
            Taker::Claim(..) => "claim_create",
            Taker::Pop(_) => "message_pop",
        }
    }

    /// Answers; gives back what nobody waits for any more, and goes on with what is unfinished.
    pub(crate) fn settle(mut self, intake: &Intake) {
        match std::mem::take(&mut self.outcome) {
            Outcome::Unfinished => {
                let lane = Some(self.queue.key.project.clone());
                intake.push_back(lane, Operation::Take(Box::new(self)));
            }
            Outcome::Refused(error) => self.answer_error(error),
            Outcome::Took(messages, parked) => match self.taker {
                Taker::Claim(claim, reply) => {
                    let kept = !messages.is_empty();
                    let unheard = reply.send(Ok(Claimed { messages, parked })).is_err();
                    if unheard && kept {
                        release(intake, self.queue, claim.id);
                    }
                }
                // At most once, by contract (G14).
                Taker::Pop(reply) => answer(reply, Ok(messages)),
            },
        }
    }

    pub(crate) fn fail(self, effect: Effect, error: &Arc<sqlx::Error>) {
        let operation = self.operation();
        self.answer_error(engine_error(operation, effect, error));
    }

    pub(crate) fn refuse(self, make: &dyn Fn(&'static str) -> Error) {
        let operation = self.operation();
        self.answer_error(make(operation));
    }

    fn answer_error(self, error: Error) {
        match self.taker {
            Taker::Claim(_, reply) => answer(reply, Err(error)),
            Taker::Pop(reply) => answer(reply, Err(error)),
        }
    }
}

/// Releases a claim whose caller left before the answer could be handed over.
fn release(intake: &Intake, queue: QueueRef, id: ClaimId) {
    let (reply, answer) = oneshot::channel();
    let task = super::claims::DeleteClaim { queue, id };
    intake.push(None, Operation::Task(Box::new(Waiting::new(task, reply))));
    // A failure is harmless: the lease ends by itself. The receiver must live until then.
    tokio::spawn(async move {
        if let Ok(Err(error)) = answer.await {
            tracing::debug!(%error, "an abandoned claim is left to run out");
        }
    });
}

/// Executes all takes of a batch, queue by queue. A queue whose head refuses has its takers refused.
pub(crate) async fn execute(step: &mut Step<'_>, takes: &mut [Take]) -> Result<(), sqlx::Error> {
    let mut queues: Vec<(QueueRef, Vec<&mut Take>)> = Vec::new();
    for take in takes {
        match queues.iter_mut().find(|(queue, _)| *queue == take.queue) {
            Some((_, takes)) => takes.push(take),
            None => queues.push((take.queue.clone(), vec![take])),
        }
    }
    for (queue, takes) in queues {
        match step.head(&queue).await {
            Ok(head) => Dealer::new(queue, head).deal(step, takes).await?,
            Err(Failure::Engine(error)) => return Err(error),
            Err(Failure::Refused(error)) => refuse(&queue, &error, takes),
        }
    }
    Ok(())
}

/// Each caller gets a refusal of its own.
fn refuse(queue: &QueueRef, refusal: &Error, takes: Vec<&mut Take>) {
    for take in takes {
        take.outcome = Outcome::Refused(refused_too(queue, refusal));
    }
}
