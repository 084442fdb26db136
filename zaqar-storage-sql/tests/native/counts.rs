//! The count of what is gone from a queue, against the rows themselves.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Row, SqliteConnection};
use zaqar_core::{
    Body, ClaimId, CreateClaim, GcOptions, LeaseId, ManualClock, NewMessage, PageLimit,
    PostMessages, QueueName, QueueRef, Redrive, Ttl,
};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};

use crate::{queue, raw, uri};

/// Everything that is stored and not retired, counted one by one.
pub(crate) const LIVING_ROWS: &str = "SELECT count(*) FROM messages AS m JOIN heads AS h ON h.number = m.queue \
     WHERE h.incarnation = ? AND m.expires > 0 AND m.id > (h.number << 35) | h.purged";
pub(crate) const LIVING_COUNTED: &str =
    "SELECT next - 1 - purged - gone FROM heads WHERE incarnation = ?";

/// Which operations come in which order: splitmix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

struct World {
    drivers: SqlDrivers,
    clock: Arc<ManualClock>,
    queue: QueueRef,
    dice: Dice,
}

pub(crate) fn limit(count: u32) -> anyhow::Result<PageLimit> {
    Ok(PageLimit::new(count)?)
}

impl World {
    /// Something that changes how many live, whatever it is.
    async fn act(&mut self) -> anyhow::Result<()> {
        let messages = self.drivers.data.messages();
        match self.dice.throw(9) {
            0..=2 => {
                let ttl = Ttl::from_secs(60 + self.dice.throw(600))?;
                let message = NewMessage::new(Body::from_json("{}")?, ttl);
                let batch = vec![message; 1 + self.dice.throw(20) as usize];
                messages.message_post(&self.queue, batch, PostMessages::new()).await?;
            }
            3 => drop(messages.message_pop(&self.queue, limit(3)?).await?),
            4 => self.claim_and_delete().await?,
            5 => self.carry_dead_letters().await?,
            6 => self.clock.advance(Duration::from_secs(self.dice.throw(120))),
            7 => drop(self.drivers.data.gc(GcOptions::new()).await?),
            _ if self.dice.throw(4) == 0 => messages.message_purge(&self.queue).await?,
            _ => drop(self.drivers.data.sweep().await?),
        }
        Ok(())
    }

    async fn claim_and_delete(&mut self) -> anyhow::Result<()> {
        let ttl = Ttl::from_secs(60)?;
        let redrive = Redrive { claims_max: 2, target: QueueName::new("dead")?, ttl };
        let claim = CreateClaim::new(ClaimId::random(), ttl, ttl).limit(limit(8)?).redrive(redrive);
        let claimed = self.drivers.data.claims().claim_create(&self.queue, claim).await?;
        let ids: Vec<_> = claimed.messages.iter().map(|message| message.id).collect();
        let some = self.dice.throw(ids.len() as u64 + 1) as usize;
        let some: Vec<_> = ids.into_iter().take(some).collect();
        if !some.is_empty() {
            self.drivers.data.messages().message_bulk_delete(&self.queue, &some, None).await?;
        }
        Ok(())
    }

    async fn carry_dead_letters(&mut self) -> anyhow::Result<()> {
        let outbox = self.drivers.data.outbox();
        let (lease, ttl) = (LeaseId::random(), Ttl::from_secs(30)?);
        for transfer in outbox.transfer_lease(Some(&self.queue), lease, ttl, limit(5)?).await? {
            outbox.transfer_complete(&transfer).await?;
        }
        Ok(())
    }
}

pub(crate) async fn number(
    file: &mut SqliteConnection,
    text: &'static str,
    of: &QueueRef,
) -> anyhow::Result<i64> {
    let incarnation = i64::try_from(of.incarnation.get())?;
    Ok(sqlx::query(text).bind(incarnation).fetch_one(file).await?.try_get(0)?)
}

#[tokio::test]
async fn what_is_gone_is_counted_once_whatever_made_it_go() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = Arc::new(ManualClock::default());
    let options = OpenOptions::new(Arc::clone(&clock) as Arc<dyn zaqar_core::Clock>);
    let drivers = zaqar_storage_sql::open(&uri(folder.path()), options).await?;
    let mut file = raw(folder.path()).await?;
    let mut seen_most = 0;
    for seed in 0..8 {
        let queue = queue(&drivers, "q").await?;
        let mut world =
            World { drivers: drivers.clone(), clock: Arc::clone(&clock), queue, dice: Dice(seed) };
        for step in 0..60 {
            world.act().await?;
            let living = number(&mut file, LIVING_ROWS, &world.queue).await?;
            let counted = number(&mut file, LIVING_COUNTED, &world.queue).await?;
            assert_eq!(counted, living, "seed {seed}, step {step}");
            seen_most = seen_most.max(living);
        }
    }
    assert!(seen_most > 20, "the queues were never filled: {seen_most}");
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_file_of_the_version_before_is_counted_when_it_is_opened() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let drivers = crate::open(folder.path()).await?;
    let queue = queue(&drivers, "q").await?;
    let messages = drivers.data.messages();
    messages.message_post(&queue, crate::messages(10)?, PostMessages::new()).await?;
    messages.message_purge(&queue).await?;
    messages.message_post(&queue, crate::messages(10)?, PostMessages::new()).await?;
    messages.message_pop(&queue, limit(3)?).await?;
    drivers.data.close().await;
    let mut file = raw(folder.path()).await?;
    for undo in
        ["ALTER TABLE heads DROP COLUMN gone", "DELETE FROM _sqlx_migrations WHERE version = 7"]
    {
        sqlx::query(undo).execute(&mut file).await?;
    }
    file.close().await?;
    let again = crate::open(folder.path()).await?;
    assert_eq!(again.data.messages().message_stats(&queue).await?.total(), 7);
    again.data.close().await;
    Ok(())
}
