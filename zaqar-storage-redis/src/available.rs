//! What is there for those who wait: one question about many queues.
//!
//! Each queue is asked once, however many wait for it: where the last message lies that can be had.
//! All questions are on their way before the first answer is awaited, each on the connection to the
//! server that holds its queue, so they cost about one round trip together.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use zaqar_core::{MessageMarker, MessageWatch, QueueRef, Result, Timestamp};

use crate::codec::moment;
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::AVAILABLE;
use crate::store::{Call, queue_text};

const OPERATION: &str = "message_available";
/// Questions that are on their way at the same time: fewer than a connection takes in at once.
const AT_ONCE: usize = 2_048;

/// Those that watch one queue.
#[derive(Default)]
struct Watchers {
    /// Which of all watches they are, and after which place.
    each: Vec<(usize, Option<MessageMarker>)>,
}

impl Watchers {
    /// The markers whose places the queue itself must tell.
    fn foreign<'w>(&'w self, queue: &'w QueueRef) -> impl Iterator<Item = MessageMarker> + 'w {
        let markers = self.each.iter().filter_map(|(_, after)| *after);
        markers.filter(|marker| marker.incarnation() != queue.incarnation)
    }
}

impl RedisData {
    pub(crate) async fn available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        let mut queues: HashMap<&QueueRef, Watchers> = HashMap::new();
        for (number, MessageWatch { queue, after }) in watches.iter().enumerate() {
            queues.entry(queue).or_default().each.push((number, *after));
        }
        let _pass = self.store.gate.enter(OPERATION, None).await?;
        let mut questions = Vec::with_capacity(queues.len());
        for (queue, watchers) in &queues {
            questions.push(self.ask(queue, watchers));
        }
        let answers: Vec<Vec<(usize, bool)>> =
            stream::iter(questions).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut available: Vec<(usize, bool)> = answers.into_iter().flatten().collect();
        available.sort_unstable();
        Ok(available.into_iter().map(|(_, available)| available).collect())
    }

    /// Asks one queue; one that is gone or has moved is looked at by those who wait for it.
    async fn ask(&self, queue: &QueueRef, watchers: &Watchers) -> Result<Vec<(usize, bool)>> {
        let text = queue_text(queue);
        let call = Call {
            operation: OPERATION,
            script: &AVAILABLE,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now));
                for marker in watchers.foreign(queue) {
                    command.arg(marker.to_string());
                }
            },
        };
        let answer = self.store.call(&call, None).await?;
        if matches!(answer.code, 1 | 2) {
            return Ok(watchers.each.iter().map(|(number, _)| (*number, true)).collect());
        }
        let mut reply = answer.done(queue)?;
        let highest = reply.number("position")?;
        let told = watchers.each.iter().map(|(number, after)| {
            let place = match after {
                None => 0,
                Some(marker) if marker.incarnation() == queue.incarnation => marker.sequence(),
                Some(_) => reply.number("position")?,
            };
            Ok((*number, place < highest))
        });
        told.collect()
    }
}
