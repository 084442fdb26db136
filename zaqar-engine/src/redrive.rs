//! Redrive: what lies in a dead-letter queue goes back to where it came from, or to a queue that is
//! named, a slice at a time.
//!
//! Each message is posted anew into its target, under an idempotency key made of its id, and then
//! deleted where it lay. A crash in between leaves both for a while; whoever repeats the call finds
//! by the key that the target has the message, and deletes (G3). So nothing is lost, and nothing is
//! stored twice.

use std::collections::{BTreeSet, HashSet};

use sha2::{Digest, Sha256};
use zaqar_core::{
    ClientId, DeadLetterOrigin, Error, IdempotencyKey, ListMessages, Message, MessageId,
    MessageMarker, Page, PageLimit, PostKey, QueueKey, QueueName, Ttl,
};

use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;
use crate::messages::{PostMessage, PostRequest};

/// How much longer than its dead letter a key is remembered, in seconds: whoever resumes a redrive
/// finds the letter, so the key must be there still.
const KEEP_LONGER_S: u64 = 86_400;

/// A message of a dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message.
    pub message: Message,
    /// Where it came from; `None` if it was posted here, or came before that was remembered.
    pub origin: Option<DeadLetterOrigin>,
}

/// What is to be redriven, and whereto.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RedriveRequest {
    /// The queue that takes the messages; `None`: each goes back to where it came from.
    pub to: Option<QueueName>,
    /// Only messages that came from this queue.
    pub origin: Option<QueueName>,
    /// Only these messages.
    pub ids: Option<Vec<MessageId>>,
    /// Their new life in seconds; `None`: the default of the queue that takes them.
    pub ttl: Option<u64>,
    /// How many messages to look at; `None`: as many as one call may.
    pub limit: Option<u64>,
    /// Only what stands strictly after this place.
    pub marker: Option<MessageMarker>,
    /// Who asks: the messages count as posted by it.
    pub client: Option<ClientId>,
}

/// Why a message was left where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftReason {
    /// A claim holds it.
    Claimed,
    /// It is delayed, or on its way to another dead-letter queue.
    Unavailable,
    /// It is not known where it came from.
    OriginUnknown,
    /// The queue that it came from was deleted.
    OriginGone,
    /// It is larger than the queue that would take it allows.
    TooLarge,
}

/// What became of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedriveReport {
    /// Messages that went to their targets.
    pub redriven: u64,
    /// Messages that were wanted and are where they were.
    pub left: Vec<(MessageId, LeftReason)>,
    /// Where to go on; `None`: this was the end.
    pub next: Option<MessageMarker>,
}

/// The messages that one call is about, as they were found.
#[derive(Debug)]
pub struct RedriveSlice {
    request: RedriveRequest,
    letters: Vec<DeadLetter>,
    /// Which of them a claim could have taken.
    free: HashSet<MessageId>,
    next: Option<MessageMarker>,
}

impl RedriveSlice {
    /// How many messages would be posted at most.
    #[must_use]
    pub fn posts_max(&self) -> usize {
        let goes = |letter: &&DeadLetter| self.is_free(letter) && self.is_wanted(letter);
        self.letters.iter().filter(goes).count()
    }

    /// The queues that would take them.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<&QueueName> {
        let goes = |letter: &&DeadLetter| self.is_free(letter) && self.is_wanted(letter);
        self.letters.iter().filter(goes).filter_map(|letter| self.target(letter)).collect()
    }

    fn is_wanted(&self, letter: &DeadLetter) -> bool {
        let origin = letter.origin.as_ref().map(|origin| &origin.queue);
        self.request.origin.is_none() || origin == self.request.origin.as_ref()
    }

    fn target<'s>(&'s self, letter: &'s DeadLetter) -> Option<&'s QueueName> {
        self.request.to.as_ref().or(letter.origin.as_ref().map(|origin| &origin.queue))
    }

    fn is_free(&self, letter: &DeadLetter) -> bool {
        self.free.contains(&letter.message.id)
    }
}

