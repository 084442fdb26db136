//! The scripts: one for each operation, in `scripts/`.
//!
//! A script's file says in its first lines which keys it touches, by the names of [`crate::keys`],
//! and which of the shared functions in `scripts/lib/` it uses. Here they become one text: the keys
//! as local variables, the functions, the script. So a script cannot touch a key that it did not
//! declare, and all of them are in one slot.

use std::sync::LazyLock;

use crate::keys::{Key, Place};

/// A script, ready to be called.
#[derive(Debug)]
pub(crate) struct Script {
    /// Its name: that of its file.
    pub(crate) name: &'static str,
    /// What is sent to a server that does not know it.
    pub(crate) text: String,
    /// What it is called by: the checksum of its text.
    pub(crate) sha: String,
    keys: Vec<Key>,
}

impl Script {
    fn new(name: &'static str, file: &str) -> Self {
        let names: Vec<&str> = header(file, "-- keys: ").split(' ').collect();
        let keys = names.iter().filter_map(|name| Key::of(name)).collect();
        let variables: Vec<String> =
            (1..=names.len()).map(|number| format!("KEYS[{number}]")).collect();
        let mut text = format!(
            "local call = redis.call\nlocal {} = {}\n",
            names.join(", "),
            variables.join(", ")
        );
        for library in header(file, "-- lib: ").split_whitespace() {
            text.push_str(library_text(library));
        }
        text.push_str(file);
        let sha = redis::Script::new(&text).get_hash().to_owned();
        Self { name, text, sha, keys }
    }

    /// The full names of the keys that the script touches at a place.
    pub(crate) fn keys_at<'s>(
        &'s self,
        prefix: &'s str,
        place: &'s Place,
    ) -> impl ExactSizeIterator<Item = String> + 's {
        self.keys.iter().map(move |key| place.name(prefix, *key))
    }
}

/// The rest of the first line that begins so.
fn header<'f>(file: &'f str, start: &str) -> &'f str {
    file.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default()
}

fn library_text(name: &str) -> &'static str {
    LIBRARY.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
}

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("scripts/lib/", $name, ".lua")))),*]
    };
}

const LIBRARY: &[(&str, &str)] = library![
    "chunks",
    "due",
    "head",
    "held",
    "leap",
    "moving",
    "part",
    "pool",
    "remove",
    "resolve",
    "sooner",
    "state",
    "subscribing",
    "subscription",
    "takeable",
    "trim",
    "walk",
];

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(
            pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
                Script::new($file, include_str!(concat!("scripts/", $file, ".lua")))
            });
        )*

        /// All of them.
        #[cfg(test)]
        fn all() -> Vec<(&'static Script, &'static str)> {
            vec![$((&*$name, include_str!(concat!("scripts/", $file, ".lua")))),*]
        }
    };
}

scripts! {
    AVAILABLE = "available";
    BUCKET_DUE = "bucket_due";
    BUCKET_MARK = "bucket_mark";
    BUCKET_USE = "bucket_use";
    CATALOGUE_CHANGE = "catalogue_change";
    CATALOGUE_DELETE = "catalogue_delete";
    CATALOGUE_LIST = "catalogue_list";
    CLAIM_CREATE = "claim_create";
    CLAIM_DELETE = "claim_delete";
    CLAIM_GET = "claim_get";
    CLAIM_UPDATE = "claim_update";
    COUNT = "count";
    DELETE = "delete";
    DELIVERY_COMPLETE = "delivery_complete";
    DELIVERY_LEASE = "delivery_lease";
    DELIVERY_LIST_EXHAUSTED = "delivery_list_exhausted";
    DELIVERY_RENEW = "delivery_renew";
    FLAVOR_DELETE = "flavor_delete";
    FLAVOR_LIST = "flavor_list";
    FLAVOR_PUT = "flavor_put";
    GC = "gc";
    GC_CLOSED = "gc_closed";
    GC_SUBSCRIPTIONS = "gc_subscriptions";
    GC_TRASH = "gc_trash";
    GET = "get";
    HEAD_CLOSE = "head_close";
    HEAD_GET = "head_get";
    HEAD_MOVE = "head_move";
    HEAD_OPEN = "head_open";
    INCARNATION_ALLOCATE = "incarnation_allocate";
    INSERT_MOVED = "insert_moved";
    LIST = "list";
    MOVE_BEGIN = "move_begin";
    MOVE_FREEZE = "move_freeze";
    MOVE_INSERT = "move_insert";
    MOVE_INSERT_RECORDS = "move_insert_records";
    MOVE_LEAVE = "move_leave";
    MOVE_OPEN = "move_open";
    MOVE_PART = "move_part";
    MOVE_RECORDS = "move_records";
    MOVE_REMOVE = "move_remove";
    MOVE_REVEAL = "move_reveal";
    ORIGINS = "origins";
    POOL_DELETE = "pool_delete";
    POOL_LIST = "pool_list";
    POOL_STORE = "pool_store";
    POP = "pop";
    POST = "post";
    PURGE = "purge";
    QUEUE_COUNT = "queue_count";
    QUEUE_DELETING = "queue_deleting";
    QUEUE_FIND = "queue_find";
    QUEUE_INSERT = "queue_insert";
    QUEUE_LIST = "queue_list";
    QUEUE_MARK_DELETING = "queue_mark_deleting";
    QUEUE_REMOVE = "queue_remove";
    QUEUE_SET_METADATA = "queue_set_metadata";
    STATS = "stats";
    STORE_OPEN = "store_open";
    STORE_READ = "store_read";
    SUBSCRIPTION_CONFIRM = "subscription_confirm";
    SUBSCRIPTION_CREATE = "subscription_create";
    SUBSCRIPTION_DELETE = "subscription_delete";
    SUBSCRIPTION_GET = "subscription_get";
    SUBSCRIPTION_LIST = "subscription_list";
    SUBSCRIPTION_UPDATE = "subscription_update";
    SWEEP = "sweep";
    TRANSFER_COMPLETE = "transfer_complete";
    TRANSFER_LEASE = "transfer_lease";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_declares_known_keys_and_libraries() {
        for (script, file) in all() {
            let declared = header(file, "-- keys: ").split(' ').count();
            assert_eq!(script.keys.len(), declared, "{} names an unknown key", script.name);
            for library in header(file, "-- lib: ").split_whitespace() {
                assert!(!library_text(library).is_empty(), "{}: {library}", script.name);
            }
        }
    }

    #[test]
    fn all_keys_of_a_script_share_one_tag() {
        let place = Place::global("t");
        for (script, _) in all() {
            let global = |key: &Key| matches!(key, Key::Global(..));
            let mixed = script.keys.iter().any(global) && !script.keys.iter().all(global);
            assert!(!mixed, "{} mixes tags", script.name);
            for name in script.keys_at("p", &place) {
                assert!(name.starts_with("p:{t}:"), "{}: {name}", script.name);
            }
            let tags: std::collections::BTreeSet<&str> = script
                .keys
                .iter()
                .filter_map(|key| match key {
                    Key::Global(tag, _) => Some(*tag),
                    _ => None,
                })
                .collect();
            assert!(tags.len() <= 1, "{} mixes {tags:?}", script.name);
        }
    }

    #[test]
    fn no_script_scans_or_lets_redis_expire_anything() {
        for (script, _) in all() {
            for word in ["SCAN'", "'KEYS'", "EXPIRE'", "'SETEX'", "'FLUSH"] {
                assert!(!script.text.contains(word), "{} uses {word}", script.name);
            }
        }
    }
}
