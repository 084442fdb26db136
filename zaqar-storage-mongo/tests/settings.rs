//! Deployments that may lose what they acknowledge are refused by name: kinds of servers, beside the
//! settings of `native.rs`.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Database};
use zaqar_core::{Clock, ManualClock, OpenError};
use zaqar_storage_mongo::{MongoDrivers, OpenOptions};
use zaqar_testbed::{Backend, Options, Service};

async fn open(uri: &str) -> Result<MongoDrivers, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    zaqar_storage_mongo::open(uri, OpenOptions::new(clock)).await
}

async fn check_refused(uri: &str, named: &str, is: &str, must_be: &str) -> anyhow::Result<()> {
    let opened = open(uri).await;
    let Err(OpenError::Unsafe { setting, value, safe }) = opened else {
        bail!("{named}: opened, or refused for another reason: {opened:?}");
    };
    ensure!((setting.as_str(), value.as_str(), safe.as_str()) == (named, is, must_be));
    Ok(())
}

/// Health of a handle that was opened while all was well.
async fn check_health(drivers: &MongoDrivers, named: &str) -> anyhow::Result<()> {
    let health = drivers.data.health().await?;
    let said = health.warnings.iter().any(|text| text.contains(named));
    ensure!(!health.safe && said, "{named}: {health:?}");
    Ok(())
}

#[tokio::test]
async fn a_standalone_server_is_refused() -> anyhow::Result<()> {
    let server = Backend::start(Service::Mongo, Options::new().standalone())?;
    let safe = "a replica set (of one, at least)";
    check_refused(&server.uri(), "deployment", "a standalone server", safe).await?;
    server.stop()
}

#[tokio::test]
async fn a_storage_engine_that_keeps_nothing_is_refused() -> anyhow::Result<()> {
    let arguments = ["--storageEngine", "ephemeralForTest"];
    let server = Backend::start(Service::Mongo, Options::new().arguments(arguments))?;
    let safe = "one that is persistent (wiredTiger)";
    check_refused(&server.uri(), "storageEngine", "ephemeralForTest", safe).await?;
    server.stop()
}

/// The configuration of the set.
async fn config(admin: &Database) -> anyhow::Result<Document> {
    let answer = admin.run_command(doc! { "replSetGetConfig": 1 }).await?;
    Ok(answer.get_document("config")?.clone())
}

/// Gives the set other members; one may come or go at a time.
async fn change(
    admin: &Database,
    members: impl FnOnce(&mut Vec<Bson>) + Send,
) -> anyhow::Result<()> {
    let mut config = config(admin).await?;
    config.insert("version", config.get_i32("version")? + 1);
    members(config.get_array_mut("members")?);
    admin.run_command(doc! { "replSetReconfig": config }).await?;
    Ok(())
}

#[tokio::test]
async fn a_set_in_which_arbiters_outvote_who_holds_data_is_refused() -> anyhow::Result<()> {
    let server = Backend::start(Service::MongoSet, Options::new())?;
    let drivers = open(&server.uri()).await?;
    ensure!(drivers.data.health().await?.safe, "a set of three");
    let admin = Client::with_uri_str(server.uri()).await?.database("admin");
    // Else the server itself refuses a set whose majority is not in its data.
    let concern = doc! { "setDefaultRWConcern": 1, "defaultWriteConcern": { "w": "majority" } };
    admin.run_command(concern).await?;
    let primary = server.primary().context("a primary")?;
    let mut others = server.ports().into_iter().enumerate();
    let (nth, port) = others.find(|(nth, _)| *nth != primary).context("another member")?;
    let host = format!("127.0.0.1:{port}");
    let is_it = |host: &str, member: &Bson| {
        member.as_document().and_then(|member| member.get_str("host").ok()) == Some(host)
    };
    change(&admin, |members| members.retain(|member| !is_it(&host, member))).await?;
    let arbiter = doc! { "_id": 10 + i32::try_from(nth)?, "host": &host, "arbiterOnly": true };
    change(&admin, |members| members.push(arbiter.into())).await?;
    ensure!(drivers.data.health().await?.safe, "two that hold data outvote one arbiter");
    let keep = format!("127.0.0.1:{}", server.ports()[primary]);
    change(&admin, |members| {
        members.retain(|member| is_it(&keep, member) || is_it(&host, member));
    })
    .await?;
    check_health(&drivers, "arbiterOnly members").await?;
    let safe = "fewer than the members that hold data";
    check_refused(&server.uri(), "arbiterOnly members", "1 of 2 voters", safe).await?;
    drivers.data.close().await;
    Ok(())
}
