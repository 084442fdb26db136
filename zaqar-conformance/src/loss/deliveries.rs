//! Producers and deliverers at once: every subscriber is given what is posted (G13).

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use zaqar_core::{
    DataDriver, Delivery, DeliveryOutcome, Error, LeaseDeliveries, LeaseId, ManualClock, MessageId,
    NewSubscription, OutboxMessage, PageLimit, Timestamp, Ttl,
};

use super::body::Tag;
use super::history::{Action, Answer, Seen};
use super::request::Request;
use super::trials::{LONG_S, Stage, produce_steadily, scale};
use super::worker::{WorkQueue, Worker};
use super::workload::join;
use crate::case::Failure;
use crate::counts::Counts;
use crate::suite::{TrialResult, TrialRun};

const SUBSCRIBERS: u32 = 3;
const PRODUCERS: u32 = 3;
const DELIVERERS: u32 = 4;
/// How long a lease lasts, in seconds.
const LEASE_S: u64 = 20;
/// Leases after which what is left to deliver never ends.
const LEASES_MAX: usize = 20_000;
/// How likely a deliverer dies with its lease; a message fails; and fails for good.
const DIES: f64 = 0.1;
const FAILS: f64 = 0.15;
const IS_GIVEN_UP: f64 = 0.05;

pub(super) async fn every_subscriber_is_served(run: TrialRun) -> TrialResult {
    let stage = Stage::open(&run, 3, false).await?;
    let queue = stage.queue(0).await?;
    let (alive, producing) = watch::channel(());
    let alive = Arc::new(alive);
    let mut tasks = JoinSet::new();
    for nth in 0..PRODUCERS {
        // Who comes late is owed what is posted from then on.
        subscribe(&stage, &queue, nth % SUBSCRIBERS).await?;
        let (worker, rng) = (stage.worker(nth), dice(&run, nth));
        let posts = 8 * scale(run.budget);
        tasks.spawn(produce_steadily(worker, queue.clone(), rng, posts, Arc::clone(&alive)));
    }
    drop(alive);
    let mut deliverers = JoinSet::new();
    for nth in PRODUCERS..PRODUCERS + DELIVERERS {
        let deliverer = Deliverer::of(&stage, &queue, nth, dice(&run, nth));
        deliverers.spawn(deliverer.run(producing.clone()));
    }
    join(&mut tasks).await?;
    while let Some(ended) = deliverers.join_next().await {
        ended.map_err(Failure::broken)??;
    }
    Deliverer::of(&stage, &queue, PRODUCERS + DELIVERERS, dice(&run, u32::MAX)).drain().await?;
    stage.first().walk(&queue, 100, true).await?;
    stage.judge(Counts::none()).await
}

fn dice(run: &TrialRun, nth: u32) -> StdRng {
    StdRng::seed_from_u64(run.seed ^ u64::from(nth))
}

/// The address of a subscriber, and the subscriber of an address.
fn address(subscriber: u32) -> String {
    format!("http://subscriber/{subscriber}")
}

fn subscriber(address: &str) -> Option<u32> {
    address.rsplit('/').next()?.parse().ok()
}

async fn subscribe(stage: &Stage, on: &WorkQueue, subscriber: u32) -> Result<(), Failure> {
    let new = NewSubscription::new(address(subscriber), Ttl::from_secs_clamped(LONG_S));
    let call = stage.context.data.subscriptions().subscription_create(&on.queue, new);
    let action = Action::Subscribe { subscriber };
    stage.books.ledger.record(u32::MAX, on.tag, action, call, |_| Answer::Done).await?;
    Ok(())
}

/// Leases, delivers, and says what came of it.
struct Deliverer {
    worker: Worker,
    data: Arc<dyn DataDriver>,
    queue: WorkQueue,
    rng: StdRng,
    /// The clock, if it can be turned.
    clock: Option<Arc<ManualClock>>,
    /// Whether everybody else has ended.
    last: bool,
}

impl Deliverer {
    fn of(stage: &Stage, queue: &WorkQueue, id: u32, rng: StdRng) -> Self {
        Self {
            worker: stage.worker(id),
            data: stage.data_of(id),
            queue: queue.clone(),
            rng,
            clock: stage.clock(),
            last: false,
        }
    }

    /// Delivers until the producers are done and there is nothing left that nobody else holds.
    async fn run(mut self, producing: watch::Receiver<()>) -> Result<(), Failure> {
        for _ in 0..LEASES_MAX {
            let done = producing.has_changed().is_err();
            if !self.deliver().await? && done {
                return Ok(());
            }
        }
        Err(Failure::broken("there is no end of what is to be delivered"))
    }

