//! What is peculiar to MongoDB: index plans, refusals, conflicts, and what is sent again.

use std::sync::Arc;

use anyhow::{Context, ensure};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use zaqar_core::{
    Body, ClaimId, Clock, CreateClaim, Effect, Error, GcOptions, IdempotencyKey, LeaseDeliveries,
    LeaseId, ListMessages, ListQueues, ManualClock, MessageId, MessageWatch, NewMessage,
    NewSubscription, OpenError, PageLimit, PoolName, PostKey, PostMessages, ProjectId, QueueEnd,
    QueueKey, QueueKind, QueueName, QueueRef, Redrive, Ttl,
};
use zaqar_storage_mongo::{MongoDrivers, OpenOptions};
use zaqar_testbed::{Backend, Options, Service};

/// A server of its own, that obeys orders to fail.
fn backend() -> anyhow::Result<Backend> {
    let test = ["--setParameter", "enableTestCommands=1"];
    Backend::start(Service::Mongo, Options::new().arguments(test))
}

async fn open_at(uri: &str) -> Result<MongoDrivers, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    zaqar_storage_mongo::open(uri, OpenOptions::new(clock)).await
}

async fn raw(backend: &Backend) -> anyhow::Result<Client> {
    Ok(Client::with_uri_str(backend.uri()).await?)
}

/// The database that is opened where the URI names none.
fn database(client: &Client) -> Database {
    client.database("zaqar")
}

async fn queue(drivers: &MongoDrivers, name: &str) -> anyhow::Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new(name)?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

fn messages(count: usize) -> anyhow::Result<Vec<NewMessage>> {
    let body = Body::from_json("{}")?;
    Ok(vec![NewMessage::new(body, Ttl::from_secs(600)?); count])
}

async fn post(drivers: &MongoDrivers, queue: &QueueRef, count: usize) -> anyhow::Result<()> {
    drivers.data.messages().message_post(queue, messages(count)?, PostMessages::new()).await?;
    Ok(())
}

fn claim(limit: u32) -> anyhow::Result<CreateClaim> {
    let span = Ttl::from_secs(60)?;
    Ok(CreateClaim::new(ClaimId::random(), span, span).limit(PageLimit::new(limit)?))
}

/// Makes the server fail the next command of a kind, in some way.
async fn order_failure(client: &Client, how: Document) -> anyhow::Result<()> {
    let order = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": how };
    client.database("admin").run_command(order).await?;
    Ok(())
}

