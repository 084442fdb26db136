//! One run: subscribe, post, kill, wait until everything has come to an end, judge.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::{MissedTickBehavior, interval};
use zaqar_core::{DisciplinedClock, PageLimit, ProjectId, QueueKey, QueueName, QueueRef};
use zaqar_engine::{StoreOptions, Stores, registry};

use crate::Plan;
use crate::history::{Event, GivenUp, History, Recorder, Stored};
use crate::load;
use crate::receiver::Receiver;
use crate::verdict::{Verdict, judge};
use crate::world::{Store, World};

/// A run in which so long nothing is delivered and nothing given up stands still.
const STANDSTILL: Duration = Duration::from_secs(90);

/// How often the store is asked what it recorded.
const LOOK: Duration = Duration::from_millis(250);

/// How much is posted and killed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) messages: usize,
    pub(crate) strikes: usize,
    pub(crate) seed: u64,
}

/// What is killed at once.
#[derive(Debug)]
struct Strike {
    heads: Vec<usize>,
    backend: bool,
}

/// What is killed, in which order: each head alone, the store, everything, from the start again.
fn strike(number: usize, world: &World) -> Strike {
    let all: Vec<usize> = (0..world.heads()).collect();
    if !world.has_backend() {
        return Strike { heads: all, backend: false };
    }
    match number % 4 {
        0 => Strike { heads: vec![0], backend: false },
        1 => Strike { heads: Vec::new(), backend: true },
        2 => Strike { heads: vec![1], backend: false },
        _ => Strike { heads: all, backend: true },
    }
}

/// Runs, and returns what happened.
pub(crate) async fn run(store: Store, size: Size) -> anyhow::Result<()> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let mut world = World::start(store, folder.path()).await?;
    let recorder = Arc::new(Recorder::default());
    let receivers = Receiver::all(&recorder).await?;
    load::subscribe(first_head(&world)?, &receivers).await?;

    let mut plan = Plan(size.seed);
    let mut posters = load::post(&world.addresses, &recorder, size.messages, plan.next());
    let ready = begun.elapsed();
    for number in 0..size.strikes {
        let moment = moment(size, number, &mut plan);
        reach(&recorder, moment).await?;
        let Strike { heads, backend } = strike(number, &world);
        world.strike(&heads, backend).await?;
    }
    while let Some(ended) = posters.join_next().await {
        ended??;
    }
    let posted = begun.elapsed();

    let addresses: Vec<_> = receivers.iter().map(|receiver| receiver.address.clone()).collect();
    let stored = load::stored(first_head(&world)?).await?;
    let reader = Reader::open(&world.uri).await?;
    let given_up = reader.settle(&recorder, &stored, &addresses).await?;
    world.stop_heads().await?;
    reader.close().await;

    let events = recorder.events();
    let history = History { subscribers: addresses, events, stored, given_up };
    let verdict = judge(&history);
    report(size, &history, &verdict, [ready, posted, begun.elapsed()]);
    anyhow::ensure!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    shows_something(&receivers, &verdict)?;
    let hopeless = receivers.iter().find(|receiver| !receiver.manner.is_sound());
    misses_what_is_struck_out(history, &hopeless.context("all are sound")?.address)
}

fn first_head(world: &World) -> anyhow::Result<SocketAddr> {
    let addresses = world.addresses.lock().unwrap_or_else(PoisonError::into_inner);
    addresses.iter().flatten().next().copied().context("no head runs")
}

/// After how many acknowledged messages the strike comes: anywhere within its share of the run.
fn moment(size: Size, number: usize, plan: &mut Plan) -> usize {
    let share = (size.messages / size.strikes.max(1)).max(1);
    let within = plan.between((0, u64::try_from(share - 1).unwrap_or(0)));
    number * share + usize::try_from(within).unwrap_or(0)
}

/// Waits until so many messages were acknowledged.
async fn reach(recorder: &Recorder, acknowledged: usize) -> anyhow::Result<()> {
    let mut looks = interval(Duration::from_millis(2));
    let mut last = (recorder.progress(), Instant::now());
    while last.0.acknowledged < acknowledged {
        looks.tick().await;
        let now = recorder.progress();
        if now != last.0 {
            last = (now, Instant::now());
        }
        anyhow::ensure!(last.1.elapsed() < STANDSTILL, "the run stands still: {now:?}");
    }
    Ok(())
}

/// Reads what the store recorded beside the heads.
struct Reader {
    stores: Stores,
    queue: QueueRef,
}

