//! Counting, and removing what has been over for long.

use zaqar_core::limits::ROWS_PER_STEP_MAX;
use zaqar_core::{GcOptions, GcReport, Result, StoreVolume, Timestamp};

use crate::head::Head;
use crate::node::Node;
use crate::record::{Change, Record};
use crate::state::State;

impl Head {
    pub(crate) fn volume(&self, now: Timestamp) -> StoreVolume {
        let mut volume = StoreVolume::default();
        for (_, message) in self.live(now) {
            match message.held_by(now) {
                Some(_) => volume.claimed += 1,
                None => volume.free += 1,
            }
        }
        volume
    }
}

impl State {
    pub(crate) fn volume(&self, now: Timestamp) -> StoreVolume {
        let mut volume = StoreVolume::default();
        for of in self.heads.values().map(|head| head.volume(now)) {
            volume.claimed += of.claimed;
            volume.free += of.free;
        }
        volume
    }
}

impl Node {
    /// In steps, between which others are served.
    pub(crate) async fn collect(&self, options: GcOptions) -> Result<GcReport> {
        let mut done = GcReport { rows: 0, more: true };
        while done.more && done.rows < options.rows_max {
            let room = options.rows_max - done.rows;
            let room = usize::try_from(room.min(u64::from(ROWS_PER_STEP_MAX))).unwrap_or(0);
            let rows = self.step("gc", |state, now| Ok(due(state, options, now, room))).await?;
            done.rows += u64::try_from(rows).unwrap_or(u64::MAX);
            done.more = rows == room;
            tokio::task::yield_now().await;
        }
        Ok(done)
    }
}

/// Records that remove up to `room` things that have been over for the margin, and how many.
fn due(state: &State, options: GcOptions, now: Timestamp, room: usize) -> (Vec<Record>, usize) {
    let over = |at: Timestamp| at.after(options.margin) <= now;
    let buried: usize = state.graves.iter().map(std::collections::BTreeMap::len).sum();
    let mut rows = buried.min(room);
    let mut records = Vec::new();
    if rows > 0 {
        records.push(Record::Swept(rows));
    }
    for head in state.heads.values() {
        let messages = head.messages.iter().filter(|(_, message)| over(message.expires_at));
        let positions: Vec<u64> = messages.map(|(at, _)| *at).take(room - rows).collect();
        rows += positions.len();
        let keys = head.keys.iter().filter(|(_, kept)| over(kept.until));
        let keys: Vec<_> = keys.map(|(key, _)| key.clone()).take(room - rows).collect();
        rows += keys.len();
        let claims = head.claims.iter().filter(|(_, ends_at)| over(**ends_at));
        let claims: Vec<_> = claims.map(|(claim, _)| *claim).take(room - rows).collect();
        rows += claims.len();
        if !positions.is_empty() {
            records.push(Record::Head(head.incarnation, Change::Removed(positions)));
        }
        if !keys.is_empty() || !claims.is_empty() {
            records.push(Record::Head(head.incarnation, Change::Forgotten { keys, claims }));
        }
    }
    (records, rows)
}
