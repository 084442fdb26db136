//! mongod, as a replica set of one or more members.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::bson::{Document, Value, call};
use crate::install::programs;
use crate::server::{Kind, PROBE_LIMIT, Place};

const SET: &str = "zaqar";
/// Already made: a member that was started again knows.
const ALREADY_INITIALIZED: i32 = 23;

/// How long a primary that stepped down stays out of elections, in seconds.
const STEPPED_DOWN_S: i32 = 10;
/// How long it waits for another member to have all it has; must be shorter.
const CATCH_UP_S: i32 = 8;

/// A server with a small cache; its journal is synced before it answers, as clients ask for.
#[derive(Debug)]
pub(crate) enum Mongod {
    /// Of a replica set.
    Member,
    /// Of none.
    Standalone,
}

impl Kind for Mongod {
    fn program(&self) -> Result<PathBuf> {
        programs::mongod()
    }

    fn arguments(&self, place: &Place) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--dbpath".into(), place.data().into()];
        arguments.extend(["--port".into(), place.port.to_string().into()]);
        let settings = [
            ["--bind_ip", "127.0.0.1"],
            ["--wiredTigerCacheSizeGB", "0.25"],
            ["--oplogSize", "64"],
            ["--setParameter", "diagnosticDataCollectionEnabled=false"],
            // Else it waits so long for its clients to go elsewhere.
            ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"],
        ];
        arguments.extend(settings.into_iter().flatten().map(OsString::from));
        if matches!(self, Self::Member) {
            arguments.extend(["--replSet", SET].map(OsString::from));
        }
        arguments.push("--nounixsocket".into());
        arguments
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        fs::create_dir_all(place.data()).context("making the folder for the data")
    }

    fn answers(&self, place: &Place) -> bool {
        hello(place).is_some()
    }
}

fn hello(place: &Place) -> Option<Document> {
    let command = Document::default().with("hello", 1);
    call(place.address(), command, PROBE_LIMIT).ok().filter(|answer| answer.says("ok"))
}

/// Makes a replica set of the servers at `places`.
pub(crate) fn initiate(places: &[&Place]) -> Result<()> {
    let first = places.first().context("a replica set without members")?;
    let member = |(nth, place): (i32, &&Place)| -> Value {
        let host = place.address().to_string();
        Document::default().with("_id", nth).with("host", host).into()
    };
    let members: Vec<Value> = (0..).zip(places).map(member).collect();
    let settings = Document::default()
        .with("electionTimeoutMillis", 1000)
        .with("heartbeatIntervalMillis", 500);
    let config =
        Document::default().with("_id", SET).with("members", members).with("settings", settings);
    let command = Document::default().with("replSetInitiate", config);
    // All members are asked before it answers.
    let answer = call(first.address(), command, 10 * PROBE_LIMIT)?;
    if answer.says("ok") || answer.get("code") == Some(&Value::Int(ALREADY_INITIALIZED)) {
        return Ok(());
    }
    bail!("the replica set could not be made: {answer:?}")
}

/// Whether a member takes writes, and all others follow it.
pub(crate) fn is_ready(places: &[&Place]) -> bool {
    let answers: Vec<Document> = places.iter().filter_map(|place| hello(place)).collect();
    let primaries = answers.iter().filter(|answer| answer.says("isWritablePrimary")).count();
    let secondaries = answers.iter().filter(|answer| answer.says("secondary")).count();
    primaries == 1 && primaries + secondaries == places.len()
}

/// Has a primary hand over to another member, which has caught up with it by then.
pub(crate) fn step_down(primary: &Place) -> Result<()> {
    let command = Document::default()
        .with("replSetStepDown", STEPPED_DOWN_S)
        .with("secondaryCatchUpPeriodSecs", CATCH_UP_S);
    let answer = call(primary.address(), command, 10 * PROBE_LIMIT)?;
    ensure!(answer.says("ok"), "the primary does not step down: {answer:?}");
    Ok(())
}

/// The member that takes writes.
pub(crate) fn primary(places: &[&Place]) -> Option<usize> {
    let is_primary =
        |place: &&Place| hello(place).is_some_and(|answer| answer.says("isWritablePrimary"));
    places.iter().position(is_primary)
}

pub(crate) fn uri(places: &[&Place]) -> String {
    let members: Vec<String> = places.iter().map(|place| place.address().to_string()).collect();
    format!("mongodb://{}/?replicaSet={SET}&w=majority&journal=true", members.join(","))
}

/// For clients that must not learn of the members' own addresses.
pub(crate) fn direct_uri(place: &Place) -> String {
    format!("mongodb://{}/?directConnection=true&w=majority&journal=true", place.address())
}
