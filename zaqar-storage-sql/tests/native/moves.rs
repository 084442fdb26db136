//! Queues that move between files: what is gone is counted right at both ends, and whoever does not
//! know of a move is told so.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;
use zaqar_core::{
    ClaimId, CreateClaim, Error, GcOptions, ManualClock, PageLimit, PostMessages, QueueName,
    QueueRef, Redrive, Ttl,
};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};

use crate::counts::{Dice, LIVING_COUNTED, LIVING_ROWS, limit, number};
use crate::{messages, queue, raw, uri};

/// A store, and a look behind it.
struct End {
    drivers: SqlDrivers,
    file: SqliteConnection,
    _folder: TempDir,
}

impl End {
    async fn new(clock: &Arc<ManualClock>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = OpenOptions::new(Arc::clone(clock) as Arc<dyn zaqar_core::Clock>);
        let drivers = zaqar_storage_sql::open(&uri(folder.path()), options).await?;
        let file = raw(folder.path()).await?;
        Ok(Self { drivers, file, _folder: folder })
    }

    /// Compares what lives here with its count; returns it.
    async fn check(&mut self, queue: &QueueRef) -> anyhow::Result<i64> {
        let living = number(&mut self.file, LIVING_ROWS, queue).await?;
        let counted = number(&mut self.file, LIVING_COUNTED, queue).await?;
        anyhow::ensure!(counted == living, "{counted} counted, {living} there");
        Ok(living)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.drivers.data.close().await;
        Ok(self.file.close().await?)
    }
}

