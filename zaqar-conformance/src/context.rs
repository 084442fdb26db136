//! What a case is given: a fresh namespace, handles on it, a clock, and the steps that most cases
//! begin with.

use std::sync::Arc;
use std::time::Duration;

use zaqar_core::{
    Body, Capability, ClaimId, Clock, ControlDriver, CreateClaim, Created, DataDriver, JsonObject,
    ListMessages, ManualClock, Message, MessageId, NewMessage, PageLimit, PostMessages, ProjectId,
    QueueKey, QueueKind, QueueName, QueueRef, Ttl,
};

use crate::case::Failure;
use crate::harness::{Drivers, Harness, Namespace};

/// Steps after which a loop that must come to an end is taken for endless.
const STEPS_MAX: usize = 100_000;

/// One node's view of a case's namespace.
pub struct Context {
    /// The control plane.
    pub control: Arc<dyn ControlDriver>,
    /// The data plane.
    pub data: Arc<dyn DataDriver>,
    /// The clock that the driver was given, unless its node has one of its own ([`Self::node`]).
    pub clock: Arc<ManualClock>,
    /// The seed of this run.
    pub seed: u64,
    harness: Arc<dyn Harness>,
    namespace: Namespace,
}

impl Context {
    /// Opens a fresh namespace.
    ///
    /// # Errors
    /// Whatever the harness met.
    pub async fn open(harness: Arc<dyn Harness>, seed: u64) -> Result<Self, Failure> {
        let namespace = Namespace::random();
        let clock = Arc::new(ManualClock::default());
        let own = Arc::<ManualClock>::clone(&clock);
        Self::on(harness, namespace, clock, own, seed).await
    }

    async fn on(
        harness: Arc<dyn Harness>,
        namespace: Namespace,
        clock: Arc<ManualClock>,
        own: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, Failure> {
        let Drivers { control, data } = harness.open(&namespace, own).await?;
        Ok(Self { control, data, clock, seed, harness, namespace })
    }

    /// A second node on the same data, under the same clock.
    ///
    /// # Errors
    /// Whatever the harness met.
    pub async fn second_handle(&self) -> Result<Self, Failure> {
        self.node(Arc::<ManualClock>::clone(&self.clock)).await
    }

    /// Another node on the same data, whose driver is given `own`; [`Self::clock`] stays the one by
    /// which the case turns time.
    ///
    /// # Errors
    /// Whatever the harness met.
    pub async fn node(&self, own: Arc<dyn Clock>) -> Result<Self, Failure> {
        let (harness, clock) = (Arc::clone(&self.harness), Arc::clone(&self.clock));
        Self::on(harness, self.namespace.clone(), clock, own, self.seed).await
    }

    /// Closes this node's handles and opens new ones on the same data, as after a restart.
    ///
    /// # Errors
    /// Whatever the harness met.
    pub async fn reopen(&self) -> Result<Self, Failure> {
        self.close().await;
        self.second_handle().await
    }

    /// Closes both handles.
    pub async fn close(&self) {
        self.data.close().await;
        self.control.close().await;
    }

    /// Closes both handles and removes the namespace.
    ///
    /// # Errors
    /// Whatever the harness met.
    pub async fn wipe(self) -> Result<(), Failure> {
        self.close().await;
        Ok(self.harness.wipe(&self.namespace).await?)
    }

    /// The handles, to be given to a task.
    #[must_use]
    pub fn drivers(&self) -> Drivers {
        Drivers { control: Arc::clone(&self.control), data: Arc::clone(&self.data) }
    }

    /// The harness, for trials that open their own namespaces.
    #[must_use]
    pub fn harness(&self) -> Arc<dyn Harness> {
        Arc::clone(&self.harness)
    }

    /// The case's namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Whether the driver declares `capability`.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.data.capabilities().has(capability)
    }

    /// The tenant `label` of this namespace.
    ///
    /// # Errors
    /// [`Failure`] if the label is no project id.
    pub fn project(&self, label: &str) -> Result<ProjectId, Failure> {
        Ok(ProjectId::new(format!("{}-{label}", self.namespace))?)
    }