impl Engine {
    /// Reads one page of a queue, and of each message where it came from; a missing queue has none.
    ///
    /// # Errors
    /// `Unsupported` by a store without dead letters; the stores'.
    pub async fn dead_letter_list(
        &self,
        key: &QueueKey,
        options: ListMessages,
    ) -> EngineResult<Page<DeadLetter, MessageMarker>> {
        let options = &options;
        let page = self
            .on_queue(Call::read("message_list"), key, |route| async move {
                let messages = self.data().messages();
                let Page { items, next } =
                    messages.message_list(&route.queue, options.clone()).await?;
                let ids: Vec<MessageId> = items.iter().map(|message| message.id).collect();
                let origins = messages.message_origins(&route.queue, &ids).await?;
                let letters = items.into_iter().zip(origins);
                let items = letters.map(|(message, origin)| DeadLetter { message, origin });
                Ok(Page { items: items.collect(), next })
            })
            .await?;
        Ok(page.unwrap_or_default())
    }

    /// Finds what one call of a redrive is about; nothing is changed.
    ///
    /// # Errors
    /// `Rejected` for what is out of range, and for a queue that is to be redriven into itself; the
    /// stores'.
    pub async fn redrive_find(
        &self,
        key: &QueueKey,
        request: RedriveRequest,
    ) -> EngineResult<RedriveSlice> {
        let limit = self.redrive_check(key, &request)?;
        let (letters, free, next) = match &request.ids {
            Some(ids) => self.redrive_named(key, ids, request.marker, limit).await?,
            None => self.redrive_page(key, request.marker, limit).await?,
        };
        Ok(RedriveSlice { request, letters, free, next })
    }

    /// Redrives what was found. It may be cut short, by a failure too, and called again: with the
    /// marker that it answers, or with that of the last call.
    ///
    /// # Errors
    /// Those of a post and of a delete, if the first message meets one. Later ones end the slice
    /// before the message that met it, so that the next call tells them.
    pub async fn redrive_carry_out(
        &self,
        key: &QueueKey,
        slice: RedriveSlice,
    ) -> EngineResult<RedriveReport> {
        let mut report = RedriveReport { next: slice.next, ..RedriveReport::default() };
        let mut last = None;
        for letter in &slice.letters {
            match self.redrive_one(key, &slice, letter).await {
                Ok(None) => {}
                Ok(Some(Ok(()))) => report.redriven += 1,
                Ok(Some(Err(reason))) => report.left.push((letter.message.id, reason)),
                Err(error) if last.is_some() => {
                    tracing::debug!(%error, "a redrive is cut short");
                    report.next = last;
                    return Ok(report);
                }
                Err(error) => return Err(error),
            }
            last = Some(letter.message.marker);
        }
        Ok(report)
    }

    fn redrive_check(&self, key: &QueueKey, request: &RedriveRequest) -> EngineResult<PageLimit> {
        let config = self.config();
        if request.to.as_ref() == Some(&key.name) {
            return Err(EngineError::rejected("A queue cannot be redriven into itself."));
        }
        if let Some(ttl) = request.ttl {
            config.message_ttl_checked(ttl)?;
        }
        let asked = request.ids.as_ref().map(|ids| u64::try_from(ids.len()).unwrap_or(u64::MAX));
        config.redrive_limit_checked(request.limit, asked)
    }

    /// A page of the queue, claimed messages too, and which of them are free. What was free at the
    /// first look and is claimed at the second counts as claimed.
    async fn redrive_page(
        &self,
        key: &QueueKey,
        marker: Option<MessageMarker>,
        limit: PageLimit,
    ) -> EngineResult<Found> {
        let options = ListMessages::new().marker(marker).limit(limit);
        let page = self.dead_letter_list(key, options.clone().include_claimed(true)).await?;
        let free = self.message_list(key, options).await?.items;
        Ok((page.items, free.iter().map(|message| message.id).collect(), page.next))
    }

