//! What the modules that all databases share ask of this one.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{DriverInfo, Error, Health, ProjectId, Result};

use crate::control::ControlStore;
use crate::dialect::{self, Columns, Counter, Dialect, Shared, Steps, Text};
use crate::error::Failure;
use crate::statement::{Statement, Value};

use super::driver::Store;
use super::error::failed_without_effect;
use super::row::SqlRow;
use super::sql::{self, Sql, sql};
use super::step::Step;
use super::task::Task;

impl From<Statement> for Sql {
    fn from(statement: Statement) -> Self {
        statement.values.into_iter().fold(sql(statement.text), Self::bind)
    }
}

impl From<Value> for sql::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Int(value) => value.into(),
            Value::Text(value) => value.into(),
            Value::MaybeText(value) => value.into(),
        }
    }
}

impl Columns for SqlRow {
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
        text.mysql
    }
}

#[async_trait]
impl Steps for Step<'_> {
    type Row = SqlRow;

    async fn rows(&mut self, statement: Statement) -> Result<Vec<SqlRow>, sqlx::Error> {
        Step::rows(self, statement.into()).await
    }

    async fn affect(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        self.execute(statement.into()).await
    }

    async fn effect(&mut self, statement: Statement) -> Result<(), sqlx::Error> {
        self.later(statement.into())
    }

    async fn take(&mut self, counter: Counter) -> Result<Option<i64>, sqlx::Error> {
        // Both in one round trip.
        self.later(counter.count.into())?;
        self.row(counter.look.into()).await?.map(|row| row.try_get(0)).transpose()
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
        text.mysql
    }
}

#[async_trait]
impl ControlStore for Store {
    type Row = SqlRow;

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
        select: Statement,
    ) -> Result<Vec<SqlRow>> {
        let server = Arc::clone(&self.server);
        let work = async move { server.read(operation, select.into()).await };
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
