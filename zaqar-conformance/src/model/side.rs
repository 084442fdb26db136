//! One of the two drivers that are compared: carries steps out and says what came of them in words
//! that do not depend on the driver.

use std::sync::Arc;

use zaqar_core::limits::PAGE_LIMIT_MAX;
use zaqar_core::{
    ClaimId, ClientId, Clock, CreateClaim, Created, Error, GcOptions, IdempotencyKey, JsonObject,
    LeaseId, ListMessages, ManualClock, NewMessage, NewSubscription, PageLimit, PostKey,
    PostMessages, ProjectId, QueueEnd, QueueKey, QueueName, QueueRef, Redrive, Ttl,
};

use super::names::{Names, variant};
use super::op::{Op, Pick, Place, QUEUES};
use crate::context::Context;
use crate::harness::Drivers;

/// What came of a step: words to compare, or an error.
type Said = Result<String, Error>;

/// A driver under a history.
pub(super) struct Side {
    pub(super) drivers: Drivers,
    clock: Arc<ManualClock>,
    queues: Vec<QueueRef>,
    /// The life before the present one, if there was one.
    former: Vec<Option<QueueRef>>,
    pub(super) names: Names,
    posts: usize,
    /// The queue of the latest step.
    latest: Option<QueueRef>,
}

fn span(seconds: u64) -> Ttl {
    Ttl::from_secs_clamped(seconds)
}

impl Side {
    /// Makes the history's queues: two in each of two projects that nobody used before.
    pub(super) async fn new(
        drivers: Drivers,
        clock: Arc<ManualClock>,
        prefix: &str,
    ) -> Result<Self, Error> {
        let mut queues = Vec::new();
        for nth in 0..QUEUES {
            let project = ProjectId::new(format!("{prefix}-{}", nth / 2))?;
            let key = QueueKey::queue(project, QueueName::new(format!("q{}", nth % 2))?);
            queues.push(make(&drivers, key).await?);
        }
        let former = vec![None; QUEUES];
        Ok(Self { drivers, clock, queues, former, names: Names::default(), posts: 0, latest: None })
    }

    /// Carries `op` out; `None` if the history made nothing yet that it could be done to.
    pub(super) async fn apply(&mut self, op: &Op) -> Option<String> {
        let said = self.carry_out(op).await?;
        Some(match said {
            Ok(text) => format!("Ok {text}"),
            // Which of several reasons refuses a whole bulk is the driver's choice.
            Err(error)
                if matches!(op, Op::BulkDelete { .. } | Op::DeleteClaimed { bulk: true, .. }) =>
            {
                format!("Err {:?}", error.class())
            }
            Err(error) => format!("Err {}", variant(&error)),
        })
    }

    async fn carry_out(&mut self, op: &Op) -> Option<Said> {
        match op {
            Op::Post { .. }
            | Op::List { .. }
            | Op::Get { .. }
            | Op::BulkGet { .. }
            | Op::First { .. }
            | Op::Stats { .. } => self.posting_and_reading(op).await,
            Op::Claim { .. }
            | Op::ClaimAgain { .. }
            | Op::ClaimGet { .. }
            | Op::ClaimUpdate { .. }
            | Op::ClaimDelete { .. } => self.claiming(op).await,
            Op::Delete { .. }
            | Op::DeleteClaimed { .. }
            | Op::BulkDelete { .. }
            | Op::Pop { .. }
            | Op::Purge { .. } => self.removing(op).await,
            _ => self.other(op).await,
        }
    }

    fn place(&mut self, on: Place) -> Option<QueueRef> {
        let lives = if on.former { self.former.get(on.queue) } else { None };
        let queue = match lives {
            Some(former) => former.clone(),
            None => self.queues.get(on.queue).cloned(),
        };
        self.latest.clone_from(&queue);
        queue
    }

    fn of_message(&mut self, on: Place, message: Pick) -> Option<QueueRef> {
        if !on.home {
            return self.place(on);
        }
        self.latest = self.names.message_home(message);
        self.latest.clone()
    }

    fn of_claim(&mut self, on: Place, claim: Pick) -> Option<QueueRef> {
        if !on.home {
            return self.place(on);
        }
        self.latest = self.names.claim_home(claim);
        self.latest.clone()
    }

