//! What is planned for takers is recorded, and carried out by conditional writes.

use mongodb::bson::{Bson, Document, Timestamp as Moment, doc};
use zaqar_core::{Effect, Result, Timestamp};

use crate::barrier::operation_time;
use crate::claims::ClaimRow;
use crate::error::{effect_of, engine_error, failed, lost_upserts_only, partial};
use crate::holding::Holding;
use crate::query::Query;
use crate::rows::ttl_code;
use crate::schema::DATA;
use crate::store::Store;
use crate::tables::{CLAIMABLE, PARKED, claim_key, message_key};

const OPERATION: &str = "claim_create";

/// One round's writes.
#[derive(Debug)]
pub(crate) struct Plan {
    q: i64,
    now: Timestamp,
    /// Conditional changes of messages.
    changes: Vec<Document>,
}

impl Plan {
    pub(crate) fn new(q: i64, now: Timestamp) -> Self {
        Self { q, now, changes: Vec::new() }
    }

    fn change(&mut self, filter: Document, update: Document) {
        self.changes.push(doc! { "q": filter, "u": update, "multi": true });
    }

    /// Those of the messages that nobody took meanwhile.
    fn claimable(&self, positions: impl IntoIterator<Item = i64>) -> Document {
        let keys = positions.into_iter().map(|position| message_key(self.q, position));
        doc! { "_id": { "$in": keys.collect::<Vec<_>>() }, "q": self.q, "avail": CLAIMABLE }
    }

    /// Takes messages out of circulation; they are on their way to the dead-letter queue (G10).
    pub(crate) fn park(&mut self, holding: &mut Holding, positions: &[i64]) {
        let Some(redrive) = holding.redrive.as_ref().filter(|_| !positions.is_empty()) else {
            return;
        };
        let mut filter = self.claimable(positions.iter().copied());
        filter.insert("expires", doc! { "$gt": self.now.as_millis() });
        filter.insert("claims", doc! { "$gte": i64::from(redrive.claims_max) });
        let update = doc! {
            "$set": {
                "avail": PARKED,
                "expires": Timestamp::MAX.as_millis(),
                "target": redrive.target.as_str(),
                "moved_ttl": ttl_code(redrive.ttl),
                "lease_ends": 0_i64,
            },
            "$unset": { "claim": "" },
        };
        self.change(filter, update);
        let parked = u32::try_from(positions.len()).unwrap_or(u32::MAX);
        holding.parked = holding.parked.saturating_add(parked);
    }

    /// Records what was dealt, before any of it is written: a repeat must find it. Where another call
    /// under the same id was first, its plan is adopted.
    ///
    /// The record need not have reached the majority: the write that follows it does, and what comes
    /// later in the log cannot be kept without what comes before.
    pub(crate) async fn record(&self, store: &Store, holdings: &mut [Holding]) -> Result<()> {
        let mut statements = Vec::new();
        let dealt = |holding: &&mut Holding| holding.is_hungry() && !holding.dealt.is_empty();
        for holding in holdings.iter_mut().filter(dealt) {
            let before = Bson::from(holding.planned.clone());
            let is_new = holding.made.is_none();
            let made = holding.make(self.now);
            holding.plan();
            if holding.is_pop {
                continue;
            }
            let (id, list) = (claim_key(self.q, holding.claim), holding.planned.clone());
            statements.push(if is_new {
                let record = doc! {
                    "ttl": ttl_code(holding.ttl),
                    "grace": ttl_code(holding.grace),
                    "started": made.as_millis(),
                    "ends": holding.ends.as_millis(),
                    "list": list,
                };
                let filter = doc! { "_id": id, "q": self.q };
                doc! { "q": filter, "u": { "$setOnInsert": record }, "upsert": true }
            } else {
                let filter = doc! { "_id": id, "q": self.q, "list": before };
                doc! { "q": filter, "u": { "$set": { "list": list } } }
            });
        }
        if statements.is_empty() {
            return Ok(());
        }
        let wanted = statements.len();
        let reply = send(store, statements, doc! { "w": 1 }).await?;
        // Of two under one id that find it missing at once, one stores and the other is refused.
        if !lost_upserts_only(&reply) {
            whole(OPERATION, &reply)?;
        }
        let made = reply.get_array("upserted").map_or(0, Vec::len);
        if made == wanted { Ok(()) } else { self.adopt(store, holdings).await }
    }

