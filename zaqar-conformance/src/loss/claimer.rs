//! Claimers: take messages and end their claims in every way there is.

use rand::Rng as _;
use zaqar_core::{ClaimId, Ttl};

use super::history::Seen;
use super::request::Request;
use super::worker::{LEASE_S_MAX, WorkQueue};
use super::workload::{Task, claim_id};

/// Claims until the producers are done and nothing is claimable, or the rounds are over: a driver
/// that gives messages out again and again never runs out of them.
pub(super) async fn run(mut task: Task) {
    let mut stale = None;
    for _ in 0..task.rounds_max {
        let queue = pick(&mut task);
        let claim = claim_id(&mut task.rng);
        let short = task.lapses && task.rng.random_bool(0.5);
        let ttl_s = if short { task.rng.random_range(1..=10) } else { LEASE_S_MAX };
        let limit = task.rng.random_range(1..=10);
        let seen = task.worker.claim(&queue, claim, ttl_s, limit).await;
        if seen.is_empty() {
            if !task.more().await {
                return;
            }
            continue;
        }
        if let Some((queue, claim, seen)) = stale.take() {
            delete_each(&task, &queue, claim, seen).await;
        }
        trespass(&mut task, &queue, claim, &seen).await;
        let kept = end(&mut task, &queue, claim, seen).await;
        stale = kept.map(|seen| (queue, claim, seen));
    }
}

fn pick(task: &mut Task) -> WorkQueue {
    let mut queues = task.queues.claimed.clone();
    queues.push(task.queues.mortal.clone());
    let nth = task.rng.random_range(0..queues.len());
    queues.into_iter().nth(nth).unwrap_or_else(|| task.queues.mortal.clone())
}

/// Names the claim, and what it holds, to another queue now and then: to that they mean nothing.
async fn trespass(task: &mut Task, queue: &WorkQueue, claim: ClaimId, seen: &[Seen]) {
    let other = task.pick_queue();
    if other.tag == queue.tag || !task.rng.random_bool(0.3) {
        return;
    }
    let request = match task.rng.random_range(0..3) {
        0 => Request::Release { claim },
        1 => Request::Renew { claim, ttl: Ttl::from_secs_clamped(LEASE_S_MAX), grace: Ttl::ZERO },
        _ => {
            let ids = seen.iter().map(|seen| seen.id).collect();
            Request::BulkDelete { ids, claims: Some(vec![claim]) }
        }
    };
    task.worker.note(&other, request).await;
}

/// Ends a claim; returns what it left to lapse, for a delete that comes late.
async fn end(
    task: &mut Task,
    queue: &WorkQueue,
    claim: ClaimId,
    seen: Vec<Seen>,
) -> Option<Vec<Seen>> {
    match task.rng.random_range(0..10) {
        0..=3 => delete_each(task, queue, claim, seen).await,
        4 | 5 if task.swarm.bulk => {
            let ids = seen.into_iter().map(|seen| seen.id).collect();
            let request = Request::BulkDelete { ids, claims: Some(vec![claim]) };
            task.worker.note(queue, request).await;
        }
        6 if task.swarm.releases => {
            task.worker.note(queue, Request::Release { claim }).await;
        }
        7 if task.swarm.renewals => {
            let (first, rest) = halves(seen);
            delete_each(task, queue, claim, first).await;
            let (ttl, grace) = (Ttl::from_secs_clamped(LEASE_S_MAX), Ttl::ZERO);
            task.worker.note(queue, Request::Renew { claim, ttl, grace }).await;
            delete_each(task, queue, claim, rest).await;
        }
        8 | 9 if task.swarm.lapses && task.lapses => return Some(seen),
        _ => delete_each(task, queue, claim, seen).await,
    }
    None
}

fn halves(mut seen: Vec<Seen>) -> (Vec<Seen>, Vec<Seen>) {
    let rest = seen.split_off(seen.len() / 2);
    (seen, rest)
}

async fn delete_each(task: &Task, queue: &WorkQueue, claim: ClaimId, seen: Vec<Seen>) {
    for seen in seen {
        let request = Request::Delete { id: seen.id, claim: Some(claim) };
        task.worker.note(queue, request).await;
    }
}
