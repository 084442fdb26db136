//! The catalogue.

use async_trait::async_trait;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Incarnation, Page, PageLimit, PoolName, QueueKey,
    QueueRef, Result,
};

use crate::codec::{NUMBER_MAX, Reply};
use crate::driver::RedisControl;
use crate::keys::{Place, sortable};
use crate::registry::{CATALOGUE_CHANGE, CATALOGUE_DELETE, CATALOGUE_LIST};
use crate::store::out_of_range;

use super::flavors::bound;
use super::queues::{key_of, member_of};

/// There is no such mapping.
const MISSING: i64 = 6;
/// It is mapped otherwise.
const MOVED: i64 = 2;

fn place() -> Place {
    Place::global("catalogue")
}

fn missing(queue: &QueueRef) -> Error {
    let QueueKey { project, name, .. } = &queue.key;
    Error::QueueNotMapped { project: project.clone(), queue: name.clone() }
}

/// What a mapping is filed under: digits that sort as their number.
fn number_of(incarnation: Incarnation) -> String {
    incarnation.to_string()
}

/// A change of one mapping.
#[derive(Debug, Clone, Copy)]
enum Change {
    Put,
    Move,
    Settle,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Move => "move",
            Self::Settle => "settle",
        }
    }

    fn operation(self) -> &'static str {
        match self {
            Self::Put => "catalogue_put",
            Self::Move => "catalogue_move",
            Self::Settle => "catalogue_settle",
        }
    }
}

/// A range of one of the two indexes.
struct Range {
    index: &'static str,
    /// What all members of the range begin with that is no part of the mapping's own.
    tag: Vec<u8>,
    after: Option<Incarnation>,
    limit: PageLimit,
}

fn read_entry(reply: &mut Reply) -> Result<CatalogueEntry> {
    let what = "catalogue entry";
    let number = reply.text(what)?;
    let pool = reply.text(what)?;
    let epoch = reply.number(what)?;
    let key = reply.bytes(what)?;
    let source = reply.text(what)?;
    let number = u64::from_str_radix(&number, 16).map_err(|_| reply.damaged(what))?;
    let incarnation = Incarnation::new(number).map_err(|_| reply.damaged(what))?;
    let key = key_of(&key).ok_or_else(|| reply.damaged(what))?;
    let source = (!source.is_empty()).then(|| PoolName::new(source)).transpose();
    Ok(CatalogueEntry {
        queue: key.incarnate(incarnation),
        pool: PoolName::new(pool).map_err(|_| reply.damaged(what))?,
        source: source.map_err(|_| reply.damaged(what))?,
        epoch,
    })
}

fn read_entries(mut reply: Reply) -> Result<Vec<CatalogueEntry>> {
    let mut entries = Vec::new();
    while !reply.is_empty() {
        entries.push(read_entry(&mut reply)?);
    }
    Ok(entries)
}

impl RedisControl {
    async fn change_entry(
        &self,
        change: Change,
        queue: &QueueRef,
        pool: Option<&PoolName>,
        epoch: u64,
    ) -> Result<()> {
        if epoch > NUMBER_MAX {
            return Err(out_of_range("epoch"));
        }
        let (number, member) = (number_of(queue.incarnation), member_of(&queue.key));
        let pool = pool.map_or_else(String::new, ToString::to_string);
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(&number).arg(change.word()).arg(epoch);
            command.arg(sortable(&pool)).arg(&pool).arg(&member);
        };
        let (operation, project) = (change.operation(), Some(&queue.key.project));
        let mut answer =
            self.change(operation, &CATALOGUE_CHANGE, place(), project, arguments).await?;
        match answer.code {
            MISSING => Err(missing(queue)),
            MOVED => {
                let epoch = answer.reply.number("catalogue entry")?;
                Err(Error::QueueMoved { name: queue.key.name.clone(), epoch })
            }
            _ => answer.plain().map(drop),
        }
    }

    async fn list_entries(
        &self,
        operation: &'static str,
        range: Range,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        let arguments = |command: &mut redis::Cmd| {
            let mut from = range.tag.clone();
            from.extend(range.after.map(number_of).unwrap_or_default().bytes());
            command.arg(range.index).arg(bound(b'(', &from, false));
            command.arg(bound(b'(', &range.tag, true)).arg(range.limit.get()).arg(range.tag.len());
        };
        let answer = self.look(operation, &CATALOGUE_LIST, place(), arguments).await?;
        Ok(Page::of(read_entries(answer.plain()?)?, |entry| entry.queue.incarnation))
    }
}

#[async_trait]
impl CatalogueController for RedisControl {
    async fn catalogue_put(&self, queue: &QueueRef, pool: &PoolName) -> Result<()> {
        self.change_entry(Change::Put, queue, Some(pool), 0).await
    }

    async fn catalogue_get(&self, queue: &QueueRef) -> Result<CatalogueEntry> {
        let number = number_of(queue.incarnation);
        let arguments = |command: &mut redis::Cmd| {
            command.arg("one").arg(&number).arg("").arg(1).arg(0);
        };
        let answer = self.look("catalogue_get", &CATALOGUE_LIST, place(), arguments).await?;
        read_entries(answer.plain()?)?.into_iter().next().ok_or_else(|| missing(queue))
    }

    async fn catalogue_move(&self, queue: &QueueRef, pool: &PoolName, epoch: u64) -> Result<()> {
        self.change_entry(Change::Move, queue, Some(pool), epoch).await
    }

    async fn catalogue_settle(&self, queue: &QueueRef, epoch: u64) -> Result<()> {
        self.change_entry(Change::Settle, queue, None, epoch).await
    }

    async fn catalogue_delete(&self, queue: &QueueRef) -> Result<()> {
        let number = number_of(queue.incarnation);
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(&number);
        };
        let project = Some(&queue.key.project);
        let operation = "catalogue_delete";
        let script = &CATALOGUE_DELETE;
        self.change(operation, script, place(), project, arguments).await?.plain().map(drop)
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        let tag = sortable(pool.as_str());
        let range = Range { index: "pool", tag, after: marker, limit };
        self.list_entries("catalogue_list_by_pool", range).await
    }

    async fn catalogue_list_moving(
        &self,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        let range = Range { index: "moving", tag: Vec::new(), after: marker, limit };
        self.list_entries("catalogue_list_moving", range).await
    }
}
