//! What is shown right after a change of primary, while the set is made to lag behind itself.

use std::ops::Range;
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
/// Set up so often at most: on a slow machine the members elect somebody else now and then.
const TRIES: usize = 5;
/// A member does not notice what the majority has.
const LAG: &str = "disableSnapshotting";
/// A member that is no primary fetches nothing from the others.
const DEAF: &str = "stopReplProducer";

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

/// Switches a failpoint of some members.
async fn order(
    backend: &Backend,
    members: impl IntoIterator<Item = usize>,
    failpoint: &str,
    on: bool,
) -> anyhow::Result<()> {
    let mode = if on { "alwaysOn" } else { "off" };
    for member in members {
        let client = Client::with_uri_str(direct(backend, member)?).await?;
        let order = doc! { "configureFailPoint": failpoint, "mode": mode };
        client.database("admin").run_command(order).await?;
        client.shutdown().immediate(true).await;
    }
    Ok(())
}

fn members(backend: &Backend) -> Range<usize> {
    0..backend.ports().len()
}

/// How many messages a member shows.
async fn shown_at(uri: &str, level: ReadConcern) -> anyhow::Result<u64> {
    let client = Client::with_uri_str(uri).await?;
    let options = CollectionOptions::builder().read_concern(level).build();
    let data: Collection<Document> =
        client.database("zaqar").collection_with_options("data", options);
    let count = data.count_documents(doc! { "avail": 0_i64 }).await?;
    client.shutdown().immediate(true).await;
    Ok(count)
}

/// A queue, new each time.
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

/// Lists on a primary that was just elected and does not know what the majority has.
async fn list_while_it_lags(backend: &Backend, drivers: &MongoDrivers) -> anyhow::Result<()> {
    let queue = queue(drivers).await?;
    post(drivers, &queue, BEFORE).await?;
    let primary = backend.primary().context("a primary")?;
    let others = members(backend).filter(|member| *member != primary);
    order(backend, others, LAG, true).await?;
    post(drivers, &queue, AFTER).await?;
    backend.step_down()?;
    let held = shown_at(&backend.uri(), ReadConcern::local()).await?;
    let known = shown_at(&backend.uri(), ReadConcern::majority()).await?;
    ensure!(known < held, "the new primary does not lag");
    let mut listing = list(drivers, &queue);
    let early = soon(&mut listing).await?;
    order(backend, members(backend), LAG, false).await?;
    let shown = match early {
        Some(answer) => answer?,
        None => listing.await??,
    };
    assert_eq!(shown.len(), BEFORE + AFTER);
    Ok(())
}

/// Lists through a member that was primary and hears of nothing any more.
async fn list_on_the_old(backend: &Backend, drivers: &MongoDrivers) -> anyhow::Result<()> {
    let queue = queue(drivers).await?;
    post(drivers, &queue, BEFORE).await?;
    let primary = backend.primary().context("a primary")?;
    let uri = direct(backend, primary)?;
    let on_the_old = open(&uri).await?;
    order(backend, [primary], DEAF, true).await?;
    backend.step_down()?;
    post(drivers, &queue, AFTER).await?;
    let held = shown_at(&backend.uri(), ReadConcern::local()).await?;
    ensure!(shown_at(&uri, ReadConcern::local()).await? < held, "the old primary does not lag");
    if let Some(Ok(shown)) = soon(&mut list(&on_the_old, &queue)).await? {
        assert_eq!(shown.len(), BEFORE + AFTER);
    }
    assert_eq!(list(drivers, &queue).await??.len(), BEFORE + AFTER);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_primary_that_does_not_know_what_the_majority_has_shows_all_of_it()
-> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open(&backend.uri()).await?;
    let mut tried = Ok(());
    for _ in 0..TRIES {
        tried = list_while_it_lags(&backend, &drivers).await;
        order(&backend, members(&backend), LAG, false).await?;
        if tried.is_ok() {
            break;
        }
        backend.wait_until_ready()?;
    }
    tried
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_primary_shows_nothing_old() -> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open(&backend.uri()).await?;
    let mut tried = Ok(());
    for _ in 0..TRIES {
        tried = list_on_the_old(&backend, &drivers).await;
        order(&backend, members(&backend), DEAF, false).await?;
        if tried.is_ok() {
            break;
        }
        backend.wait_until_ready()?;
    }
    tried
}
