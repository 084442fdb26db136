//! Operations on messages: posting, reading, deleting.

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::ids::{ClaimId, MessageId, MessageMarker};
use crate::message::{
    DeadLetterOrigin, ListMessages, Message, MessageWatch, MovedMessage, NewMessage, PostMessages,
    Posted, QueueEnd, QueueStats,
};
use crate::page::{Page, PageLimit};
use crate::queue::{Created, QueueRef};

/// Messages of one data store.
///
/// All operations refuse a closed or moved incarnation with `QueueGone` or `QueueMoved`, effect
/// `None`. A message is *live* from its post until it expires or is removed; *claimed* while a
/// claim whose time has not ended holds it (the end itself is no longer within); *delayed* until
/// its delay ends; *claimable* when it is live and neither.
#[async_trait]
pub trait MessageController: std::fmt::Debug + Send + Sync + 'static {
    /// Stores all of `messages`, or none, at the tail of the queue.
    ///
    /// # Guarantees
    /// On `Ok`: G1, the messages are durable at the driver's level before it returns; G2, they
    /// became visible together, one id each, in order; G9, at positions after every message that
    /// was visible before; G13, an active subscription has them in its outbox; G3, with a key,
    /// exactly one batch is stored however often the call is repeated.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `QueueMoved` — posts of this incarnation go to another pool.
    /// - `IdempotencyConflict` — the key stands for another digest.
    /// - `Invalid` — no message, or more than the maximum, or the positions are used up.
    /// - `Overloaded` — too much of this project is waiting; not begun.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or stored whole (G2, G16); without a key the caller cannot tell which.
    ///
    /// # Idempotence
    /// Only with a key: the repeat returns the same ids, `repeated` set, even if the messages are
    /// gone by then.
    ///
    /// # Implementors
    /// Head check, positions, messages, key and outbox entry in one atomic step; positions in the
    /// order of commit. The usual mistake is a sequence allocated before the commit: a reader steps
    /// over what commits late. O(messages), independent of the queue's length.
    ///
    /// # Conformance
    /// `message.post.*`, `batch.post.*`, `idempotency.repeat.*`, `cancel.post.*`.
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted>;

    /// Reads one page in queue order.
    ///
    /// # Guarantees
    /// G9: following `next` from the start meets every message that was acknowledged before the
    /// walk began and lives throughout, once, in queue order; filters apply before the limit; a
    /// page is empty only at the end. G8: nothing expired. G12.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// A message whose claim or delay ended counts as free at that very moment, whether or not a
    /// sweep met it. O(page) for the default listing, whatever is claimed or delayed ahead; bounded
    /// steps otherwise.
    ///
    /// # Conformance
    /// `paging.filter.*`, `paging.marker.*`, `message.post.*`, `paging.walk.*`.
    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>>;

    /// Reads the first or last live message, claimed and delayed ones included; `None` if there is
    /// none.
    ///
    /// # Guarantees
    /// G8: the first or last live message, whatever its state.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(1) but for expired messages at that end.
    ///
    /// # Conformance
    /// `delay.read.*`, `expiry.hidden.*`, `incarnation.recreate.*`, `isolation.names.*`.
    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>>;

    /// Reads one live message by id, claimed, delayed or parked ones included.
    ///
    /// # Guarantees
    /// G4: byte for byte as posted. G8, G12: `MessageNotFound` for what has expired or is another
    /// queue's.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `MessageNotFound` — not there, expired, or never of this queue.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// Scope the look-up by queue and incarnation, never by id alone. O(1).
    ///
    /// # Conformance
    /// `life.claim.*`, `life.renewal.*`, `message.body.*`, `message.get.*`.
    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message>;

    /// Reads live messages by id, in the order asked; what is not there is left out, a repeated id
    /// is answered once.
    ///
    /// # Guarantees
    /// As for [`Self::message_get`], in the order asked; what is missing is left out.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(ids).
    ///
    /// # Conformance
    /// `delay.read.*`, `expiry.hidden.*`, `incarnation.recreate.*`, `isolation.ids.*`.
    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>>;

    /// Removes one message: a free one if `claim` is `None`, else one that is under that live
    /// claim. Silent if it is not there.
    ///
    /// # Guarantees
    /// G6: on `Ok` the message is gone for good, and the rule of the claim held in the step that
    /// removed it. G4: it never returns.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `MessageClaimed` — no claim named, and it is claimed or parked.
    /// - `MessageNotClaimed` — a claim named, and it is under none.
    /// - `MessageNotClaimedBy` — it is under another.
    /// - `Overloaded`; `Backend` as for a post.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe: the repeat finds nothing and is silent.
    ///
    /// # Implementors
    /// Test and removal in one step; a lease that ends in between must refuse. O(1).
    ///
    /// # Conformance
    /// `delete.single.*`, `isolation.ids.*`, `cancel.delete.*`, `claim.create.*`.
    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()>;

    /// Removes messages by id, all or none. Without `claims` claimed ones go too; with, each
    /// message that is there must be under one of these live claims. What is not there is skipped;
    /// so is a parked message, which belongs to the dead-letter queue already.
    ///
    /// # Guarantees
    /// G2, G6: all that may go is gone, or nothing; with claims, each message there was under one
    /// of them in the same step.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `MessageNotClaimed`, `MessageNotClaimedBy` — a message breaks the rule; nothing was
    ///   removed.
    /// - `Overloaded`; `Backend` as for a post.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// Decide for all before removing any. O(ids).
    ///
    /// # Conformance
    /// `delete.bulk.*`, `delete.single.*`, `isolation.ids.*`, `batch.delete.*`.
    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()>;

    /// Removes and returns up to `limit` claimable messages, oldest first: at most once (G14).
    ///
    /// # Guarantees
    /// G14: each returned message is removed and returned to nobody else, once. A lost answer loses
    /// what was popped.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Overloaded` — not begun.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun if the caller left before; otherwise the messages may be gone.
    ///
    /// # Idempotence
    /// Not safe: a repeat pops more. Never repeat it internally.
    ///
    /// # Implementors
    /// Only what a claim could take now. Check that the caller still waits just before the step.
    /// O(limit).
    ///
    /// # Conformance
    /// `pop.order.*`, `cancel.pop.*`, `dead_letter.park.*`, `delay.depth.*`.
    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>>;

    /// Removes every message posted so far, claimed, delayed and parked ones too; answers at once
    /// and leaves the rest to `gc`.
    ///
    /// # Guarantees
    /// On `Ok` no message posted before the call is shown by anything, claimed, delayed and parked
    /// ones included; later posts are untouched.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe, and covers what was posted in between.
    ///
    /// # Implementors
    /// A mark in the head, not a removal: O(1), the rest is `gc`'s.
    ///
    /// # Conformance
    /// `purge.message.*`, `cancel.delete.*`, `dead_letter.purge.*`, `idempotency.repeat.*`.
    async fn message_purge(&self, queue: &QueueRef) -> Result<()>;

    /// Counts the live messages, exactly, as of at most a second ago.
    ///
    /// # Guarantees
    /// Exact at some moment within the last second. `claimed + free` are all live messages; delayed
    /// ones are free, parked ones claimed.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// Count in indexes, on a reader: counters in the head would put claims behind posts.
    /// O(messages counted).
    ///
    /// # Conformance
    /// `delete.single.*`, `message.stats.*`, `batch.post.*`, `claim.create.*`.
    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats>;

    /// Says of each place whether something claimable is behind it, in the order asked.
    ///
    /// # Guarantees
    /// Whatever was claimable behind the place before the call and still is at its end is told (G8). An
    /// incarnation that is gone is told to have something: who looks finds out (G11).
    ///
    /// # Errors
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// It is asked every second for all that wait, so a driver whose engine can answer for many
    /// queues at once does that. O(places), whatever is claimed or delayed ahead. What is given
    /// here asks for one place after the other.
    ///
    /// # Conformance
    /// `available.place.*`, `available.over.*`, `available.gone.*`, `available.claimed.*`,
    /// `available.delayed.*`.
    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        let one = PageLimit::new(1)?;
        let mut available = Vec::with_capacity(watches.len());
        for MessageWatch { queue, after } in watches {
            let options = ListMessages::new().marker(*after).limit(one);
            available.push(match self.message_list(queue, options).await {
                Ok(page) => !page.items.is_empty(),
                Err(Error::QueueGone { .. } | Error::QueueMoved { .. }) => true,
                Err(error) => return Err(error),
            });
        }
        Ok(available)
    }

    /// Puts a message that comes from another queue at the tail, unless one of that id is or was
    /// put here by an earlier call (G10). Returns its position here.
    ///
    /// # Guarantees
    /// G10: on `Ok` the message is durable here under its id, at the tail, claimable, its life
    /// starting now.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `QueueMoved` — posts of this incarnation go to another pool.
    /// - `Overloaded`; `Backend` as for a post.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe, by the message's id: a repeat is `Existing` with the same place, even if the message
    /// was deleted since.
    ///
    /// # Implementors
    /// Remember what arrived for as long as the incarnation lives, in the same step. O(1).
    ///
    /// # Conformance
    /// `dead_letter.way.*`, `moved.insert.*`, `cancel.transfer.*`, `moved.expiry.*`.
    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>>;

    /// Says of each message where it came from, if it is a dead letter that was put here by
    /// [`Self::message_insert_moved`], in the order asked.
    ///
    /// # Guarantees
    /// G10: what the call that put it here was told, and when that was, for as long as the
    /// incarnation lives, whether or not the message still does. `None` for any other id, and for
    /// what came before the store kept this.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// Keep it with what remembers arrivals, in the same step, not with the message: listings and
    /// claims need not read it. O(ids).
    ///
    /// # Conformance
    /// `dead_letter.origin.*`, `move.records.*`.
    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>>;
}
