//! Claims and pops: all takers of one queue that wait together share one look at its claimable index.
//!
//! No transaction: each step is conditional and can be resumed, so that many workers neither claim a
//! message twice nor wait for one another.
//!
//! 1. *Look*: the head, what is due, the first claimable messages. What is due is released or retired
//!    first, up to K each, so a message claimed, delayed or expired ahead is met once.
//! 2. *Plan*: deal them out, oldest first, and record each claim with the positions dealt to it, unless
//!    it is recorded already. Whoever comes second under the same id adopts the plan that is there.
//! 3. *Write*: one command puts each planned message under its claim on condition that it still is
//!    claimable. Whoever comes second finds the condition false and changes nothing (G5).
//! 4. *Read back* what now is under these claims: that, and nothing else, was taken. Whoever was robbed
//!    of all of it looks again and extends its plan, on condition that nobody else did.
//!
//! The caller made the claim's id. A repeat, after whatever part of this was cut short, finds the plan,
//! carries it out as far as that is still to be done, and returns what the claim holds. A pop is a
//! claim under an id that nobody knows, whose messages are then deleted: cut short, they come back
//! when that lease ends.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::doc;
use tokio::sync::oneshot;
use zaqar_core::{ClaimId, Claimed, CreateClaim, Message, PageLimit, QueueRef, Result, Timestamp};
use zaqar_storage_lanes::{LaneStep, Weight};

use crate::abandoned::Underway;
use crate::barrier::Place;
use crate::claims::{ClaimRow, Release};
use crate::driver::MongoData;
use crate::error::{NativeResult, failed, unsure};
use crate::heads::{Head, checked, head_query};
use crate::holding::Holding;
use crate::plan::Plan;
use crate::popped::{give_back_popped, remove_popped};
use crate::posts::same;
use crate::query::Query;
use crate::reader::View;
use crate::rows::{MessageRow, length_code};
use crate::schema::DATA;
use crate::store::Store;
use crate::sweep::{self, Id};
use crate::tables::{CLAIMABLE, claim_key, message_key, queue_code};
use crate::task::transact;

/// Looks at most, after which a taker that lost every race goes away empty.
const LOOKS_MAX: usize = 32;

/// What a taker does with what it takes, and who waits for it.
#[derive(Debug)]
pub(crate) enum Taker {
    /// A claim.
    Claim(CreateClaim, oneshot::Sender<Result<Claimed>>),
    /// A pop.
    Pop(oneshot::Sender<Result<Vec<Message>>>),
}

/// A claim or a pop that waits in its queue's lane.
#[derive(Debug)]
pub(crate) struct Take {
    pub(crate) limit: PageLimit,
    pub(crate) taker: Taker,
    pub(crate) underway: Underway,
}

/// Does all claims and pops that wait in a lane.
#[derive(Debug)]
pub(crate) struct TakeStep(pub(crate) Arc<Store>);

#[async_trait]
impl LaneStep for TakeStep {
    type Key = QueueRef;
    type Operation = Take;
    /// The takers are answered by the step itself: a claim that nobody waits for is given back.
    type Answer = ();
    const OPERATION: &'static str = "claim_create";

    async fn run(&self, queue: &QueueRef, takes: Vec<Take>) -> Vec<Result<()>> {
        let count = takes.len();
        let mut holdings: Vec<Holding> = Vec::with_capacity(count);
        // Two calls under one id are one claim: the first in the batch stands for the others.
        let mut places = Vec::with_capacity(count);
        for take in &takes {
            let holding = Holding::of(take);
            let known = holdings.iter().position(|other| other.claim == holding.claim);
            places.push(known.unwrap_or(holdings.len()));
            if known.is_none() {
                holdings.push(holding);
            }
        }
        let held = take(&self.0, queue, &mut holdings).await;
        if held.is_err() {
            give_back_popped(&self.0, queue, &holdings).await;
        }
        let removed = match &held {
            Ok(()) => remove_popped(&self.0, queue, &mut holdings).await,
            Err(_) => Ok(()),
        };
        for (take, place) in takes.into_iter().zip(places) {
            let result = match (&held, &removed, holdings.get(place)) {
                (Err(error), _, _) => Err(same(error)),
                // What the claims hold, they hold, whatever became of the pops.
                (_, Err(error), Some(holding)) if holding.is_pop => Err(same(error)),
                (_, _, Some(holding)) => Ok((holding.messages.clone(), holding.parked)),
                (_, _, None) => Ok((Vec::new(), 0)),
            };
            self.answer(queue, take, result);
        }
        (0..count).map(|_| Ok(())).collect()
    }
}