    /// Delivers whatever is left, when nobody else does.
    async fn drain(mut self) -> Result<(), Failure> {
        self.last = true;
        for _ in 0..LEASES_MAX {
            self.pass(2 * LEASE_S);
            if !self.deliver().await? {
                return Ok(());
            }
        }
        Err(Failure::broken("there is no end of what is left to be delivered"))
    }

    fn pass(&self, seconds: u64) -> bool {
        let clock = self.clock.as_ref();
        clock.is_some_and(|clock| {
            clock.advance(Duration::from_secs(seconds));
            true
        })
    }

    /// Leases what waits for one subscriber and delivers it; whether there was anything.
    async fn deliver(&mut self) -> Result<bool, Failure> {
        // A driver that never waits must not keep the others from their turns.
        tokio::task::yield_now().await;
        let Some(delivery) = self.lease().await? else { return Ok(false) };
        if let Some(message) = delivery.messages.last() {
            self.worker.note(&self.queue, Request::Get { id: message.id }).await;
        }
        let dies = !self.last && self.rng.random_bool(DIES);
        if !(dies && self.pass(LEASE_S / 4)) {
            self.complete(&delivery).await?;
        }
        Ok(true)
    }

    async fn lease(&mut self) -> Result<Option<Delivery>, Failure> {
        let (lease, ttl) = (LeaseId::random(), Ttl::from_secs_clamped(LEASE_S));
        let options = LeaseDeliveries::new(lease, ttl)
            .subscriptions_max(PageLimit::new(1)?)
            .messages_max(PageLimit::new(self.rng.random_range(1..=9))?);
        let action = Action::Deliver { lease, ttl, last_look: self.last };
        let call = self.data.outbox().delivery_lease(options);
        let deliveries = self.record(action, call, |found| handed(found)).await?;
        if deliveries.len() > 1 {
            return Err(Failure::broken("one subscription was asked for, and more were leased"));
        }
        Ok(deliveries.into_iter().next())
    }

    /// Says what came of the first messages of a delivery, or of all.
    async fn complete(&mut self, delivery: &Delivery) -> Result<(), Failure> {
        let Some(to) = subscriber(&delivery.subscription.subscriber) else {
            return Err(Failure::broken("a delivery is for nobody who subscribed"));
        };
        let count = match self.last {
            true => delivery.messages.len(),
            false => self.rng.random_range(1..=delivery.messages.len()),
        };
        let ids = delivery.messages.iter().take(count).map(|message| message.id);
        let outcomes: Vec<_> = ids.map(|id| (id, self.outcome())).collect();
        let retried = |outcome: &DeliveryOutcome| matches!(outcome, DeliveryOutcome::Retry { .. });
        let done = outcomes.iter().filter(|(_, outcome)| !retried(outcome)).map(|(id, _)| *id);
        let action = Action::Complete {
            lease: delivery.lease,
            subscriber: to,
            done: done.collect::<Vec<MessageId>>(),
            release: true,
        };
        let call = self.data.outbox().delivery_complete(delivery, &outcomes, true);
        match self.record(action, call, |()| Answer::Done).await {
            Ok(()) | Err(Error::LeaseLost) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn outcome(&mut self) -> DeliveryOutcome {
        let fate = self.rng.random_range(0.0..1.0);
        if fate < IS_GIVEN_UP {
            DeliveryOutcome::Exhausted { reason: "planned".into() }
        } else if fate < FAILS && !self.last {
            DeliveryOutcome::Retry { not_before: Timestamp::from_millis(0) }
        } else {
            DeliveryOutcome::Delivered
        }
    }

    async fn record<T>(
        &self,
        action: Action,
        call: impl Future<Output = Result<T, Error>>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Result<T, Error> {
        let ledger = &self.worker.books.ledger;
        ledger.record(self.worker.id, self.queue.tag, action, call, answer).await
    }
}

/// A lease's answer, as the ledger records it.
fn handed(deliveries: &[Delivery]) -> Answer {
    let seen = |message: &OutboxMessage| Seen { id: message.id, tag: Tag::read(&message.body) };
    match deliveries.first() {
        None => Answer::Handed { subscriber: None, messages: Vec::new() },
        Some(delivery) => Answer::Handed {
            subscriber: subscriber(&delivery.subscription.subscriber),
            messages: delivery.messages.iter().map(seen).collect(),
        },
    }
}
