//! What is there for those who wait: one statement for all their queues.

use sqlx::Row;
use zaqar_core::{Error, MessageWatch, Result};

use crate::codes::counter_code;
use crate::layout::{row_id, row_id_end, row_of};

use super::server::Server;
use super::told::Told;

pub(crate) const OPERATION: &str = "message_available";

/// For each place: whether a claim finds something behind it at `$4`, in the claimable index or
/// among what has matured and was not released yet.
const AVAILABLE: &str = "SELECT w.place, \
       EXISTS (SELECT 1 FROM messages AS m WHERE m.avail = 0 AND m.expires > $4 \
         AND (m.id + 0) > greatest(w.after, (h.number << 35) | h.purged) \
         AND (m.id + 0) < w.before) \
       OR EXISTS (SELECT 1 FROM messages AS m WHERE m.queue = h.number \
         AND m.avail > 0 AND m.avail <= $4 AND m.expires > $4 \
         AND m.id > greatest(w.after, (h.number << 35) | h.purged)) \
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $5::bigint[]) WITH ORDINALITY \
       AS w (number, after, before, epoch, place) \
     JOIN heads AS h ON h.number = w.number WHERE h.state < 2 AND h.epoch <= w.epoch";

/// Says of each place whether something is behind it. The queues are known by number after their
/// first time, so that this is one statement.
pub(crate) async fn of_watches(server: &Server, watches: &[MessageWatch]) -> Result<Vec<bool>> {
    let (mut numbers, mut afters, mut befores) = (Vec::new(), Vec::new(), Vec::new());
    for watch in watches {
        let number = match server.number(OPERATION, &watch.queue).await {
            Ok(number) => number,
            // No head has it, and so it is told as what is gone, or moved.
            Err(Error::QueueGone { .. }) => -1,
            Err(error) => return Err(error),
        };
        let own = watch.after.filter(|after| after.incarnation() == watch.queue.incarnation);
        let after = own.and_then(|after| row_of(number, after.sequence()));
        numbers.push(number);
        afters.push(after.unwrap_or_else(|| row_id(number, 0)));
        befores.push(row_id_end(number));
    }
    let now = server.clock.now().as_millis();
    let epochs: Vec<i64> = watches.iter().map(|watch| counter_code(watch.queue.epoch)).collect();
    let select = sqlx::query(AVAILABLE).bind(numbers).bind(afters).bind(befores).bind(now);
    let select = select.bind(epochs);
    let mut available = vec![true; watches.len()];
    for row in server.read(OPERATION, select).await? {
        let place: i64 = row.try_get(0).told(OPERATION)?;
        let place = usize::try_from(place - 1).ok().and_then(|place| available.get_mut(place));
        if let Some(place) = place {
            *place = row.try_get(1).told(OPERATION)?;
        }
    }
    Ok(available)
}