impl TakeStep {
    fn answer(&self, queue: &QueueRef, take: Take, result: Result<(Vec<Message>, u32)>) {
        match take.taker {
            Taker::Claim(claim, reply) => {
                let result = result.map(|(messages, parked)| Claimed { messages, parked });
                let kept = result.as_ref().is_ok_and(|claimed| !claimed.messages.is_empty());
                if reply.send(result).is_err() && kept {
                    self.give_back(queue, claim.id, take.underway);
                }
            }
            // At most once, by contract (G14): nobody is left to hear of it.
            Taker::Pop(reply) => drop(reply.send(result.map(|(messages, _)| messages))),
        }
    }

    /// Releases a claim whose caller left before the answer could be handed over.
    fn give_back(&self, queue: &QueueRef, id: ClaimId, underway: Underway) {
        let (store, mut release) = (Arc::clone(&self.0), Release { queue: queue.clone(), id });
        tokio::spawn(async move {
            // A failure is harmless: the lease ends by itself.
            if let Err(error) = transact(&store, &mut release).await {
                tracing::debug!(%error, "an abandoned claim is left to run out");
            }
            drop(underway);
        });
    }
}

impl MongoData {
    /// Hands a taker in; it is answered by the time this returns.
    pub(crate) async fn take(
        &self,
        queue: &QueueRef,
        limit: PageLimit,
        taker: Taker,
    ) -> Result<()> {
        let (caller, underway) = self.handle.store.abandoned.begin(Some(queue)).await;
        let party = Some(queue.key.project.clone());
        let weight = Weight::new(limit.as_usize(), 0);
        let take = Take { limit, taker, underway };
        let handed = self.handle.takes.submit(&party, queue, weight, take).await;
        caller.answered();
        handed
    }
}

/// A message that can be claimed, as far as it was seen.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(crate) struct Candidate {
    pub(crate) s: i64,
    pub(crate) expires: i64,
    pub(crate) claims: i64,
}

/// What a look at the queue found.
struct Look {
    q: i64,
    now: Timestamp,
    /// Claims of these takers that are recorded.
    claims: Vec<ClaimRow>,
    found: VecDeque<Candidate>,
    /// Whether something is due that is to be released or retired first.
    matured: bool,
    expired: bool,
}

/// Gets the takers what there is for them, under their claims.
async fn take(store: &Store, queue: &QueueRef, holdings: &mut [Holding]) -> Result<()> {
    let mut wrote = false;
    let taken = take_in_rounds(store, queue, holdings, &mut wrote).await;
    // A later round's failure, a read's too, does not undo what an earlier one put under a claim.
    taken.map_err(|error| if wrote { unsure(error) } else { error })
}

/// Says at the first write that there was one.
async fn take_in_rounds(
    store: &Store,
    queue: &QueueRef,
    holdings: &mut [Holding],
    wrote: &mut bool,
) -> Result<()> {
    let mut swept = false;
    for _ in 0..LOOKS_MAX {
        let mut look = look(store, queue, holdings).await?;
        if (look.matured || look.expired) && !swept {
            sweep::release(store, look.q, look.now).await?;
            sweep::retire(store, look.q, look.now).await?;
            // More may be due than one step may touch: what is claimable then is taken first.
            swept = true;
            continue;
        }
        let mut plan = Plan::new(look.q, look.now);
        deal(&mut look, holdings, &mut plan);
        plan.record(store, holdings).await?;
        let Some(written) = plan.write(store, holdings).await? else {
            let more = (look.matured || look.expired) && wanted(holdings) > 0;
            if !more {
                break;
            }
            // Nothing to be had yet, and more is due: on with the next step.
            swept = false;
            continue;
        };
        *wrote = true;
        // Another primary than the one that wrote may answer: it shows the write, or does not answer.
        let view = store.view_after(TakeStep::OPERATION, written);
        if !collect(store, &view, queue, holdings).await? {
            break;
        }
    }
    Ok(())
}

/// How many messages the takers still want.
fn wanted(holdings: &[Holding]) -> usize {
    holdings.iter().filter(|holding| holding.is_hungry()).map(Holding::room).sum()
}

/// Looks at all of it at once: what is written afterwards is conditional anyway.
async fn look(store: &Store, queue: &QueueRef, holdings: &[Holding]) -> Result<Look> {
    let q = queue_code(queue.incarnation);
    loop {
        let now = store.clock.now();
        let known = store.bounds.purged(q);
        let looked = look_ahead(store, queue, holdings, now).await;
        let (head, claims, found, matured, expired) =
            looked.map_err(|error| failed(TakeStep::OPERATION, &error))?;
        let head = match checked(queue, head) {
            Ok(head) if head.purged <= known => head,
            // Nothing is written that would tell whether this look was that of a primary.
            seen => {
                let view = store.view(TakeStep::OPERATION, Place::Queue(q)).await?;
                let sure = view.head(queue).await?;
                if sure.purged > known {
                    // The look was at what was purged.
                    continue;
                }
                seen.unwrap_or(sure)
            }
        };
        let takeable =
            |candidate: &Candidate| candidate.s > head.purged && candidate.s < head.takeable_end();
        let found = found.into_iter().filter(takeable).collect();
        return Ok(Look { q, now, claims, found, matured, expired });
    }
}