/// Uses everything that the drivers can do, on a queue that holds a lot.
async fn use_everything(drivers: &MongoDrivers, clock: &ManualClock) -> anyhow::Result<QueueRef> {
    let queue = queue(drivers, "q").await?;
    let (data, span) = (&drivers.data, Ttl::from_secs(600)?);
    let subscription = NewSubscription::new("http://subscriber", span);
    data.subscriptions().subscription_create(&queue, subscription).await?;
    data.subscriptions().subscription_list(&queue, None, PageLimit::new(10)?).await?;
    let key = PostKey { key: IdempotencyKey::new("k")?, digest: [7; 32], keep: span };
    let keyed = PostMessages::new().key(key);
    for _ in 0..2 {
        data.messages().message_post(&queue, messages(1)?, keyed.clone()).await?;
    }
    for _ in 0..4 {
        post(drivers, &queue, 500).await?;
    }
    let taken = claim(1_000)?;
    let held = data.claims().claim_create(&queue, taken.clone()).await?.messages;
    ensure!(held.len() == 1_000, "{} were claimed", held.len());
    let redrive = Redrive { claims_max: 1, target: QueueName::new("dead")?, ttl: span };
    for _ in 0..2 {
        let one = claim(5)?.redrive(redrive.clone());
        data.claims().claim_create(&queue, one.clone()).await?;
        data.claims().claim_get(&queue, one.id).await?;
        data.claims().claim_update(&queue, one.id, span, span).await?;
        data.claims().claim_delete(&queue, one.id).await?;
    }
    let parked = data.claims().claim_create(&queue, claim(5)?.redrive(redrive)).await?.parked;
    ensure!(parked > 0, "nothing was parked");
    let limit = PageLimit::new(10)?;
    let transfers = data.outbox().transfer_lease(None, LeaseId::random(), span, limit).await?;
    data.outbox().transfer_complete(transfers.first().context("a transfer")?).await?;
    let ids: Vec<_> = held.iter().map(|message| message.id).collect();
    let (done, rest) = ids.split_at(10);
    data.messages().message_bulk_delete(&queue, done, Some(&[taken.id])).await?;
    data.messages().message_get(&queue, *rest.first().context("a message")?).await?;
    data.messages().message_pop(&queue, limit).await?;
    data.messages().message_first(&queue, QueueEnd::Newest).await?;
    data.messages().message_list(&queue, ListMessages::new()).await?;
    let all = ListMessages::new().include_claimed(true).include_delayed(true);
    data.messages().message_list(&queue, all).await?;
    let watch = MessageWatch { queue: queue.clone(), after: ids.last().copied().map(Into::into) };
    data.messages().message_available(&[watch]).await?;
    data.messages().message_stats(&queue).await?;
    let leased = data.outbox().delivery_lease(LeaseDeliveries::new(LeaseId::random(), span));
    ensure!(leased.await?.len() == 1, "one subscription has something to deliver");
    data.outbox().outbox_backlog().await?;
    data.volume().await?;
    clock.advance(std::time::Duration::from_secs(61));
    data.sweep().await?;
    clock.advance(std::time::Duration::from_secs(6_000));
    data.gc(GcOptions::new()).await?;
    data.messages().message_purge(&queue).await?;
    data.heads().head_close(&queue).await?;
    data.gc(GcOptions::new()).await?;
    let control = &drivers.control;
    let project = ProjectId::new("p")?;
    control.queues().queue_list(&project, QueueKind::Queue, ListQueues::new()).await?;
    control.queues().queue_list_deleting(limit).await?;
    control.catalogue().catalogue_list_by_pool(&PoolName::new("pool")?, None, limit).await?;
    control.catalogue().catalogue_list_moving(None, limit).await?;
    control.flavors().flavor_list(&project, None, limit).await?;
    control.pools().pool_list_by_flavor(None).await?;
    Ok(queue)
}

