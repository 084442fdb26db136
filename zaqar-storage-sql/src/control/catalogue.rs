//! The catalogue.

use async_trait::async_trait;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Incarnation, Page, PageLimit, PoolName, ProjectId,
    QueueKey, QueueName, QueueRef, Result,
};

use crate::codes::{counter_code, incarnation_code, kind_code, kind_of};
use crate::dialect::{Columns, Steps, Task, Text};
use crate::error::{Failure, damaged};
use crate::statement::statement;

use super::{Control, ControlStore};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT project, kind, name, incarnation, pool, source, epoch FROM catalogue ",
            $rest
        )
    };
}

const SELECT_ONE: &str = select!("WHERE incarnation = $1");

const LOCK_ONE: Text = Text {
    postgres: select!("WHERE incarnation = $1 FOR UPDATE"),
    mysql: select!("WHERE incarnation = $1 FOR UPDATE"),
    sqlite: SELECT_ONE,
};

const LIST_OF_POOL: &str =
    select!("WHERE pool = $1 AND incarnation > $2 ORDER BY incarnation LIMIT $3");
const LIST_MOVING: &str =
    select!("WHERE source IS NOT NULL AND incarnation > $1 ORDER BY incarnation LIMIT $2");

macro_rules! insert {
    ($verb:literal, $or_else:literal) => {
        concat!(
            $verb,
            " INTO catalogue (incarnation, project, kind, name, pool, epoch) \
             VALUES ($1, $2, $3, $4, $5, 0) ",
            $or_else
        )
    };
}

/// Nothing happens where the incarnation is mapped; whoever maps it at the same time is waited for.
const INSERT: Text = Text {
    postgres: insert!("INSERT", "ON CONFLICT (incarnation) DO NOTHING"),
    mysql: insert!("INSERT", "ON DUPLICATE KEY UPDATE incarnation = incarnation"),
    sqlite: insert!("INSERT", "ON CONFLICT (incarnation) DO NOTHING"),
};

fn entry(row: &impl Columns) -> Result<CatalogueEntry, sqlx::Error> {
    let bad = |_| damaged("catalogue entry");
    let project = ProjectId::new(row.text(0)?).map_err(bad)?;
    let name = QueueName::new(row.text(2)?).map_err(bad)?;
    let incarnation = Incarnation::new(row.int(3)?.unsigned_abs()).map_err(bad)?;
    let key = QueueKey { project, kind: kind_of(row.int(1)?), name };
    Ok(CatalogueEntry {
        queue: key.incarnate(incarnation),
        pool: PoolName::new(row.text(4)?).map_err(bad)?,
        source: row.maybe_text(5)?.map(PoolName::new).transpose().map_err(bad)?,
        epoch: row.int(6)?.unsigned_abs(),
    })
}

fn missing(queue: &QueueRef) -> Error {
    let QueueKey { project, name, .. } = &queue.key;
    Error::QueueNotMapped { project: project.clone(), queue: name.clone() }
}

fn moved(known: CatalogueEntry) -> Failure {
    Error::QueueMoved { name: known.queue.key.name, epoch: known.epoch }.into()
}

/// The mapping as it stands, held until the transaction ends.
async fn locked<S: Steps>(step: &mut S, queue: &QueueRef) -> Result<CatalogueEntry, Failure> {
    let lock = statement(S::choose(LOCK_ONE)).bind(incarnation_code(queue.incarnation));
    let row = step.first(lock).await?.ok_or_else(|| missing(queue))?;
    Ok(entry(&row)?)
}

#[derive(Debug)]
struct Put {
    queue: QueueRef,
    pool: PoolName,
}

