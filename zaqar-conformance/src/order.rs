//! Order: what one producer posted one after the other is read and claimed in that order.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use zaqar_core::{Body, Capability, Message, NewMessage, PostMessages, QueueRef, Ttl};

use crate::case::{Failure, Guarantee};
use crate::counts::Counts;
use crate::harness::Drivers;
use crate::suite::{Budget, SuiteTrial, TrialEnd, TrialResult, TrialRun};

const PRODUCERS: u64 = 4;
const TTL_S: u64 = 100_000;

/// The trials that this module adds to the suite.
pub(crate) fn trials() -> Vec<SuiteTrial> {
    let trial = SuiteTrial::new("fifo.producers.order_is_kept", &[Guarantee::G9], order_is_kept);
    vec![trial.needs(Capability::Fifo)]
}

async fn order_is_kept(run: TrialRun) -> TrialResult {
    let posts = match run.budget {
        Budget::Smoke => 60,
        Budget::Standard => 600,
        Budget::Soak => 6_000,
    };
    let context = run.context().await?;
    let other = context.second_handle().await?;
    let queue = context.queue("ordered").await?;
    let mut producers = JoinSet::new();
    for producer in 0..PRODUCERS {
        let node = if producer % 2 == 0 { context.drivers() } else { other.drivers() };
        producers.spawn(produce(node, queue.clone(), producer, posts));
    }
    let mut wanted = BTreeMap::new();
    while let Some(joined) = producers.join_next().await {
        let (producer, count) = joined.map_err(Failure::broken)??;
        wanted.insert(producer, (0..count).collect::<Vec<u64>>());
    }
    check_order(&context.list_all(&queue).await?, &wanted, "listed")?;
    if context.has(Capability::Claims) {
        check_order(&context.drain(&queue).await?, &wanted, "claimed")?;
    }
    other.close().await;
    context.wipe().await?;
    let messages: usize = wanted.values().map(Vec::len).sum();
    let counts = Counts::none().saw("messages_in_order", messages).saw("producers", PRODUCERS);
    Ok(TrialEnd::Passed { counts })
}

/// Posts batches of one to three, each after the last was acknowledged; returns how many messages.
async fn produce(
    node: Drivers,
    queue: QueueRef,
    producer: u64,
    posts: u64,
) -> Result<(u64, u64), Failure> {
    let mut number = 0;
    for post in 0..posts {
        let batch = (0..=post % 3).map(|offset| {
            let body = format!("[{producer},{}]", number + offset);
            NewMessage::new(Body::from_checked(body), Ttl::from_secs_clamped(TTL_S))
        });
        let batch: Vec<NewMessage> = batch.collect();
        number += post % 3 + 1;
        node.data.messages().message_post(&queue, batch, PostMessages::new()).await?;
        // So that producers on one thread take turns.
        tokio::task::yield_now().await;
    }
    Ok((producer, number))
}

/// Each producer's numbers, in the order in which its messages came.
fn check_order(
    messages: &[Message],
    wanted: &BTreeMap<u64, Vec<u64>>,
    how: &str,
) -> Result<(), Failure> {
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for message in messages {
        let (producer, number): (u64, u64) = serde_json::from_str(message.body.as_str())
            .map_err(|error| Failure::broken(format!("a body that nobody posted: {error}")))?;
        found.entry(producer).or_default().push(number);
    }
    for (producer, numbers) in wanted {
        let came = found.get(producer).map(Vec::as_slice).unwrap_or_default();
        if came != numbers {
            let at = came.iter().zip(numbers).position(|(came, wanted)| came != wanted);
            return Err(Failure::broken(format!(
                "producer {producer}: {} messages {how}, {} posted, out of order at {at:?}",
                came.len(),
                numbers.len()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::context::Context;
    use crate::reference::ReferenceHarness;

    #[tokio::test]
    async fn a_swapped_pair_is_noticed() {
        let context = Context::open(Arc::new(ReferenceHarness::new()), 1).await.unwrap();
        let queue = context.queue("ordered").await.unwrap();
        let (producer, count) = produce(context.drivers(), queue.clone(), 7, 4).await.unwrap();
        let wanted = BTreeMap::from([(producer, (0..count).collect())]);
        let mut messages = context.list_all(&queue).await.unwrap();
        assert_eq!(check_order(&messages, &wanted, "listed"), Ok(()));
        messages.swap(2, 3);
        assert!(check_order(&messages, &wanted, "listed").is_err());
    }
}