    /// Looks whose plans are recorded.
    async fn adopt(&self, store: &Store, holdings: &mut [Holding]) -> Result<()> {
        let planned = |holding: &&mut Holding| {
            holding.is_hungry() && !holding.is_pop && !holding.dealt.is_empty()
        };
        let keys = holdings.iter_mut().filter(planned);
        let keys: Vec<String> = keys.map(|holding| claim_key(self.q, holding.claim)).collect();
        let query = Query::of(doc! { "_id": { "$in": keys }, "q": self.q });
        let rows = Store::find_in::<ClaimRow>(&store.data_ahead(), query).await;
        let rows = rows.map_err(|error| failed(OPERATION, &error))?;
        for holding in holdings.iter_mut().filter(planned) {
            let key = claim_key(self.q, holding.claim);
            match rows.iter().find(|row| row.key == key) {
                Some(row) if row.list == holding.planned => {}
                Some(row) => holding.adopt(row, self.now),
                // Released meanwhile: nobody may go on with it.
                None => holding.abandon(),
            }
        }
        Ok(())
    }

    /// Puts the planned messages under their claims, each if it still is claimable; waits for the
    /// majority and its journals. When that was, in the time of the log; `None`: there was nothing
    /// to write.
    pub(crate) async fn write(
        mut self,
        store: &Store,
        holdings: &[Holding],
    ) -> Result<Option<Moment>> {
        for holding in holdings.iter().filter(|holding| holding.is_hungry()) {
            if holding.is_to_be_tried() {
                // Nothing is known of the messages of somebody else's plan.
                self.hold(holding, holding.planned.iter().copied(), false);
                self.hold(holding, holding.planned.iter().copied(), true);
                continue;
            }
            let ends = holding.ends.as_millis();
            let positions = |is_short| {
                let alike =
                    holding.dealt.iter().filter(move |one| (one.expires < ends) == is_short);
                alike.map(|one| one.s)
            };
            self.hold(holding, positions(false), false);
            self.hold(holding, positions(true), true);
        }
        if self.changes.is_empty() {
            return Ok(None);
        }
        let acknowledged = store.write_concern_document();
        let acknowledged = acknowledged.map_err(|error| failed(OPERATION, &error))?;
        let reply = send(store, self.changes, acknowledged).await?;
        whole(OPERATION, &reply)?;
        let moment = operation_time(&reply);
        moment.map(Some).map_err(|error| engine_error(OPERATION, Effect::Unknown, &error))
    }

    /// Puts messages under a claim: those that live long enough, or those whose lives are extended.
    fn hold(
        &mut self,
        holding: &Holding,
        positions: impl IntoIterator<Item = i64>,
        is_short: bool,
    ) {
        let mut filter = self.claimable(positions);
        if filter.get_document("_id").and_then(|ids| ids.get_array("$in")).is_ok_and(Vec::is_empty)
        {
            return;
        }
        let ends = holding.ends.as_millis();
        let mut set = doc! { "avail": ends, "claim": holding.claim.to_string() };
        if holding.is_pop {
            // What is popped is as it was posted.
            filter.insert("expires", doc! { "$gt": self.now.as_millis() });
        } else if is_short {
            // A life that would end before the claim is extended, never shortened (G8).
            filter.insert("expires", doc! { "$gt": self.now.as_millis(), "$lt": ends });
            set.insert("ttl", holding.raised());
            set.insert("expires", holding.ends.after(holding.grace).as_millis());
        } else {
            filter.insert("expires", doc! { "$gte": ends });
        }
        if let Some(max) = holding.claims_max() {
            filter.insert("claims", doc! { "$lt": max });
        }
        let mut update = doc! { "$set": set };
        if !holding.is_pop {
            update.insert("$inc", doc! { "claims": 1_i64 });
        }
        self.change(filter, update);
    }
}

/// Sends statements as one command, whose answer may tell of some that failed.
async fn send(
    store: &Store,
    statements: Vec<Document>,
    acknowledged: Document,
) -> Result<Document> {
    let command = doc! {
        "update": DATA,
        "updates": statements,
        "ordered": false,
        "writeConcern": acknowledged,
    };
    run(store, OPERATION, command).await
}

pub(crate) async fn run(
    store: &Store,
    operation: &'static str,
    command: Document,
) -> Result<Document> {
    let sent = store.patiently(store.database.run_command(command).into_future()).await;
    sent.map_err(|error| engine_error(operation, effect_of(&error), &error))
}

/// That no statement of a command failed, nor the wait for the majority.
pub(crate) fn whole(operation: &'static str, reply: &Document) -> Result<()> {
    match partial(reply) {
        Some(error) => Err(engine_error(operation, Effect::Unknown, &error)),
        None => Ok(()),
    }
}
