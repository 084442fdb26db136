//! How messages are stored, and how a script's answer is taken apart.
//!
//! A record, written once by the post: end of life, end of delay (0: none), moment of the post and
//! ttl as big-endian doubles, which is what Lua counts in; the lengths of client, checksum and
//! origin; those; the body. A state, written by the first claim: end of life, ttl, end of the claim,
//! count, flag, claim.

use redis::Value;
use zaqar_core::{
    Body, ClaimId, Effect, Error, Incarnation, Message, MessageId, MessageMarker, Result, Retry,
    Timestamp, Ttl,
};

/// The largest number that a double holds exactly with all below it: positions and moments end here.
pub(crate) const NUMBER_MAX: u64 = (1 << 53) - 1;

const RECORD_HEADER: usize = 38;
const STATE_HEADER: usize = 29;
const HELD: u8 = 1;
const PARKED: u8 = 2;

/// A moment as scripts count.
pub(crate) fn moment(at: Timestamp) -> i64 {
    at.as_millis().min(NUMBER_MAX.cast_signed())
}

pub(crate) fn double(number: i64) -> [u8; 8] {
    // What is stored is below 2^53, so nothing is rounded.
    (number as f64).to_be_bytes()
}

pub(crate) fn integer(bytes: &[u8]) -> Option<i64> {
    // The cast saturates: the end of a parked message's life is infinite.
    Some(f64::from_be_bytes(bytes.try_into().ok()?) as i64)
}

/// What a post or an arrival stores.
pub(crate) struct NewRecord<'m> {
    pub(crate) body: &'m str,
    pub(crate) ttl: Ttl,
    pub(crate) delay: Ttl,
    pub(crate) posted_at: Timestamp,
    pub(crate) client: &'m str,
    pub(crate) checksum: Option<&'m str>,
    pub(crate) origin: &'m str,
}

impl NewRecord<'_> {
    /// The record of a message whose life begins now.
    pub(crate) fn pack(&self, now: Timestamp) -> Vec<u8> {
        let delayed_until = (self.delay > Ttl::ZERO).then(|| now.after(self.delay));
        self.pack_until(now.after(self.ttl), delayed_until)
    }

    /// The record of a message whose life began elsewhere: when it ends, and its delay if there is one.
    pub(crate) fn pack_until(
        &self,
        expires_at: Timestamp,
        delayed_until: Option<Timestamp>,
    ) -> Vec<u8> {
        let checksum = self.checksum.unwrap_or_default();
        let length = RECORD_HEADER + self.client.len() + checksum.len() + self.body.len();
        let mut record = Vec::with_capacity(length + self.origin.len());
        record.extend(double(moment(expires_at)));
        record.extend(double(delayed_until.map_or(0, moment)));
        record.extend(double(moment(self.posted_at)));
        record.extend(double(i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX)));
        for part in [self.client, checksum, self.origin] {
            record.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
        for part in [self.client, checksum, self.origin, self.body] {
            record.extend(part.as_bytes());
        }
        record
    }
}

/// A stored record, taken apart.
pub(crate) struct Record<'r> {
    expires: i64,
    avail: i64,
    posted: i64,
    ttl: i64,
    client: &'r str,
    checksum: &'r str,
    origin: &'r str,
    body: &'r str,
}

impl<'r> Record<'r> {
    /// `None` if the bytes are no record.
    pub(crate) fn read(bytes: &'r [u8]) -> Option<Self> {
        let number = |at: usize| integer(bytes.get(at..at + 8)?);
        let length = |at: usize| {
            Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
        };
        let checksum_at = RECORD_HEADER + length(32)?;
        let origin_at = checksum_at + length(34)?;
        let body_at = origin_at + length(36)?;
        let text = |from: usize, to: usize| std::str::from_utf8(bytes.get(from..to)?).ok();
        Some(Self {
            expires: number(0)?,
            avail: number(8)?,
            posted: number(16)?,
            ttl: number(24)?,
            client: text(RECORD_HEADER, checksum_at)?,
            checksum: text(checksum_at, origin_at)?,
            origin: text(origin_at, body_at)?,
            body: text(body_at, bytes.len())?,
        })
    }

