//! Collections and indexes.
//!
//! Each index of `data` is partial and holds only its own:
//!
//! | index | holds | serves |
//! | --- | --- | --- |
//! | `claimable (q, s)`, `avail = 0` | what can be had now, in order | claim, pop, default listing |
//! | `maturing (q, avail, claim)`, `avail > 0` | claimed, delayed | release of what is due; counting claims |
//! | `expiring (q, expires)`, `expires > 0` | everything not retired | retiring; counting the living |
//! | `retired (expires)`, `expires < 0` | expired, out of every other index | gc |
//! | `parked (q, lease_ends)`, `avail = -2` | dead letters on their way | transfers |
//! | `ending (ends)` | claims, keys, subscriptions | gc |
//! | `reclaim (gc)` | heads of purged and closed queues | gc |
//! | `kinds (k, q)` | outbox entries, retries, exhausted deliveries | finding queues with work; counting |
//! | `subscribers (q, subscriber)` | subscriptions | look-up by address |
//! | `retries_due (q, retrying, not_before)` | retries | what is due for a subscription |
//! | `retries_at (q, retried)` | retries | whether an entry is still needed |
//!
//! On a sharded cluster the collection's shard key is `{q: "hashed"}`; its index is made where the
//! server says that it is a router.

use mongodb::Database;
use mongodb::bson::{Document, doc};
use zaqar_core::OpenError;

use crate::error::{is_namespace_exists, open_error};

/// The collection of everything that belongs to a queue.
pub(crate) const DATA: &str = "data";
/// Queue and topic records.
pub(crate) const QUEUES: &str = "queues";
/// Pools.
pub(crate) const POOLS: &str = "pools";
/// Flavors.
pub(crate) const FLAVORS: &str = "flavors";
/// The catalogue.
pub(crate) const CATALOGUE: &str = "catalogue";
/// The store's own record, and counters.
pub(crate) const META: &str = "meta";

fn index(name: &str, key: Document, partial: Document) -> Document {
    doc! { "name": name, "key": key, "partialFilterExpression": partial }
}

fn data_indexes(sharded: bool) -> Vec<Document> {
    let there = doc! { "$exists": true };
    let mut indexes = vec![
        index("claimable", doc! { "q": 1, "s": 1 }, doc! { "avail": 0_i64 }),
        index(
            "maturing",
            doc! { "q": 1, "avail": 1, "claim": 1 },
            doc! { "avail": { "$gt": 0_i64 } },
        ),
        index("expiring", doc! { "q": 1, "expires": 1 }, doc! { "expires": { "$gt": 0_i64 } }),
        index("retired", doc! { "expires": 1 }, doc! { "expires": { "$lt": 0_i64 } }),
        index("parked", doc! { "q": 1, "lease_ends": 1 }, doc! { "avail": -2_i64 }),
        index("ending", doc! { "ends": 1 }, doc! { "ends": { "$gt": 0_i64 } }),
        index("reclaim", doc! { "gc": 1 }, doc! { "gc": there.clone() }),
        index("kinds", doc! { "k": 1, "q": 1 }, doc! { "k": there.clone() }),
        index(
            "subscribers",
            doc! { "q": 1, "subscriber": 1 },
            doc! { "subscriber": there.clone() },
        ),
        index(
            "retries_due",
            doc! { "q": 1, "retrying": 1, "not_before": 1 },
            doc! { "retrying": there.clone() },
        ),
        index("retries_at", doc! { "q": 1, "retried": 1 }, doc! { "retried": there }),
    ];
    if sharded {
        indexes.push(doc! { "name": "sharding", "key": { "q": "hashed" } });
    }
    indexes
}

/// The indexes of each collection.
fn all(sharded: bool) -> Vec<(&'static str, Vec<Document>)> {
    vec![
        (DATA, data_indexes(sharded)),
        (
            QUEUES,
            vec![
                doc! { "name": "listing", "key": { "project": 1, "kind": 1, "name": 1 } },
                index("deleting", doc! { "incarnation": 1 }, doc! { "deleting": true }),
            ],
        ),
        (
            POOLS,
            vec![
                doc! { "name": "by_uri", "key": { "uri": 1 }, "unique": true },
                doc! { "name": "by_flavor", "key": { "flavor": 1, "_id": 1 } },
            ],
        ),
        (FLAVORS, vec![doc! { "name": "listing", "key": { "project": 1, "name": 1 } }]),
        (
            CATALOGUE,
            vec![
                doc! { "name": "of_pool", "key": { "pool": 1, "incarnation": 1 } },
                index("moving", doc! { "incarnation": 1 }, doc! { "source": { "$exists": true } }),
            ],
        ),
        (META, Vec::new()),
    ]
}

/// Makes what is missing, before any transaction wants it.
///
/// An index that is there under the same name in another form is an error of the server: this
/// version does not understand that store.
pub(crate) async fn ensure(database: &Database, sharded: bool) -> Result<(), OpenError> {
    for (collection, indexes) in all(sharded) {
        // `createIndexes` makes the collection, and costs one look when everything is there.
        let command = if indexes.is_empty() {
            doc! { "create": collection }
        } else {
            doc! { "createIndexes": collection, "indexes": indexes }
        };
        let mut command = command;
        command.insert("writeConcern", doc! { "w": "majority", "wtimeout": 10_000_i64 });
        match database.run_command(command).await {
            Err(error) if !is_namespace_exists(&error) => return Err(open_error(&error)),
            _ => {}
        }
    }
    Ok(())
}