/// Something that somebody does who knows of the move; what is on its way refuses some of it.
async fn act(
    end: &End,
    clock: &ManualClock,
    queue: &QueueRef,
    dice: &mut Dice,
) -> anyhow::Result<()> {
    let data = &end.drivers.data;
    let done = match dice.throw(8) {
        0 | 1 => {
            let batch = messages(1 + usize::try_from(dice.throw(12))?)?;
            let posted = data.messages().message_post(queue, batch, PostMessages::new()).await;
            posted.map(drop)
        }
        2 => data.messages().message_pop(queue, limit(2)?).await.map(drop),
        3 | 4 => {
            let ttl = Ttl::from_secs(60)?;
            let redrive = Redrive { claims_max: 2, target: QueueName::new("dead")?, ttl };
            let claim = CreateClaim::new(ClaimId::random(), ttl, ttl);
            let claim = claim.limit(limit(4)?).redrive(redrive);
            data.claims().claim_create(queue, claim).await.map(drop)
        }
        5 => {
            clock.advance(Duration::from_secs(dice.throw(90)));
            data.sweep().await.map(drop)
        }
        6 => data.gc(GcOptions::new()).await.map(drop),
        _ if dice.throw(6) == 0 => data.messages().message_purge(queue).await,
        _ => {
            let all = zaqar_core::ListMessages::new().include_claimed(true);
            let page = data.messages().message_list(queue, all).await?;
            let ids: Vec<_> = page.items.iter().map(|message| message.id).take(3).collect();
            data.messages().message_bulk_delete(queue, &ids, None).await
        }
    };
    match done {
        Ok(()) | Err(Error::QueueMoved { .. } | Error::QueueMoving { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens the target, once it has collected what the queue left there when it was last.
async fn open(from: &End, to: &End, queue: &QueueRef) -> anyhow::Result<()> {
    from.drivers.data.heads().head_move(queue, queue.epoch).await?;
    let opening = from.drivers.data.moves().move_begin(queue).await?;
    for _ in 0..100 {
        if to.drivers.data.moves().move_open(queue, &opening).await? {
            return Ok(());
        }
        to.drivers.data.gc(GcOptions::new()).await?;
    }
    anyhow::bail!("what the queue left is never collected")
}

/// Moves a queue while others are at work on it; returns how many messages arrived.
async fn move_whole(
    from: &mut End,
    to: &mut End,
    clock: &ManualClock,
    queue: &QueueRef,
    dice: &mut Dice,
) -> anyhow::Result<usize> {
    open(from, to, queue).await?;
    let mut arrived = 0;
    for step in 0_u64.. {
        act(if step % 2 == 0 { &*to } else { &*from }, clock, queue, dice).await?;
        let (source, target) = (from.drivers.data.moves(), to.drivers.data.moves());
        let part = source.move_part(queue).await?;
        let here = target.move_part(queue).await?;
        if !here.is_empty() {
            source.move_remove(queue, here.from).await?;
            target.move_reveal(queue, here.from).await?;
        } else if part.is_empty() {
            if source.move_freeze(queue, limit(5)?).await?.is_empty() {
                break;
            }
        } else {
            target.move_insert(queue, &part).await?;
            arrived += part.messages.len();
        }
        from.check(queue).await?;
        to.check(queue).await?;
    }
    carry_dead_letters(from, queue).await?;
    anyhow::ensure!(from.check(queue).await? == 0 || !leftover(from, queue).await?, "it is left");
    anyhow::ensure!(from.drivers.data.moves().move_leave(queue).await?, "the source is not empty");
    Ok(arrived)
}

/// Whether the source shows anything.
async fn leftover(end: &End, queue: &QueueRef) -> anyhow::Result<bool> {
    Ok(end.drivers.data.messages().message_stats(queue).await?.total() > 0)
}

async fn carry_dead_letters(end: &End, queue: &QueueRef) -> anyhow::Result<()> {
    let outbox = end.drivers.data.outbox();
    let (lease, ttl) = (zaqar_core::LeaseId::random(), Ttl::from_secs(30)?);
    for transfer in outbox.transfer_lease(Some(queue), lease, ttl, limit(1_000)?).await? {
        anyhow::ensure!(
            transfer.source == *queue,
            "{:?} knows nothing of the move",
            transfer.source
        );
        outbox.transfer_complete(&transfer).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_gone_is_counted_at_both_ends_of_every_move() -> anyhow::Result<()> {
    let clock = Arc::new(ManualClock::default());
    let (mut here, mut there) = (End::new(&clock).await?, End::new(&clock).await?);
    let mut arrived = 0;
    for seed in 0..4 {
        let mut queue = queue(&here.drivers, "q").await?;
        let mut dice = Dice(seed);
        for _ in 0..10 {
            act(&here, &clock, &queue, &mut dice).await?;
        }
        // It ends where it began, at the store that gives out incarnations.
        for epoch in 1..=4 {
            queue = queue.at_epoch(epoch);
            arrived += move_whole(&mut here, &mut there, &clock, &queue, &mut dice).await?;
            std::mem::swap(&mut here, &mut there);
            let left = here.check(&queue).await?;
            let stats = here.drivers.data.messages().message_stats(&queue).await?;
            anyhow::ensure!(i64::try_from(stats.total())? <= left, "{stats:?} of {left}");
        }
    }
    assert!(arrived > 20, "next to nothing was moved: {arrived}");
    here.close().await?;
    there.close().await
}

/// They are served together, and each is refused for its own sake.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_that_do_not_know_of_a_move_are_all_told_of_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = crate::open(folder.path()).await?;
    let queue = queue(&drivers, "q").await?;
    drivers.data.messages().message_post(&queue, messages(9)?, PostMessages::new()).await?;
    drivers.data.heads().head_move(&queue, 3).await?;
    let mut claims = JoinSet::new();
    for number in 0..40 {
        let (drivers, queue) = (drivers.clone(), queue.at_epoch(number % 4));
        claims.spawn(async move {
            let ttl = Ttl::from_secs_clamped(60);
            let claim = CreateClaim::new(ClaimId::random(), ttl, ttl).limit(PageLimit::default());
            (queue.epoch, drivers.data.claims().claim_create(&queue, claim).await)
        });
    }
    let mut taken = 0;
    while let Some(claimed) = claims.join_next().await {
        match claimed? {
            (3, Ok(claimed)) => taken += claimed.messages.len(),
            (0..=2, Err(Error::QueueMoved { epoch: 3, .. })) => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
    assert_eq!(taken, 9);
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_queue_that_an_earlier_version_moved_can_be_given_away() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = crate::open(folder.path()).await?;
    let queue = queue(&drivers, "q").await?;
    drivers.data.messages().message_post(&queue, messages(3)?, PostMessages::new()).await?;
    drivers.data.heads().head_move(&queue, 1).await?;
    drivers.data.close().await;
    let mut file = raw(folder.path()).await?;
    for undo in [
        "ALTER TABLE heads DROP COLUMN frozen_from",
        "ALTER TABLE heads DROP COLUMN frozen_to",
        "ALTER TABLE heads DROP COLUMN away",
        "DROP INDEX exhausted_by_message",
        "DELETE FROM _sqlx_migrations WHERE version = 9",
    ] {
        sqlx::query(undo).execute(&mut file).await?;
    }
    file.close().await?;
    let again = crate::open(folder.path()).await?;
    let part = again.data.moves().move_freeze(&queue.at_epoch(1), limit(10)?).await?;
    assert_eq!((part.from, part.to, part.messages.len()), (1, 4, 3));
    again.data.close().await;
    Ok(())
}