type Looked = (Option<Head>, Vec<ClaimRow>, Vec<Candidate>, bool, bool);

async fn look_ahead(
    store: &Store,
    queue: &QueueRef,
    holdings: &[Holding],
    now: Timestamp,
) -> NativeResult<Looked> {
    let data = store.data_ahead();
    let q = queue_code(queue.incarnation);
    let hungry = holdings.iter().filter(|holding| holding.is_hungry() && !holding.is_pop);
    let keys: Vec<String> = hungry.map(|holding| claim_key(q, holding.claim)).collect();
    let claims = async {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Store::find_in(&data, Query::of(doc! { "_id": { "$in": keys }, "q": q })).await
    };
    let claimable = Query::of(doc! {
        "q": q,
        "avail": CLAIMABLE,
        "s": { "$gt": store.bounds.purged(q) },
        "expires": { "$gt": now.as_millis() },
    })
    .sort(doc! { "s": 1 })
    .by("claimable")
    .fields(&["s", "expires", "claims"])
    .limit(length_code(wanted(holdings)).max(1));
    let head = || Store::find_in::<Head>(&data, head_query(queue).limit(1));
    // Of a queue that moves, the head first: what it reveals after this look is not overtaken.
    let before = if queue.epoch > 0 { Some(head().await?) } else { None };
    let head = async {
        match before {
            Some(before) => Ok(before),
            None => head().await,
        }
    };
    let (head, claims, found, matured, expired) = tokio::try_join!(
        head,
        claims,
        Store::find_in(&data, claimable),
        Store::find_in::<Id>(&data, sweep::any_matured(q, now)),
        Store::find_in::<Id>(&data, sweep::any_expired(q, now)),
    )?;
    Ok((head.into_iter().next(), claims, found, !matured.is_empty(), !expired.is_empty()))
}

/// Deals what was found out to those who want it, in the order in which they came.
fn deal(look: &mut Look, holdings: &mut [Holding], plan: &mut Plan) {
    for holding in holdings.iter_mut().filter(|holding| holding.is_hungry()) {
        let key = claim_key(look.q, holding.claim);
        let recorded = look.claims.iter().find(|claim| claim.key == key);
        if let Some(claim) = recorded.filter(|claim| claim.list != holding.planned) {
            // Planned by somebody else: an earlier call, or another one under this id.
            holding.adopt(claim, look.now);
            continue;
        }
        let mut parked = Vec::new();
        while holding.dealt.len() < holding.room() {
            let Some(candidate) = look.found.pop_front() else { break };
            if holding.claims_max().is_some_and(|max| candidate.claims >= max) {
                parked.push(candidate.s);
            } else {
                holding.dealt.push(candidate);
            }
        }
        holding.short = holding.dealt.len() < holding.room() && !parked.is_empty();
        plan.park(holding, &parked);
    }
}

/// Reads back what the takers got; whether anyone is to look again.
async fn collect(
    store: &Store,
    view: &View<'_>,
    queue: &QueueRef,
    holdings: &mut [Holding],
) -> Result<bool> {
    let q = queue_code(queue.incarnation);
    let hungry = || holdings.iter().filter(|holding| holding.is_hungry());
    let planned = hungry().flat_map(|holding| holding.planned.iter());
    let keys: Vec<String> = planned.map(|position| message_key(q, *position)).collect();
    let query = Query::of(doc! { "_id": { "$in": keys }, "q": q }).sort(doc! { "_id": 1 });
    // After the write: a queue that is open now was open then, and what was purged is not shown.
    let (rows, head) = tokio::try_join!(view.find::<MessageRow>(DATA, query), view.head(queue),)?;
    let now = store.clock.now();
    let mut found: HashMap<String, Vec<MessageRow>> = HashMap::new();
    let mut held_by_others = Vec::new();
    for row in rows {
        if row.s > head.purged && row.until() > now.as_millis() {
            held_by_others.push(row.s);
            found.entry(row.claim.clone().unwrap_or_default()).or_default().push(row);
        }
    }
    let mut again = false;
    for holding in holdings.iter_mut().filter(|holding| holding.is_hungry()) {
        let rows = found.remove(&holding.claim.to_string()).unwrap_or_default();
        let shown: NativeResult<Vec<Message>> =
            rows.into_iter().map(|row| row.message(queue.incarnation, now)).collect();
        holding.messages = shown.map_err(|error| failed(TakeStep::OPERATION, &error))?;
        if holding.is_pop {
            // Whoever pops is told of no claim: the lease is this driver's own affair.
            holding.messages.iter_mut().for_each(|message| message.claim = None);
        }
        holding.judge(&held_by_others, now);
        again |= holding.is_hungry();
    }
    Ok(again)
}