    /// Everything that is in the queue of the latest step, so that no step changes anything unseen.
    pub(super) async fn look(&self) -> Option<String> {
        let queue = self.latest.as_ref().or_else(|| self.queues.first())?;
        let options = ListMessages::new().include_claimed(true).include_delayed(true);
        let options = options.limit(PageLimit::new(PAGE_LIMIT_MAX).unwrap_or_default());
        Some(match self.drivers.data.messages().message_list(queue, options).await {
            Ok(page) => self.names.messages(&page.items, self.clock.now()),
            Err(error) => variant(&error),
        })
    }

    async fn posting_and_reading(&mut self, op: &Op) -> Option<Said> {
        let (data, now) = (Arc::clone(&self.drivers.data), self.clock.now());
        let messages = data.messages();
        Some(match op {
            Op::Post { on, messages: shapes, client, key } => {
                let queue = self.place(*on)?;
                self.post(&queue, shapes, *client, *key).await
            }
            Op::List { on, limit, after, hide, include } => {
                let queue = self.place(*on)?;
                let after = after.and_then(|number| self.names.marker(number));
                self.list(&queue, *limit, after, *hide, *include).await
            }
            Op::Get { on, message } => {
                let (queue, id) = (self.of_message(*on, *message)?, self.names.message(*message)?);
                let found = messages.message_get(&queue, id).await;
                found.map(|message| self.names.messages(&[message], now))
            }
            Op::BulkGet { on, messages: numbers } => {
                let queue = self.place(*on)?;
                let ids: Vec<_> = numbers.iter().filter_map(|n| self.names.message(*n)).collect();
                let found = messages.message_bulk_get(&queue, &ids).await;
                found.map(|messages| self.names.messages(&messages, now))
            }
            Op::First { on, newest } => {
                let end = if *newest { QueueEnd::Newest } else { QueueEnd::Oldest };
                let found = messages.message_first(&self.place(*on)?, end).await;
                found.map(|message| self.names.messages(message.as_slice(), now))
            }
            Op::Stats { on } => messages.message_stats(&self.place(*on)?).await.map(|stats| {
                let edge = |edge: Option<zaqar_core::MessageEdge>| {
                    edge.map(|edge| format!("{} age {}", self.names.id(edge.id), edge.age_s))
                };
                let (oldest, newest) = (edge(stats.oldest), edge(stats.newest));
                format!("claimed {} free {} {oldest:?} {newest:?}", stats.claimed, stats.free)
            }),
            _ => return None,
        })
    }

    async fn post(
        &mut self,
        queue: &QueueRef,
        shapes: &[(u64, u64)],
        client: u8,
        key: Option<u8>,
    ) -> Said {
        let first = self.posts;
        self.posts += shapes.len();
        let batch = shapes.iter().enumerate().map(|(nth, (ttl, delay))| {
            NewMessage::new(Context::body(first + nth), span(*ttl)).delay(span(*delay))
        });
        let key = match key {
            None => None,
            Some(key) => {
                let mut digest = [key; 32];
                // Another count of messages is another body under the same key.
                digest[0] = u8::try_from(shapes.len()).unwrap_or(u8::MAX);
                let name = IdempotencyKey::new(format!("key-{key}"))?;
                Some(PostKey { key: name, digest, keep: span(30) })
            }
        };
        let options = PostMessages::new().client(client_id(client)?).key(key);
        let batch = batch.collect();
        let posted = self.drivers.data.messages().message_post(queue, batch, options).await?;
        Ok(format!("{} repeated {}", self.names.posted(queue, &posted.ids), posted.repeated))
    }

    async fn list(
        &mut self,
        queue: &QueueRef,
        limit: u32,
        after: Option<zaqar_core::MessageMarker>,
        hide: Option<u8>,
        (claimed, delayed): (bool, bool),
    ) -> Said {
        let hide = hide.map(client_id).transpose()?;
        let options = ListMessages::new()
            .limit(PageLimit::new(limit)?)
            .marker(after)
            .hide_client(hide)
            .include_claimed(claimed)
            .include_delayed(delayed);
        let page = self.drivers.data.messages().message_list(queue, options).await?;
        self.names.add_markers(page.items.iter().map(|message| message.marker).chain(page.next));
        let text = self.names.messages(&page.items, self.clock.now());
        Ok(format!("{text} next {}", page.next.is_some()))
    }

