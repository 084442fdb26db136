//! A connection to the file that runs on the thread of its caller.
//!
//! A batch is a few dozen statements of some microseconds each. On a connection that has a thread of
//! its own, every one of them would wake that thread and then the writer again, which costs more
//! than the statement; here it is a function call. Calls block: only the writer's thread and those
//! that are meant to be blocked make them.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, ToSql};
use sqlx::error::{DatabaseError, ErrorKind};

use super::statement::{Row, Statement, Value};

/// How long to wait for another process that writes to the same file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept by a connection: every text of this crate.
const STATEMENTS_MAX: usize = 256;

/// A connection.
#[derive(Debug)]
pub(crate) struct Engine {
    connection: Connection,
}

impl Engine {
    /// Opens a file that is there, and applies settings, each a pragma.
    pub(crate) fn open(path: &Path, settings: &str) -> Result<Self, sqlx::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(native)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(native)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        connection.execute_batch(settings).map_err(native)?;
        Ok(Self { connection })
    }

    /// A statement, prepared once.
    pub(crate) fn prepare(&self, text: &str) -> Result<CachedStatement<'_>, sqlx::Error> {
        self.connection.prepare_cached(text).map_err(native)
    }

    /// Runs a text and returns all rows of its statements.
    pub(crate) fn rows(&self, statement: &Statement) -> Result<Vec<Row>, sqlx::Error> {
        let (mut rows, mut values) = (Vec::new(), statement.values());
        for part in statement.parts() {
            let mut prepared = self.prepare(part)?;
            values = bind(&mut prepared, values).map_err(native)?;
            let columns = prepared.column_count();
            let mut found = prepared.raw_query();
            while let Some(row) = found.next().map_err(native)? {
                let value = |column| row.get_ref(column).map_err(native).and_then(owned);
                rows.push(Row((0..columns).map(value).collect::<Result<_, _>>()?));
            }
        }
        Ok(rows)
    }

    /// Runs a text for its effect; returns how many rows it changed.
    pub(crate) fn execute(&self, statement: &Statement) -> Result<u64, sqlx::Error> {
        let before = self.connection.total_changes();
        self.rows(statement)?;
        Ok(self.connection.total_changes().saturating_sub(before))
    }

    /// Whether a transaction is open.
    pub(crate) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Lets go of the file.
    pub(crate) fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().map_err(|(_, error)| native(error))
    }
}

/// Binds the parameters of one statement; returns the values that are left for the next. Numbered
/// parameters, `?1` or `$1`, are places in `values`; the others follow each other.
fn bind<'v>(
    statement: &mut CachedStatement<'_>,
    values: &'v [Value],
) -> Result<&'v [Value], rusqlite::Error> {
    let mut taken = 0;
    for index in 1..=statement.parameter_count() {
        let number = statement.parameter_name(index).and_then(|name| name.get(1..)?.parse().ok());
        let place = number.unwrap_or_else(|| {
            taken += 1;
            taken
        });
        let missing = rusqlite::Error::InvalidParameterCount(values.len(), place);
        let value = place.checked_sub(1).and_then(|place| values.get(place)).ok_or(missing)?;
        statement.raw_bind_parameter(index, value)?;
    }
    Ok(values.get(taken..).unwrap_or_default())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

fn owned(value: ValueRef<'_>) -> Result<Value, sqlx::Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Text(_) => Value::Text(text(value)?.into()),
        ValueRef::Blob(value) => Value::Blob(value.to_vec()),
        ValueRef::Real(_) => return Err(crate::error::damaged("number")),
    })
}

/// The text of a column.
pub(crate) fn text(value: ValueRef<'_>) -> Result<&str, sqlx::Error> {
    value.as_str().map_err(|_| crate::error::damaged("text"))
}

/// SQLite's error as everything else in this crate knows errors.
pub(crate) fn native(error: rusqlite::Error) -> sqlx::Error {
    match &error {
        rusqlite::Error::SqliteFailure(native, _) => {
            let code = native.extended_code;
            sqlx::Error::Database(Box::new(Native { code, message: error.to_string() }))
        }
        _ => sqlx::Error::Protocol(error.to_string()),
    }
}

#[derive(Debug)]
struct Native {
    code: i32,
    message: String,
}

impl fmt::Display for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(code: {}) {}", self.code, self.message)
    }
}

impl std::error::Error for Native {}

impl DatabaseError for Native {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::super::statement::query;
    use super::*;

    fn integers(rows: &[Row]) -> Vec<Vec<i64>> {
        let integers = |row: &Row| (0..row.0.len()).map(|at| row.try_get(at).unwrap()).collect();
        rows.iter().map(integers).collect()
    }

    #[test]
    fn values_go_to_the_parameters_of_each_statement_in_turn_or_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        std::fs::File::create(&path).unwrap();
        let engine = Engine::open(&path, "PRAGMA cache_size = -100").unwrap();
        let both = query("SELECT ?, ?; SELECT ?").bind(1).bind(2).bind(3);
        assert_eq!(integers(&engine.rows(&both).unwrap()), [vec![1, 2], vec![3]]);
        let numbered = query("SELECT $2, $1, $2").bind(1).bind(2);
        assert_eq!(integers(&engine.rows(&numbered).unwrap()), [[2, 1, 2]]);
        assert!(engine.rows(&query("SELECT ?, ?").bind(1)).is_err());
    }

    #[test]
    fn changes_are_counted_over_a_whole_text_and_a_refusal_has_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        std::fs::File::create(&path).unwrap();
        let engine = Engine::open(&path, "CREATE TABLE t (x INTEGER PRIMARY KEY) STRICT").unwrap();
        let insert = query("INSERT INTO t VALUES (1), (2); INSERT INTO t VALUES (?)").bind(3);
        assert_eq!(engine.execute(&insert).unwrap(), 3);
        let Err(sqlx::Error::Database(error)) = engine.execute(&insert) else { panic!("taken") };
        assert_eq!(error.code().as_deref(), Some("1555"));
        assert_eq!(engine.execute(&query("SELECT * FROM t")).unwrap(), 0);
        assert!(!engine.in_transaction());
    }
}
