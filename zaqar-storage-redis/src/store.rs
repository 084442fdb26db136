//! One open store: how operations reach its servers.
//!
//! ```text
//! caller ──▶ gate (bounded, fair) ──▶ the slot's server ──▶ one script, sent once
//!                                        └─ only what proves that nothing ran is repeated
//! ```
//!
//! An operation is sent while its caller's future is polled for the first time, so operations of one
//! caller arrive in their order; the rest of it runs in a task of its own, which a caller that leaves
//! does not stop (G16).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use redis::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;
use zaqar_core::{Clock, DriverInfo, Effect, Error, ProjectId, QueueRef, Result, Retry, Timestamp};

use crate::checks::Checks;
use crate::codec::Reply;
use crate::config::Config;
use crate::error::{Failure, Redirect, closed};
use crate::gate::Gate;
use crate::identity::Identity;
use crate::keys::{FENCE, Place, kind_code};
use crate::link::{Connection, Link};
use crate::registry::Script;
use crate::topology::Topology;

/// How long an operation is repeated while the servers say that it did not run.
const REPEAT_TIME_MAX: Duration = Duration::from_millis(5_000);
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) config: Config,
    pub(crate) checks: Arc<Checks>,
    pub(crate) topology: Topology,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) info: DriverInfo,
    /// The store's incarnation record, and what this handle has seen of it.
    pub(crate) identity: Mutex<Identity>,
    pub(crate) closed: AtomicBool,
}

/// A script with what it is given.
pub(crate) struct Call<A> {
    /// The name of the operation, for errors.
    pub(crate) operation: &'static str,
    pub(crate) script: &'static Script,
    pub(crate) place: Place,
    /// Whether it changes anything.
    pub(crate) writes: bool,
    /// Adds the arguments, as of a moment: read as late as possible, anew for each repetition.
    pub(crate) arguments: A,
}

/// What a script answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0: done. Everything else is the script's own way to refuse.
    pub(crate) code: i64,
    pub(crate) reply: Reply,
    /// The moment that the script was given.
    pub(crate) now: Timestamp,
}

/// Tells an operation whether its caller still waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Arc<AtomicBool>);

impl Caller {
    /// Whether nobody waits any more: then nothing is begun (G16).
    pub(crate) fn left(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Says that the caller left, when it is dropped.
struct Leaving(Caller);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

impl Store {
    /// Runs `work` to its end even if the caller leaves, once it has begun.
    pub(crate) async fn shield<T, W, F>(
        self: &Arc<Self>,
        operation: &'static str,
        project: Option<&ProjectId>,
        work: W,
    ) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Self>, Caller) -> F,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let pass = self.gate.enter(operation, project).await?;
        let caller = Caller::default();
        let leaving = Leaving(caller.clone());
        let mut work: Pin<Box<dyn Future<Output = Result<T>> + Send>> =
            Box::pin(work(Arc::clone(self), caller));
        if let Poll::Ready(result) = poll!(&mut work) {
            return result;
        }
        let (reply, answer) = oneshot::channel();
        tokio::spawn(async move {
            let result = work.await;
            drop(pass);
            // A caller that left does not need it.
            drop(reply.send(result));
        });
        let result = answer.await.unwrap_or_else(|_| Err(closed(operation)));
        drop(leaving);
        result
    }

    /// Runs a call that changes something.
    pub(crate) async fn write<A>(
        self: &Arc<Self>,
        project: Option<&ProjectId>,
        call: Call<A>,
    ) -> Result<Answer>
    where
        A: Fn(&mut redis::Cmd, Timestamp) + Send + Sync + 'static,
    {
        let operation = call.operation;
        self.shield(operation, project, |store, caller| async move {
            store.call(&call, Some(&caller)).await
        })
        .await
    }

    /// Runs a call that changes nothing. It may be repeated, and dropped at any time.
    pub(crate) async fn read<A>(&self, project: Option<&ProjectId>, call: Call<A>) -> Result<Answer>
    where
        A: Fn(&mut redis::Cmd, Timestamp) + Send + Sync,
    {
        let _pass = self.gate.enter(call.operation, project).await?;
        self.call(&call, None).await
    }

