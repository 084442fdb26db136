//! Transactions that nobody will end. A process that was killed between two commands of a
//! transaction leaves it open on the server, and with it its locks, for as long as the server lets a
//! transaction live: a minute. Whoever waits that long for a queue must not.
//!
//! So an operation that has met nothing but conflicts for a second looks for transactions of this
//! user and this application in which nothing happened for as long, and ends them. That is safe
//! whoever holds them: a transaction is ended whole, and a process that was merely slow does its own
//! anew.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReadConcern;

use crate::error::NativeResult;
use crate::store::Store;

/// How long an operation puts up with conflicts before it looks for their cause, and how long
/// nothing must have happened in a transaction that is taken for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Ends transactions in which nothing happens; says how many.
async fn end_idle(store: &Store) -> NativeResult<usize> {
    let admin = store.client.database("admin");
    let idle_us = i64::try_from(PATIENCE.as_micros()).unwrap_or(i64::MAX);
    let pipeline = [
        // Only this user's: that needs no privilege.
        doc! { "$currentOp": { "allUsers": false, "idleSessions": true } },
        doc! { "$match": {
            "type": "idleSession",
            "appName": store.application.as_str(),
            "transaction.timeInactiveMicros": { "$gte": idle_us },
        } },
        doc! { "$project": { "lsid": 1 } },
    ];
    // What a server does is no data: it knows no majority.
    let asked = admin.aggregate(pipeline).read_concern(ReadConcern::local());
    let mut cursor = asked.await?;
    let mut sessions = Vec::new();
    while cursor.advance().await? {
        let found: Document = cursor.deserialize_current()?;
        let id = found.get_document("lsid").ok().and_then(|lsid| lsid.get("id").cloned());
        sessions.extend(id.map(|id| Bson::from(doc! { "id": id })));
    }
    let count = sessions.len();
    if count > 0 {
        admin.run_command(doc! { "killSessions": sessions }).await?;
    }
    Ok(count)
}

impl Store {
    /// Ends transactions in which nothing happens and which may be what others wait for.
    pub(crate) async fn free_stuck(&self) {
        match end_idle(self).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "ended transactions that were left open"),
            Err(error) => {
                tracing::warn!(kind = %error.kind, "could not look for open transactions");
            }
        }
    }

    /// Waits for a write that is no transaction: the server lets it wait for those that are, as long
    /// as they last.
    pub(crate) async fn patiently<T>(&self, write: impl Future<Output = T>) -> T {
        let mut write = std::pin::pin!(write);
        loop {
            match tokio::time::timeout(PATIENCE, &mut write).await {
                Ok(done) => return done,
                Err(_) => self.free_stuck().await,
            }
        }
    }
}