    /// Makes the queue `label` of the tenant `main`.
    ///
    /// # Errors
    /// Whatever the driver answered.
    pub async fn queue(&self, label: &str) -> Result<QueueRef, Failure> {
        self.queue_in(&self.project("main")?, label).await
    }

    /// Makes the queue `name` of `project`, as the engine does: incarnation, head, record.
    ///
    /// # Errors
    /// Whatever the driver answered; [`Failure`] if the name is taken.
    pub async fn queue_in(&self, project: &ProjectId, name: &str) -> Result<QueueRef, Failure> {
        self.make(QueueKey::queue(project.clone(), QueueName::new(name)?)).await
    }

    /// Makes the topic `name` of `project`.
    ///
    /// # Errors
    /// Whatever the driver answered; [`Failure`] if the name is taken.
    pub async fn topic_in(&self, project: &ProjectId, name: &str) -> Result<QueueRef, Failure> {
        self.make(QueueKey::topic(project.clone(), QueueName::new(name)?)).await
    }

    /// Makes the queue or topic `key`.
    ///
    /// # Errors
    /// Whatever the driver answered; [`Failure`] if the name is taken.
    pub async fn make(&self, key: QueueKey) -> Result<QueueRef, Failure> {
        let incarnation = self.control.queues().queue_allocate_incarnation().await?;
        let queue = key.incarnate(incarnation);
        self.data.heads().head_open(&queue).await?;
        match self.control.queues().queue_insert(&queue, &JsonObject::new()).await? {
            Created::New(_) => Ok(queue),
            Created::Existing(record) => {
                Err(Failure::broken(format!("a fresh queue's name is taken: {record:?}")))
            }
        }
    }

    /// A reference to a queue that was never opened.
    ///
    /// # Errors
    /// Whatever the driver answered.
    pub async fn unopened(&self, name: &str) -> Result<QueueRef, Failure> {
        let incarnation = self.control.queues().queue_allocate_incarnation().await?;
        let key = QueueKey {
            project: self.project("main")?,
            kind: QueueKind::Queue,
            name: QueueName::new(name)?,
        };
        Ok(key.incarnate(incarnation))
    }

    /// Deletes a queue as the engine does: mark, close the head, remove.
    ///
    /// # Errors
    /// Whatever the driver answered.
    pub async fn delete_queue(&self, queue: &QueueRef) -> Result<(), Failure> {
        self.control.queues().queue_mark_deleting(queue).await?;
        self.data.heads().head_close(queue).await?;
        self.control.queues().queue_remove(queue).await?;
        Ok(())
    }

