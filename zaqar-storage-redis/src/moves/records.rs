//! What a moved queue remembers: how it is read from a script's answer and told to a script.

use zaqar_core::{
    Error, ExhaustedDelivery, IdempotencyKey, MessageId, MoveRecord, Page, QueueRef, Result,
    Timestamp,
};

use crate::codec::{NUMBER_MAX, Reply, double, integer, moment};
use crate::origins::{pack_origin, read_origin};

/// Bytes of a key's record before the digest: its end, first position and number of its messages.
const KEY_HEADER: usize = 24;

/// Where a walk over the records goes on: behind this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordPlace {
    kind: char,
    number: String,
    name: String,
}

impl RecordPlace {
    /// The place that a marker names; none is before the first record.
    pub(super) fn of(marker: Option<&str>) -> Result<Self> {
        let Some(marker) = marker else {
            return Ok(Self { kind: 'k', number: "-inf".to_owned(), name: String::new() });
        };
        let (number, name) = marker.split_once(':').unwrap_or((marker, ""));
        let mut number = number.chars();
        let kind = number.next().filter(|kind| matches!(kind, 'k' | 'a' | 'e'));
        match (kind, number.as_str().parse::<u64>()) {
            (Some(kind), Ok(number)) => {
                Ok(Self { kind, number: number.to_string(), name: name.to_owned() })
            }
            _ => {
                let reason = "is none that this store gave out".to_owned();
                Err(Error::Invalid { field: "marker", reason })
            }
        }
    }

    fn marker(&self) -> String {
        let Self { kind, number, name } = self;
        format!("{kind}{number}:{name}")
    }

    pub(super) fn push(&self, command: &mut redis::Cmd) {
        command.arg(self.kind.to_string()).arg(&self.number).arg(&self.name);
    }
}

/// Reads the records as the script shows them.
pub(super) fn read_records(mut reply: Reply, queue: &QueueRef) -> Result<Page<MoveRecord, String>> {
    let what = "record of a queue";
    let (mut items, mut last) = (Vec::new(), None);
    while !reply.is_empty() {
        let kind = reply.text(what)?.chars().next().ok_or_else(|| reply.damaged(what))?;
        let (number, name) = (reply.number(what)?, reply.text(what)?);
        items.push(match kind {
            'k' => {
                let stored = reply.bytes(what)?;
                read_key(&name, &stored, queue).ok_or_else(|| reply.damaged(what))?
            }
            'a' => {
                let id = name.parse().map_err(|_| reply.damaged(what))?;
                let stored = reply.bytes(what)?;
                let origin = read_origin(&stored).ok_or_else(|| reply.damaged(what))?;
                MoveRecord::Arrival { id, position: number, origin }
            }
            _ => MoveRecord::Exhausted(read_exhausted(&mut reply, number)?),
        });
        last = Some(RecordPlace { kind, number: number.to_string(), name }.marker());
    }
    Ok(Page { items, next: last })
}

fn read_key(name: &str, stored: &[u8], queue: &QueueRef) -> Option<MoveRecord> {
    let number = |at: usize| integer(stored.get(at..at + 8)?);
    let first = u64::try_from(number(8)?).ok()?;
    let end = first.checked_add(u64::try_from(number(16)?).ok()?)?;
    let ids: Option<Vec<MessageId>> =
        (first..end).map(|position| MessageId::new(queue.incarnation, position).ok()).collect();
    Some(MoveRecord::Key {
        key: IdempotencyKey::new(name).ok()?,
        digest: stored.get(KEY_HEADER..)?.try_into().ok()?,
        ids: ids?,
        until: Timestamp::from_millis(number(0)?),
    })
}

/// Reads a delivery that was given up, but for its number.
pub(crate) fn read_exhausted(reply: &mut Reply, number: u64) -> Result<ExhaustedDelivery> {
    let what = "record of a delivery";
    let message = reply.text(what)?;
    Ok(ExhaustedDelivery {
        number,
        message: message.parse().map_err(|_| reply.damaged(what))?,
        subscriber: reply.text(what)?,
        attempts: reply.count(what)?,
        reason: reply.text(what)?,
        at: reply.moment(what)?,
    })
}

/// Refuses what this store has no form for.
pub(super) fn check_records(queue: &QueueRef, records: &[MoveRecord]) -> Result<()> {
    for record in records {
        let (fits, field) = match record {
            MoveRecord::Key { ids, .. } => (is_run(queue, ids), "ids of a key"),
            MoveRecord::Arrival { position, .. } => {
                (*position > 0 && *position <= NUMBER_MAX, "place of an arrival")
            }
            MoveRecord::Exhausted(_) => (true, ""),
        };
        if !fits {
            let reason = "must be places of this queue, in a row".to_owned();
            return Err(Error::Invalid { field, reason });
        }
    }
    Ok(())
}

/// Whether these are ids of the queue's own, one behind the other.
fn is_run(queue: &QueueRef, ids: &[MessageId]) -> bool {
    let Some(first) = ids.first().map(|id| id.sequence()) else { return false };
    ids.iter().zip(first..).all(|(id, sequence)| {
        id.incarnation() == queue.incarnation && id.sequence() == sequence && sequence <= NUMBER_MAX
    })
}

/// A record is brought by these.
pub(super) fn push_record(command: &mut redis::Cmd, record: &MoveRecord) {
    match record {
        MoveRecord::Key { key, digest, ids, until } => {
            let first = ids.first().map_or(0, |id| id.sequence());
            let numbers = [
                moment(*until),
                i64::try_from(first).unwrap_or(i64::MAX),
                i64::try_from(ids.len()).unwrap_or(i64::MAX),
            ];
            let mut stored: Vec<u8> = numbers.into_iter().flat_map(double).collect();
            stored.extend(digest);
            command.arg("k").arg(key.as_str()).arg(moment(*until)).arg(stored);
        }
        MoveRecord::Arrival { id, position, origin } => {
            command.arg("a").arg(id.to_string()).arg(*position);
            command.arg(pack_origin(origin.as_ref()));
        }
        MoveRecord::Exhausted(record) => {
            command.arg("e").arg(record.message.to_string()).arg(&record.subscriber);
            command.arg(record.attempts).arg(&record.reason).arg(moment(record.at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_names_the_place_behind_its_record() {
        let place = RecordPlace { kind: 'k', number: "17".to_owned(), name: "a:b".to_owned() };
        assert_eq!(RecordPlace::of(Some(&place.marker())).unwrap(), place);
        assert_eq!(RecordPlace::of(Some("e3:")).unwrap().number, "3");
        for wrong in ["", "k", "x1:", "a-1:", "1"] {
            assert!(RecordPlace::of(Some(wrong)).is_err(), "{wrong:?}");
        }
    }
}
