//! What the modules that all databases share ask of this one.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use zaqar_core::{DriverInfo, Error, Health, ProjectId, Result};

use crate::control::ControlStore;
use crate::dialect::{self, Columns, Counter, Dialect, Shared, Steps, Text};
use crate::error::Failure;
use crate::statement::{self, Value};

use super::driver::Store;
use super::error::failed_without_effect;
use super::step::{Statement, Step};
use super::task::Task;

fn query(statement: statement::Statement) -> Statement {
    statement.values.into_iter().fold(sqlx::query(statement.text), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::MaybeText(value) => query.bind(value),
    })
}

impl Columns for PgRow {
    fn int(&self, column: usize) -> Result<i64, sqlx::Error> {
        self.try_get(column)
    }

    fn flag(&self, column: usize) -> Result<bool, sqlx::Error> {
        self.try_get(column)
    }

    fn text(&self, column: usize) -> Result<&str, sqlx::Error> {
        self.try_get(column)
    }

    fn maybe_text(&self, column: usize) -> Result<Option<&str>, sqlx::Error> {
        self.try_get(column)
    }
}

impl Dialect for Step<'_> {
    fn choose(text: Text) -> &'static str {
        text.postgres
    }
}

#[async_trait]
impl Steps for Step<'_> {
    type Row = PgRow;

    async fn rows(&mut self, statement: statement::Statement) -> Result<Vec<PgRow>, sqlx::Error> {
        Step::rows(self, query(statement)).await
    }

    async fn affect(&mut self, statement: statement::Statement) -> Result<u64, sqlx::Error> {
        self.execute(query(statement)).await
    }

    async fn effect(&mut self, statement: statement::Statement) -> Result<(), sqlx::Error> {
        self.execute(query(statement)).await.map(drop)
    }

    async fn take(&mut self, counter: Counter) -> Result<Option<i64>, sqlx::Error> {
        self.row(query(counter.take)).await?.map(|row| row.try_get(0)).transpose()
    }
}

#[async_trait]
impl<T: dialect::Task> Task for Shared<T> {
    type Output = T::Output;
    const OPERATION: &'static str = T::OPERATION;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<T::Output, Failure> {
        self.0.run(step).await
    }
}

impl Dialect for Store {
    fn choose(text: Text) -> &'static str {
        text.postgres
    }
}

#[async_trait]
impl ControlStore for Store {
    type Row = PgRow;

    async fn run<T: dialect::Task>(
        &self,
        project: Option<&ProjectId>,
        task: T,
    ) -> Result<T::Output> {
        self.server.run(&project.cloned(), Shared(task)).await
    }

    async fn rows(
        &self,
        operation: &'static str,
        project: Option<&ProjectId>,
        select: statement::Statement,
    ) -> Result<Vec<PgRow>> {
        let server = std::sync::Arc::clone(&self.server);
        let work = async move { server.read(operation, query(select)).await };
        self.server.work(&project.cloned(), operation, work).await
    }

    fn unreadable(operation: &'static str, error: sqlx::Error) -> Error {
        failed_without_effect(operation, error)
    }

    fn info(&self) -> DriverInfo {
        self.info.clone()
    }

    async fn control_health(&self) -> Result<Health> {
        self.health().await
    }

    async fn close(&self) {
        Store::close(self).await;
    }
}
