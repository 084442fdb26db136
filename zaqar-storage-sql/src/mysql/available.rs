//! What is there for those who wait: one round trip for many of their queues.

use zaqar_core::{Error, MessageWatch, Result};

use crate::codes::counter_code;
use crate::layout::{row_id, row_of};

use super::rows::unclaimed;
use super::server::Server;
use super::sql::sql;
use super::told::Told;

pub(crate) const OPERATION: &str = "message_available";

/// Queues in one round trip.
const BATCH: usize = 1_000;

/// Whether a claim finds something in queue `$1` behind `$2` at `$3`: what is claimable, or has
/// matured and was not released yet.
const AVAILABLE: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM messages AS m FORCE INDEX (claimable) \
         WHERE m.queue = $1 AND m.avail = 0 AND m.claim = ",
    unclaimed!(),
    " AND m.id > GREATEST($2, (h.number << 35) | h.purged) AND m.expires > $3) \
       OR EXISTS (SELECT 1 FROM messages AS m FORCE INDEX (claimable) \
         WHERE m.queue = $1 AND m.avail > 0 AND m.avail <= $3 \
           AND m.id > GREATEST($2, (h.number << 35) | h.purged) AND m.expires > $3) \
     FROM heads AS h WHERE h.number = $1 AND h.state < 2 AND h.epoch <= $4"
);

/// Says of each place whether something is behind it.
pub(crate) async fn of_watches(server: &Server, watches: &[MessageWatch]) -> Result<Vec<bool>> {
    let now = server.clock.now().as_millis();
    let mut available = Vec::with_capacity(watches.len());
    for batch in watches.chunks(BATCH) {
        let mut script = Vec::with_capacity(batch.len());
        for watch in batch {
            let number = match server.number(OPERATION, &watch.queue).await {
                Ok(number) => number,
                // No head has it, and so it is told as what is gone, or moved.
                Err(Error::QueueGone { .. }) => -1,
                Err(error) => return Err(error),
            };
            let own = watch.after.filter(|after| after.incarnation() == watch.queue.incarnation);
            let after = own.and_then(|after| row_of(number, after.sequence()));
            let after = after.unwrap_or_else(|| row_id(number, 0));
            let available = sql(AVAILABLE).bind(number).bind(after).bind(now);
            script.push(available.bind(counter_code(watch.queue.epoch)));
        }
        let answers = server.read_all(OPERATION, script).await?;
        for place in 0..batch.len() {
            available.push(match answers.rows(place).first() {
                Some(row) => row.try_get::<i64>(0).told(OPERATION)? != 0,
                None => true,
            });
        }
    }
    Ok(available)
}
