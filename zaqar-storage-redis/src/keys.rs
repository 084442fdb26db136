//! The names of all keys: the only place that makes them.
//!
//! ```text
//! prefix:{b12}:7:m        messages of incarnation 7, which lives in bucket 12 for life
//! prefix:{b12}:gc         queues of bucket 12 where the collection finds something, by moment
//! prefix:{b12}:fence      the server's run, where writes wait for copies
//! prefix:{b12}:trash:N:m  messages that a purge put aside
//! prefix:{c12}:q0:P       queue records of a project
//! prefix:{pools}:…        pools; {flavors}, {catalogue}, {store} likewise
//! ```
//!
//! The part in braces is the hash tag: everything that one script touches shares one, so that a
//! cluster keeps it on one node. A queue is in the bucket of its incarnation, a project's records in
//! the bucket of its name.

use zaqar_core::{Incarnation, ProjectId, QueueKind};

/// How many buckets of each plane there are. Stored data depends on it.
pub(crate) const BUCKETS: u16 = 4_096;

/// Something that scripts name in their `keys` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// One of a queue's own.
    Queue(&'static str),
    /// One of a bucket's own.
    Bucket(&'static str),
    /// One of a purge's remains.
    Trash(&'static str),
    /// One of a project's own.
    Project(&'static str),
    /// One of a tag of its own.
    Global(&'static str, &'static str),
}

impl Key {
    /// The key that a script calls by this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        QUEUE_KEYS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, suffix)| Self::Queue(suffix))
            .or_else(|| other_key(name))
    }
}

const QUEUE_KEYS: &[(&str, &str)] = &[
    ("head", "h"),
    // Place → record: written once, by the post.
    ("messages", "m"),
    // Place → state: written by the first claim.
    ("states", "s"),
    // Places that can be had now, in order.
    ("claimable", "c"),
    // Places that are claimed, delayed or parked, in order.
    ("hidden", "w"),
    // Claimed places, by the claim's end.
    ("leased", "l"),
    // Delayed places, by the delay's end.
    ("delayed", "d"),
    // All living places, by the end of life.
    ("expiring", "x"),
    // Expired places, in no other index, by the end of life.
    ("retired", "z"),
    ("claims", "k"),
    ("claim_ends", "ke"),
    ("post_keys", "i"),
    ("post_key_ends", "ie"),
    // Id → place of everything that was ever moved in.
    ("arrivals", "a"),
    // The same, by place.
    ("arrival_order", "ao"),
    // Id → where it came from.
    ("origins", "af"),
    ("transfers", "t"),
    ("transfer_leases", "tl"),
    ("subscriptions", "u"),
    ("subscribers", "un"),
    ("subscription_order", "uo"),
    ("subscription_ends", "ue"),
    // Active subscriptions, by the place that they are to be sent next.
    ("cursors", "uc"),
    // First place of a post → its records.
    ("outbox", "o"),
    // First places of posts, by their last.
    ("outbox_index", "oi"),
    ("retries", "r"),
    ("retries_due", "rd"),
    ("retry_positions", "rp"),
    ("retries_next", "rn"),
    ("exhausted", "e"),
    // Message and subscriber of those that a move brought.
    ("exhausted_moved", "em"),
    ("graves", "g"),
];

/// Written before each write that waits for copies (see [`crate::store`]): the number of the server's
/// run.
pub(crate) const FENCE: Key = Key::Bucket("fence");

fn other_key(name: &str) -> Option<Key> {
    let key = match name {
        "open" => Key::Bucket("open"),
        "sweep_due" => Key::Bucket("sweep"),
        "gc_due" => Key::Bucket("gc"),
        "outbox_due" => Key::Bucket("outbox"),
        "transfers_due" => Key::Bucket("transfers"),
        "mark" => Key::Bucket("mark"),
        "fence" => FENCE,
        "deleting" => Key::Bucket("deleting"),
        "trash_messages" => Key::Trash("m"),
        "trash_expiring" => Key::Trash("x"),
        "trash_retired" => Key::Trash("z"),
        "queue_records" => Key::Project("q"),
        "queue_names" => Key::Project("n"),
        "pools" => Key::Global("pools", "all"),
        "pool_names" => Key::Global("pools", "names"),
        "pool_uris" => Key::Global("pools", "uris"),
        "pool_flavors" => Key::Global("pools", "flavors"),
        "flavors" => Key::Global("flavors", "all"),
        "flavor_names" => Key::Global("flavors", "names"),
        "catalogue" => Key::Global("catalogue", "all"),
        "catalogue_moving" => Key::Global("catalogue", "moving"),
        "catalogue_pools" => Key::Global("catalogue", "pools"),
        "store" => Key::Global("store", "record"),
        "incarnations" => Key::Global("store", "incarnations"),
        "data_buckets" => Key::Global("store", "data"),
        "control_buckets" => Key::Global("store", "control"),
        _ => return None,
    };
    Some(key)
}

/// Where a script works: its hash tag, and which of the tag's things it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    tag: String,
    /// Queue: the incarnation. Project: kind and project.
    owner: String,
    trash: String,
}

impl Place {
    /// A queue's place.
    pub(crate) fn queue(incarnation: Incarnation) -> Self {
        let owner = incarnation.get().to_string();
        Self { tag: format!("b{}", bucket_of(incarnation)), owner, trash: String::new() }
    }

    /// A queue's place, with a name for what a purge puts aside.
    pub(crate) fn with_trash(mut self, trash: &str) -> Self {
        trash.clone_into(&mut self.trash);
        self
    }

    /// A bucket of the data plane.
    pub(crate) fn data_bucket(bucket: u16) -> Self {
        Self { tag: format!("b{bucket}"), owner: String::new(), trash: String::new() }
    }

    /// A bucket of the control plane.
    pub(crate) fn control_bucket(bucket: u16) -> Self {
        Self { tag: format!("c{bucket}"), owner: String::new(), trash: String::new() }
    }

    /// A project's queues or topics.
    pub(crate) fn project(project: &ProjectId, kind: QueueKind) -> Self {
        let owner = format!("{}:{project}", kind_code(kind));
        let tag = format!("c{}", bucket_of_project(project));
        Self { tag, owner, trash: String::new() }
    }

    /// Pools, flavors, the catalogue or the store's own records.
    pub(crate) fn global(tag: &str) -> Self {
        Self { tag: tag.to_owned(), owner: String::new(), trash: String::new() }
    }

    /// The slot of a cluster that holds this place.
    pub(crate) fn slot(&self) -> u16 {
        crc16(self.tag.as_bytes()) % SLOTS
    }

    /// The full name of a key.
    pub(crate) fn name(&self, prefix: &str, key: Key) -> String {
        let Self { tag, owner, trash } = self;
        match key {
            Key::Queue(suffix) => [prefix, ":{", tag, "}:", owner, ":", suffix].concat(),
            Key::Bucket(suffix) => [prefix, ":{", tag, "}:", suffix].concat(),
            Key::Trash(suffix) => [prefix, ":{", tag, "}:trash:", trash, ":", suffix].concat(),
            // The project comes last: it may hold any character.
            Key::Project(suffix) => [prefix, ":{", tag, "}:", suffix, owner].concat(),
            Key::Global(_, suffix) => [prefix, ":{", tag, "}:", suffix].concat(),
        }
    }
}

/// Slots of a Redis Cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// The bucket that a queue lives in for life.
pub(crate) fn bucket_of(incarnation: Incarnation) -> u16 {
    // Numbers are handed out one by one, so the remainder spreads them evenly.
    u16::try_from(incarnation.get() % u64::from(BUCKETS)).unwrap_or(0)
}

/// The bucket that a project's records live in.
pub(crate) fn bucket_of_project(project: &ProjectId) -> u16 {
    crc16(project.as_str().as_bytes()) % BUCKETS
}

/// The stored form of a kind.
pub(crate) fn kind_code(kind: QueueKind) -> char {
    match kind {
        QueueKind::Queue => '0',
        QueueKind::Topic => '1',
    }
}

/// The checksum by which Redis Cluster assigns keys to slots (CRC-16/XMODEM).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let mut crc = crc ^ (u16::from(*byte) << 8);
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
        crc
    })
}

