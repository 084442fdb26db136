//! Claims and pops: what takes messages out of circulation.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use zaqar_core::{
    ClaimId, Claimed, CreateClaim, LeaseId, Message, PageLimit, QueueRef, Result, Timestamp,
};

use crate::codec::moment;
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::{CLAIM_CREATE, CLAIM_DELETE, POP};
use crate::store::{Answer, Call, Caller, Store, endless, queue_text};

/// The script met only what was due; asked again it goes on.
const AGAIN: i64 = 5;
/// Steps of one operation over what is due.
const STEPS_MAX: usize = 10_000;

impl Store {
    /// Calls until the script has done more than what was due.
    async fn call_on<A>(&self, call: &Call<A>, caller: &Caller) -> Result<Answer>
    where
        A: Fn(&mut redis::Cmd, Timestamp) + Send + Sync,
    {
        for _ in 0..STEPS_MAX {
            let answer = self.call(call, Some(caller)).await?;
            if answer.code != AGAIN {
                return Ok(answer);
            }
        }
        Err(endless(call.operation))
    }
}

impl RedisData {
    pub(crate) async fn claim(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        let owned = queue.clone();
        let call_name = LeaseId::random();
        let call = claim_call(queue, &options, call_name);
        let mut departure = Departure {
            store: Arc::clone(&self.store),
            queue: queue.clone(),
            claim: options.id,
            call_name,
            heard: false,
        };
        let claiming = |store: Arc<Store>, caller: Caller| async move {
            let answer = store.call_on(&call, &caller).await?;
            let now = answer.now;
            let mut reply = answer.done(&owned)?;
            let parked = reply.count("claim")?;
            let messages = reply.messages(owned.incarnation, now)?;
            Ok(Claimed { messages, parked })
        };
        let project = Some(&queue.key.project);
        let result = self.store.shield("claim_create", project, claiming).await;
        departure.heard = true;
        result
    }

    pub(crate) async fn pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let call = Call {
            operation: "message_pop",
            script: &POP,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(incarnation).arg(limit.get());
            },
        };
        let owned = queue.clone();
        let popping = |store: Arc<Store>, caller: Caller| async move {
            let answer = store.call_on(&call, &caller).await?;
            let now = answer.now;
            answer.done(&owned)?.messages(owned.incarnation, now)
        };
        self.store.shield("message_pop", Some(&queue.key.project), popping).await
    }
}

/// Stands where the caller of a claim waits. If it leaves, nobody would work on what the claim took:
/// that is released at once (G16).
struct Departure {
    store: Arc<Store>,
    queue: QueueRef,
    claim: ClaimId,
    call_name: LeaseId,
    heard: bool,
}

impl Drop for Departure {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.heard {
            return;
        }
        // A claim that was sent is ahead of its release on the same connection; one that was not is
        // not sent any more. So the release is sent here and now, and finished elsewhere.
        let release = release_call(&self.queue, self.claim, Some(self.call_name));
        let store = Arc::clone(&self.store);
        let mut releasing = Box::pin(async move {
            if let Err(error) = store.call(&release, None).await {
                tracing::debug!(%error, "an abandoned claim is left to run out");
            }
        });
        let mut context = Context::from_waker(Waker::noop());
        if releasing.as_mut().poll(&mut context).is_pending() {
            runtime.spawn(releasing);
        }
    }
}

fn claim_call(
    queue: &QueueRef,
    options: &CreateClaim,
    call_name: LeaseId,
) -> Call<impl Fn(&mut redis::Cmd, Timestamp) + Send + Sync + 'static> {
    let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
    let options = options.clone();
    Call {
        operation: "claim_create",
        script: &CLAIM_CREATE,
        place: Place::queue(queue.incarnation),
        writes: true,
        arguments: move |command: &mut redis::Cmd, now: Timestamp| {
            let ends = now.after(options.ttl);
            command.arg(&text).arg(moment(now)).arg(incarnation).arg(options.id.as_bytes());
            command.arg(options.limit.get()).arg(moment(ends)).arg(options.ttl.as_secs());
            command.arg(moment(ends.after(options.grace)));
            command.arg(options.ttl.plus(options.grace).as_secs());
            match &options.redrive {
                Some(redrive) => {
                    command.arg(redrive.claims_max).arg(redrive.target.as_str());
                    command.arg(redrive.ttl.as_secs());
                }
                None => {
                    command.arg("").arg("").arg("");
                }
            }
            command.arg(call_name.as_bytes());
        },
    }
}

/// Releases a claim; with the name of a call, only if none repeated that call since.
pub(crate) fn release_call(
    queue: &QueueRef,
    id: ClaimId,
    call_name: Option<LeaseId>,
) -> Call<impl Fn(&mut redis::Cmd, Timestamp) + Send + Sync + 'static> {
    let text = queue_text(queue);
    Call {
        operation: "claim_delete",
        script: &CLAIM_DELETE,
        place: Place::queue(queue.incarnation),
        writes: true,
        arguments: move |command: &mut redis::Cmd, now: Timestamp| {
            command.arg(&text).arg(moment(now)).arg(id.as_bytes());
            command.arg(call_name.as_ref().map_or(&[][..], |name| name.as_bytes()));
        },
    }
}
