//! Messages: what a post means once defaults are filled in, and reads of queues that may be missing.

use zaqar_core::{
    Body, ClaimId, ClientId, Error, ListMessages, Message, MessageId, MessageMarker, NewMessage,
    Page, PostKey, PostMessages, Posted, QueueKey, Ttl,
};

use crate::checksum::checksum;
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;
use crate::routing::Route;

/// A message as a client posts it.
#[derive(Debug, Clone)]
pub struct PostMessage {
    /// What it says.
    pub body: Body,
    /// Its life in seconds; `None`: the queue's default.
    pub ttl: Option<u64>,
    /// Its delay in seconds; `None`: the queue's default.
    pub delay: Option<u64>,
}

impl PostMessage {
    /// A message with its queue's default life and delay.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self { body, ttl: None, delay: None }
    }

    /// Sets its life in seconds.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Option<u64>>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Sets its delay in seconds.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<Option<u64>>) -> Self {
        self.delay = delay.into();
        self
    }
}

/// Messages to be posted together.
#[derive(Debug, Clone, Default)]
pub struct PostRequest {
    /// Who posts.
    pub client: Option<ClientId>,
    /// What; one at least.
    pub messages: Vec<PostMessage>,
    /// Makes a repeat safe.
    pub key: Option<PostKey>,
}

impl PostRequest {
    /// A post by nobody in particular.
    #[must_use]
    pub fn new(messages: Vec<PostMessage>) -> Self {
        Self { client: None, messages, key: None }
    }

    /// Says who posts.
    #[must_use]
    pub fn client(mut self, client: impl Into<Option<ClientId>>) -> Self {
        self.client = client.into();
        self
    }

    /// Makes a repeat safe.
    #[must_use]
    pub fn key(mut self, key: impl Into<Option<PostKey>>) -> Self {
        self.key = key.into();
        self
    }
}

/// How large a post to a queue may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostSizeMax {
    /// The bound in bytes: the smaller one of the configuration's and the queue's own.
    pub bytes: u64,
    /// The queue's own bound, if it has one.
    pub queue: Option<u64>,
}

impl Engine {
    /// How large a post to this queue may be. A missing queue has the configured bound.
    ///
    /// # Errors
    /// The control store's.
    pub async fn message_post_size_max(&self, key: &QueueKey) -> EngineResult<PostSizeMax> {
        let route = self.in_time(Call::read("queue_find"), self.route(key)).await?;
        let configured = self.config().limits.messages_post_size_max;
        let queue = route.and_then(|route| route.attributes.messages_post_size_max);
        Ok(PostSizeMax { bytes: queue.map_or(configured, |own| own.min(configured)), queue })
    }

    /// Stores all messages of a request, or none, and makes the queue if it is missing: only once
    /// everything about the request was found good.
    ///
    /// # Errors
    /// `Rejected` for what is out of range; `Quota` for what there is no room for, a repeat of what
    /// is stored too; `IdempotencyConflict`; the stores'; with nothing stored
    /// while the data store was last seen [unsafe](Engine::watch).
    pub async fn message_post(&self, key: &QueueKey, request: PostRequest) -> EngineResult<Posted> {
        self.post_check(&request)?;
        self.check_safe("message_post")?;
        let room = self.room_for_post(&key.project, &request).await?;
        let posted = self.message_store(key, &request).await;
        room.settle(&posted);
        posted
    }

