//! What the modules that all databases share ask of this one.

use async_trait::async_trait;
use zaqar_core::{DriverInfo, Error, Health, ProjectId, Result};

use crate::control::ControlStore;
use crate::dialect::{self, Columns, Counter, Dialect, Shared, Steps, Text};
use crate::error::Failure;
use crate::statement::{self, Value};

use super::driver::Store;
use super::reader::failed;
use super::statement::{self as own, Row};
use super::step::Step;
use super::task::Task;

fn query(statement: statement::Statement) -> own::Statement {
    statement.values.into_iter().fold(own::query(statement.text), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::MaybeText(value) => query.bind(value),
    })
}

impl Columns for Row {
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
        text.sqlite
    }
}

#[async_trait]
impl Steps for Step<'_> {
    type Row = Row;

    async fn rows(&mut self, statement: statement::Statement) -> Result<Vec<Row>, sqlx::Error> {
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
        text.sqlite
    }
}

#[async_trait]
impl ControlStore for Store {
    type Row = Row;

    async fn run<T: dialect::Task>(
        &self,
        project: Option<&ProjectId>,
        task: T,
    ) -> Result<T::Output> {
        Store::run(self, project.cloned(), Shared(task)).await
    }

    async fn rows(
        &self,
        operation: &'static str,
        _project: Option<&ProjectId>,
        select: statement::Statement,
    ) -> Result<Vec<Row>> {
        self.reader.rows(operation, query(select)).await
    }

    fn unreadable(operation: &'static str, error: sqlx::Error) -> Error {
        failed(operation, error)
    }

    fn info(&self) -> DriverInfo {
        self.info.clone()
    }

    async fn control_health(&self) -> Result<Health> {
        self.reader.rows("health", own::query("SELECT 1 FROM queues LIMIT 1")).await?;
        Ok(self.health())
    }

    async fn close(&self) {
        Store::close(self).await;
    }
}
