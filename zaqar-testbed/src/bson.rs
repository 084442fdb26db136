//! As much of BSON and of MongoDB's wire protocol as it takes to make a replica set.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The operation that carries a document each way.
const OP_MSG: i32 = 2013;
/// The fixed part of a message: lengths, numbers, flags, and the kind of section that follows.
const HEADER: usize = 21;
/// No answer to what is asked here comes near it.
const ANSWER_MAX: usize = 1 << 20;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Int(i32),
    Double(f64),
    Bool(bool),
    Text(String),
    Document(Document),
    Array(Vec<Value>),
    /// Of a kind that nobody here asks for.
    Other,
}

/// A document: names and values in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Document(Vec<(String, Value)>);

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Document> for Value {
    fn from(value: Document) -> Self {
        Self::Document(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Self {
        Self::Array(value)
    }
}

impl Document {
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value)
    }

    /// Whether the field is there and says yes: true, or a number that is not zero.
    pub(crate) fn says(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(value)) => *value,
            Some(Value::Int(value)) => *value != 0,
            Some(Value::Double(value)) => *value != 0.0,
            _ => false,
        }
    }

    fn encode(&self) -> Vec<u8> {
        encode(&mut self.0.iter().map(|(name, value)| (name.clone(), value)))
    }
}

fn encode(fields: &mut dyn Iterator<Item = (String, &Value)>) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let (kind, bytes) = match value {
            Value::Double(value) => (0x01, value.to_le_bytes().to_vec()),
            Value::Text(value) => {
                let mut bytes = length(value.len() + 1);
                bytes.extend(value.as_bytes());
                bytes.push(0);
                (0x02, bytes)
            }
            Value::Document(value) => (0x03, value.encode()),
            Value::Array(values) => {
                let fields = values.iter().enumerate();
                (0x04, encode(&mut fields.map(|(nth, value)| (nth.to_string(), value))))
            }
            Value::Bool(value) => (0x08, vec![u8::from(*value)]),
            Value::Int(value) => (0x10, value.to_le_bytes().to_vec()),
            Value::Other => (0x0a, Vec::new()),
        };
        body.push(kind);
        body.extend(name.into_bytes());
        body.push(0);
        body.extend(bytes);
    }
    body.push(0);
    let mut document = length(body.len() + 4);
    document.extend(body);
    document
}

fn length(bytes: usize) -> Vec<u8> {
    // What is built here is a few hundred bytes long.
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes().to_vec()
}

/// Bytes that are read from the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("a document is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn count(&mut self) -> Result<usize> {
        Ok(usize::try_from(i32::from_le_bytes(self.array()?))?)
    }

    fn name(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0).context("a name without end")?;
        let name = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(name)
    }

    fn document(&mut self) -> Result<Document> {
        let total = self.count()?;
        let body =
            self.take(total.checked_sub(4).context("a document shorter than its length")?)?;
        let mut fields = Reader(body);
        let mut document = Document::default();
        loop {
            let [kind] = fields.array()?;
            if kind == 0 {
                return Ok(document);
            }
            let name = fields.name()?;
            let value = fields.value(kind)?;
            document.0.push((name, value));
        }
    }

    fn value(&mut self, kind: u8) -> Result<Value> {
        Ok(match kind {
            0x01 => Value::Double(f64::from_le_bytes(self.array()?)),
            0x02 => {
                let count = self.count()?;
                let text = self.take(count)?.strip_suffix(&[0]).context("a text without end")?;
                Value::Text(String::from_utf8_lossy(text).into_owned())
            }
            0x03 => Value::Document(self.document()?),
            0x04 => Value::Array(self.document()?.0.into_iter().map(|(_, value)| value).collect()),
            0x08 => Value::Bool(self.array::<1>()? != [0]),
            0x10 => Value::Int(i32::from_le_bytes(self.array()?)),
            other => {
                let size = match other {
                    0x05 => self.count()? + 1,
                    0x07 => 12,
                    0x09 | 0x11 | 0x12 => 8,
                    0x13 => 16,
                    0x0a | 0x7f | 0xff => 0,
                    _ => anyhow::bail!("a value of the unknown kind {other}"),
                };
                self.take(size)?;
                Value::Other
            }
        })
    }
}

/// Sends a command and returns the answer, successful or not.
pub(crate) fn call(address: SocketAddr, command: Document, within: Duration) -> Result<Document> {
    let mut stream = TcpStream::connect_timeout(&address, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let body = command.with("$db", "admin").encode();
    let mut message = length(HEADER + body.len());
    for number in [1, 0, OP_MSG, 0] {
        message.extend(i32::to_le_bytes(number));
    }
    message.push(0);
    message.extend(body);
    stream.write_all(&message)?;
    let mut total = [0; 4];
    stream.read_exact(&mut total)?;
    let total = usize::try_from(u32::from_le_bytes(total))?;
    ensure!((HEADER..ANSWER_MAX).contains(&total), "an answer of {total} bytes");
    let mut answer = vec![0; total - 4];
    stream.read_exact(&mut answer)?;
    let mut answer = Reader(&answer);
    answer.take(HEADER - 4)?;
    answer.document()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let members: Vec<Value> =
            vec![Document::default().with("_id", 0).with("host", "127.0.0.1:1").into()];
        let document = Document::default()
            .with("text", "a")
            .with("number", -7)
            .with("inner", Document::default().with("members", members));
        assert_eq!(Reader(&document.encode()).document().unwrap(), document);
    }

    #[test]
    fn a_document_is_written_as_the_format_says() {
        let bytes = Document::default().with("hello", "world").encode();
        let expected = b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_document_that_is_cut_off_is_an_error() {
        let bytes = Document::default().with("hello", "world").encode();
        for end in 0..bytes.len() {
            assert!(Reader(&bytes[..end]).document().is_err());
        }
    }

    #[test]
    fn numbers_and_booleans_say_yes() {
        let document = Document(vec![
            ("a".into(), Value::Double(1.0)),
            ("b".into(), Value::Bool(true)),
            ("c".into(), Value::Int(0)),
        ]);
        assert!(document.says("a") && document.says("b"));
        assert!(!document.says("c") && !document.says("d"));
    }
}
