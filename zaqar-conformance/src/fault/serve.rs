//! The child's side of the process ring: serves jobs on a store until it is killed or its input
//! ends.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context as _;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use zaqar_core::{
    Clock, Created, Error, Incarnation, JsonObject, ProjectId, QueueKey, QueueName, Timestamp,
};

use super::wire::{Batch, Done, Job, Refusal};
use crate::harness::{Drivers, Harness, Namespace};
use crate::loss::worker;

/// A clock that is told the time and never goes back: the parent's, as of its latest line.
#[derive(Debug, Default)]
struct FollowedClock(AtomicI64);

impl FollowedClock {
    fn follow(&self, now: Timestamp) {
        self.0.fetch_max(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for FollowedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Serves the suite that started this process as its child ([`SelfSpawn`](crate::SelfSpawn)): opens
/// the store at the time of the first line, then answers line by line on standard output, until
/// standard input ends or the process is killed.
///
/// # Errors
/// If the store cannot be opened, or a line is not of the suite.
pub async fn serve_child(harness: Arc<dyn Harness>, ns: &Namespace) -> anyhow::Result<()> {
    let clock = Arc::new(FollowedClock::default());
    let mut lines = input_lines();
    let mut opened: Option<Drivers> = None;
    while let Some(line) = lines.recv().await {
        let line = line.context("reading a line")?;
        let batch: Batch = serde_json::from_str(&line).context("reading a batch of jobs")?;
        clock.follow(batch.now);
        // Not before the first line: a driver that collects at its opening must know the time.
        let drivers = match &opened {
            Some(drivers) => drivers,
            None => opened.insert(harness.open(ns, Arc::<FollowedClock>::clone(&clock)).await?),
        };
        let done = join_all(batch.jobs.into_iter().map(|job| carry_out(drivers, job))).await;
        let mut output = std::io::stdout().lock();
        serde_json::to_writer(&mut output, &done)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    if let Some(Drivers { control, data }) = opened {
        data.close().await;
        control.close().await;
    }
    Ok(())
}

/// The lines of standard input, read on a thread of their own, because reading them blocks.
fn input_lines() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn carry_out(drivers: &Drivers, job: Job) -> Done {
    match job {
        Job::Open { project, name } => match open_queue(drivers, project, name).await {
            Ok(incarnation) => Done::Opened(incarnation),
            Err(error) => Done::Refused(Refusal::of(&error, false)),
        },
        Job::Call { queue, request } => {
            let asked = request.clone();
            match request.run(drivers.data.as_ref(), &queue.into()).await {
                Ok(reply) => Done::Replied(reply),
                Err(error) => Done::Refused(Refusal::of(&error, asked.may_be_refused_with(&error))),
            }
        }
        Job::Tend => match worker::tend(drivers.data.as_ref()).await {
            Ok(()) => Done::Tended,
            Err(error) => Done::Refused(Refusal::of(&error, false)),
        },
    }
}

async fn open_queue(
    drivers: &Drivers,
    project: ProjectId,
    name: QueueName,
) -> Result<Incarnation, Error> {
    let key = QueueKey::queue(project, name);
    let queues = drivers.control.queues();
    if let Some(record) = queues.queue_find(&key).await? {
        return Ok(record.incarnation);
    }
    let queue = key.incarnate(queues.queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    match queues.queue_insert(&queue, &JsonObject::new()).await? {
        Created::New(record) | Created::Existing(record) => Ok(record.incarnation),
    }
}
