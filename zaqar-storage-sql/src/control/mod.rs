//! The control plane, beside the data plane's tables: small tables, changed in small transactions.

mod catalogue;
mod flavors;
mod pools;
mod queues;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zaqar_core::{
    Capabilities, CatalogueController, ControlDriver, DriverInfo, Error, FlavorController, Health,
    PoolController, ProjectId, QueueController, Result,
};

use crate::capabilities::capabilities;
use crate::dialect::{Columns, Dialect, Task};
use crate::error::damaged;
use crate::statement::Statement;

/// A store that has the control plane's tables.
#[async_trait]
pub(crate) trait ControlStore: Dialect + Debug + Send + Sync + 'static {
    /// A row of an answer.
    type Row: Columns;

    /// Runs a task when it is the project's turn; `None` is the installation's own.
    async fn run<T: Task>(&self, project: Option<&ProjectId>, task: T) -> Result<T::Output>;

    /// Reads rows when it is the project's turn.
    async fn rows(
        &self,
        operation: &'static str,
        project: Option<&ProjectId>,
        select: Statement,
    ) -> Result<Vec<Self::Row>>;

    /// What a caller is told of an answer that cannot be read.
    fn unreadable(operation: &'static str, error: sqlx::Error) -> Error;

    /// Which store it is.
    fn info(&self) -> DriverInfo;

    /// Whether the control plane can be used.
    async fn control_health(&self) -> Result<Health>;

    /// Finishes what was accepted, then lets go of the database.
    async fn close(&self);
}

/// The control plane of a store.
#[derive(Debug)]
pub(crate) struct Control<C> {
    pub(crate) store: Arc<C>,
}

impl<C: ControlStore> Control<C> {
    async fn run<T: Task>(&self, project: Option<&ProjectId>, task: T) -> Result<T::Output> {
        self.store.run(project, task).await
    }

    /// Reads records, each from a row.
    async fn read<T>(
        &self,
        operation: &'static str,
        project: Option<&ProjectId>,
        select: Statement,
        record: impl Fn(&C::Row) -> Result<T, sqlx::Error> + Send,
    ) -> Result<Vec<T>> {
        let rows = self.store.rows(operation, project, select).await?;
        let records: Result<Vec<T>, _> = rows.iter().map(record).collect();
        records.map_err(|error| C::unreadable(operation, error))
    }

    /// Reads the number in the only row of an answer.
    async fn count(
        &self,
        operation: &'static str,
        project: Option<&ProjectId>,
        select: Statement,
    ) -> Result<u64> {
        let counts = self.read(operation, project, select, |row| row.int(0)).await?;
        Ok(counts.first().map_or(0, |count| count.unsigned_abs()))
    }
}

#[async_trait]
impl<C: ControlStore> ControlDriver for Control<C> {
    fn queues(&self) -> &dyn QueueController {
        self
    }

    fn pools(&self) -> &dyn PoolController {
        self
    }

    fn flavors(&self) -> &dyn FlavorController {
        self
    }

    fn catalogue(&self) -> &dyn CatalogueController {
        self
    }

    fn info(&self) -> DriverInfo {
        self.store.info()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.store.control_health().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

/// The stored text of a small JSON value.
fn to_text(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Reads a small JSON value.
fn from_text<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|_| damaged(what))
}
