//! Whether the deployment keeps what it accepts (G15): asked when a store is opened, and whenever its
//! health is asked.

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use zaqar_core::{Health, Result, Timestamp};

use crate::barrier::is_alone;
use crate::config::Unsafe;
use crate::error::{NativeResult, failed, is_no_replication, is_unauthorized};
use crate::store::Handle;

/// What the server says of itself.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// Whether it is the router of a sharded cluster.
    pub(crate) sharded: bool,
    /// Whether no other member could become primary.
    pub(crate) alone: bool,
    /// What may lose messages.
    pub(crate) weakness: Option<Unsafe>,
    /// The server's own time.
    now: Option<Timestamp>,
}

/// Asks the primary, or the router.
pub(crate) async fn inspect(admin: &Database) -> NativeResult<Deployment> {
    let hello = admin.run_command(doc! { "hello": 1 }).await?;
    let now = hello.get_datetime("localTime").ok();
    let now = now.map(|now| Timestamp::from_millis(now.timestamp_millis()));
    if hello.get_str("msg").is_ok_and(|message| message == "isdbgrid") {
        // A shard is a replica set and cannot be asked from here.
        return Ok(Deployment { sharded: true, alone: false, weakness: None, now });
    }
    let weakness = if hello.contains_key("setName") {
        match replica_set(admin).await? {
            Some(found) => Some(found),
            None => storage_engine(admin).await?,
        }
    } else {
        Some(Unsafe::new("deployment", "a standalone server", "a replica set (of one, at least)"))
    };
    Ok(Deployment { sharded: false, alone: is_alone(&hello), weakness, now })
}

/// A setting that this account may not read is as good as unsafe.
fn unreadable(setting: &'static str, safe: &'static str) -> Unsafe {
    Unsafe::new(setting, "unknown: this account may not read it", safe)
}

async fn replica_set(admin: &Database) -> NativeResult<Option<Unsafe>> {
    const JOURNAL: &str = "writeConcernMajorityJournalDefault";
    let answer = match admin.run_command(doc! { "replSetGetConfig": 1 }).await {
        Ok(answer) => answer,
        Err(error) if is_unauthorized(&error) => return Ok(Some(unreadable(JOURNAL, "true"))),
        Err(error) if is_no_replication(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let config = answer.get_document("config").cloned().unwrap_or_default();
    if matches!(config.get_bool(JOURNAL), Ok(false)) {
        return Ok(Some(Unsafe::new(JOURNAL, "false", "true")));
    }
    Ok(arbiters(&config))
}

/// Where arbiters outvote the members that hold data, the majority holds none.
fn arbiters(config: &Document) -> Option<Unsafe> {
    let members = config.get_array("members").ok()?;
    let voters = members.iter().filter_map(Bson::as_document).filter(|member| votes(member));
    let (arbiters, holders): (Vec<_>, Vec<_>) =
        voters.partition(|member| matches!(member.get_bool("arbiterOnly"), Ok(true)));
    (arbiters.len() >= holders.len() && !holders.is_empty()).then(|| {
        let value = format!("{} of {} voters", arbiters.len(), arbiters.len() + holders.len());
        Unsafe::new("arbiterOnly members", value, "fewer than the members that hold data")
    })
}

fn votes(member: &Document) -> bool {
    match member.get("votes") {
        Some(Bson::Int32(votes)) => *votes > 0,
        Some(Bson::Int64(votes)) => *votes > 0,
        Some(Bson::Double(votes)) => *votes > 0.0,
        _ => true,
    }
}

async fn storage_engine(admin: &Database) -> NativeResult<Option<Unsafe>> {
    const SETTING: &str = "storageEngine";
    const SAFE: &str = "one that is persistent (wiredTiger)";
    let ask = doc! { "serverStatus": 1, "metrics": 0, "locks": 0, "wiredTiger": 0, "tcmalloc": 0 };
    let answer = match admin.run_command(ask).await {
        Ok(answer) => answer,
        Err(error) if is_unauthorized(&error) => return Ok(Some(unreadable(SETTING, SAFE))),
        Err(error) => return Err(error),
    };
    let engine = answer.get_document("storageEngine").cloned().unwrap_or_default();
    let name = engine.get_str("name").unwrap_or("unknown").to_owned();
    let persistent = engine.get_bool("persistent").unwrap_or(false);
    let safe = persistent && !matches!(name.as_str(), "inMemory" | "ephemeralForTest");
    Ok((!safe).then(|| Unsafe::new(SETTING, name, SAFE)))
}

impl Handle {
    /// The state of the store: changes nothing.
    pub(crate) async fn health(&self) -> Result<Health> {
        const OPERATION: &str = "health";
        let store = &self.store;
        let admin = store.client.database("admin");
        let deployment = inspect(&admin).await.map_err(|error| failed(OPERATION, &error))?;
        let mut health = Health::good(store.clock.now());
        health.backend_now = deployment.now;
        let warnings = [
            self.weakness.clone(),
            deployment.weakness.map(|found| found.warning()),
            self.record.check(store).await?,
        ];
        health.warnings = warnings.into_iter().flatten().collect();
        health.safe = health.warnings.is_empty();
        Ok(health)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(arbiter_only: &[bool]) -> Document {
        let member = |arbiter: &bool| Bson::from(doc! { "arbiterOnly": *arbiter, "votes": 1 });
        doc! { "members": arbiter_only.iter().map(member).collect::<Vec<_>>() }
    }

    #[test]
    fn arbiters_may_not_outvote_the_members_that_hold_data() {
        assert_eq!(arbiters(&members(&[false])), None);
        assert_eq!(arbiters(&members(&[false, false, true])), None);
        let found = arbiters(&members(&[false, true])).unwrap();
        assert_eq!((found.setting, found.value.as_str()), ("arbiterOnly members", "1 of 2 voters"));
    }
}
