//! What a workload asks of a store, as data: the same for a driver in this process and for one in a
//! child process, which reads it as a line of JSON.

use serde::{Deserialize, Serialize};
use zaqar_core::{
    ClaimId, CreateClaim, DataDriver, Error, IdempotencyKey, ListMessages, Message, MessageId,
    MessageMarker, NewMessage, PageLimit, PostKey, PostMessages, QueueRef, Ttl,
};

use super::body::Tag;
use super::history::{Action, Answer, PageRead, Seen};

/// How long a key is remembered, in seconds: longer than any trial.
const KEEP_S: u64 = 1_000_000;

/// One call on a queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Posts one batch.
    Post {
        /// What is posted; the bodies follow from it.
        tags: Vec<Tag>,
        /// Its life.
        ttl: Ttl,
        /// How long it is hidden.
        delay: Ttl,
        /// Whether it carries an idempotency key, which follows from what is posted: the same post
        /// again is a repeat.
        keyed: bool,
    },
    /// Claims messages.
    Claim {
        /// The claim.
        claim: ClaimId,
        /// How long it lasts.
        ttl: Ttl,
        /// How much longer its messages live.
        grace: Ttl,
        /// How many at most.
        limit: u32,
    },
    /// Starts a claim's time anew.
    Renew {
        /// The claim.
        claim: ClaimId,
        /// How long it lasts from then on.
        ttl: Ttl,
        /// How much longer its messages live.
        grace: Ttl,
    },
    /// Releases a claim.
    Release {
        /// The claim.
        claim: ClaimId,
    },
    /// Deletes one message.
    Delete {
        /// Which.
        id: MessageId,
        /// The claim that is said to hold it.
        claim: Option<ClaimId>,
    },
    /// Deletes messages, all or none.
    BulkDelete {
        /// Which.
        ids: Vec<MessageId>,
        /// The claims that are said to hold them.
        claims: Option<Vec<ClaimId>>,
    },
    /// Pops messages.
    Pop {
        /// How many at most.
        limit: u32,
    },
    /// Reads one page.
    List {
        /// As part of which walk.
        read: PageRead,
        /// Whether to ask for claimed and delayed messages.
        include: bool,
        /// After which place.
        marker: Option<MessageMarker>,
        /// How many at most.
        limit: u32,
    },
    /// Reads one message.
    Get {
        /// Which.
        id: MessageId,
    },
    /// Counts the live messages.
    Count,
}

/// The key of a post: its first message names it. What is posted follows from the tags, so their
/// text is digest enough.
fn key_of(tags: &[Tag]) -> Result<Option<PostKey>, Error> {
    let Some(first) = tags.first() else { return Ok(None) };
    let Tag { run, producer, sequence } = first;
    let mut digest = [0; 32];
    for (nth, byte) in format!("{run:x} {producer} {sequence} {}", tags.len()).bytes().enumerate() {
        if let Some(place) = digest.get_mut(nth % 32) {
            *place ^= byte;
        }
    }
    let key = IdempotencyKey::new(format!("{run:x}-{producer}-{sequence}"))?;
    Ok(Some(PostKey { key, digest, keep: Ttl::from_secs_clamped(KEEP_S) }))
}

/// What came of a successful request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// Ids of what was posted.
    Posted(Vec<MessageId>),
    /// Messages, and where the next page starts.
    Messages(Vec<Seen>, Option<MessageMarker>),
    /// Numbers of live messages.
    Counted {
        /// Under a claim.
        claimed: u64,
        /// All others.
        free: u64,
    },
}