    /// The body of message `number`: text that only byte-for-byte storage returns unchanged.
    #[must_use]
    pub fn body(number: usize) -> Body {
        Body::from_checked(format!(r#"{{"number" : {number},  "exact":[1e2, "\u00fc"]}}"#))
    }

    /// A message with [`Self::body`] and that life.
    #[must_use]
    pub fn message(number: usize, ttl_s: u64) -> NewMessage {
        NewMessage::new(Self::body(number), Ttl::from_secs_clamped(ttl_s))
    }

    /// Posts messages `0..n` in one post.
    ///
    /// # Errors
    /// Whatever the driver answered; [`Failure`] unless there is one id for each.
    pub async fn post_n(
        &self,
        queue: &QueueRef,
        n: usize,
        ttl_s: u64,
    ) -> Result<Vec<MessageId>, Failure> {
        self.post(queue, (0..n).map(|number| Self::message(number, ttl_s)).collect()).await
    }

    /// Posts `messages` in one post.
    ///
    /// # Errors
    /// Whatever the driver answered; [`Failure`] unless there is one id for each.
    pub async fn post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>, Failure> {
        let wanted = messages.len();
        let options = PostMessages::new();
        let posted = self.data.messages().message_post(queue, messages, options).await?;
        if posted.ids.len() != wanted || posted.repeated {
            return Err(Failure::broken(format!("{wanted} messages were posted as {posted:?}")));
        }
        Ok(posted.ids)
    }

    /// Claims up to `limit` messages under a new claim.
    ///
    /// # Errors
    /// Whatever the driver answered.
    pub async fn claim(
        &self,
        queue: &QueueRef,
        ttl_s: u64,
        grace_s: u64,
        limit: u32,
    ) -> Result<(ClaimId, Vec<Message>), Failure> {
        let id = ClaimId::random();
        let span = Ttl::from_secs_clamped;
        let options =
            CreateClaim::new(id, span(ttl_s), span(grace_s)).limit(PageLimit::new(limit)?);
        let claimed = self.data.claims().claim_create(queue, options).await?;
        Ok((id, claimed.messages))
    }

    /// Walks a listing by its markers to the first empty page.
    ///
    /// # Errors
    /// Whatever the driver answered; [`Failure`] if the walk does not end, or if a page that holds
    /// messages has no marker.
    pub async fn walk(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Vec<Message>, Failure> {
        let mut seen = Vec::new();
        let mut options = options;
        for _ in 0..STEPS_MAX {
            let page = self.data.messages().message_list(queue, options.clone()).await?;
            if page.items.is_empty() {
                return Ok(seen);
            }
            let Some(next) = page.next else {
                return Err(Failure::broken("a page with messages has no next marker"));
            };
            seen.extend(page.items);
            options.marker = Some(next);
        }
        Err(Failure::broken("following the markers of a listing does not end"))
    }

    /// Every live message, claimed and delayed ones too, in queue order.
    ///
    /// # Errors
    /// As [`Self::walk`].
    pub async fn list_all(&self, queue: &QueueRef) -> Result<Vec<Message>, Failure> {
        let options = ListMessages::new().include_claimed(true).include_delayed(true);
        self.walk(queue, options.limit(PageLimit::new(100)?)).await
    }

    /// What a default listing shows, in queue order.
    ///
    /// # Errors
    /// As [`Self::walk`].
    pub async fn list_free(&self, queue: &QueueRef) -> Result<Vec<Message>, Failure> {
        self.walk(queue, ListMessages::new()).await
    }

    /// Claims and deletes until nothing is claimable; returns what came out, in that order.
    ///
    /// # Errors
    /// Whatever the driver answered; [`Failure`] if it does not end.
    pub async fn drain(&self, queue: &QueueRef) -> Result<Vec<Message>, Failure> {
        let mut drained = Vec::new();
        for _ in 0..STEPS_MAX {
            let (claim, messages) = self.claim(queue, 300, 0, 100).await?;
            if messages.is_empty() {
                return Ok(drained);
            }
            for message in &messages {
                self.data.messages().message_delete(queue, message.id, Some(claim)).await?;
            }
            drained.extend(messages);
        }
        Err(Failure::broken("claiming and deleting does not empty the queue"))
    }

    /// Lets `seconds` pass and the driver's sweep run, as it would have every second.
    ///
    /// # Errors
    /// Whatever the driver answered; inconclusive if the driver takes no virtual time.
    pub async fn advance(&self, seconds: u64) -> Result<(), Failure> {
        self.advance_without_sweep(seconds)?;
        self.sweep().await
    }

    /// Lets `seconds` pass; no background work runs.
    ///
    /// # Errors
    /// Inconclusive if the driver takes no virtual time.
    pub fn advance_without_sweep(&self, seconds: u64) -> Result<(), Failure> {
        self.advance_by(Duration::from_secs(seconds))
    }

    /// Lets `span` pass; no background work runs.
    ///
    /// # Errors
    /// Inconclusive if the driver takes no virtual time.
    pub fn advance_by(&self, span: Duration) -> Result<(), Failure> {
        if !self.has(Capability::VirtualTime) {
            return Err(Failure::inconclusive("the driver does not take the suite's clock"));
        }
        self.clock.advance(span);
        Ok(())
    }

    /// Sweeps until nothing more is due.
    ///
    /// # Errors
    /// Whatever the driver answered; [`Failure`] if it does not end.
    pub async fn sweep(&self) -> Result<(), Failure> {
        for _ in 0..STEPS_MAX {
            if !self.data.sweep().await?.more {
                return Ok(());
            }
        }
        Err(Failure::broken("the sweep always has more to do"))
    }
}