#[tokio::test]
async fn nothing_that_the_driver_asks_walks_a_whole_collection() -> anyhow::Result<()> {
    let backend = backend()?;
    let clock = Arc::new(ManualClock::default());
    let options = OpenOptions::new(Arc::<ManualClock>::clone(&clock));
    let drivers = zaqar_storage_mongo::open(&backend.uri(), options).await?;
    let client = raw(&backend).await?;
    let database = database(&client);
    // The server writes down the plan of every command.
    database
        .run_command(doc! { "create": "system.profile", "capped": true, "size": 16 << 20 })
        .await?;
    database.run_command(doc! { "profile": 2 }).await?;
    use_everything(&drivers, &clock).await?;
    database.run_command(doc! { "profile": 0 }).await?;
    let profile = database.collection::<Document>("system.profile");
    let seen = profile.count_documents(doc! { "planSummary": { "$exists": true } }).await?;
    ensure!(seen > 100, "only {seen} plans were written down");
    let of_ours = doc! { "$ne": "zaqar.system.profile" };
    let walk = profile.find_one(doc! { "planSummary": "COLLSCAN", "ns": of_ours }).await?;
    let walked = walk.as_ref().and_then(|walk| walk.get("command"));
    ensure!(walked.is_none(), "a whole collection was walked: {walked:?}");
    // A claim of five behind a thousand claimed messages looks at what it takes, and little more.
    let wide = doc! {
        "planSummary": { "$regex": "^IXSCAN" },
        "command.find": "data",
        "command.hint": "claimable",
        "command.limit": { "$lte": 10 },
        "docsExamined": { "$gt": 20 },
    };
    ensure!(profile.count_documents(wide).await? == 0, "a claim walked what was not its own");
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_poll_of_many_queues_is_two_reads_for_each_hundred() -> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    let client = raw(&backend).await?;
    let database = database(&client);
    let mut watches = Vec::new();
    for number in 0..150 {
        let queue = queue(&drivers, &format!("q{number}")).await?;
        watches.push(MessageWatch { queue, after: None });
    }
    // One holds something to claim behind a lot that is claimed, one only what is claimed.
    for (number, count) in [(0, 301), (149, 300)] {
        let queue = &watches.get(number).context("a queue")?.queue;
        post(&drivers, queue, count).await?;
        drivers.data.claims().claim_create(queue, claim(300)?).await?;
    }
    database.run_command(doc! { "profile": 2 }).await?;
    let told = drivers.data.messages().message_available(&watches).await?;
    database.run_command(doc! { "profile": 0 }).await?;
    let wanted: Vec<bool> = (0..150).map(|number| number == 0).collect();
    ensure!(told == wanted, "{told:?}");
    let profile = database.collection::<Document>("system.profile");
    let reads = doc! { "ns": "zaqar.data" };
    let read = profile.count_documents(reads.clone()).await?;
    ensure!(read == 4, "{read} commands were needed");
    let mut wide = reads;
    wide.insert("docsExamined", doc! { "$gt": 110 });
    let wide = profile.find_one(wide).await?;
    ensure!(wide.is_none(), "what is claimed was walked: {wide:?}");
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn each_unsafe_setting_of_a_uri_is_refused_by_name() -> anyhow::Result<()> {
    for (query, named) in [
        ("w=1", "w"),
        ("w=majority&journal=false", "journal"),
        ("readPreference=secondary", "readPreference"),
    ] {
        let refused = open_at(&format!("mongodb://127.0.0.1:1/zaqar?{query}")).await;
        let Err(OpenError::Unsafe { setting, value, safe }) = refused else {
            anyhow::bail!("{query} was not refused: {refused:?}");
        };
        ensure!(setting == named && !value.is_empty() && !safe.is_empty(), "{setting} {value}");
    }
    Ok(())
}

#[tokio::test]
async fn a_set_whose_majority_does_not_journal_is_refused_and_a_change_is_noticed()
-> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    ensure!(drivers.data.health().await?.safe, "a safe set");
    let client = raw(&backend).await?;
    let admin = client.database("admin");
    let answer = admin.run_command(doc! { "replSetGetConfig": 1 }).await?;
    let mut config = answer.get_document("config")?.clone();
    config.insert("version", config.get_i32("version")? + 1);
    config.insert("writeConcernMajorityJournalDefault", false);
    admin.run_command(doc! { "replSetReconfig": config }).await?;
    let health = drivers.data.health().await?;
    ensure!(!health.safe, "the change went unnoticed");
    ensure!(health.warnings[0].contains("writeConcernMajorityJournalDefault"), "{health:?}");
    let refused = open_at(&backend.uri()).await;
    let named = matches!(&refused, Err(OpenError::Unsafe { setting, .. })
        if setting == "writeConcernMajorityJournalDefault");
    ensure!(named, "{refused:?}");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let options = OpenOptions::new(clock).unreliable(true);
    zaqar_storage_mongo::open(&backend.uri(), options).await?.data.close().await;
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_store_whose_record_is_gone_is_known_to_have_lost_data() -> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    queue(&drivers, "q").await?;
    ensure!(drivers.data.health().await?.safe, "nothing happened yet");
    let client = raw(&backend).await?;
    database(&client).collection::<Document>("meta").delete_one(doc! { "_id": "store" }).await?;
    let health = drivers.data.health().await?;
    ensure!(!health.safe && health.warnings[0].contains("lost data"), "{health:?}");
    let again = open_at(&backend.uri()).await?;
    let health = again.data.health().await?;
    ensure!(!health.safe && health.warnings[0].contains("lost data"), "{health:?}");
    again.data.close().await;
    drivers.data.close().await;
    Ok(())
}

