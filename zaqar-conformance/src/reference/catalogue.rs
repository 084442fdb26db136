//! The catalogue.

use async_trait::async_trait;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Incarnation, Page, PageLimit, PoolName, QueueRef,
    Result,
};

use super::driver::ReferenceControl;
use super::state::State;

#[async_trait]
impl CatalogueController for ReferenceControl {
    async fn catalogue_put(&self, queue: &QueueRef, pool: &PoolName) -> Result<()> {
        self.step("catalogue_put", |state| {
            let (queue, pool) = (queue.clone(), pool.clone());
            let new = CatalogueEntry { queue, pool, source: None, epoch: 0 };
            let known = state.catalogue.entry(new.queue.incarnation).or_insert_with(|| new.clone());
            if *known == new { Ok(()) } else { Err(moved(known)) }
        })
        .await
    }

    async fn catalogue_get(&self, queue: &QueueRef) -> Result<CatalogueEntry> {
        self.step("catalogue_get", |state| entry(state, queue).cloned()).await
    }

    async fn catalogue_move(&self, queue: &QueueRef, pool: &PoolName, epoch: u64) -> Result<()> {
        self.step("catalogue_move", |state| {
            let entry = entry(state, queue)?;
            if epoch <= entry.epoch || entry.source.is_some() {
                return Err(moved(entry));
            }
            entry.source = Some(std::mem::replace(&mut entry.pool, pool.clone()));
            entry.epoch = epoch;
            Ok(())
        })
        .await
    }

    async fn catalogue_settle(&self, queue: &QueueRef, epoch: u64) -> Result<()> {
        self.step("catalogue_settle", |state| {
            let entry = entry(state, queue)?;
            if epoch != entry.epoch {
                return Err(moved(entry));
            }
            entry.source = None;
            Ok(())
        })
        .await
    }

    async fn catalogue_delete(&self, queue: &QueueRef) -> Result<()> {
        self.step("catalogue_delete", |state| {
            state.catalogue.remove(&queue.incarnation);
            Ok(())
        })
        .await
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        self.step("catalogue_list_by_pool", |state| {
            Ok(page(state, marker, limit, |entry| entry.pool == *pool))
        })
        .await
    }

    async fn catalogue_list_moving(
        &self,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        self.step("catalogue_list_moving", |state| {
            Ok(page(state, marker, limit, |entry| entry.source.is_some()))
        })
        .await
    }
}

fn entry<'s>(state: &'s mut State, queue: &QueueRef) -> Result<&'s mut CatalogueEntry> {
    state.catalogue.get_mut(&queue.incarnation).ok_or_else(|| Error::QueueNotMapped {
        project: queue.key.project.clone(),
        queue: queue.key.name.clone(),
    })
}

fn moved(entry: &CatalogueEntry) -> Error {
    Error::QueueMoved { name: entry.queue.key.name.clone(), epoch: entry.epoch }
}

/// The next mappings that are wanted, ascending by incarnation.
fn page(
    state: &State,
    marker: Option<Incarnation>,
    limit: PageLimit,
    wanted: impl Fn(&CatalogueEntry) -> bool,
) -> Page<CatalogueEntry, Incarnation> {
    let entries = state.catalogue.values();
    let after = entries.filter(|entry| marker.is_none_or(|last| entry.queue.incarnation > last));
    let items = after.filter(|entry| wanted(entry)).take(limit.as_usize()).cloned().collect();
    Page::of(items, |entry: &CatalogueEntry| entry.queue.incarnation)
}
