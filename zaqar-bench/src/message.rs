//! Messages that can be told apart: every body carries run, producer, sequence and time.
//!
//! The body is a JSON object with one string, `{"m":"zb1.RUN.PRODUCER.SEQUENCE.MICROS.pad"}`.
//! All numbers have a fixed width, so a request is laid out once and only its digits change,
//! and the stamp is found again by a byte search however a server spaces its JSON.

use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};

/// What the stamp of every message begins with.
pub(crate) const STAMP_MARK: &[u8] = b"zb1.";

const RUN_WIDTH: usize = 8;
const PRODUCER_WIDTH: usize = 6;
const SEQUENCE_WIDTH: usize = 10;
const MICROS_WIDTH: usize = 12;
const STAMP_WIDTH: usize =
    STAMP_MARK.len() + RUN_WIDTH + PRODUCER_WIDTH + SEQUENCE_WIDTH + MICROS_WIDTH + 4;
const BODY_OPEN: &[u8] = b"{\"m\":\"";
const BODY_CLOSE: &[u8] = b"\"}";

/// Largest number of producers in a run.
pub const PRODUCERS_MAX: usize = 1_000_000;

/// Smallest body that has room for the stamp.
pub const BODY_BYTES_MIN: usize = BODY_OPEN.len() + STAMP_WIDTH + BODY_CLOSE.len();

/// Who posted a message, as which of theirs, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Index of the producer in this run.
    pub producer: u32,
    /// Position among the producer's messages, from 0.
    pub sequence: u64,
    /// Microseconds from the origin of the run to the (intended) start of the post.
    pub sent_us: u64,
}

/// What all bodies of a run have in common.
#[derive(Debug, Clone)]
pub struct Shape {
    run: String,
    pad: Arc<str>,
}

impl Shape {
    /// Bodies of `body_bytes` bytes each, marked with `run`; the padding follows from `seed`.
    ///
    /// # Errors
    /// The size is below [`BODY_BYTES_MIN`] or the run mark is not eight characters long.
    pub fn new(run: &str, body_bytes: usize, seed: u64) -> anyhow::Result<Self> {
        anyhow::ensure!(run.len() == RUN_WIDTH, "the run mark has {RUN_WIDTH} characters");
        let Some(pad) = body_bytes.checked_sub(BODY_BYTES_MIN) else {
            anyhow::bail!("a body needs at least {BODY_BYTES_MIN} bytes for its stamp");
        };
        // Random letters: a body of one repeated character flatters anything that compresses.
        let mut random = StdRng::seed_from_u64(seed);
        let letter = |_| char::from(random.sample(rand::distr::Alphanumeric));
        let pad: String = (0..pad).map(letter).collect();
        Ok(Self { run: run.to_owned(), pad: pad.into() })
    }

    /// The mark of the run.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Bytes of one body.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        BODY_BYTES_MIN + self.pad.len()
    }

    fn push_body(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(BODY_OPEN);
        bytes.extend_from_slice(STAMP_MARK);
        bytes.extend_from_slice(self.run.as_bytes());
        for width in [PRODUCER_WIDTH, SEQUENCE_WIDTH, MICROS_WIDTH] {
            bytes.push(b'.');
            bytes.resize(bytes.len() + width, b'0');
        }
        bytes.push(b'.');
        bytes.extend_from_slice(self.pad.as_bytes());
        bytes.extend_from_slice(BODY_CLOSE);
    }

    /// Reads the stamp that follows a mark; `after_mark` begins right behind it.
    ///
    /// `None` when the run is another one, the digits are damaged, or the padding is not ours.
    #[must_use]
    pub fn read(&self, after_mark: &[u8]) -> Option<Stamp> {
        let rest = after_mark.strip_prefix(self.run.as_bytes())?;
        let (producer, rest) = take_number(rest, PRODUCER_WIDTH)?;
        let (sequence, rest) = take_number(rest, SEQUENCE_WIDTH)?;
        let (sent_us, rest) = take_number(rest, MICROS_WIDTH)?;
        let rest = rest.strip_prefix(b".")?.strip_prefix(self.pad.as_bytes())?;
        if rest.first() != Some(&b'"') {
            return None;
        }
        Some(Stamp { producer: u32::try_from(producer).ok()?, sequence, sent_us })
    }
}

