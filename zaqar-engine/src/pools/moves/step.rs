//! One move, a step at a time.
//!
//! What the next step is, the two stores tell: nothing is remembered between steps that could be
//! lost in a crash, and two who work on the same move do no harm.

use std::sync::Arc;

use zaqar_core::{
    CatalogueEntry, ControlDriver, DataDriver, Effect, Error, GcOptions, HeadState, MovePart,
    MovingHold, MovingMessage, PageLimit, QueueHead, QueueRef, Result, Retry,
};

/// Records that are carried over at once.
const RECORDS_PER_PAGE: u32 = 500;

/// Collections before a move waits for others to collect.
const COLLECTIONS_MAX: u32 = 100;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to do; this many messages arrived.
    Went {
        /// Messages that the target serves now and did not before.
        messages: u64,
    },
    /// Something must happen first.
    Waits(Reason),
    /// The queue is at the target, and nothing is left at the source.
    Done,
    /// There is nothing to be moved any more: the queue was deleted.
    Void,
}

/// What a move waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The queue lived in the target before, and not everything of that time is collected.
    TargetNotCollected,
    /// Notifications or dead letters of the source are to be delivered first.
    Deliveries,
}

/// How far what a queue remembers was carried over, as far as this head knows. It may be much, so the
/// walk is not begun again with each round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Records {
    /// Perhaps not all of it.
    #[default]
    Unknown,
    /// All that was there when a walk came to its end, behind this marker.
    To(Option<String>),
}

/// A move that goes on.
#[derive(Debug)]
pub(crate) struct Mover {
    control: Arc<dyn ControlDriver>,
    source: Arc<dyn DataDriver>,
    target: Arc<dyn DataDriver>,
    /// As both stores know it.
    queue: QueueRef,
    /// Whether anything may be removed from the target now.
    may_collect: bool,
    /// How far what the queue remembers was carried over.
    records: Records,
}

impl Mover {
    pub(crate) fn new(
        control: Arc<dyn ControlDriver>,
        entry: &CatalogueEntry,
        (source, target): (Arc<dyn DataDriver>, Arc<dyn DataDriver>),
        may_collect: bool,
        records: Records,
    ) -> Self {
        let queue = entry.queue.at_epoch(entry.epoch);
        Self { control, source, target, queue, may_collect, records }
    }

