//! The catalogue: which pool a queue lives in.

use async_trait::async_trait;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Incarnation, Page, PageLimit, PoolName, QueueRef,
    Result,
};

use crate::node::Node;
use crate::record::{Key, Mapping, Record};
use crate::state::{State, moved};

#[async_trait]
impl CatalogueController for Node {
    async fn catalogue_put(&self, queue: &QueueRef, pool: &PoolName) -> Result<()> {
        self.step("catalogue_put", |state, _| {
            let (key, pool) = (Key::from(&queue.key), pool.clone());
            let new = Mapping { key, pool, source: None, epoch: 0 };
            match state.catalogue.get(&queue.incarnation) {
                None => Ok((vec![Record::Mapping(queue.incarnation, Some(new))], ())),
                Some(known) if *known == new => Ok((Vec::new(), ())),
                Some(known) => Err(moved(queue, known.epoch)),
            }
        })
        .await
    }

    async fn catalogue_get(&self, queue: &QueueRef) -> Result<CatalogueEntry> {
        self.read("catalogue_get", |state, _| Ok(find(state, queue)?.show(queue.incarnation))).await
    }

    async fn catalogue_move(&self, queue: &QueueRef, pool: &PoolName, epoch: u64) -> Result<()> {
        self.step("catalogue_move", |state, _| {
            let old = find(state, queue)?;
            if epoch <= old.epoch || old.source.is_some() {
                return Err(moved(queue, old.epoch));
            }
            let (key, source) = (old.key.clone(), Some(old.pool.clone()));
            let new = Mapping { key, pool: pool.clone(), source, epoch };
            Ok((vec![Record::Mapping(queue.incarnation, Some(new))], ()))
        })
        .await
    }

    async fn catalogue_settle(&self, queue: &QueueRef, epoch: u64) -> Result<()> {
        self.step("catalogue_settle", |state, _| {
            let old = find(state, queue)?;
            if epoch != old.epoch {
                return Err(moved(queue, old.epoch));
            }
            let new = Mapping { source: None, ..old.clone() };
            Ok((vec![Record::Mapping(queue.incarnation, Some(new))], ()))
        })
        .await
    }

    async fn catalogue_delete(&self, queue: &QueueRef) -> Result<()> {
        self.step("catalogue_delete", |_, _| {
            Ok((vec![Record::Mapping(queue.incarnation, None)], ()))
        })
        .await
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        self.read("catalogue_list_by_pool", |state, _| {
            Ok(page(state, marker, limit, |mapping| mapping.pool == *pool))
        })
        .await
    }

    async fn catalogue_list_moving(
        &self,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        self.read("catalogue_list_moving", |state, _| {
            Ok(page(state, marker, limit, |mapping| mapping.source.is_some()))
        })
        .await
    }
}

impl Mapping {
    fn show(&self, incarnation: Incarnation) -> CatalogueEntry {
        CatalogueEntry {
            queue: zaqar_core::QueueKey::from(&self.key).incarnate(incarnation),
            pool: self.pool.clone(),
            source: self.source.clone(),
            epoch: self.epoch,
        }
    }
}

fn find<'s>(state: &'s State, queue: &QueueRef) -> Result<&'s Mapping> {
    state.catalogue.get(&queue.incarnation).ok_or_else(|| Error::QueueNotMapped {
        project: queue.key.project.clone(),
        queue: queue.key.name.clone(),
    })
}

/// The next mappings that are wanted, ascending by incarnation.
fn page(
    state: &State,
    marker: Option<Incarnation>,
    limit: PageLimit,
    wanted: impl Fn(&Mapping) -> bool,
) -> Page<CatalogueEntry, Incarnation> {
    let mappings = state.catalogue.iter();
    let after = mappings.filter(|(at, _)| marker.is_none_or(|marker| **at > marker));
    let items = after.filter(|(_, mapping)| wanted(mapping)).take(limit.as_usize());
    let items = items.map(|(incarnation, mapping)| mapping.show(*incarnation)).collect();
    Page::of(items, |entry: &CatalogueEntry| entry.queue.incarnation)
}
