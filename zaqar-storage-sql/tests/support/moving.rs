//! Freezing a part of a queue while others are at work on it.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use zaqar_core::{
    ClaimId, CreateClaim, Error, ListMessages, MessageId, MovePart, PageLimit, QueueRef, Result,
    Ttl,
};
use zaqar_storage_sql::SqlDrivers;

use super::{TestStore, messages, queue};

/// Messages of each round, how many of them are frozen, and how many rounds there are.
const MESSAGES: usize = 12;
const FROZEN: u32 = 9;
const ROUNDS: usize = 12;

/// Whatever comes to a message at the moment at which it is frozen is done before the part is read, or
/// refused.
pub(crate) async fn a_frozen_part_stays_as_it_was_read(
    place: impl TestStore,
) -> anyhow::Result<()> {
    let drivers = place.open().await?;
    for round in 0..ROUNDS {
        let (queue, ids, claim) = moved_queue(&drivers, round).await?;
        let part = race(&drivers, &queue, &ids, claim).await?;
        assert_eq!(part, drivers.data.moves().move_part(&queue).await?, "round {round}");
        let kept = drivers.data.messages().message_bulk_get(&queue, &ids).await?;
        for message in &part.messages {
            assert!(kept.iter().any(|one| one.id == message.id), "round {round}: {message:?}");
        }
        drivers.data.moves().move_remove(&queue, part.from).await?;
        let walk = ListMessages::new().include_claimed(true);
        let left = drivers.data.messages().message_list(&queue, walk).await?.items;
        assert!(left.iter().all(|one| one.marker.sequence() < part.from), "{left:?}");
    }
    drivers.data.close().await;
    place.done().await
}

/// A queue of which the first messages are claimed, moved under epoch 1.
async fn moved_queue(
    drivers: &SqlDrivers,
    round: usize,
) -> anyhow::Result<(QueueRef, Vec<MessageId>, ClaimId)> {
    let queue = queue(drivers, &format!("q{round}")).await?;
    let options = zaqar_core::PostMessages::new();
    let posted = drivers.data.messages().message_post(&queue, messages(MESSAGES)?, options).await?;
    let claim = ClaimId::random();
    let options = CreateClaim::new(claim, Ttl::from_secs(60)?, Ttl::ZERO);
    let options = options.limit(PageLimit::new(5)?);
    drivers.data.claims().claim_create(&queue, options).await?;
    drivers.data.heads().head_move(&queue, 1).await?;
    Ok((queue.at_epoch(1), posted.ids, claim))
}

/// Freezes while others delete, claim, pop, renew and release.
async fn race(
    drivers: &SqlDrivers,
    queue: &QueueRef,
    ids: &[MessageId],
    claim: ClaimId,
) -> anyhow::Result<MovePart> {
    let start = Arc::new(Barrier::new(8));
    let mut others = JoinSet::new();
    let mut spawn = |work: Work| {
        let (drivers, queue, start) = (drivers.clone(), queue.clone(), Arc::clone(&start));
        others.spawn(async move {
            start.wait().await;
            work.run(&drivers, &queue).await
        });
    };
    for id in [ids.get(6), ids.get(8), ids.get(11)].into_iter().flatten() {
        spawn(Work::Delete(*id));
    }
    spawn(Work::Renew(claim));
    spawn(Work::Pop);
    spawn(Work::Claim);
    spawn(Work::Release(claim));
    start.wait().await;
    let part = drivers.data.moves().move_freeze(queue, PageLimit::new(FROZEN)?).await?;
    while let Some(done) = others.join_next().await {
        match done? {
            Ok(()) | Err(Error::QueueMoving { .. }) => {}
            Err(Error::MessageClaimed { .. } | Error::ClaimNotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(part)
}

enum Work {
    Delete(MessageId),
    Renew(ClaimId),
    Release(ClaimId),
    Pop,
    Claim,
}

impl Work {
    async fn run(self, drivers: &SqlDrivers, queue: &QueueRef) -> Result<()> {
        let (messages, claims) = (drivers.data.messages(), drivers.data.claims());
        let ttl = Ttl::from_secs_clamped(100);
        match self {
            Self::Delete(id) => messages.message_delete(queue, id, None).await,
            Self::Renew(claim) => claims.claim_update(queue, claim, ttl, Ttl::ZERO).await,
            Self::Release(claim) => claims.claim_delete(queue, claim).await,
            Self::Pop => messages.message_pop(queue, PageLimit::default()).await.map(drop),
            Self::Claim => {
                let options = CreateClaim::new(ClaimId::random(), ttl, Ttl::ZERO);
                claims.claim_create(queue, options).await.map(drop)
            }
        }
    }
}