    /// As [`Self::message_post`], but for a queue that is not there: then nothing is stored, and it
    /// is not made.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn message_post_if_there(
        &self,
        key: &QueueKey,
        request: PostRequest,
    ) -> EngineResult<Option<Posted>> {
        self.post_check(&request)?;
        self.check_safe("message_post")?;
        let room = self.room_for_post(&key.project, &request).await?;
        let request = &request;
        let stored = self
            .on_queue(Call::write("message_post"), key, |route| async move {
                self.message_store_at(key, &route, request).await
            })
            .await;
        let gone = || EngineError::from(Error::QueueGone { name: key.name.clone() });
        let posted = stored.and_then(|stored| stored.ok_or_else(gone));
        room.settle(&posted);
        match posted {
            Err(EngineError::Store(Error::QueueGone { .. })) => Ok(None),
            posted => posted.map(Some),
        }
    }

    async fn message_store(&self, key: &QueueKey, request: &PostRequest) -> EngineResult<Posted> {
        self.on_queue_made(Call::write("message_post"), key, |route| async move {
            self.message_store_at(key, &route, request).await
        })
        .await
    }

    async fn message_store_at(
        &self,
        key: &QueueKey,
        route: &Route,
        request: &PostRequest,
    ) -> EngineResult<Posted> {
        let options = PostMessages::new()
            .client(request.client.clone())
            .key(request.key.clone())
            .encrypt(route.attributes.encrypt);
        let messages = self.post_messages(route, request)?;
        let now_claimable = messages.iter().filter(|new| new.delay == Ttl::ZERO).count();
        let posted = self.data().messages().message_post(&route.queue, messages, options).await?;
        route.changed();
        self.inner().posted.notify_one();
        self.wake_posted(key, now_claimable);
        Ok(posted)
    }

    fn post_check(&self, request: &PostRequest) -> EngineResult<()> {
        let config = self.config();
        config.messages_per_post_checked(request.messages.len())?;
        for message in &request.messages {
            if let Some(ttl) = message.ttl {
                config.message_ttl_checked(ttl)?;
            }
            if let Some(delay) = message.delay {
                config.message_delay_checked(delay)?;
            }
        }
        Ok(())
    }

    fn post_messages(&self, route: &Route, request: &PostRequest) -> EngineResult<Vec<NewMessage>> {
        let config = self.config();
        let message = |message: &PostMessage| {
            let ttl = match message.ttl {
                Some(ttl) => config.message_ttl_checked(ttl)?,
                None => default_ttl(config, route),
            };
            let delay = match message.delay {
                Some(delay) => config.message_delay_checked(delay)?,
                None => default_delay(config, route),
            };
            let checksum = if config.enable_checksum { checksum(&message.body) } else { None };
            Ok(NewMessage { body: message.body.clone(), ttl, delay, checksum })
        };
        request.messages.iter().map(message).collect()
    }

    /// Reads one page; a missing queue has none.
    ///
    /// # Errors
    /// The stores'.
    pub async fn message_list(
        &self,
        key: &QueueKey,
        options: ListMessages,
    ) -> EngineResult<Page<Message, MessageMarker>> {
        let options = &options;
        let page = self
            .on_queue(Call::read("message_list"), key, |route| async move {
                let messages = self.data().messages();
                Ok(messages.message_list(&route.queue, options.clone()).await?)
            })
            .await?;
        Ok(page.unwrap_or_default())
    }

    /// Reads one message, claimed and delayed ones included.
    ///
    /// # Errors
    /// `MessageNotFound`, also for a missing queue; the stores'.
    pub async fn message_get(&self, key: &QueueKey, id: MessageId) -> EngineResult<Message> {
        let found = self
            .on_queue(Call::read("message_get"), key, |route| async move {
                Ok(self.data().messages().message_get(&route.queue, id).await?)
            })
            .await?;
        found.ok_or_else(|| Error::MessageNotFound { queue: key.name.clone(), id }.into())
    }

    /// Reads messages by id, in the order asked; what is not there is left out.
    ///
    /// # Errors
    /// The stores'.
    pub async fn message_bulk_get(
        &self,
        key: &QueueKey,
        ids: &[MessageId],
    ) -> EngineResult<Vec<Message>> {
        let found = self
            .on_queue(Call::read("message_bulk_get"), key, |route| async move {
                Ok(self.data().messages().message_bulk_get(&route.queue, ids).await?)
            })
            .await?;
        Ok(found.unwrap_or_default())
    }

    /// Removes a message: a free one if `claim` is `None`, else one under that live claim. Silent
    /// if it or the queue is not there.
    ///
    /// # Errors
    /// `MessageClaimed`, `MessageNotClaimed`, `MessageNotClaimedBy`; the stores'.
    pub async fn message_delete(
        &self,
        key: &QueueKey,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> EngineResult<()> {
        self.on_queue(Call::write("message_delete"), key, |route| async move {
            self.data().messages().message_delete(&route.queue, id, claim).await?;
            route.changed();
            Ok(())
        })
        .await
        .map(Option::unwrap_or_default)
    }

    /// Removes messages by id, all or none; with `claims`, each that is there must be under one of
    /// them. Silent about what is not there, the queue too.
    ///
    /// # Errors
    /// `MessageNotClaimed`, `MessageNotClaimedBy`; the stores'.
    pub async fn message_bulk_delete(
        &self,
        key: &QueueKey,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> EngineResult<()> {
        self.on_queue(Call::write("message_bulk_delete"), key, |route| async move {
            self.data().messages().message_bulk_delete(&route.queue, ids, claims).await?;
            route.changed();
            Ok(())
        })
        .await
        .map(Option::unwrap_or_default)
    }

    /// Removes and returns up to `limit` messages that a claim could take: at most once (G14), so a
    /// caller that goes away may lose them. A missing queue has none.
    ///
    /// # Errors
    /// `Rejected` if `limit` is out of range; the stores'.
    pub async fn message_pop(&self, key: &QueueKey, limit: u64) -> EngineResult<Vec<Message>> {
        let limit = self.config().pop_limit_checked(limit)?;
        let popped = self
            .on_queue(Call::write("message_pop"), key, |route| async move {
                // A pop destroys what it takes, and nothing of it could be read.
                if route.attributes.encrypt && self.config().encryption.is_none() {
                    return Err(Error::NoEncryptionKey.into());
                }
                let popped = self.data().messages().message_pop(&route.queue, limit).await?;
                if !popped.is_empty() {
                    route.changed();
                }
                Ok(popped)
            })
            .await?;
        Ok(popped.unwrap_or_default())
    }
}

/// The life of a message that names none. A default that exceeds the bound, because the bound was
/// lowered since it was set, is cut to it.
pub(crate) fn default_ttl(config: &EngineConfig, route: &Route) -> Ttl {
    let seconds = route.attributes.message_ttl.unwrap_or(config.defaults.message_ttl);
    Ttl::from_secs_clamped(seconds.min(config.limits.message_ttl_max))
}

fn default_delay(config: &EngineConfig, route: &Route) -> Ttl {
    let seconds = route.attributes.message_delay.unwrap_or(config.defaults.message_delay);
    Ttl::from_secs_clamped(seconds.min(config.limits.message_delay_max))
}
