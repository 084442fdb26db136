//! Many messages in one row.
//!
//! Each row that a statement returns wakes whoever waits for it. A claim that is alone on the machine
//! would be woken for every message, so its statement packs them: fields parted by the unit separator
//! (0x1F), messages by the record separator (0x1E). Neither can occur in JSON text, where control
//! characters are escaped, nor in the other fields.

use zaqar_core::{Body, Incarnation, Message, MessageMarker, Timestamp};

use crate::error::damaged;

use super::rows::{count, ttl};
use super::tables::message_id;

/// A claimable message as one text, `m` being its small row and `b` its body; [`read`] takes it apart.
macro_rules! packed_columns {
    () => {
        "concat_ws(char(31), m.expires, m.id, m.ttl, m.posted, m.claims, coalesce(m.origin, ''), \
           coalesce(b.checksum, ''), b.body)"
    };
}
pub(crate) use packed_columns;

/// A claimable message that was found.
pub(crate) struct Found {
    pub(crate) row: i64,
    pub(crate) expires: i64,
    pub(crate) message: Message,
}

/// Takes packed messages apart.
pub(crate) fn read(
    packed: &str,
    incarnation: Incarnation,
    now: Timestamp,
) -> impl Iterator<Item = Result<Found, sqlx::Error>> {
    packed
        .split('\u{1e}')
        .map(move |fields| one(fields, incarnation, now).ok_or_else(|| damaged("message")))
}

fn one(fields: &str, incarnation: Incarnation, now: Timestamp) -> Option<Found> {
    let mut fields = fields.splitn(8, '\u{1f}');
    let mut integer = || fields.next()?.parse::<i64>().ok();
    let (expires, row, ttl_s) = (integer()?, integer()?, integer()?);
    let (posted, claims) = (integer()?, integer()?);
    let (origin, checksum, body) = (fields.next()?, fields.next()?, fields.next()?);
    let place = message_id(incarnation, row).ok()?;
    let posted_at = Timestamp::from_millis(posted);
    let message = Message {
        id: if origin.is_empty() { place } else { origin.parse().ok()? },
        marker: MessageMarker::from(place),
        body: Body::from_checked(body),
        ttl: ttl(ttl_s),
        age_s: now.seconds_since(posted_at),
        posted_at,
        claim: None,
        claim_count: count(claims),
        checksum: (!checksum.is_empty()).then(|| checksum.to_owned()),
    };
    Some(Found { row, expires, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_apart_as_they_were_packed() {
        let packed = "90\u{1f}34359738369\u{1f}60\u{1f}30\u{1f}2\u{1f}\u{1f}MD5:x\u{1f}{\"a\":\n[1]}\u{1e}\
                      91\u{1f}34359738370\u{1f}61\u{1f}31\u{1f}0\u{1f}\u{1f}\u{1f}null";
        let incarnation = Incarnation::new(7).unwrap();
        let found: Vec<Found> =
            read(packed, incarnation, Timestamp::from_millis(2_030)).map(Result::unwrap).collect();
        let shown: Vec<_> = found
            .iter()
            .map(|f| (f.expires, f.row, f.message.body.as_str(), f.message.checksum.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                (90, 34_359_738_369, "{\"a\":\n[1]}", Some("MD5:x")),
                (91, 34_359_738_370, "null", None)
            ]
        );
        assert_eq!((found[0].message.claim_count, found[0].message.age_s), (2, 2));
        assert!(read("1\u{1f}2", incarnation, Timestamp::default()).all(|one| one.is_err()));
    }
}