/// How many transactions the server has aborted.
async fn aborted(client: &Client) -> anyhow::Result<i64> {
    let status = client.database("admin").run_command(doc! { "serverStatus": 1 }).await?;
    Ok(status.get_document("transactions")?.get_i64("totalAborted")?)
}

#[tokio::test]
async fn a_post_that_meets_a_conflict_is_done_again_and_stored_once() -> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    let client = raw(&backend).await?;
    let before = aborted(&client).await?;
    // Somebody holds the head.
    let mut session = client.start_session().await?;
    session.start_transaction().await?;
    let heads = database(&client).collection::<Document>("data");
    let held = heads.update_one(doc! { "name": "q" }, doc! { "$inc": { "changes": 1_i64 } });
    held.session(&mut session).await?;
    let posting = tokio::spawn({
        let (drivers, queue) = (drivers.clone(), queue.clone());
        async move { post(&drivers, &queue, 3).await }
    });
    while aborted(&client).await? == before {
        tokio::task::yield_now().await;
    }
    session.abort_transaction().await?;
    posting.await??;
    ensure!(drivers.data.messages().message_stats(&queue).await?.total() == 3);
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_cut_before_its_commit_is_done_again_and_a_lost_answer_is_asked_for_again()
-> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    let client = raw(&backend).await?;
    let cut = |command: &str| doc! { "failCommands": [command], "closeConnection": true };
    order_failure(&client, cut("insert")).await?;
    post(&drivers, &queue, 2).await.context("cut at its insert")?;
    order_failure(&client, cut("commitTransaction")).await?;
    post(&drivers, &queue, 2).await.context("cut at its commit")?;
    // Done, but not told so.
    let concern = doc! { "code": 91, "errmsg": "ordered", "errorLabels": ["RetryableWriteError"] };
    let lost = doc! { "failCommands": ["commitTransaction"], "writeConcernError": concern };
    order_failure(&client, lost).await?;
    post(&drivers, &queue, 2).await.context("its answer lost")?;
    ensure!(drivers.data.messages().message_stats(&queue).await?.total() == 6, "stored once each");
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_claim_that_is_cut_is_in_doubt_is_not_sent_again_and_can_be_repeated()
-> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    post(&drivers, &queue, 5).await?;
    let client = raw(&backend).await?;
    order_failure(&client, doc! { "failCommands": ["update"], "closeConnection": true }).await?;
    let taken = claim(3)?;
    let cut = drivers.data.claims().claim_create(&queue, taken.clone()).await;
    let error = cut.expect_err("the connection was closed under it");
    ensure!(error.effect() == Effect::Unknown, "{error:?}");
    ensure!(drivers.data.messages().message_stats(&queue).await?.claimed == 0, "it was sent again");
    let repeated = drivers.data.claims().claim_create(&queue, taken.clone()).await?.messages;
    let again = drivers.data.claims().claim_create(&queue, taken).await?.messages;
    ensure!(repeated.len() == 3 && again == repeated, "{repeated:?} {again:?}");
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_an_error_without_effect() -> anyhow::Result<()> {
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    post(&drivers, &queue, 5).await?;
    let client = raw(&backend).await?;
    let refusal = doc! { "failCommands": ["update"], "errorCode": 10_107 };
    order_failure(&client, refusal).await?;
    let refused = drivers.data.claims().claim_create(&queue, claim(3)?).await;
    let error = refused.expect_err("the server is no primary");
    ensure!(error.effect() == Effect::None, "{error:?}");
    ensure!(error.retry() == zaqar_core::Retry::Later, "{error:?}");
    drivers.data.close().await;
    Ok(())
}