    pub(crate) fn body(&self) -> Body {
        Body::from_checked(self.body)
    }

    pub(crate) fn posted_at(&self) -> Timestamp {
        Timestamp::from_millis(self.posted)
    }

    pub(crate) fn ttl(&self) -> Ttl {
        seconds(self.ttl)
    }

    pub(crate) fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires)
    }

    /// When its delay ends, be that over or not.
    pub(crate) fn delayed_until(&self) -> Timestamp {
        Timestamp::from_millis(self.avail)
    }

    /// Who posted it.
    pub(crate) fn client(&self) -> Option<&str> {
        (!self.client.is_empty()).then_some(self.client)
    }

    /// The delay as it was posted.
    pub(crate) fn delay(&self) -> Ttl {
        seconds((self.avail - self.posted).max(0) / 1_000)
    }

    pub(crate) fn checksum(&self) -> Option<String> {
        (!self.checksum.is_empty()).then(|| self.checksum.to_owned())
    }

    /// The id of the message at a place of this incarnation.
    pub(crate) fn id(&self, place: MessageMarker) -> Option<MessageId> {
        if self.origin.is_empty() { Some(place.into()) } else { self.origin.parse().ok() }
    }
}

pub(crate) fn seconds(seconds: i64) -> Ttl {
    Ttl::from_secs_clamped(seconds.max(0).unsigned_abs())
}

/// The claims and the life of a message, taken apart; nothing stored means never claimed.
#[derive(Default)]
pub(crate) struct State {
    expires: i64,
    ttl: i64,
    ends: i64,
    pub(crate) count: u32,
    flag: u8,
    pub(crate) claim: Option<ClaimId>,
}

impl State {
    /// `None` if the bytes are no state.
    pub(crate) fn read(bytes: &[u8]) -> Option<Option<Self>> {
        if bytes.is_empty() {
            return Some(None);
        }
        let claim = ClaimId::from_slice(bytes.get(STATE_HEADER..)?).ok()?;
        Some(Some(Self {
            expires: integer(bytes.get(..8)?)?,
            ttl: integer(bytes.get(8..16)?)?,
            ends: integer(bytes.get(16..24)?)?,
            count: u32::from_be_bytes(bytes.get(24..28)?.try_into().ok()?),
            flag: *bytes.get(28)?,
            claim: Some(claim),
        }))
    }

    pub(crate) fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires)
    }

    pub(crate) fn ttl(&self) -> Ttl {
        seconds(self.ttl)
    }

    /// When the claim ends that is, or was, on it.
    pub(crate) fn held_until(&self) -> Timestamp {
        Timestamp::from_millis(self.ends)
    }
}

/// A message as it is stored at a position.
pub(crate) fn message(
    incarnation: Incarnation,
    position: u64,
    record: &[u8],
    state: &[u8],
    now: Timestamp,
) -> Option<Message> {
    let marker = MessageMarker::new(incarnation, position).ok()?;
    let record = Record::read(record)?;
    let state = State::read(state)?;
    let ttl = state.as_ref().map_or(record.ttl, |state| state.ttl);
    let state = state.unwrap_or_default();
    let held = state.flag == HELD && state.ends > moment(now);
    debug_assert!(state.flag <= PARKED, "flags end there");
    Some(Message {
        id: record.id(marker)?,
        marker,
        body: record.body(),
        ttl: seconds(ttl),
        age_s: now.seconds_since(record.posted_at()),
        posted_at: record.posted_at(),
        claim: state.claim.filter(|_| held),
        claim_count: state.count,
        checksum: record.checksum(),
    })
}