impl Reader {
    async fn open(uri: &str) -> anyhow::Result<Self> {
        let clock = Arc::new(DisciplinedClock::from_system());
        let stores = registry::open(uri, &StoreOptions::new(clock)).await?;
        let key = QueueKey::queue(ProjectId::new("tests")?, QueueName::new("orders")?);
        let record = stores.control.queues().queue_find(&key).await?;
        let queue = record.context("the queue is gone")?.queue_ref();
        Ok(Self { stores, queue })
    }

    /// Waits until every message is settled for every subscriber, or nothing moves any more; returns
    /// what was given up.
    async fn settle(
        &self,
        recorder: &Recorder,
        stored: &[Stored],
        addresses: &[String],
    ) -> anyhow::Result<Vec<GivenUp>> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut given_up, mut marker) = (Vec::new(), None);
        let mut last = (0, Instant::now());
        loop {
            looks.tick().await;
            self.read_on(&mut given_up, &mut marker).await?;
            let ends = recorder.taken() + given_up.len();
            let may_be_over = ends >= stored.len() * addresses.len();
            if may_be_over && recorder.is_settled(stored, addresses, &given_up) {
                return Ok(given_up);
            }
            if ends != last.0 {
                last = (ends, Instant::now());
            }
            if last.1.elapsed() > STANDSTILL {
                return Ok(given_up);
            }
        }
    }

    /// Reads the records behind `marker`.
    async fn read_on(
        &self,
        given_up: &mut Vec<GivenUp>,
        marker: &mut Option<u64>,
    ) -> anyhow::Result<()> {
        let outbox = self.stores.data.outbox();
        let limit = PageLimit::new(1_000)?;
        loop {
            let page = outbox.delivery_list_exhausted(&self.queue, *marker, limit).await?;
            if page.items.is_empty() {
                return Ok(());
            }
            *marker = page.next.or(*marker);
            given_up.extend(page.items.into_iter().map(|record| GivenUp {
                message: record.message.to_string(),
                address: record.subscriber,
            }));
        }
    }

    async fn close(self) {
        self.stores.data.close().await;
        self.stores.control.close().await;
    }
}

fn report(size: Size, history: &History, verdict: &Verdict, times: [Duration; 3]) {
    let [ready, posted, over] = times.map(|time| time.as_secs_f64());
    let acknowledged: usize = history
        .events
        .iter()
        .map(|event| if let Event::Acknowledged { ids, .. } = event { ids.len() } else { 0 })
        .sum();
    println!(
        "seed {:#x}: {acknowledged} messages acknowledged, {} stored ({} posts in doubt were), to \
         {} subscribers through {} kills; ready after {ready:.1} s, posted {posted:.1} s, over \
         {over:.1} s",
        size.seed,
        history.stored.len(),
        verdict.recovered,
        history.subscribers.len(),
        size.strikes,
    );
    println!(
        "{} requests, {} messages taken again; taken {:?}; given up {:?}; violations: {}",
        verdict.arrivals,
        verdict.repeated,
        verdict.taken,
        verdict.given_up,
        verdict.violations.len()
    );
}

/// A run that shows nothing is no proof.
fn shows_something(receivers: &[Receiver], verdict: &Verdict) -> anyhow::Result<()> {
    for (number, receiver) in receivers.iter().enumerate() {
        let (taken, given_up) = (verdict.taken.get(number), verdict.given_up.get(number));
        let is_shown = match receiver.manner.is_sound() {
            true => taken.is_some_and(|taken| *taken > 0),
            false => taken == Some(&0) && given_up.is_some_and(|given_up| *given_up > 0),
        };
        anyhow::ensure!(is_shown, "{receiver:?}: took {taken:?}, given up {given_up:?}");
    }
    Ok(())
}

/// The verdict on the same run is another one when a single delivery is struck out of it, or a
/// single record of the subscriber at `hopeless`.
fn misses_what_is_struck_out(mut history: History, hopeless: &str) -> anyhow::Result<()> {
    let record = history.given_up.iter().find(|record| record.address == hopeless);
    let record = record.context("nothing was given up")?.clone();
    history.given_up.retain(|other| *other != record);
    let found = judge(&history).violations;
    anyhow::ensure!(found.len() == 1, "a missing record shows as {found:?}");
    history.given_up.push(record);

    let taken = history.events.iter().find_map(|event| match event {
        Event::Arrived(arrival) if arrival.taken => Some(arrival.clone()),
        _ => None,
    });
    let taken = taken.context("nothing was taken")?;
    history.events.retain(|event| match event {
        Event::Arrived(a) => (a.key.as_str(), a.subscriber) != (&taken.key, taken.subscriber),
        _ => true,
    });
    let found = judge(&history).violations;
    anyhow::ensure!(found.len() == 1, "a missing delivery shows as {found:?}");
    Ok(())
}