#[async_trait]
impl Task for Put {
    type Output = ();
    const OPERATION: &'static str = "catalogue_put";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        let QueueRef { key, incarnation, .. } = &self.queue;
        let insert = statement(S::choose(INSERT))
            .bind(incarnation_code(*incarnation))
            .bind(key.project.as_str())
            .bind(kind_code(key.kind))
            .bind(key.name.as_str())
            .bind(self.pool.as_str());
        step.effect(insert).await?;
        let known = locked(step, &self.queue).await?;
        if known.pool == self.pool && known.epoch == 0 { Ok(()) } else { Err(moved(known)) }
    }
}

/// Begins a move, or ends one.
#[derive(Debug)]
struct Move {
    queue: QueueRef,
    /// Where to; `None`: the move ends.
    pool: Option<PoolName>,
    epoch: u64,
}

#[async_trait]
impl Task for Move {
    type Output = ();
    const OPERATION: &'static str = "catalogue_move";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        let known = locked(step, &self.queue).await?;
        let change = match &self.pool {
            Some(_) if known.epoch >= self.epoch || known.source.is_some() => {
                return Err(moved(known));
            }
            None if known.epoch != self.epoch => return Err(moved(known)),
            Some(pool) => statement(
                "UPDATE catalogue SET source = $1, pool = $2, epoch = $3 WHERE incarnation = $4",
            )
            .bind(known.pool.as_str())
            .bind(pool.as_str())
            .bind(counter_code(self.epoch)),
            None => statement("UPDATE catalogue SET source = NULL WHERE incarnation = $1"),
        };
        step.effect(change.bind(incarnation_code(self.queue.incarnation))).await?;
        Ok(())
    }
}

#[derive(Debug)]
struct Delete(QueueRef);

#[async_trait]
impl Task for Delete {
    type Output = ();
    const OPERATION: &'static str = "catalogue_delete";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        let delete = statement("DELETE FROM catalogue WHERE incarnation = $1");
        step.effect(delete.bind(incarnation_code(self.0.incarnation))).await?;
        Ok(())
    }
}

/// The page behind a marker begins above this.
fn above(marker: Option<Incarnation>) -> i64 {
    marker.map_or(0, incarnation_code)
}

fn page(entries: Vec<CatalogueEntry>) -> Page<CatalogueEntry, Incarnation> {
    Page::of(entries, |entry| entry.queue.incarnation)
}

#[async_trait]
impl<C: ControlStore> CatalogueController for Control<C> {
    async fn catalogue_put(&self, queue: &QueueRef, pool: &PoolName) -> Result<()> {
        let put = Put { queue: queue.clone(), pool: pool.clone() };
        self.run(Some(&queue.key.project), put).await
    }

    async fn catalogue_get(&self, queue: &QueueRef) -> Result<CatalogueEntry> {
        let select = statement(SELECT_ONE).bind(incarnation_code(queue.incarnation));
        let found = self.read("catalogue_get", Some(&queue.key.project), select, entry).await?;
        found.into_iter().next().ok_or_else(|| missing(queue))
    }

    async fn catalogue_move(&self, queue: &QueueRef, pool: &PoolName, epoch: u64) -> Result<()> {
        let task = Move { queue: queue.clone(), pool: Some(pool.clone()), epoch };
        self.run(Some(&queue.key.project), task).await
    }

    async fn catalogue_settle(&self, queue: &QueueRef, epoch: u64) -> Result<()> {
        let task = Move { queue: queue.clone(), pool: None, epoch };
        self.run(Some(&queue.key.project), task).await
    }

    async fn catalogue_delete(&self, queue: &QueueRef) -> Result<()> {
        self.run(Some(&queue.key.project), Delete(queue.clone())).await
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        let select = statement(LIST_OF_POOL)
            .bind(pool.as_str())
            .bind(above(marker))
            .bind(i64::from(limit.get()));
        self.read("catalogue_list_by_pool", None, select, entry).await.map(page)
    }

    async fn catalogue_list_moving(
        &self,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        let select = statement(LIST_MOVING).bind(above(marker)).bind(i64::from(limit.get()));
        self.read("catalogue_list_moving", None, select, entry).await.map(page)
    }
}