    /// How far what the queue remembers was carried over.
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) fn queue(&self) -> &QueueRef {
        &self.queue
    }

    /// Goes on by one step, of at most `limit` messages.
    pub(crate) async fn step(&mut self, limit: PageLimit) -> Result<Step> {
        let Some(source) = head(&*self.source, &self.queue).await? else {
            return self.after_the_source().await;
        };
        if source.state == HeadState::Open {
            // From the next step on posts wait for the target.
            self.collect().await?;
            self.source.heads().head_move(&self.queue, self.queue.epoch).await?;
            return Ok(Step::Went { messages: 0 });
        }
        if head(&*self.target, &self.queue).await?.is_none() {
            return self.open().await;
        }
        if self.records == Records::Unknown {
            // Before any message: a reader may come with the place of a dead letter.
            self.carry_records().await?;
        }
        let arrived = self.target.moves().move_part(&self.queue).await?;
        let leaving = self.source.moves().move_part(&self.queue).await?;
        if !arrived.is_empty() {
            return self.hand_over(&arrived, &leaving).await;
        }
        let leaving = match leaving.is_empty() {
            true => self.source.moves().move_freeze(&self.queue, limit).await?,
            false => leaving,
        };
        if leaving.is_empty() {
            return self.leave().await;
        }
        self.target.moves().move_insert(&self.queue, &leaving).await?;
        Ok(Step::Went { messages: 0 })
    }

    /// The source has no head: it was left, or the queue was deleted.
    async fn after_the_source(&self) -> Result<Step> {
        if head(&*self.target, &self.queue).await?.is_none() {
            return Ok(Step::Void);
        }
        self.settle().await
    }

    async fn settle(&self) -> Result<Step> {
        let catalogue = self.control.catalogue();
        match catalogue.catalogue_settle(&self.queue, self.queue.epoch).await {
            Ok(()) => Ok(Step::Done),
            Err(Error::QueueNotMapped { .. }) => self.drop_target().await,
            Err(error) => Err(error),
        }
    }

    /// Lets the target take posts. The queue may have been deleted meanwhile: whoever did that may
    /// have closed the target before it was opened, so it is looked for afterwards.
    async fn open(&self) -> Result<Step> {
        let opening = self.source.moves().move_begin(&self.queue).await?;
        if !self.target.moves().move_open(&self.queue, &opening).await? {
            self.collect().await?;
            return Ok(Step::Waits(Reason::TargetNotCollected));
        }
        match self.control.catalogue().catalogue_get(&self.queue).await {
            Ok(_) => Ok(Step::Went { messages: 0 }),
            Err(Error::QueueNotMapped { .. }) => self.drop_target().await,
            Err(error) => Err(error),
        }
    }

    /// Removes what is over at the target, in bounded steps: the queue may have lived there before.
    async fn collect(&self) -> Result<()> {
        if self.may_collect {
            for _ in 0..COLLECTIONS_MAX {
                if !self.target.gc(GcOptions::new()).await?.more {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn drop_target(&self) -> Result<Step> {
        self.target.heads().head_close(&self.queue).await?;
        Ok(Step::Void)
    }

    /// The source gives up what the target has, and the target reveals it.
    async fn hand_over(&self, arrived: &MovePart, leaving: &MovePart) -> Result<Step> {
        if !leaving.is_empty() && leaving.from == arrived.from {
            check_copy(leaving, arrived)?;
            self.source.moves().move_remove(&self.queue, leaving.from).await?;
        }
        self.target.moves().move_reveal(&self.queue, arrived.from).await?;
        let messages = u64::try_from(arrived.messages.len()).unwrap_or(u64::MAX);
        Ok(Step::Went { messages })
    }

    async fn leave(&mut self) -> Result<Step> {
        // Deliveries that were given up since.
        self.carry_records().await?;
        if self.source.moves().move_leave(&self.queue).await? {
            return self.settle().await;
        }
        Ok(Step::Waits(Reason::Deliveries))
    }

    /// Carries over what was not yet. What comes new at the source comes behind all markers.
    async fn carry_records(&mut self) -> Result<()> {
        let limit = PageLimit::new(RECORDS_PER_PAGE)?;
        let (from, to) = (self.source.moves(), self.target.moves());
        let mut marker = match &self.records {
            Records::Unknown => None,
            Records::To(marker) => marker.clone(),
        };
        loop {
            let page = from.move_records(&self.queue, marker.as_deref(), limit).await?;
            if page.items.is_empty() {
                self.records = Records::To(marker);
                return Ok(());
            }
            to.move_insert_records(&self.queue, &page.items).await?;
            marker = page.next;
        }
    }
}

/// The head of the queue, if the store has one.
async fn head(data: &dyn DataDriver, queue: &QueueRef) -> Result<Option<QueueHead>> {
    match data.heads().head_get(queue).await {
        Ok(head) => Ok(Some(head)),
        Err(Error::QueueGone { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Nothing is removed at the source that the target does not hold exactly as it is there. The target
/// was read first: it may still show what has expired or was purged since.
fn check_copy(leaving: &MovePart, arrived: &MovePart) -> Result<()> {
    let mut copies = arrived.messages.iter();
    for message in &leaving.messages {
        if !copies.any(|copy| is_copy(copy, message)) {
            let reason = format!("message {} did not arrive as it was sent", message.id);
            return Err(Error::backend("move_insert", Effect::None, Retry::Later, reason));
        }
    }
    Ok(())
}

/// Whether one is a copy of the other, of which claim or delay may have ended since. A claim that
/// holds messages of earlier parts too may have been renewed at the target meanwhile: what counts is
/// that it holds the message for as long.
fn is_copy(copy: &MovingMessage, message: &MovingMessage) -> bool {
    let same_hold = |hold: MovingHold| {
        copy.hold.is_some_and(|of| (of.claim, of.ends_at) == (hold.claim, hold.ends_at))
    };
    if !message.hold.is_none_or(same_hold) {
        return false;
    }
    let over = MovingMessage {
        hold: message.hold,
        delayed_until: message.delayed_until.and(copy.delayed_until),
        ..copy.clone()
    };
    over == *message
}