    /// Sends a script to its server, and again only if it certainly did not run.
    pub(crate) async fn call<A>(&self, call: &Call<A>, caller: Option<&Caller>) -> Result<Answer>
    where
        A: Fn(&mut redis::Cmd, Timestamp) + Send + Sync,
    {
        let slot = call.place.slot();
        let mut asked: Option<Arc<Link>> = None;
        let mut patience = Patience::new();
        let mut cut = false;
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(closed(call.operation));
            }
            let failure = match self.attempt(call, slot, asked.take(), caller).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let goes_on = match &failure {
                Failure::NoScript => patience.once_more(),
                Failure::Redirected(Redirect::Ask(address)) => {
                    asked = self.topology.link_at(address).ok();
                    patience.pause().await
                }
                Failure::Redirected(Redirect::Moved { slot, address }) => {
                    if let Ok(link) = self.topology.link_at(address) {
                        self.topology.moved(*slot, &link);
                    }
                    patience.pause().await
                }
                Failure::Redirected(Redirect::Demoted) => {
                    self.may_move()
                        && patience.pause().await
                        && self.topology.refresh().await.is_ok()
                }
                Failure::NotSent(_) if self.may_move() => {
                    // The server may be gone for good, and another in its place.
                    patience.pause().await && self.topology.refresh().await.is_ok()
                }
                Failure::NotNow(_) => patience.pause().await,
                Failure::InDoubt(_) if !call.writes && !cut => {
                    cut = true;
                    true
                }
                _ => false,
            };
            if !goes_on || caller.is_some_and(Caller::left) {
                return Err(failure.into_error(call.operation, call.writes));
            }
        }
    }

    fn may_move(&self) -> bool {
        self.checks.may_fail_over
    }

    async fn attempt<A>(
        &self,
        call: &Call<A>,
        slot: u16,
        asked: Option<Arc<Link>>,
        caller: Option<&Caller>,
    ) -> Result<Answer, Failure>
    where
        A: Fn(&mut redis::Cmd, Timestamp) + Send + Sync,
    {
        let asking = asked.is_some();
        let link = match asked.or_else(|| self.topology.link(slot)) {
            Some(link) => link,
            None => {
                self.topology.refresh().await?;
                let unknown = || Failure::NotNow(format!("no node holds slot {slot}"));
                self.topology.link(slot).ok_or_else(unknown)?
            }
        };
        let connection = match link.connected() {
            Some(connection) => connection,
            None => link.connection().await?,
        };
        if caller.is_some_and(Caller::left) {
            return Err(Failure::Refused("the caller left before it began".to_owned()));
        }
        let now = self.clock.now();
        let command = self.command(call, now);
        let waits = call.writes && self.config.waits();
        let fence = waits.then(|| call.place.name(&self.config.prefix, FENCE));
        let result = if asking || waits {
            self.send_among(&link, connection.clone(), command, asking, fence).await
        } else {
            link.send(connection.clone(), &command).await
        };
        let value = match result {
            Ok(value) => value,
            Err(Failure::NoScript) => {
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(&call.script.text);
                tracing::debug!(script = call.script.name, "loading a script");
                // Its own failure shows when the script is called again.
                drop(link.send(connection, &load).await);
                return Err(Failure::NoScript);
            }
            Err(failure) => return Err(failure.at(&link.address.0)),
        };
        let effect = if call.writes { Effect::Unknown } else { Effect::None };
        let mut reply = Reply::new(call.operation, effect, value);
        let code = reply.int("answer").map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(Answer { code, reply, now })
    }

    fn command<A>(&self, call: &Call<A>, now: Timestamp) -> redis::Cmd
    where
        A: Fn(&mut redis::Cmd, Timestamp),
    {
        let mut command = redis::cmd("EVALSHA");
        let keys = call.script.keys_at(&self.config.prefix, &call.place);
        command.arg(&call.script.sha).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        (call.arguments)(&mut command, now);
        command
    }

    /// Sends a command with what must stand next to it on the same connection: before each, leave to
    /// ask a node that does not hold the slot yet. If it `writes` and writes wait for copies, a write
    /// to the fence goes before it and the wait comes after it: `WAIT` waits for what this connection
    /// wrote, and an answer may rest on what another one wrote a moment ago, such as the post that
    /// used the same key.
    async fn send_among(
        &self,
        link: &Link,
        connection: Connection,
        command: redis::Cmd,
        asking: bool,
        fence: Option<String>,
    ) -> Result<Value, Failure> {
        let mut pipeline = redis::pipe();
        let waits = fence.is_some();
        let mut set = None;
        if let Some(fence) = fence {
            let mut command = redis::cmd("SET");
            command.arg(fence).arg(&*connection.run);
            set = Some(command);
        }
        let mut count = 0;
        for command in set.into_iter().chain([command]) {
            if asking {
                pipeline.cmd("ASKING");
                count += 1;
            }
            pipeline.add_command(command);
            count += 1;
        }
        if waits {
            let timeout = u64::try_from(self.config.wait_timeout.as_millis()).unwrap_or(u64::MAX);
            if self.config.wait_aof {
                pipeline.cmd("WAITAOF").arg(1).arg(self.config.wait_replicas).arg(timeout);
            } else {
                pipeline.cmd("WAIT").arg(self.config.wait_replicas).arg(timeout);
            }
            count += 1;
        }
        let mut answers = link.send_all(connection, &pipeline, count).await?.into_iter();
        let mut next = || {
            if asking {
                drop(answers.next());
            }
            answers.next().unwrap_or(Err(Failure::Silent))
        };
        let fenced = if waits { next() } else { Ok(Value::Nil) };
        let answer = next()?;
        // A full server takes no write to the fence, and lets consumers empty it.
        if waits && (!is_written(&fenced) || !self.is_enough(answers.next())) {
            return Err(Failure::Silent);
        }
        Ok(answer)
    }

    /// Whether as many copies were made as were asked for.
    fn is_enough(&self, waited: Option<Result<Value, Failure>>) -> bool {
        let replicas = i64::from(self.config.wait_replicas);
        match waited {
            Some(Ok(Value::Int(copies))) => copies >= replicas,
            Some(Ok(Value::Array(copies))) => matches!(
                copies.as_slice(),
                [Value::Int(own), Value::Int(others)] if *own >= 1 && *others >= replicas
            ),
            _ => false,
        }
    }

    /// Serves what was begun, then lets go of the servers.
    pub(crate) async fn close(&self) {
        self.gate.close().await;
        self.closed.store(true, Ordering::Release);
        self.topology.disconnect();
    }
}