/// A script's answer, read from the front.
#[derive(Debug)]
pub(crate) struct Reply {
    operation: &'static str,
    /// What an answer that makes no sense means for the operation.
    effect: Effect,
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    pub(crate) fn new(operation: &'static str, effect: Effect, value: Value) -> Self {
        let values = match value {
            Value::Array(values) => values,
            other => vec![other],
        };
        Self { operation, effect, values: values.into_iter() }
    }

    /// The failure of an answer that does not fit its type: the data was changed by something else.
    pub(crate) fn damaged(&self, what: &'static str) -> Error {
        let text = format!("stored {what} is not valid");
        Error::backend(self.operation, self.effect, Retry::Never, text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.len() == 0
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<Vec<u8>> {
        match self.values.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            Some(Value::SimpleString(text)) => Ok(text.into_bytes()),
            Some(Value::Int(number)) => Ok(number.to_string().into_bytes()),
            Some(Value::Nil) => Ok(Vec::new()),
            _ => Err(self.damaged(what)),
        }
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<String> {
        let bytes = self.bytes(what)?;
        String::from_utf8(bytes).map_err(|_| self.damaged(what))
    }

    pub(crate) fn int(&mut self, what: &'static str) -> Result<i64> {
        match self.values.next() {
            Some(Value::Int(number)) => Ok(number),
            Some(Value::BulkString(bytes)) => {
                let text = std::str::from_utf8(&bytes).ok();
                text.and_then(|text| text.parse().ok()).ok_or_else(|| self.damaged(what))
            }
            _ => Err(self.damaged(what)),
        }
    }

    pub(crate) fn number(&mut self, what: &'static str) -> Result<u64> {
        u64::try_from(self.int(what)?).map_err(|_| self.damaged(what))
    }

    pub(crate) fn count(&mut self, what: &'static str) -> Result<u32> {
        u32::try_from(self.int(what)?).map_err(|_| self.damaged(what))
    }

    pub(crate) fn moment(&mut self, what: &'static str) -> Result<Timestamp> {
        self.int(what).map(Timestamp::from_millis)
    }

    pub(crate) fn ttl(&mut self, what: &'static str) -> Result<Ttl> {
        self.int(what).map(seconds)
    }

    /// Position, record and state of a message.
    pub(crate) fn message(&mut self, incarnation: Incarnation, now: Timestamp) -> Result<Message> {
        let position = self.number("message")?;
        let record = self.bytes("message")?;
        let state = self.bytes("message")?;
        let message = message(incarnation, position, &record, &state, now);
        message.ok_or_else(|| self.damaged("message"))
    }

    /// All the messages that are left.
    pub(crate) fn messages(
        &mut self,
        incarnation: Incarnation,
        now: Timestamp,
    ) -> Result<Vec<Message>> {
        let mut messages = Vec::with_capacity(self.values.len() / 3);
        while !self.is_empty() {
            messages.push(self.message(incarnation, now)?);
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_apart_as_it_was_packed() {
        let new = NewRecord {
            body: "{\"a\" : 1}",
            ttl: Ttl::from_secs_clamped(60),
            delay: Ttl::from_secs_clamped(5),
            posted_at: Timestamp::from_millis(7_000),
            client: "ü",
            checksum: Some("MD5:x"),
            origin: "",
        };
        let packed = new.pack(Timestamp::from_millis(7_000));
        let record = Record::read(&packed).unwrap();
        assert_eq!((record.body, record.checksum, record.origin), ("{\"a\" : 1}", "MD5:x", ""));
        assert_eq!((record.ttl().as_secs(), record.delay().as_secs()), (60, 5));
        assert_eq!(record.posted_at().as_millis(), 7_000);
        assert_eq!(integer(&packed[..8]), Some(67_000));
        assert!(Record::read(&packed[..30]).is_none());
    }

    #[test]
    fn an_endless_life_is_the_end_of_time() {
        assert_eq!(integer(&f64::INFINITY.to_be_bytes()), Some(i64::MAX));
        assert_eq!(moment(Timestamp::MAX), (1 << 53) - 1);
    }
}
