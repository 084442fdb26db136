//! The catalogue.

use async_trait::async_trait;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Page, PageLimit, PoolName, ProjectId, QueueKey,
    QueueKind, QueueName, Result,
};

use crate::codec::NUMBER_MAX;
use crate::driver::RedisControl;
use crate::keys::{Place, kind_code, sortable};
use crate::registry::{CATALOGUE_DELETE, CATALOGUE_LIST, CATALOGUE_PUT};
use crate::store::out_of_range;

use super::flavors::bound;
use super::queues::key_of;

/// There is no such mapping.
const MISSING: i64 = 6;
/// Its epoch is not lower.
const MOVED: i64 = 2;

fn place() -> Place {
    Place::global("catalogue")
}

fn missing(key: &QueueKey) -> Error {
    Error::QueueNotMapped { project: key.project.clone(), queue: key.name.clone() }
}

/// What a mapping is filed under: project, kind and name, in this order.
fn member_of(key: &QueueKey) -> Vec<u8> {
    let mut member = sortable(key.project.as_str());
    member.extend(format!("{}{}", kind_code(key.kind), key.name).bytes());
    member
}

/// A range of one of the two indexes.
struct Range {
    index: &'static str,
    /// What all members of the range begin with that is no part of the mapping's own.
    tag: Vec<u8>,
    from: Vec<u8>,
    to: Vec<u8>,
    limit: u32,
}

impl RedisControl {
    async fn put_entry(&self, entry: CatalogueEntry, moving: bool) -> Result<()> {
        if entry.epoch > NUMBER_MAX {
            return Err(out_of_range("epoch"));
        }
        let key = entry.key.clone();
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(member_of(&entry.key)).arg(sortable(entry.pool.as_str()));
            command.arg(entry.pool.as_str()).arg(entry.epoch).arg(u8::from(moving));
        };
        let project = Some(&key.project);
        let operation = if moving { "catalogue_move" } else { "catalogue_put" };
        let mut answer =
            self.change(operation, &CATALOGUE_PUT, place(), project, arguments).await?;
        match answer.code {
            MISSING => Err(missing(&key)),
            MOVED => {
                let epoch = answer.reply.number("catalogue entry")?;
                Err(Error::QueueMoved { name: key.name, epoch })
            }
            _ => answer.plain().map(drop),
        }
    }

    async fn drop_entry(&self, member: Vec<u8>) -> Result<()> {
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(&member);
        };
        let operation = "catalogue_delete";
        let script = &CATALOGUE_DELETE;
        self.change(operation, script, place(), None, arguments).await?.plain().map(drop)
    }

    async fn read_entries(
        &self,
        operation: &'static str,
        range: Range,
    ) -> Result<Vec<CatalogueEntry>> {
        let arguments = |command: &mut redis::Cmd| {
            let Range { index, tag, from, to, limit } = &range;
            command.arg(index).arg(from).arg(to).arg(limit).arg(tag.len());
        };
        let answer = self.look(operation, &CATALOGUE_LIST, place(), arguments).await?;
        let mut reply = answer.plain()?;
        let mut entries = Vec::new();
        let what = "catalogue entry";
        while !reply.is_empty() {
            let member = reply.bytes(what)?;
            let pool = reply.text(what)?;
            let epoch = reply.number(what)?;
            let key = key_of(&member).ok_or_else(|| reply.damaged(what))?;
            let pool = PoolName::new(pool).map_err(|_| reply.damaged(what))?;
            entries.push(CatalogueEntry { key, pool, epoch });
        }
        Ok(entries)
    }

    async fn find_entry(&self, key: &QueueKey) -> Result<Option<CatalogueEntry>> {
        let member = bound(b'[', &member_of(key), false);
        let range =
            Range { index: "project", tag: Vec::new(), from: member.clone(), to: member, limit: 1 };
        Ok(self.read_entries("catalogue_get", range).await?.into_iter().next())
    }
}

#[async_trait]
impl CatalogueController for RedisControl {
    async fn catalogue_put(&self, entry: CatalogueEntry) -> Result<()> {
        self.put_entry(entry, false).await
    }

    async fn catalogue_get(&self, key: &QueueKey) -> Result<CatalogueEntry> {
        self.find_entry(key).await?.ok_or_else(|| missing(key))
    }

    async fn catalogue_move(&self, key: &QueueKey, pool: &PoolName, epoch: u64) -> Result<()> {
        let entry = CatalogueEntry { key: key.clone(), pool: pool.clone(), epoch };
        self.put_entry(entry, true).await
    }

    async fn catalogue_delete(&self, key: &QueueKey) -> Result<()> {
        self.drop_entry(member_of(key)).await
    }

    async fn catalogue_list(
        &self,
        project: &ProjectId,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        let all = sortable(project.as_str());
        // Only kind and name of the marker count: the project is the one that is listed.
        let from = marker.map_or_else(
            || all.clone(),
            |marker| member_of(&QueueKey { project: project.clone(), ..marker.clone() }),
        );
        let range = Range {
            index: "project",
            tag: Vec::new(),
            from: bound(b'(', &from, false),
            to: bound(b'(', &all, true),
            limit: limit.get(),
        };
        let entries = self.read_entries("catalogue_list", range).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        let tag = sortable(pool.as_str());
        let mut from = tag.clone();
        from.extend(marker.map(member_of).unwrap_or_default());
        let range = Range {
            index: "pool",
            from: bound(b'(', &from, false),
            to: bound(b'(', &tag, true),
            tag,
            limit: limit.get(),
        };
        let entries = self.read_entries("catalogue_list_by_pool", range).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_count(&self, project: &ProjectId, queue: &QueueName) -> Result<u64> {
        let mut count = 0;
        for kind in [QueueKind::Queue, QueueKind::Topic] {
            let key = QueueKey { project: project.clone(), kind, name: queue.clone() };
            count += u64::from(self.find_entry(&key).await?.is_some());
        }
        Ok(count)
    }

    async fn catalogue_delete_all(&self) -> Result<()> {
        self.drop_entry(Vec::new()).await
    }
}
