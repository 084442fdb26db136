//! A producer: posts batch after batch, some of them under an idempotency key.
//!
//! What got no answer under its key is repeated: at once, by the same caller at either handle, or
//! later, by whoever comes next. Now and then a post is repeated though it was acknowledged, or sent
//! to both handles at the same time.

use std::sync::Arc;

use rand::Rng as _;
use tokio::sync::watch;
use zaqar_core::{Effect, Error, Ttl};

use super::body::Tag;
use super::doubts::Doubt;
use super::request::{Reply, Request};
use super::worker::{WorkQueue, Worker};
use super::workload::{Progress, Task};

/// How likely each kind of keyed post is; the rest of a producer's posts carry no key.
const KEYED: f64 = 0.4;
const AT_BOTH: f64 = 0.15;
const REPEATED_AT_ONCE: f64 = 0.5;
const REPEATED_THOUGH_ANSWERED: f64 = 0.15;
const DOUBT_TAKEN_OVER: f64 = 0.3;

/// Posts `posts` batches, and repeats what others left.
pub(super) async fn run(mut task: Task, posts: u32, progress: Arc<watch::Sender<Progress>>) {
    let mut sequence = 0;
    for _ in 0..posts {
        let (queue, request) = next_post(&mut task, &mut sequence);
        if matches!(request, Request::Post { keyed: true, .. }) {
            keyed(&mut task, Doubt { on: queue, request }).await;
        } else {
            task.worker.note(&queue, request).await;
        }
        if task.rng.random_bool(DOUBT_TAKEN_OVER)
            && let Some(doubt) = task.worker.books.doubts.take(task.rng.random_range(0..100))
        {
            repeat(&mut task, doubt).await;
        }
        progress.send_modify(|progress| progress.posts += 1);
    }
}

fn next_post(task: &mut Task, sequence: &mut u32) -> (WorkQueue, Request) {
    let (run, producer) = (task.worker.books.ledger.run(), task.worker.id);
    let queue = task.pick_queue();
    let mortal = queue.tag == task.queues.mortal.tag;
    let count = if task.swarm.batches { task.rng.random_range(1..=10) } else { 1 };
    let tags = (*sequence..*sequence + count).map(|sequence| Tag { run, producer, sequence });
    let tags = tags.collect();
    *sequence += count;
    let ttl_s = if mortal { task.rng.random_range(2..=40) } else { 1_000_000 };
    let delayed = task.swarm.delays && task.lapses && task.rng.random_bool(0.1);
    let delay_s = if delayed { task.rng.random_range(1..=5) } else { 0 };
    let keyed = task.swarm.keys && task.rng.random_bool(KEYED);
    let span = Ttl::from_secs_clamped;
    (queue, Request::Post { tags, ttl: span(ttl_s), delay: span(delay_s), keyed })
}

/// The first attempt, or the first two.
async fn keyed(task: &mut Task, post: Doubt) {
    if task.rng.random_bool(AT_BOTH) {
        let (here, there) =
            futures_util::join!(attempt(&task.worker, &post), attempt(&task.elsewhere, &post));
        if (in_doubt(&here) || in_doubt(&there)) && here.is_err() && there.is_err() {
            task.worker.books.doubts.leave(post);
        }
        return;
    }
    let answered = attempt(&task.worker, &post).await;
    let again = match &answered {
        Ok(_) => task.rng.random_bool(REPEATED_THOUGH_ANSWERED),
        Err(_) => in_doubt(&answered),
    };
    if !again {
        return;
    }
    if answered.is_ok() || task.rng.random_bool(REPEATED_AT_ONCE) {
        repeat(task, post).await;
    } else {
        task.worker.books.doubts.leave(post);
    }
}

/// Repeats a post at either handle; what still has no answer is left to the next.
async fn repeat(task: &mut Task, post: Doubt) {
    let at = if task.rng.random_bool(0.5) { &task.worker } else { &task.elsewhere };
    if attempt(at, &post).await.is_err() {
        task.worker.books.doubts.leave(post);
    }
}

async fn attempt(worker: &Worker, post: &Doubt) -> Result<Reply, Error> {
    worker.call(&post.on, post.request.clone()).await
}

/// Whether the post may have had its effect though it was not acknowledged.
fn in_doubt(answered: &Result<Reply, Error>) -> bool {
    answered.as_ref().is_err_and(|error| error.effect() == Effect::Unknown)
}