    /// Messages by id, in queue order, from after the marker on.
    async fn redrive_named(
        &self,
        key: &QueueKey,
        ids: &[MessageId],
        marker: Option<MessageMarker>,
        limit: PageLimit,
    ) -> EngineResult<Found> {
        let mut found = self.message_bulk_get(key, ids).await?;
        let after = marker.map_or(0, MessageMarker::sequence);
        found.retain(|message| message.marker.sequence() > after);
        found.sort_by_key(|message| message.marker.sequence());
        let more = found.len() > limit.as_usize();
        found.truncate(limit.as_usize());
        let (mut letters, mut free) = (Vec::with_capacity(found.len()), HashSet::new());
        for message in found {
            // The page that begins just before it holds it alone, if a claim could take it.
            let marker = message.marker;
            let before =
                MessageMarker::new(marker.incarnation(), marker.sequence().saturating_sub(1));
            let options = ListMessages::new()
                .marker(before.map_err(Error::from)?)
                .limit(PageLimit::new(1).map_err(Error::from)?);
            let page = self.dead_letter_list(key, options).await?;
            match page.items.into_iter().find(|letter| letter.message.id == message.id) {
                Some(letter) => {
                    free.insert(message.id);
                    letters.push(letter);
                }
                None => letters.push(DeadLetter { message, origin: None }),
            }
        }
        let next = letters.last().filter(|_| more).map(|letter| letter.message.marker);
        Ok((letters, free, next))
    }

    /// `None`: it is not among those that are wanted.
    async fn redrive_one(
        &self,
        key: &QueueKey,
        slice: &RedriveSlice,
        letter: &DeadLetter,
    ) -> EngineResult<Option<Result<(), LeftReason>>> {
        let (request, message) = (&slice.request, &letter.message);
        if !slice.is_wanted(letter) {
            return Ok(None);
        }
        if !slice.is_free(letter) {
            let claimed = message.claim.is_some();
            let reason = if claimed { LeftReason::Claimed } else { LeftReason::Unavailable };
            return Ok(Some(Err(reason)));
        }
        let Some(target) = slice.target(letter) else {
            return Ok(Some(Err(LeftReason::OriginUnknown)));
        };
        let target = QueueKey::queue(key.project.clone(), target.clone());
        let max = self.message_post_size_max(&target).await?.bytes;
        if u64::try_from(message.body.len()).is_ok_and(|length| length > max) {
            return Ok(Some(Err(LeftReason::TooLarge)));
        }
        let post = redriven(request, message)?;
        if request.to.is_some() {
            self.message_post(&target, post).await?;
        } else if self.message_post_if_there(&target, post).await?.is_none() {
            return Ok(Some(Err(LeftReason::OriginGone)));
        }
        match self.message_delete(key, message.id, None).await {
            Ok(()) => Ok(Some(Ok(()))),
            // A consumer of this queue was faster: both have it now.
            Err(EngineError::Store(Error::MessageClaimed { .. })) => {
                Ok(Some(Err(LeftReason::Claimed)))
            }
            Err(error) => Err(error),
        }
    }
}

/// The messages of a slice, which of them are free, and where to go on.
type Found = (Vec<DeadLetter>, HashSet<MessageId>, Option<MessageMarker>);

/// The post that a dead letter becomes. Its key is none that a client could send, as it has a space,
/// and stands for the message whatever else is asked for, so that a repeat with another life is one.
fn redriven(request: &RedriveRequest, message: &Message) -> EngineResult<PostRequest> {
    let name = format!("redrive {}", message.id);
    let key = PostKey {
        digest: Sha256::digest(&name).into(),
        key: IdempotencyKey::new(name).map_err(Error::from)?,
        keep: message.ttl.plus(Ttl::from_secs_clamped(KEEP_LONGER_S)),
    };
    let fresh = PostMessage::new(message.body.clone()).ttl(request.ttl).delay(0);
    Ok(PostRequest::new(vec![fresh]).client(request.client.clone()).key(key))
}
