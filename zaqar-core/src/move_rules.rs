//! What drivers ask alike when a queue is [moved](crate::moves): whether a part is one, how the walk
//! over the records is named, where the messages of a key stand.

use crate::error::{Error, Result};
use crate::ids::MessageId;
use crate::moves::{MOVE_SUBSCRIPTIONS_MAX, MovePart, MoveRecord};
use crate::queue::QueueRef;

/// The refusal of a step that does not fit the head as it is.
#[must_use]
pub fn misplaced(reason: impl Into<String>) -> Error {
    Error::Invalid { field: "queue", reason: reason.into() }
}

/// The refusal of a step towards another store by a head that is open.
#[must_use]
pub fn still_open() -> Error {
    misplaced("takes posts still")
}

/// Refuses more subscriptions than are taken over in one step.
///
/// # Errors
/// `Invalid`.
pub fn check_subscriptions(count: usize) -> Result<()> {
    let max = MOVE_SUBSCRIPTIONS_MAX;
    if count > max {
        let reason = format!("has {count} subscriptions, of which at most {max} can be moved");
        return Err(misplaced(reason));
    }
    Ok(())
}

/// What is to be done with a part that comes to a head whose frozen positions are `from..to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It has come already.
    Before,
    /// It is the next one.
    Next,
}

/// Compares a part with where the last one began; refuses one that leaves a gap or overlaps, or whose
/// messages are not within it, one behind the other, at positions up to `position_max`.
///
/// # Errors
/// `Invalid`.
pub fn arrival(part: &MovePart, (from, to): (i64, i64), position_max: i64) -> Result<Arrival> {
    let begins = i64::try_from(part.from).unwrap_or(i64::MAX);
    if begins >= from {
        return Ok(Arrival::Before);
    }
    if from < to || part.to != from.unsigned_abs() {
        let reason = format!("has {from}..{to} on its way, not what ends at {}", part.to);
        return Err(misplaced(reason));
    }
    let mut next = part.from.max(1);
    for message in &part.messages {
        let fits = message.position >= next && message.position < part.to;
        if !fits || message.position > position_max.unsigned_abs() {
            let reason = format!("position {} does not fit its part", message.position);
            return Err(Error::Invalid { field: "part", reason });
        }
        next = message.position.saturating_add(1);
    }
    Ok(Arrival::Next)
}

/// The first position and the number of what is stored under a key: its messages stand in a row.
///
/// # Errors
/// `Invalid` if they do not.
pub fn run_of(queue: &QueueRef, ids: &[MessageId]) -> Result<(i64, i64)> {
    let first = ids.first().map_or(0, |id| id.sequence());
    let in_a_row = ids
        .iter()
        .zip(first..)
        .all(|(id, sequence)| id.incarnation() == queue.incarnation && id.sequence() == sequence);
    match (i64::try_from(first), i64::try_from(ids.len())) {
        (Ok(first), Ok(count)) if in_a_row && count > 0 => Ok((first, count)),
        _ => {
            let reason = "must be ids of this queue in a row".to_owned();
            Err(Error::Invalid { field: "ids of a key", reason })
        }
    }
}

/// The kinds of records, in the order of the walk over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Idempotency keys, by key.
    Key,
    /// Dead letters that arrived, by their ids as text.
    Arrival,
    /// Deliveries that were given up, by number.
    Exhausted,
}

/// Where the walk over the records goes on: behind this one of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPlace {
    /// What is walked over.
    pub kind: RecordKind,
    /// The key or id; empty: from the beginning.
    pub after: String,
}

impl RecordPlace {
    /// The place that a marker names; `None`: before the first record.
    ///
    /// # Errors
    /// `Invalid` if it is no marker of [`marker_of`].
    pub fn of(marker: Option<&str>) -> Result<Self> {
        let Some(marker) = marker else { return Ok(Self::start_of(RecordKind::Key)) };
        let kind = match marker.chars().next() {
            Some('k') => RecordKind::Key,
            Some('a') => RecordKind::Arrival,
            Some('e') => RecordKind::Exhausted,
            _ => {
                let reason = "is none that this store gave out".to_owned();
                return Err(Error::Invalid { field: "marker", reason });
            }
        };
        Ok(Self { kind, after: marker.chars().skip(1).collect() })
    }

    fn start_of(kind: RecordKind) -> Self {
        Self { kind, after: String::new() }
    }

    /// Where the next kind begins.
    #[must_use]
    pub fn next_kind(&self) -> Option<Self> {
        match self.kind {
            RecordKind::Key => Some(Self::start_of(RecordKind::Arrival)),
            RecordKind::Arrival => Some(Self::start_of(RecordKind::Exhausted)),
            RecordKind::Exhausted => None,
        }
    }

    /// The number behind which the deliveries that were given up go on.
    #[must_use]
    pub fn after_number(&self) -> i64 {
        self.after.parse().unwrap_or(0)
    }
}

/// The marker behind a record.
#[must_use]
pub fn marker_of(record: &MoveRecord) -> String {
    match record {
        MoveRecord::Key { key, .. } => format!("k{key}"),
        MoveRecord::Arrival { id, .. } => format!("a{id}"),
        MoveRecord::Exhausted(record) => format!("e{}", record.number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_follows_the_last_one_without_a_gap_or_has_come_already() {
        let part = |from, to| MovePart { from, to, messages: Vec::new() };
        let max = 1_000;
        assert_eq!(arrival(&part(5, 9), (9, 9), max).unwrap(), Arrival::Next);
        assert_eq!(arrival(&part(5, 9), (5, 9), max).unwrap(), Arrival::Before);
        assert_eq!(arrival(&part(9, 12), (5, 9), max).unwrap(), Arrival::Before);
        assert!(arrival(&part(2, 5), (5, 9), max).is_err());
        assert!(arrival(&part(2, 4), (5, 5), max).is_err());
        assert!(arrival(&part(2, 6), (5, 5), max).is_err());
    }

    #[test]
    fn a_walk_goes_on_behind_its_marker_and_through_every_kind() {
        let place = RecordPlace::of(Some("kone")).unwrap();
        assert_eq!((place.kind, place.after.as_str()), (RecordKind::Key, "one"));
        let arrivals = place.next_kind().unwrap();
        assert_eq!(arrivals, RecordPlace::of(Some("a")).unwrap());
        let exhausted = arrivals.next_kind().unwrap();
        assert_eq!((exhausted.kind, exhausted.after_number()), (RecordKind::Exhausted, 0));
        assert_eq!(RecordPlace::of(Some("e12")).unwrap().after_number(), 12);
        assert!(exhausted.next_kind().is_none());
        assert!(RecordPlace::of(Some("x")).is_err());
    }
}