    async fn claiming(&mut self, op: &Op) -> Option<Said> {
        let (data, now) = (Arc::clone(&self.drivers.data), self.clock.now());
        let claims = data.claims();
        Some(match op {
            Op::Claim { on, ttl, grace, limit, claims_max } => {
                let (queue, id) = (self.place(*on)?, self.names.next_claim());
                let target = self.queues.get(on.queue ^ 1)?.key.name.clone();
                let redrive =
                    claims_max.map(|claims_max| Redrive { claims_max, target, ttl: span(600) });
                let limit = PageLimit::new(*limit).unwrap_or_default();
                let options = CreateClaim::new(id, span(*ttl), span(*grace)).limit(limit);
                self.claim(&queue, options.redrive(redrive)).await
            }
            Op::ClaimAgain { on, claim } => {
                let (queue, id) = (self.of_claim(*on, *claim)?, self.names.claim(*claim)?);
                let options = CreateClaim::new(id, span(60), Ttl::ZERO);
                let again = claims.claim_create(&queue, options).await;
                again.map(|claimed| self.names.messages(&claimed.messages, now))
            }
            Op::ClaimGet { on, claim } => {
                let (queue, id) = (self.of_claim(*on, *claim)?, self.names.claim(*claim)?);
                claims.claim_get(&queue, id).await.map(|(claim, messages)| {
                    let lease = self.names.lease(&claim, now);
                    format!("{lease} {}", self.names.messages(&messages, now))
                })
            }
            Op::ClaimUpdate { on, claim, ttl, grace } => {
                let (queue, id) = (self.of_claim(*on, *claim)?, self.names.claim(*claim)?);
                let updated = claims.claim_update(&queue, id, span(*ttl), span(*grace)).await;
                updated.map(|()| String::new())
            }
            Op::ClaimDelete { on, claim } => {
                let (queue, id) = (self.of_claim(*on, *claim)?, self.names.claim(*claim)?);
                claims.claim_delete(&queue, id).await.map(|()| String::new())
            }
            _ => return None,
        })
    }

    async fn claim(&mut self, queue: &QueueRef, options: CreateClaim) -> Said {
        let id = options.id;
        let claimed = self.drivers.data.claims().claim_create(queue, options).await?;
        self.names.add_claim(queue, id, &claimed.messages);
        let text = self.names.messages(&claimed.messages, self.clock.now());
        Ok(format!("{} {text} parked {}", self.names.claim_name(id), claimed.parked))
    }

    async fn removing(&mut self, op: &Op) -> Option<Said> {
        let (data, now) = (Arc::clone(&self.drivers.data), self.clock.now());
        let messages = data.messages();
        let done = |()| String::new();
        Some(match op {
            Op::Delete { on, message, claim } => {
                let (queue, id) = (self.of_message(*on, *message)?, self.names.message(*message)?);
                let claim = claim.and_then(|number| self.names.claim(number));
                messages.message_delete(&queue, id, claim).await.map(done)
            }
            Op::DeleteClaimed { on, claim, bulk } => {
                let (queue, id) = (self.of_claim(*on, *claim)?, self.names.claim(*claim)?);
                let ids = self.names.claimed(*claim);
                if !bulk {
                    let first = ids.first().copied()?;
                    return Some(messages.message_delete(&queue, first, Some(id)).await.map(done));
                }
                messages.message_bulk_delete(&queue, &ids, Some(&[id])).await.map(done)
            }
            Op::BulkDelete { on, messages: numbers, claims } => {
                let queue = self.place(*on)?;
                let ids: Vec<_> = numbers.iter().filter_map(|n| self.names.message(*n)).collect();
                let claims: Option<Vec<ClaimId>> = claims.as_ref().map(|numbers| {
                    numbers.iter().filter_map(|number| self.names.claim(*number)).collect()
                });
                messages.message_bulk_delete(&queue, &ids, claims.as_deref()).await.map(done)
            }
            Op::Pop { on, limit } => {
                let limit = PageLimit::new(*limit).unwrap_or_default();
                let popped = messages.message_pop(&self.place(*on)?, limit).await;
                popped.map(|messages| self.names.messages(&messages, now))
            }
            Op::Purge { on } => messages.message_purge(&self.place(*on)?).await.map(done),
            _ => return None,
        })
    }

