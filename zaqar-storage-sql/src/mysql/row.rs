//! Rows, read by what a column is to us: the server sends names and bodies as bytes, and numbers of
//! several widths.

use sqlx::Row as _;
use sqlx::mysql::MySqlRow;

use crate::error::damaged;

/// A row of an answer.
pub(crate) struct SqlRow(MySqlRow);

/// What can be read from a column.
pub(crate) trait Column<'r>: Sized {
    /// Reads it.
    fn read(row: &'r MySqlRow, column: usize) -> Result<Self, sqlx::Error>;
}

impl SqlRow {
    /// Reads a column.
    pub(crate) fn try_get<'r, T: Column<'r>>(&'r self, column: usize) -> Result<T, sqlx::Error> {
        T::read(&self.0, column)
    }
}

impl From<MySqlRow> for SqlRow {
    fn from(row: MySqlRow) -> Self {
        Self(row)
    }
}

impl<'r> Column<'r> for Option<i64> {
    fn read(row: &'r MySqlRow, column: usize) -> Result<Self, sqlx::Error> {
        // Unchecked: an expression may be of another width than the column in it.
        row.try_get_unchecked(column)
    }
}

impl<'r> Column<'r> for Option<&'r [u8]> {
    fn read(row: &'r MySqlRow, column: usize) -> Result<Self, sqlx::Error> {
        row.try_get_unchecked(column)
    }
}

impl<'r> Column<'r> for Option<&'r str> {
    fn read(row: &'r MySqlRow, column: usize) -> Result<Self, sqlx::Error> {
        let bytes: Option<&[u8]> = row.try_get_unchecked(column)?;
        bytes.map(std::str::from_utf8).transpose().map_err(|_| damaged("text"))
    }
}

impl<'r> Column<'r> for Option<String> {
    fn read(row: &'r MySqlRow, column: usize) -> Result<Self, sqlx::Error> {
        Ok(<Option<&str>>::read(row, column)?.map(ToOwned::to_owned))
    }
}

impl<'r> Column<'r> for Option<Vec<u8>> {
    fn read(row: &'r MySqlRow, column: usize) -> Result<Self, sqlx::Error> {
        Ok(<Option<&[u8]>>::read(row, column)?.map(ToOwned::to_owned))
    }
}

/// A column that is never `NULL`.
macro_rules! not_null {
    ($($type:ty),+) => {
        $(impl<'r> Column<'r> for $type {
            fn read(row: &'r MySqlRow, column: usize) -> Result<Self, sqlx::Error> {
                <Option<Self>>::read(row, column)?.ok_or_else(|| damaged("value (it is missing)"))
            }
        })+
    };
}

not_null!(i64, &'r [u8], &'r str, String, Vec<u8>);

impl<'r> Column<'r> for bool {
    fn read(row: &'r MySqlRow, column: usize) -> Result<Self, sqlx::Error> {
        Ok(i64::read(row, column)? != 0)
    }
}
