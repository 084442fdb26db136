//! One actor's connection, with its bookkeeping.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::context::Context;
use crate::http::{Connection, ErrorClass};
use crate::measure::{Op, Recorder};

/// Pause after a failed request, so that a dead server is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// An actor whose requests all fail for this long gives up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Answered with one of the expected statuses.
    Done(u16),
    /// It certainly had no effect.
    Refused,
    /// It may have had its effect.
    Unsure,
}

/// An actor's means.
#[derive(Debug)]
pub struct Session {
    /// What all actors share.
    pub context: Arc<Context>,
    /// Index of the actor, from 0.
    pub index: usize,
    connection: Connection,
    recorder: Arc<Mutex<Recorder>>,
    failing_since: Option<Instant>,
    ended: Instant,
}

impl Session {
    /// A session that records into `recorder`.
    #[must_use]
    pub fn new(context: Arc<Context>, index: usize, recorder: Arc<Mutex<Recorder>>) -> Self {
        let connection = Connection::new(Arc::clone(&context.target), context.options.timeout);
        let ended = Instant::now();
        Self { context, index, connection, recorder, failing_since: None, ended }
    }

    /// Opens the connection; a failure shows again at the first request.
    pub async fn open(&mut self) {
        self.connection.open().await.ok();
    }

    /// Sends a prepared request; the latency counts from `started`.
    ///
    /// After a failure the connection is opened anew and the actor pauses shortly.
    pub async fn call(
        &mut self,
        op: Op,
        started: Instant,
        request: &[u8],
        expected: &[u16],
    ) -> Reply {
        let outcome = self.connection.call(request).await.map(|answer| answer.status);
        self.ended = Instant::now();
        let class = match outcome {
            Ok(status) if expected.contains(&status) => {
                self.failing_since = None;
                self.context.live_requests.fetch_add(1, Ordering::Relaxed);
                self.recorder().request(op, started, self.ended);
                return Reply::Done(status);
            }
            Ok(status) => ErrorClass::Status(status),
            Err(class) => class,
        };
        self.fail(class);
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        if class.had_no_effect() { Reply::Refused } else { Reply::Unsure }
    }

    /// Counts a failure that the status did not show.
    pub fn fail(&mut self, class: ErrorClass) {
        self.failing_since.get_or_insert(self.ended);
        self.context.live_errors.fetch_add(1, Ordering::Relaxed);
        self.recorder().error(class, self.ended);
    }

    /// True when every request has failed for so long that going on is useless.
    pub fn gives_up(&mut self) -> bool {
        let hopeless = self.failing_since.is_some_and(|since| since.elapsed() > GIVE_UP_AFTER);
        if hopeless {
            self.recorder().gave_up += 1;
        }
        hopeless
    }

    /// The body of the last answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.connection.body()
    }

    /// When the last answer was complete.
    #[must_use]
    pub fn ended(&self) -> Instant {
        self.ended
    }

    /// Counts messages carried by the last request.
    pub fn count_messages(&self, count: usize) {
        self.recorder().messages(count as u64, self.ended);
    }

    /// Records a latency that ends with the last answer.
    pub fn span(&self, op: Op, started: Instant) {
        self.recorder().span(op, started, self.ended);
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
