//! Statements with their values, and the rows they return.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::damaged;

/// A value that is bound, or that a row holds. The tables are strict and hold nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(Arc<str>),
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A text of one or more statements, parted by semicolons, and the values of their parameters, in
/// order.
///
/// The text is made of constants of this crate and never of anything that came from outside; none
/// of them has a semicolon in a literal.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// Starts a statement.
pub(crate) fn query(text: impl Into<Cow<'static, str>>) -> Statement {
    Statement { text: text.into(), values: Vec::new() }
}

impl Statement {
    /// Adds the value of the next parameter.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The single statements of the text.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.text.split(';').map(str::trim).filter(|part| !part.is_empty())
    }

    /// The values, in the order of their parameters.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }
}

/// A row.
#[derive(Debug)]
pub(crate) struct Row(pub(crate) Vec<Value>);

impl Row {
    /// The value of a column.
    pub(crate) fn try_get<'r, T: FromValue<'r>>(&'r self, column: usize) -> Result<T, sqlx::Error> {
        let missing = sqlx::Error::ColumnIndexOutOfBounds { index: column, len: self.0.len() };
        T::from_value(self.0.get(column).ok_or(missing)?).ok_or_else(|| damaged("value"))
    }
}

/// What a column's value can be read as; `None` if it is of another type.
pub(crate) trait FromValue<'r>: Sized {
    fn from_value(value: &'r Value) -> Option<Self>;
}

impl FromValue<'_> for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromValue<'_> for bool {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(|value| value != 0)
    }
}

impl<'r> FromValue<'r> for &'r str {
    fn from_value(value: &'r Value) -> Option<Self> {
        match value {
            Value::Text(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue<'_> for String {
    fn from_value(value: &Value) -> Option<Self> {
        <&str>::from_value(value).map(str::to_owned)
    }
}

impl<'r> FromValue<'r> for &'r [u8] {
    fn from_value(value: &'r Value) -> Option<Self> {
        match value {
            Value::Blob(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue<'_> for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        <&[u8]>::from_value(value).map(<[u8]>::to_vec)
    }
}

impl<'r, T: FromValue<'r>> FromValue<'r> for Option<T> {
    fn from_value(value: &'r Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_apart_at_its_semicolons() {
        let statement = query("DELETE FROM a WHERE x = ?; DELETE FROM b;").bind(1);
        assert_eq!(
            statement.parts().collect::<Vec<_>>(),
            ["DELETE FROM a WHERE x = ?", "DELETE FROM b"]
        );
        assert_eq!(statement.values(), [Value::Integer(1)]);
    }

    #[test]
    fn a_value_is_read_as_what_it_is_and_as_nothing_else() {
        let row = Row(vec![Value::Integer(7), Value::Null, "x".into(), vec![1_u8].into()]);
        assert_eq!(row.try_get::<i64>(0).unwrap(), 7);
        assert!(row.try_get::<bool>(0).unwrap());
        assert_eq!(row.try_get::<Option<&str>>(1).unwrap(), None);
        assert_eq!(row.try_get::<Option<String>>(2).unwrap().as_deref(), Some("x"));
        assert_eq!(row.try_get::<&[u8]>(3).unwrap(), [1]);
        assert!(row.try_get::<&str>(0).is_err() && row.try_get::<i64>(1).is_err());
        assert!(row.try_get::<i64>(4).is_err());
    }
}
