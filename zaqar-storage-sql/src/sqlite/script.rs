//! Scripts: statements with their values that can be strung together into one execution.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::step::Statement;

/// A value to be bound.
#[derive(Debug, Clone)]
enum Value {
    Null,
    Integer(i64),
    Text(Arc<str>),
}

/// Statements, parted by semicolons, and the values of their parameters, in order.
///
/// The texts are constants of this crate; parameters are plain `?`, so that scripts can follow each
/// other in one text.
#[derive(Debug, Default)]
pub(crate) struct Script {
    text: String,
    values: Vec<Value>,
}

impl Script {
    /// The script with that text.
    pub(crate) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    pub(crate) fn integer(mut self, value: i64) -> Self {
        self.values.push(Value::Integer(value));
        self
    }

    pub(crate) fn integer_or_null(mut self, value: Option<i64>) -> Self {
        self.values.push(value.map_or(Value::Null, Value::Integer));
        self
    }

    pub(crate) fn text(mut self, value: impl Into<Arc<str>>) -> Self {
        self.values.push(Value::Text(value.into()));
        self
    }

    pub(crate) fn text_or_null(mut self, value: Option<impl Into<Arc<str>>>) -> Self {
        self.values.push(value.map_or(Value::Null, |value| Value::Text(value.into())));
        self
    }

    /// Puts another script behind this one.
    pub(crate) fn append(&mut self, next: Self) {
        if self.text.is_empty() {
            *self = next;
            return;
        }
        self.text.push(';');
        self.text.push_str(&next.text);
        self.values.extend(next.values);
    }

    /// Adds expressions to those of a query.
    pub(crate) fn append_expressions(&mut self, next: Self) {
        if !self.text.is_empty() {
            self.text.push_str(", ");
        }
        self.text.push_str(&next.text);
        self.values.extend(next.values);
    }

    /// Expressions as the last ones of the query that begins so.
    pub(crate) fn behind(mut self, query: &str) -> Self {
        self.text = format!("{query}, {}", self.text);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// How many statements there are: no constant of this crate has a semicolon in a literal.
    pub(crate) fn statements(&self) -> usize {
        self.text.split(';').filter(|statement| !statement.trim().is_empty()).count()
    }

    /// The script as one statement of sqlx, prepared once for each text.
    pub(crate) fn into_statement(self) -> Statement {
        let mut statement = sqlx::query(AssertSqlSafe(self.text));
        for value in self.values {
            statement = match value {
                Value::Null => statement.bind(None::<i64>),
                Value::Integer(value) => statement.bind(value),
                Value::Text(value) => statement.bind(value),
            };
        }
        statement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_follow_each_other_and_know_their_length() {
        let mut script = Script::default();
        assert!(script.is_empty());
        script.append(Script::of("DELETE FROM a WHERE x = ?; DELETE FROM b").integer(1));
        script.append(Script::of("COMMIT"));
        assert_eq!(script.text, "DELETE FROM a WHERE x = ?; DELETE FROM b;COMMIT");
        assert_eq!(script.statements(), 3);
        assert_eq!(script.values.len(), 1);
    }
}
