//! What is there for those who wait: one statement for all their queues.

use std::fmt::Write as _;

use zaqar_core::{Error, MessageWatch, Result};

use crate::codes::counter_code;
use crate::layout::{row_id, row_of};

use super::driver::Store;
use super::reader::failed;
use super::statement::query;

const OPERATION: &str = "message_available";

/// For each place that is asked for: whether a claim finds something behind it at that moment, in
/// the claimable index or among what has matured and was not released yet.
const AVAILABLE: &str = "SELECT w.key, \
       EXISTS (SELECT 1 FROM messages AS m INDEXED BY claimable \
         WHERE m.queue = h.number AND m.avail = 0 AND m.expires > ? \
           AND m.id > max(json_extract(w.value, '$[1]'), (h.number << 35) | h.purged)) \
       OR EXISTS (SELECT 1 FROM messages AS m INDEXED BY maturing \
         WHERE m.queue = h.number AND m.avail > 0 AND m.avail <= ? AND m.expires > ? \
           AND m.id > max(json_extract(w.value, '$[1]'), (h.number << 35) | h.purged)) \
     FROM json_each(?) AS w CROSS JOIN heads AS h ON h.number = json_extract(w.value, '$[0]') \
     WHERE h.state < 2 AND h.epoch <= json_extract(w.value, '$[2]')";

/// Says of each place whether something is behind it. The queues are known by number after their
/// first time, so that this is one statement.
pub(crate) async fn of_watches(store: &Store, watches: &[MessageWatch]) -> Result<Vec<bool>> {
    let mut places = String::from("[");
    for watch in watches {
        let number = match store.reader.number(OPERATION, &watch.queue).await {
            Ok(number) => number,
            // No head has it, and so it is told as what is gone, or moved.
            Err(Error::QueueGone { .. }) => -1,
            Err(error) => return Err(error),
        };
        let own = watch.after.filter(|after| after.incarnation() == watch.queue.incarnation);
        let after = own.and_then(|after| row_of(number, after.sequence()));
        let after = after.unwrap_or_else(|| row_id(number, 0));
        let comma = if places.len() > 1 { "," } else { "" };
        // Writing to a text cannot fail.
        let epoch = counter_code(watch.queue.epoch);
        write!(places, "{comma}[{number},{after},{epoch}]").unwrap_or_default();
    }
    places.push(']');
    let now = store.clock.now().as_millis();
    let select = query(AVAILABLE).bind(now).bind(now).bind(now).bind(places);
    let mut available = vec![true; watches.len()];
    for row in store.reader.rows(OPERATION, select).await? {
        let decode = |error| failed(OPERATION, error);
        let place = row.try_get::<i64>(0).map_err(decode)?;
        let place = usize::try_from(place).ok().and_then(|place| available.get_mut(place));
        if let Some(place) = place {
            *place = row.try_get::<i64>(1).map_err(decode)? != 0;
        }
    }
    Ok(available)
}
