//! The catalogue.

use async_trait::async_trait;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Page, PageLimit, PoolName, ProjectId, QueueKey,
    QueueName, Result,
};

use super::driver::ReferenceControl;
use super::state::State;

#[async_trait]
impl CatalogueController for ReferenceControl {
    async fn catalogue_put(&self, entry: CatalogueEntry) -> Result<()> {
        self.step("catalogue_put", |state| {
            state.catalogue.insert(entry.key.clone(), entry);
            Ok(())
        })
        .await
    }

    async fn catalogue_get(&self, key: &QueueKey) -> Result<CatalogueEntry> {
        self.step("catalogue_get", |state| {
            state.catalogue.get(key).cloned().ok_or_else(|| unmapped(key))
        })
        .await
    }

    async fn catalogue_move(&self, key: &QueueKey, pool: &PoolName, epoch: u64) -> Result<()> {
        self.step("catalogue_move", |state| {
            let entry = state.catalogue.get_mut(key).ok_or_else(|| unmapped(key))?;
            if epoch <= entry.epoch {
                return Err(Error::QueueMoved { name: key.name.clone(), epoch: entry.epoch });
            }
            entry.pool = pool.clone();
            entry.epoch = epoch;
            Ok(())
        })
        .await
    }

    async fn catalogue_delete(&self, key: &QueueKey) -> Result<()> {
        self.step("catalogue_delete", |state| {
            state.catalogue.remove(key);
            Ok(())
        })
        .await
    }

    async fn catalogue_list(
        &self,
        project: &ProjectId,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        self.step("catalogue_list", |state| {
            Ok(page(state, marker, limit, |entry| entry.key.project == *project))
        })
        .await
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        self.step("catalogue_list_by_pool", |state| {
            Ok(page(state, marker, limit, |entry| entry.pool == *pool))
        })
        .await
    }

    async fn catalogue_count(&self, project: &ProjectId, queue: &QueueName) -> Result<u64> {
        self.step("catalogue_count", |state| {
            let named = |key: &&QueueKey| key.project == *project && key.name == *queue;
            Ok(u64::try_from(state.catalogue.keys().filter(named).count()).unwrap_or(u64::MAX))
        })
        .await
    }

    async fn catalogue_delete_all(&self) -> Result<()> {
        self.step("catalogue_delete_all", |state| {
            state.catalogue.clear();
            Ok(())
        })
        .await
    }
}

fn unmapped(key: &QueueKey) -> Error {
    Error::QueueNotMapped { project: key.project.clone(), queue: key.name.clone() }
}

/// The next mappings that are wanted, in the order of project, kind and name.
fn page(
    state: &State,
    marker: Option<&QueueKey>,
    limit: PageLimit,
    wanted: impl Fn(&CatalogueEntry) -> bool,
) -> Page<CatalogueEntry, QueueKey> {
    let entries = state.catalogue.values();
    let after = entries.filter(|entry| marker.is_none_or(|marker| entry.key > *marker));
    let items = after.filter(|entry| wanted(entry)).take(limit.as_usize()).cloned().collect();
    Page::of(items, |entry: &CatalogueEntry| entry.key.clone())
}