/// Text that sorts as `part` does, and after which another part may follow: a zero byte ends it, and
/// what it holds of the two lowest bytes is escaped.
pub(crate) fn sortable(part: &str) -> Vec<u8> {
    let mut sortable = Vec::with_capacity(part.len() + 1);
    for byte in part.bytes() {
        match byte {
            0 | 1 => sortable.extend([1, byte + 1]),
            other => sortable.push(other),
        }
    }
    sortable.push(0);
    sortable
}

/// Takes the first part of a [`sortable`] text; `None` if it is not one.
pub(crate) fn split_sortable(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (part, rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    let mut text = Vec::with_capacity(part.len());
    let mut part = part.iter();
    while let Some(byte) = part.next() {
        text.push(if *byte == 1 { part.next()?.checked_sub(1)? } else { *byte });
    }
    Some((String::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let place = Place::queue(Incarnation::new(12).unwrap());
        assert_eq!(place.name("z", Key::Queue("m")), "z:{b12}:12:m");
        assert_eq!(place.slot(), crc16(b"b12") % SLOTS);
    }

    #[test]
    fn projects_with_braces_or_colons_do_not_leave_their_tag() {
        let project = ProjectId::new("}{x}:n0").unwrap();
        let place = Place::project(&project, QueueKind::Queue);
        let name = place.name("z", Key::Project("q"));
        let tag = format!("z:{{c{}}}:q0:}}{{x}}:n0", bucket_of_project(&project));
        assert_eq!(name, tag);
    }

    #[test]
    fn sortable_texts_sort_as_their_parts_and_come_apart() {
        let parts = ["", "\0", "\0\0", "\u{1}", "a", "a\0b", "a\u{1}", "aa", "ü"];
        let coded: Vec<Vec<u8>> = parts.iter().map(|part| sortable(part)).collect();
        assert!(coded.windows(2).all(|pair| pair[0] < pair[1]), "{coded:?}");
        for (part, mut coded) in parts.iter().zip(coded) {
            coded.extend(b"rest");
            assert_eq!(split_sortable(&coded), Some(((*part).to_owned(), &b"rest"[..])));
        }
    }
}
