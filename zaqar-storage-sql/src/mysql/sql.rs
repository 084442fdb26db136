//! Statements as text: several of them go to the server in one round trip.
//!
//! MySQL's protocol sends a text of many statements at once, and a prepared statement only alone.
//! A claim of one statement for each round trip would cost five. So the driver writes texts, and a
//! value in them is an integer in digits or bytes in hexadecimal (`x'..'`), which no mode of the
//! server and no character set reads as anything else. Only the rows of posts, with their bodies,
//! are bound to prepared statements (see [`super::inserts`]).

use std::fmt::Write as _;

/// A value in a statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    /// A variable of the session.
    Variable(&'static str),
    Int(i64),
    Bytes(Vec<u8>),
    /// For `IN (..)`; no value is in an empty one.
    Ints(Vec<i64>),
    /// For `IN (..)`.
    Texts(Vec<Vec<u8>>),
}

/// A statement whose text names its values `$1`, `$2` and so on, each as often as it likes.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    text: &'static str,
    values: Vec<Value>,
}

/// A statement without values.
pub(crate) fn sql(text: &'static str) -> Sql {
    Sql { text, values: Vec::new() }
}

impl Sql {
    /// Adds the next value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Whether it changes rows: `SELECT .. INTO` counts what it assigns as changed.
    fn changes(&self) -> bool {
        !["SELECT", "SET", "START", "COMMIT"].iter().any(|word| self.text.starts_with(word))
    }

    /// Writes the statement with its values.
    fn write(&self, into: &mut String) -> Result<(), sqlx::Error> {
        let mut parts = self.text.split('$');
        into.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at_checked(digits).unwrap_or((part, ""));
            let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            let value = place.and_then(|place| self.values.get(place)).ok_or_else(|| {
                sqlx::Error::Encode(format!("no value for ${number} of a statement").into())
            })?;
            value.write(into);
            into.push_str(rest);
        }
        Ok(())
    }
}

impl Value {
    fn write(&self, into: &mut String) {
        match self {
            Self::Null => into.push_str("NULL"),
            Self::Variable(name) => into.push_str(name),
            Self::Int(value) => write_int(*value, into),
            Self::Bytes(bytes) => write_bytes(bytes, into),
            Self::Ints(values) => write_list(values, |value, into| write_int(*value, into), into),
            Self::Texts(values) => write_list(values, |value, into| write_bytes(value, into), into),
        }
    }
}

fn write_int(value: i64, into: &mut String) {
    // Writing to a string does not fail.
    write!(into, "{value}").unwrap_or_default();
}

fn write_bytes(bytes: &[u8], into: &mut String) {
    into.reserve(2 * bytes.len() + 3);
    into.push_str("x'");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0xf] {
            into.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    into.push('\'');
}

fn write_list<T>(values: &[T], write: impl Fn(&T, &mut String), into: &mut String) {
    if values.is_empty() {
        into.push_str("NULL");
    }
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            into.push(',');
        }
        write(value, into);
    }
}

/// Statements for one round trip.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    text: String,
    /// For each statement, whether it changes rows.
    changes: Vec<bool>,
}

impl Script {
    /// A script without statements.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The statements of a list.
    pub(crate) fn of(statements: impl IntoIterator<Item = Sql>) -> Result<Self, sqlx::Error> {
        let mut script = Self::new();
        for statement in statements {
            script.add(&statement)?;
        }
        Ok(script)
    }

    /// Adds a statement at the end.
    pub(crate) fn add(&mut self, statement: &Sql) -> Result<(), sqlx::Error> {
        if !self.is_empty() {
            self.text.push_str("; ");
        }
        statement.write(&mut self.text)?;
        self.changes.push(statement.changes());
        Ok(())
    }

    /// Adds an insertion of rows at the end: `insert` is its text up to them.
    pub(crate) fn add_rows(
        &mut self,
        insert: &'static str,
        rows: impl Iterator<Item = Vec<Value>>,
    ) {
        if !self.is_empty() {
            self.text.push_str("; ");
        }
        self.text.push_str(insert);
        for (place, row) in rows.enumerate() {
            self.text.push_str(if place > 0 { ",(" } else { "(" });
            write_list(&row, Value::write, &mut self.text);
            self.text.push(')');
        }
        self.changes.push(true);
    }

    /// Adds the statements of another script at the end.
    pub(crate) fn append(&mut self, other: &Self) {
        if !self.is_empty() && !other.is_empty() {
            self.text.push_str("; ");
        }
        self.text.push_str(&other.text);
        self.changes.extend_from_slice(&other.changes);
    }

    /// How many statements it has.
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it has no statement.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The text, and for each statement whether it changes rows.
    pub(crate) fn into_parts(self) -> (String, Vec<bool>) {
        (self.text, self.changes)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Bytes(value.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Bytes(value.into_bytes())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::from(value.as_str())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<Vec<i64>> for Value {
    fn from(values: Vec<i64>) -> Self {
        Self::Ints(values)
    }
}

impl From<&[i64]> for Value {
    fn from(values: &[i64]) -> Self {
        Self::Ints(values.to_vec())
    }
}

impl From<Vec<String>> for Value {
    fn from(values: Vec<String>) -> Self {
        Self::Texts(values.into_iter().map(String::into_bytes).collect())
    }
}

impl From<Vec<Vec<u8>>> for Value {
    fn from(values: Vec<Vec<u8>>) -> Self {
        Self::Texts(values)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(statements: Vec<Sql>) -> String {
        Script::of(statements).unwrap().into_parts().0
    }

    #[test]
    fn values_are_digits_and_hexadecimal_whatever_they_hold() {
        let statement = sql("SELECT $1, $2, $1, $3 FROM t WHERE a IN ($4) AND b IN ($5)")
            .bind(-7)
            .bind("a'\\ü")
            .bind(None::<i64>)
            .bind(vec![1_i64, 2])
            .bind(Vec::<i64>::new());
        let expected = "SELECT -7, x'61275cc3bc', -7, NULL FROM t WHERE a IN (1,2) AND b IN (NULL)";
        assert_eq!(text(vec![statement]), expected);
    }

    #[test]
    fn ten_is_not_one_and_a_zero() {
        let mut statement = sql("$1 $10 $11");
        for value in 1..=11_i64 {
            statement = statement.bind(value);
        }
        assert_eq!(text(vec![statement]), "1 10 11");
    }

    #[test]
    fn a_value_that_is_not_there_is_an_error() {
        assert!(Script::of([sql("SELECT $2").bind(1_i64)]).is_err());
    }

    #[test]
    fn rows_are_lists_of_values() {
        let row = |value| vec![Value::Int(value), Value::Variable("@zq"), Value::from("a")];
        let mut script = Script::of([sql("START TRANSACTION")]).unwrap();
        script.add_rows("INSERT INTO t VALUES ", [row(1), row(2)].into_iter());
        let expected = "START TRANSACTION; INSERT INTO t VALUES (1,@zq,x'61'),(2,@zq,x'61')";
        assert_eq!(script.into_parts(), (expected.to_owned(), vec![false, true]));
    }

    #[test]
    fn scripts_join_with_a_semicolon_between() {
        assert_eq!(text(vec![sql("BEGIN"), sql("COMMIT")]), "BEGIN; COMMIT");
    }
}