    async fn other(&mut self, op: &Op) -> Option<Said> {
        let data = Arc::clone(&self.drivers.data);
        Some(match op {
            Op::Recreate { queue } => self.recreate(*queue).await,
            // How many rows a driver touches is its own affair.
            Op::Sweep => data.sweep().await.map(|_| String::new()),
            Op::Gc { margin } => {
                data.gc(GcOptions::new().margin(span(*margin))).await.map(|_| String::new())
            }
            Op::Subscribe { on, subscriber, ttl } => {
                let queue = self.place(*on)?;
                self.subscribe(&queue, *subscriber, *ttl).await
            }
            Op::Subscriptions { on } => {
                let (queue, limit) = (self.place(*on)?, PageLimit::default());
                let page = data.subscriptions().subscription_list(&queue, None, limit).await;
                page.map(|page| {
                    let texts = page.items.iter().map(|one| self.names.subscription_text(one));
                    texts.collect::<Vec<_>>().join("; ")
                })
            }
            Op::Unsubscribe { on, subscription } => {
                let (queue, id) = (self.place(*on)?, self.names.subscription(*subscription)?);
                let deleted = data.subscriptions().subscription_delete(&queue, id).await;
                deleted.map(|()| String::new())
            }
            Op::Transfer { on, steps } => {
                let queue = self.place(*on)?;
                self.transfer(&queue, *steps).await
            }
            _ => return None,
        })
    }

    async fn subscribe(&mut self, queue: &QueueRef, subscriber: u8, ttl: u64) -> Said {
        let new = NewSubscription::new(format!("http://subscriber/{subscriber}"), span(ttl));
        let made = self.drivers.data.subscriptions().subscription_create(queue, new).await?;
        let is_new = made.is_new();
        let subscription = made.into_inner();
        if is_new {
            self.names.add_subscription(subscription.id);
        }
        Ok(format!("new {is_new} {}", self.names.subscription_text(&subscription)))
    }

    async fn recreate(&mut self, nth: usize) -> Said {
        let Some(slot) = self.queues.get_mut(nth) else { return Ok(String::new()) };
        let queues = self.drivers.control.queues();
        queues.queue_mark_deleting(slot).await?;
        self.drivers.data.heads().head_close(slot).await?;
        queues.queue_remove(slot).await?;
        let made = make(&self.drivers, slot.key.clone()).await?;
        let before = std::mem::replace(slot, made);
        if let Some(former) = self.former.get_mut(nth) {
            *former = Some(before);
        }
        Ok(String::new())
    }

    /// Carries dead letters of `queue` out, in the order of their posts, up to the step asked for.
    async fn transfer(&mut self, queue: &QueueRef, steps: u8) -> Said {
        let (outbox, messages) = (self.drivers.data.outbox(), self.drivers.data.messages());
        let (lease, limit) = (LeaseId::random(), PageLimit::new(100)?);
        let mut transfers = outbox.transfer_lease(Some(queue), lease, span(10), limit).await?;
        transfers.sort_by_key(|transfer| self.names.ordinal(transfer.message.id));
        let mut said = Vec::new();
        for transfer in &transfers {
            let moved = &transfer.message;
            let (ttl, count) = (moved.ttl.as_secs(), moved.claim_count);
            said.push(format!("{} ttl {ttl} count {count}", self.names.id(moved.id)));
            let named = |other: &&QueueRef| {
                other.key.project == queue.key.project && other.key.name == transfer.target
            };
            let Some(target) = self.queues.iter().find(named) else { continue };
            if steps > 1 {
                let inserted = messages.message_insert_moved(target, moved.clone()).await?;
                said.push(format!("new {}", matches!(inserted, Created::New(_))));
            }
            if steps > 2 {
                outbox.transfer_complete(transfer).await?;
            }
        }
        Ok(said.join("; "))
    }
}

fn client_id(number: u8) -> Result<ClientId, Error> {
    Ok(ClientId::new(format!("client-{number}"))?)
}

async fn make(drivers: &Drivers, key: QueueKey) -> Result<QueueRef, Error> {
    let queues = drivers.control.queues();
    let queue = key.incarnate(queues.queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    queues.queue_insert(&queue, &JsonObject::new()).await?;
    Ok(queue)
}