impl Request {
    /// The request as the ledger records it.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Post { tags, ttl, keyed, .. } => {
                Action::Post { tags: tags.clone(), ttl: *ttl, keyed: *keyed }
            }
            Self::Claim { claim, ttl, grace, .. } => {
                Action::Claim { claim: *claim, ttl: *ttl, grace: *grace }
            }
            Self::Renew { claim, ttl, grace } => {
                Action::Renew { claim: *claim, ttl: *ttl, grace: *grace }
            }
            Self::Release { claim } => Action::Release { claim: *claim },
            Self::Delete { id, claim } => {
                Action::Delete { ids: vec![*id], claims: claim.map(|claim| vec![claim]) }
            }
            Self::BulkDelete { ids, claims } => {
                Action::Delete { ids: ids.clone(), claims: claims.clone() }
            }
            Self::Pop { limit } => Action::Pop { limit: *limit },
            Self::List { read, .. } => Action::List(*read),
            Self::Get { id } => Action::Get { id: *id },
            Self::Count => Action::Count,
        }
    }

    /// Whether `error` is a right answer to this request when nothing is wrong with the store: the
    /// domain's refusals to whoever comes too late.
    #[must_use]
    pub fn may_be_refused_with(&self, error: &Error) -> bool {
        match self {
            Self::Delete { claim: None, .. } => matches!(error, Error::MessageClaimed { .. }),
            Self::Delete { claim: Some(_), .. } | Self::BulkDelete { claims: Some(_), .. } => {
                matches!(
                    error,
                    Error::MessageNotClaimed { .. }
                        | Error::MessageNotClaimedBy { .. }
                        | Error::ClaimNotFound { .. }
                )
            }
            Self::Renew { .. } => matches!(error, Error::ClaimNotFound { .. }),
            _ => false,
        }
    }

    /// Carries the request out.
    ///
    /// # Errors
    /// Whatever the driver answered; a message that [`Request::Get`] does not find is no error.
    pub async fn run(self, data: &dyn DataDriver, queue: &QueueRef) -> Result<Reply, Error> {
        let (messages, claims) = (data.messages(), data.claims());
        match self {
            Self::Post { tags, ttl, delay, keyed } => {
                let batch = tags.iter().map(|tag| NewMessage::new(tag.body(), ttl).delay(delay));
                let key = if keyed { key_of(&tags)? } else { None };
                let options = PostMessages::new().key(key);
                let posted = messages.message_post(queue, batch.collect(), options).await?;
                Ok(Reply::Posted(posted.ids))
            }
            Self::Claim { claim, ttl, grace, limit } => {
                let options = CreateClaim::new(claim, ttl, grace).limit(PageLimit::new(limit)?);
                let claimed = claims.claim_create(queue, options).await?;
                Ok(Reply::messages(&claimed.messages))
            }
            Self::Renew { claim, ttl, grace } => {
                claims.claim_update(queue, claim, ttl, grace).await?;
                Ok(Reply::Done)
            }
            Self::Release { claim } => {
                claims.claim_delete(queue, claim).await?;
                Ok(Reply::Done)
            }
            Self::Delete { id, claim } => {
                messages.message_delete(queue, id, claim).await?;
                Ok(Reply::Done)
            }
            Self::BulkDelete { ids, claims } => {
                messages.message_bulk_delete(queue, &ids, claims.as_deref()).await?;
                Ok(Reply::Done)
            }
            Self::Pop { limit } => {
                let popped = messages.message_pop(queue, PageLimit::new(limit)?).await?;
                Ok(Reply::messages(&popped))
            }
            Self::List { include, marker, limit, .. } => {
                let options = ListMessages::new()
                    .marker(marker)
                    .limit(PageLimit::new(limit)?)
                    .include_claimed(include)
                    .include_delayed(include);
                let page = messages.message_list(queue, options).await?;
                Ok(Reply::Messages(page.items.iter().map(Seen::from).collect(), page.next))
            }
            Self::Get { id } => match messages.message_get(queue, id).await {
                Ok(message) => Ok(Reply::messages(&[message])),
                Err(Error::MessageNotFound { .. }) => Ok(Reply::messages(&[])),
                Err(error) => Err(error),
            },
            Self::Count => {
                let stats = messages.message_stats(queue).await?;
                Ok(Reply::Counted { claimed: stats.claimed, free: stats.free })
            }
        }
    }
}

impl Reply {
    fn messages(messages: &[Message]) -> Self {
        Self::Messages(messages.iter().map(Seen::from).collect(), None)
    }

    /// The reply as the ledger records it.
    #[must_use]
    pub fn answer(&self) -> Answer {
        match self {
            Self::Done => Answer::Done,
            Self::Posted(ids) => Answer::Posted(ids.clone()),
            Self::Messages(seen, _) => Answer::Messages(seen.clone()),
            Self::Counted { claimed, free } => Answer::Counted { claimed: *claimed, free: *free },
        }
    }

    /// The messages of the reply.
    #[must_use]
    pub fn into_seen(self) -> Vec<Seen> {
        match self {
            Self::Messages(seen, _) => seen,
            _ => Vec::new(),
        }
    }
}

impl From<&Message> for Seen {
    fn from(message: &Message) -> Self {
        Self { id: message.id, tag: Tag::read(&message.body) }
    }
}