#[tokio::test]
async fn posts_of_two_nodes_to_one_queue_get_positions_without_a_gap() -> anyhow::Result<()> {
    let backend = backend()?;
    let (one, other) = (open_at(&backend.uri()).await?, open_at(&backend.uri()).await?);
    let queue = queue(&one, "q").await?;
    let posts = (0..40).map(|number| {
        let drivers = if number % 2 == 0 { one.clone() } else { other.clone() };
        let queue = queue.clone();
        tokio::spawn(async move { post(&drivers, &queue, 5).await })
    });
    for posted in posts.collect::<Vec<_>>() {
        posted.await??;
    }
    let page = ListMessages::new().limit(PageLimit::new(1_000)?);
    let listed = one.data.messages().message_list(&queue, page).await?.items;
    let positions: Vec<u64> = listed.iter().map(|message| message.id.sequence()).collect();
    ensure!(positions == (1..=200).collect::<Vec<u64>>(), "{positions:?}");
    for drivers in [one, other] {
        drivers.data.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_a_dead_process_left_open_blocks_nobody_for_long() -> anyhow::Result<()>
{
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    post(&drivers, &queue, 3).await?;
    let dead = Client::with_uri_str(format!("{}&appName=zaqar", backend.uri())).await?;
    let mut session = dead.start_session().await?;
    session.start_transaction().await?;
    let data = database(&dead).collection::<Document>("data");
    // It holds the head and every message.
    let everything = data.update_many(doc! {}, doc! { "$set": { "touched": true } });
    everything.session(&mut session).await?;
    post(&drivers, &queue, 2).await.context("the head was held")?;
    let claimed = drivers.data.claims().claim_create(&queue, claim(10)?).await?.messages;
    ensure!(claimed.len() == 5, "{} were claimed", claimed.len());
    let late = session.commit_transaction().await;
    ensure!(late.is_err(), "it was ended");
    drivers.data.close().await;
    Ok(())
}

/// Somebody is about to commit a claim that prolongs the lives of messages whose ends have passed:
/// does `ask` meanwhile, and answers what came of it.
async fn while_lives_are_prolonged<F, T>(
    ask: impl FnOnce(MongoDrivers, QueueRef) -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let backend = backend()?;
    let drivers = open_at(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    post(&drivers, &queue, 3).await?;
    drivers.data.heads().head_move(&queue, 1).await?;
    let client = raw(&backend).await?;
    let rows = database(&client).collection::<Document>("data");
    let of_messages = doc! { "body": { "$exists": true } };
    rows.update_many(of_messages.clone(), doc! { "$set": { "expires": 1_i64 } }).await?;
    let before = aborted(&client).await?;
    let mut session = client.start_session().await?;
    session.start_transaction().await?;
    let prolong = rows.update_many(of_messages, doc! { "$set": { "expires": i64::MAX } });
    ensure!(prolong.session(&mut session).await?.modified_count == 3);
    let asked = tokio::spawn(ask(drivers.clone(), queue.at_epoch(1)));
    while aborted(&client).await? == before && !asked.is_finished() {
        tokio::task::yield_now().await;
    }
    session.commit_transaction().await?;
    let answer = asked.await??;
    drivers.data.close().await;
    Ok(answer)
}

#[tokio::test]
async fn a_part_holds_what_a_claim_prolonged_while_it_was_frozen() -> anyhow::Result<()> {
    let part = while_lives_are_prolonged(async |drivers, queue| {
        Ok(drivers.data.moves().move_freeze(&queue, PageLimit::default()).await?)
    });
    assert_eq!(part.await?.messages.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_delete_under_a_claim_that_is_over_waits_for_who_prolongs_the_life() -> anyhow::Result<()>
{
    let refused = while_lives_are_prolonged(async |drivers, queue| {
        let id = MessageId::new(queue.incarnation, 2)?;
        let over = Some(ClaimId::random());
        Ok(drivers.data.messages().message_delete(&queue, id, over).await)
    });
    let refused = refused.await?;
    assert!(matches!(refused, Err(Error::MessageNotClaimed { .. })), "{refused:?}");
    Ok(())
}