/// Whether a write to the fence was made, or refused for lack of memory alone.
fn is_written(fenced: &Result<Value, Failure>) -> bool {
    match fenced {
        Ok(_) => true,
        Err(Failure::Refused(reason)) => reason.starts_with("OOM"),
        Err(_) => false,
    }
}

/// How long, and in which rhythm, to repeat what did not run.
struct Patience {
    until: Instant,
    pause: Duration,
    loads: u32,
}

impl Patience {
    fn new() -> Self {
        Self { until: Instant::now() + REPEAT_TIME_MAX, pause: PAUSE_MIN, loads: 0 }
    }

    /// Whether to try again at once: a server that forgets scripts as fast as they come is broken.
    fn once_more(&mut self) -> bool {
        self.loads += 1;
        self.loads <= 3
    }

    /// Rests; `false` once it has been long enough.
    async fn pause(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}

impl Answer {
    /// The reply of a script that refuses nothing but what every script may refuse.
    pub(crate) fn done(self, queue: &QueueRef) -> Result<Reply> {
        match self.code {
            0 => Ok(self.reply),
            _ => Err(self.refusal(queue)),
        }
    }

    /// The reply of a script of no queue.
    pub(crate) fn plain(self) -> Result<Reply> {
        match self.code {
            0 => Ok(self.reply),
            _ => Err(self.reply.damaged("answer")),
        }
    }

    /// The refusals that every script of a queue has in common.
    pub(crate) fn refusal(mut self, queue: &QueueRef) -> Error {
        let name = queue.key.name.clone();
        match self.code {
            1 => Error::QueueGone { name },
            2 => match self.reply.number("epoch") {
                Ok(epoch) => Error::QueueMoved { name, epoch },
                Err(error) => error,
            },
            10 => Error::QueueMoving { name },
            4 => {
                let reason = "has used up its positions; use another queue".to_owned();
                Error::Invalid { field: "queue", reason }
            }
            _ => self.reply.damaged("answer"),
        }
    }
}

/// How scripts are told which queue is meant: by the latest move that the caller knows of and by the
/// queue's key, as it stands in the head: project, kind and name cannot be taken for others'.
pub(crate) fn queue_text(queue: &QueueRef) -> String {
    let QueueRef { key, epoch, .. } = queue;
    format!("{epoch} {}{}:{}", kind_code(key.kind), key.name, key.project)
}

/// What a caller is told that asked for something this driver cannot hold.
pub(crate) fn out_of_range(field: &'static str) -> Error {
    Error::Invalid { field, reason: "is out of range".to_owned() }
}

/// A failure of several steps of which the last one is not to be repeated.
pub(crate) fn endless(operation: &'static str) -> Error {
    let text = "more was due than could be done in the time";
    Error::backend(operation, Effect::None, Retry::Later, text)
}
