//! What is shown right after a change of primary, while the set is made to lag behind itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use mongodb::bson::{Document, doc};
use mongodb::options::{CollectionOptions, ReadConcern};
use mongodb::{Client, Collection};
use tokio::task::JoinHandle;
use zaqar_core::{
    Body, Clock, ListMessages, ManualClock, Message, NewMessage, PostMessages, ProjectId, QueueKey,
    QueueName, QueueRef, Result, Ttl,
};
use zaqar_storage_mongo::{MongoDrivers, OpenOptions};
use zaqar_testbed::{Backend, Options, Service};

/// How long an answer that must not be given is waited for.
const LOOK: Duration = Duration::from_secs(2);
const BEFORE: usize = 1;
const AFTER: usize = 5;

/// A replica set of its own, whose members obey orders to lag.
fn backend() -> anyhow::Result<Backend> {
    let test = ["--setParameter", "enableTestCommands=1"];
    Backend::start(Service::MongoSet, Options::new().arguments(test))
}

async fn open(uri: &str) -> anyhow::Result<MongoDrivers> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    Ok(zaqar_storage_mongo::open(uri, OpenOptions::new(clock)).await?)
}

fn direct(backend: &Backend, member: usize) -> anyhow::Result<String> {
    let port = *backend.ports().get(member).context("no such member")?;
    Ok(format!("mongodb://127.0.0.1:{port}/?directConnection=true"))
}

/// Switches a failpoint of one member.
async fn order(backend: &Backend, member: usize, failpoint: &str, on: bool) -> anyhow::Result<()> {
    let client = Client::with_uri_str(direct(backend, member)?).await?;
    let mode = if on { "alwaysOn" } else { "off" };
    let order = doc! { "configureFailPoint": failpoint, "mode": mode };
    client.database("admin").run_command(order).await?;
    client.shutdown().immediate(true).await;
    Ok(())
}

async fn queue(drivers: &MongoDrivers) -> anyhow::Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new("q")?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

async fn post(drivers: &MongoDrivers, queue: &QueueRef, count: usize) -> anyhow::Result<()> {
    let message = NewMessage::new(Body::from_json("{}")?, Ttl::from_secs(600)?);
    let messages = vec![message; count];
    drivers.data.messages().message_post(queue, messages, PostMessages::new()).await?;
    Ok(())
}

fn list(drivers: &MongoDrivers, queue: &QueueRef) -> JoinHandle<Result<Vec<Message>>> {
    let (data, queue) = (Arc::clone(&drivers.data), queue.clone());
    tokio::spawn(async move {
        let page = data.messages().message_list(&queue, ListMessages::new()).await?;
        Ok(page.items)
    })
}

/// A listing's answer, if it comes soon: one that waits for the set shows nothing old.
async fn soon(
    listing: &mut JoinHandle<Result<Vec<Message>>>,
) -> anyhow::Result<Option<Result<Vec<Message>>>> {
    match tokio::time::timeout(LOOK, listing).await {
        Ok(answer) => Ok(Some(answer?)),
        Err(_) => Ok(None),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_primary_that_does_not_know_what_the_majority_has_shows_all_of_it()
-> anyhow::Result<()> {
    const LAG: &str = "disableSnapshotting";
    let backend = backend()?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers).await?;
    post(&drivers, &queue, BEFORE).await?;
    let primary = backend.primary().context("a primary")?;
    let others = (0..backend.ports().len()).filter(|member| *member != primary);
    for member in others.clone() {
        order(&backend, member, LAG, true).await?;
    }
    post(&drivers, &queue, AFTER).await?;
    backend.step_down()?;
    let client = Client::with_uri_str(backend.uri()).await?;
    let majority = CollectionOptions::builder().read_concern(ReadConcern::majority()).build();
    let data: Collection<Document> =
        client.database("zaqar").collection_with_options("data", majority);
    let known = data.count_documents(doc! { "avail": 0_i64 }).await?;
    ensure!(known < (BEFORE + AFTER) as u64, "the new primary does not lag");
    let mut listing = list(&drivers, &queue);
    let early = soon(&mut listing).await?;
    for member in others {
        order(&backend, member, LAG, false).await?;
    }
    let shown = match early {
        Some(answer) => answer?,
        None => listing.await??,
    };
    assert_eq!(shown.len(), BEFORE + AFTER);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_primary_shows_nothing_old() -> anyhow::Result<()> {
    let backend = backend()?;
    let primary = backend.primary().context("a primary")?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers).await?;
    post(&drivers, &queue, BEFORE).await?;
    // It hears of nothing that happens from now on.
    order(&backend, primary, "stopReplProducer", true).await?;
    let on_the_old = open(&direct(&backend, primary)?).await?;
    backend.step_down()?;
    post(&drivers, &queue, AFTER).await?;
    let shown = soon(&mut list(&on_the_old, &queue)).await?;
    if let Some(Ok(messages)) = shown {
        assert_eq!(messages.len(), BEFORE + AFTER);
    }
    assert_eq!(list(&drivers, &queue).await??.len(), BEFORE + AFTER);
    Ok(())
}
