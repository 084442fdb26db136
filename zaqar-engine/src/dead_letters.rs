//! Dead letters: messages that were claimed too often, on their way to another queue.
//!
//! A claim only parks such a message and writes a transfer record. Here the transfer is carried
//! out: the target takes a copy under the same id, then the parked source goes. A crash in between
//! leaves both for a while, never neither (G10); whoever leases the transfer next finishes it.

use zaqar_core::{Capability, LeaseId, PageLimit, QueueKey, QueueRef, Redrive, Transfer, Ttl};

use crate::engine::Engine;
use crate::error::EngineResult;
use crate::fence::Call;
use crate::messages::default_ttl;
use crate::routing::Route;

/// How long a transfer is ours: far longer than its steps take, short enough after a crash.
const LEASE_TTL_S: u64 = 30;
/// Leases taken in one go, so that no claim waits for the dead letters of many others.
const LEASES_MAX: u32 = 20;

/// What became of the dead letters that were found on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MoveReport {
    /// Arrived, and gone from where they were.
    pub(crate) moved: u64,
    /// Left where they are, to be tried again when their lease is over.
    pub(crate) failed: u64,
}

impl Engine {
    /// The dead-letter policy of a queue, `None` if it has none.
    ///
    /// Without a life of its own in the source's attributes, a dead letter gets the target's
    /// default life: that costs a look-up of the target.
    pub(crate) async fn redrive(&self, route: &Route) -> EngineResult<Option<Redrive>> {
        let Some(policy) = &route.attributes.dead_letters else { return Ok(None) };
        let source = &route.queue.key;
        if policy.target == source.name {
            // A queue cannot be its own dead-letter queue; new attributes are refused, old ones
            // count as unset.
            return Ok(None);
        }
        let config = self.config();
        let ttl = match policy.ttl {
            Some(ttl) => Ttl::from_secs_clamped(ttl),
            None => {
                let target = QueueKey::queue(source.project.clone(), policy.target.clone());
                match self.route(&target).await? {
                    Some(target) => default_ttl(config, &target),
                    None => Ttl::from_secs_clamped(config.defaults.message_ttl),
                }
            }
        };
        Ok(Some(Redrive { claims_max: policy.claims_max, target: policy.target.clone(), ttl }))
    }

    /// Carries out the transfers of one queue, or of all, that nobody else holds.
    ///
    /// Nothing is lost when this fails: the messages stay parked, visible and counted.
    pub(crate) async fn dead_letters_move(
        &self,
        source: Option<&QueueRef>,
    ) -> EngineResult<MoveReport> {
        let mut report = MoveReport::default();
        if !self.capabilities().has(Capability::DeadLetter) {
            return Ok(report);
        }
        let (outbox, limit) = (self.data().outbox(), PageLimit::default());
        for _ in 0..LEASES_MAX {
            let ttl = Ttl::from_secs_clamped(LEASE_TTL_S);
            let leased = outbox.transfer_lease(source, LeaseId::random(), ttl, limit).await?;
            let complete = leased.len() < limit.as_usize();
            for transfer in leased {
                match self.dead_letter_move(&transfer).await {
                    Ok(()) => report.moved += 1,
                    Err(error) => {
                        tracing::warn!(
                            %error,
                            source = %transfer.source.key.name,
                            target = %transfer.target,
                            "a dead letter stays parked for now"
                        );
                        report.failed += 1;
                    }
                }
            }
            if complete {
                break;
            }
        }
        Ok(report)
    }

    async fn dead_letter_move(&self, transfer: &Transfer) -> EngineResult<()> {
        let project = transfer.source.key.project.clone();
        let target = QueueKey::queue(project, transfer.target.clone());
        let call = Call::write("message_insert_moved").for_service();
        self.on_queue_made(call, &target, |route| async move {
            let messages = self.data().messages();
            messages.message_insert_moved(&route.queue, transfer.message.clone()).await?;
            route.changed();
            self.wake_posted(&route.queue.key, 1);
            Ok(())
        })
        .await?;
        self.data().outbox().transfer_complete(transfer).await?;
        Ok(())
    }
}
