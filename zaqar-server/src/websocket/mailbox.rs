//! What waits to be pushed to one connection: little, so that the rest waits in the outbox.
//!
//! A notification counts as delivered once the socket has taken it whole. One that the connection
//! does not get to in time is taken back; one that was being written when its time was over is
//! remembered, so that the next attempt at it finds it delivered and sends nothing twice.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use zaqar_notify::Verdict;

use super::codec::Encoding;

/// How many notifications wait for one connection.
const WAITING_MAX: usize = 8;
/// How many bytes wait for one connection, unless a single one is larger.
const WAITING_BYTES_MAX: usize = 65_536;
/// How long an attempt waits for the connection.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);
/// A connection that has been sending one thing for so long takes nothing else for now, and no
/// attempt waits for it.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// How many late ones are remembered.
const LATE_MAX: usize = 32;

/// A notification on its way to a connection.
#[derive(Debug)]
pub(super) struct Push {
    id: String,
    message: Option<Message>,
    bytes: usize,
    taken: oneshot::Sender<()>,
}

impl Push {
    /// Takes out what is to be written.
    pub(super) fn message(&mut self) -> Option<Message> {
        self.message.take()
    }
}

/// Where notifications for one connection are put.
#[derive(Debug)]
pub(super) struct Mailbox {
    sender: mpsc::Sender<Push>,
    packed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    sending_since: Option<Instant>,
    writing: Option<String>,
    late: VecDeque<String>,
}

impl Mailbox {
    /// A mailbox, and the connection's end of it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Push>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender, packed: AtomicBool::new(false), state: Mutex::default() }, receiver)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how notifications are encoded from now on.
    pub(super) fn deliver_as(&self, encoding: Encoding) {
        self.packed.store(encoding == Encoding::MessagePack, Ordering::Relaxed);
    }

    fn encoding(&self) -> Encoding {
        if self.packed.load(Ordering::Relaxed) { Encoding::MessagePack } else { Encoding::Json }
    }

    /// Makes one attempt at handing the notification called `id` to the connection.
    pub(super) async fn deliver(&self, id: String, json: String) -> Verdict {
        let mut taken = match self.put(id, json) {
            Ok(taken) => taken,
            Err(verdict) => return verdict,
        };
        match tokio::time::timeout(TAKEN_WITHIN, &mut taken).await {
            Ok(Ok(())) => Verdict::Delivered,
            Ok(Err(_)) => Verdict::Gone,
            Err(_) => {
                taken.close();
                if taken.try_recv().is_ok() { Verdict::Delivered } else { Verdict::Busy }
            }
        }
    }