fn take_number(bytes: &[u8], width: usize) -> Option<(u64, &[u8])> {
    let digits = bytes.strip_prefix(b".")?;
    let (digits, rest) = digits.split_at_checked(width)?;
    let mut number = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    Some((number, rest))
}

fn put_number(bytes: &mut [u8], mut number: u64) {
    for digit in bytes.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// The body of a post request with a known number of messages, ready but for its digits.
#[derive(Debug)]
pub struct PostBody {
    bytes: Vec<u8>,
    stamps: Vec<usize>,
}

impl PostBody {
    /// Lays out a post of `batch` messages that live `ttl_s` seconds.
    #[must_use]
    pub fn new(shape: &Shape, batch: usize, ttl_s: u32) -> Self {
        let mut bytes = b"{\"messages\":[".to_vec();
        let mut stamps = Vec::with_capacity(batch);
        for index in 0..batch {
            if index > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(format!("{{\"ttl\":{ttl_s},\"body\":").as_bytes());
            stamps.push(bytes.len() + BODY_OPEN.len());
            shape.push_body(&mut bytes);
            bytes.push(b'}');
        }
        bytes.extend_from_slice(b"]}");
        Self { bytes, stamps }
    }

    /// The bytes of the body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the stamps of consecutive messages into a copy of the body that ends `request`.
    pub fn stamp(&self, request: &mut [u8], first: Stamp) {
        let Some(offset) = request.len().checked_sub(self.bytes.len()) else {
            return;
        };
        for (sequence, stamp) in (first.sequence..).zip(&self.stamps) {
            let start = offset + stamp + STAMP_MARK.len() + RUN_WIDTH;
            let numbers = [
                (PRODUCER_WIDTH, u64::from(first.producer)),
                (SEQUENCE_WIDTH, sequence),
                (MICROS_WIDTH, first.sent_us),
            ];
            let mut at = start;
            for (width, number) in numbers {
                if let Some(digits) = request.get_mut(at + 1..at + 1 + width) {
                    put_number(digits, number);
                }
                at += 1 + width;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape::new("0badcafe", 200, 7).unwrap()
    }

    fn stamped(batch: usize) -> String {
        let body = PostBody::new(&shape(), batch, 300);
        let mut request = b"POST / HTTP/1.1\r\n\r\n".to_vec();
        request.extend_from_slice(body.bytes());
        body.stamp(&mut request, Stamp { producer: 12, sequence: 99, sent_us: 123_456 });
        String::from_utf8(request).unwrap()
    }

    #[test]
    fn a_post_is_json_whose_bodies_have_the_asked_size() {
        let text = stamped(3);
        let json = text.split("\r\n\r\n").nth(1).unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let messages = value["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 3);
        for message in messages {
            assert_eq!(message["ttl"], 300);
            assert_eq!(serde_json::to_string(&message["body"]).unwrap().len(), 200);
        }
    }

    #[test]
    fn stamps_of_a_batch_count_up_and_are_read_back() {
        let text = stamped(3);
        let found: Vec<_> = text
            .split("zb1.")
            .skip(1)
            .map(|after| shape().read(after.as_bytes()).unwrap())
            .collect();
        let expected = |sequence| Stamp { producer: 12, sequence, sent_us: 123_456 };
        assert_eq!(found, [expected(99), expected(100), expected(101)]);
    }

    #[test]
    fn a_foreign_run_and_damaged_bodies_are_not_read() {
        let text = stamped(1);
        let after = text.split("zb1.").nth(1).unwrap();
        assert!(shape().read(after.as_bytes()).is_some());
        let foreign = after.replacen("0badcafe", "0badcaff", 1);
        let cut = &after[..after.len() - 10];
        let digit = after.replacen("0000000099", "00000000x9", 1);
        let pad = after.replace('"', "z\"");
        for damaged in [foreign.as_str(), cut, digit.as_str(), pad.as_str()] {
            assert_eq!(shape().read(damaged.as_bytes()), None, "{damaged}");
        }
    }

    #[test]
    fn a_body_without_room_for_its_stamp_is_refused() {
        assert!(Shape::new("0badcafe", BODY_BYTES_MIN - 1, 1).is_err());
        assert!(Shape::new("0badcafe", BODY_BYTES_MIN, 1).is_ok());
    }
}