    fn put(&self, id: String, json: String) -> Result<oneshot::Receiver<()>, Verdict> {
        let bytes = json.len();
        let mut state = self.state();
        if let Some(at) = state.late.iter().position(|late| *late == id) {
            state.late.remove(at);
            return Err(Verdict::Delivered);
        }
        let is_stuck = state.sending_since.is_some_and(|since| since.elapsed() > STUCK_AFTER);
        let is_full = state.bytes > 0 && state.bytes.saturating_add(bytes) > WAITING_BYTES_MAX;
        if is_stuck || is_full || state.writing.as_ref() == Some(&id) {
            return Err(Verdict::Busy);
        }
        let place = self.sender.try_reserve().map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(()) => Verdict::Busy,
            mpsc::error::TrySendError::Closed(()) => Verdict::Gone,
        })?;
        let (taken, answer) = oneshot::channel();
        state.bytes = state.bytes.saturating_add(bytes);
        let message = Some(self.encoding().encode(json));
        place.send(Push { id, message, bytes, taken });
        Ok(answer)
    }

    /// The connection begins to send something, whatever it is.
    pub(super) fn sending(&self) {
        self.state().sending_since = Some(Instant::now());
    }

    /// The connection has sent it.
    pub(super) fn sent(&self) {
        self.state().sending_since = None;
    }

    /// The connection is about to write it; `false` if it was taken back.
    pub(super) fn begin(&self, push: &Push) -> bool {
        let mut state = self.state();
        if push.taken.is_closed() {
            state.bytes = state.bytes.saturating_sub(push.bytes);
            return false;
        }
        state.writing = Some(push.id.clone());
        true
    }

    /// The connection has written it.
    pub(super) fn written(&self, push: Push) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(push.bytes);
        state.writing = None;
        if push.taken.send(()).is_err() {
            if state.late.len() >= LATE_MAX {
                state.late.pop_front();
            }
            state.late.push_back(push.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn deliver(mailbox: &Arc<Mailbox>, id: &str) -> tokio::task::JoinHandle<Verdict> {
        let (mailbox, id) = (Arc::clone(mailbox), id.to_owned());
        tokio::spawn(async move { mailbox.deliver(id, "{}".to_owned()).await })
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_delivered_when_it_is_written_and_not_before() {
        let (mailbox, mut pushes) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        let attempt = deliver(&mailbox, "a");
        let push = pushes.recv().await.unwrap();
        assert!(mailbox.begin(&push));
        assert!(!attempt.is_finished());
        mailbox.written(push);
        assert_eq!(attempt.await.unwrap(), Verdict::Delivered);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_connection_does_not_get_to_is_taken_back() {
        let (mailbox, mut pushes) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        assert_eq!(deliver(&mailbox, "a").await.unwrap(), Verdict::Busy);
        let again = deliver(&mailbox, "a");
        let (first, second) = (pushes.recv().await.unwrap(), pushes.recv().await.unwrap());
        assert!(!mailbox.begin(&first));
        assert!(mailbox.begin(&second));
        mailbox.written(second);
        assert_eq!(again.await.unwrap(), Verdict::Delivered);
        assert_eq!(mailbox.state().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_late_is_not_sent_again() {
        let (mailbox, mut pushes) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        let attempt = deliver(&mailbox, "a");
        let push = pushes.recv().await.unwrap();
        assert!(mailbox.begin(&push));
        assert_eq!(attempt.await.unwrap(), Verdict::Busy);
        assert_eq!(deliver(&mailbox, "a").await.unwrap(), Verdict::Busy);
        mailbox.written(push);
        assert_eq!(deliver(&mailbox, "a").await.unwrap(), Verdict::Delivered);
        assert!(pushes.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_fits_is_refused_at_once_and_a_closed_one_is_gone() {
        let (mailbox, pushes) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        let waiting: Vec<_> = (0..WAITING_MAX).map(|n| deliver(&mailbox, &n.to_string())).collect();
        while mailbox.sender.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(mailbox.put("x".into(), "{}".into()).unwrap_err(), Verdict::Busy);
        drop(pushes);
        for attempt in waiting {
            assert_eq!(attempt.await.unwrap(), Verdict::Gone);
        }
        assert_eq!(mailbox.put("x".into(), "{}".into()).unwrap_err(), Verdict::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_stuck_is_not_waited_for() {
        let (mailbox, _pushes) = Mailbox::new();
        mailbox.sending();
        tokio::time::advance(STUCK_AFTER * 2).await;
        assert_eq!(mailbox.put("a".into(), "{}".into()).unwrap_err(), Verdict::Busy);
        mailbox.sent();
        assert!(mailbox.put("a".into(), "{}".into()).is_ok());
    }

    #[tokio::test]
    async fn bytes_that_wait_are_bounded_and_a_single_large_one_passes() {
        let (mailbox, _pushes) = Mailbox::new();
        let large = "x".repeat(WAITING_BYTES_MAX * 4);
        let _first = mailbox.put("a".into(), large).unwrap();
        assert_eq!(mailbox.put("b".into(), "{}".into()).unwrap_err(), Verdict::Busy);
    }
}
