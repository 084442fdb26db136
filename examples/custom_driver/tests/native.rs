//! What is peculiar to a log: what is read back, what is rewritten, and that the engine runs on it.

use std::path::Path;
use std::sync::Arc;

use custom_driver::{Journal, Node, Store};
use zaqar_core::{
    Body, Clock, DataDriver, DisciplinedClock, Effect, Error, JsonObject, ListMessages,
    ManualClock, MessageController, NewMessage, PostMessages, ProjectId, QueueController,
    QueueHeadController, QueueKey, QueueName, QueueRef, Retry, Ttl,
};
use zaqar_engine::{Engine, EngineConfig, PostMessage, PostRequest, Stores};

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::default())
}

fn key() -> anyhow::Result<QueueKey> {
    Ok(QueueKey::queue(ProjectId::new("p")?, QueueName::new("q")?))
}

async fn queue(node: &Node) -> anyhow::Result<QueueRef> {
    let queue = key()?.incarnate(node.queue_allocate_incarnation().await?);
    node.head_open(&queue).await?;
    node.queue_insert(&queue, &JsonObject::new()).await?;
    Ok(queue)
}

fn message(bytes: usize) -> anyhow::Result<NewMessage> {
    let body = Body::from_json(format!("\"{}\"", "x".repeat(bytes)))?;
    Ok(NewMessage::new(body, Ttl::from_secs(3_600)?))
}

async fn post(node: &Node, queue: &QueueRef, bytes: usize) -> anyhow::Result<()> {
    node.message_post(queue, vec![message(bytes)?], PostMessages::new()).await?;
    Ok(())
}

fn length(folder: &Path) -> anyhow::Result<u64> {
    Ok(folder.join("log").metadata()?.len())
}

#[tokio::test]
async fn a_log_of_what_is_gone_is_rewritten_and_holds_what_is_left() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let node = custom_driver::open(folder.path(), clock()).await?;
    let queue = queue(&node).await?;
    post(&node, &queue, 10).await?;
    // Fifteen megabytes, of which never more than one message is left.
    for _ in 0..15 {
        post(&node, &queue, 1 << 20).await?;
        let newest = node.message_first(&queue, zaqar_core::QueueEnd::Newest).await?;
        node.message_delete(&queue, newest.expect("it was just posted").id, None).await?;
    }
    let before = node.message_list(&queue, ListMessages::new()).await?;
    assert_eq!(before.items.len(), 1);
    assert!(length(folder.path())? < 8 << 20, "the log has {} bytes", length(folder.path())?);
    DataDriver::close(&node).await;

    let node = custom_driver::open(folder.path(), clock()).await?;
    assert_eq!(node.message_list(&queue, ListMessages::new()).await?, before);
    assert_eq!(node.head_get(&queue).await?.sequence_next, 17);
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_dropped_lets_go_of_the_folder() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for round in 0..3 {
        let node = custom_driver::open(folder.path(), clock()).await?;
        assert_eq!(node.queue_allocate_incarnation().await?.get(), round + 1);
        drop(node);
        let lock = std::fs::File::open(folder.path().join("lock"))?;
        lock.try_lock()?;
    }
    Ok(())
}

/// A disk that fails when it is told to.
#[derive(Debug, Default)]
struct Failing(std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl Journal for Failing {
    fn append(&self, _: Vec<u8>) -> u64 {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        1
    }
    fn wants_rewrite(&self) -> bool {
        false
    }
    fn rewrite(&self, _: Vec<u8>) -> u64 {
        1
    }
    async fn flushed(&self, ticket: u64) -> std::io::Result<()> {
        if ticket > 0 { Err(std::io::Error::other("the disk is gone")) } else { Ok(()) }
    }
    fn has_failed(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
    fn end(&self) {}
}

#[tokio::test]
async fn a_write_that_failed_is_in_doubt_and_all_that_follows_is_refused() -> anyhow::Result<()> {
    let store = Store::replay(Vec::new(), Box::new(Failing::default()))?;
    let node = Node::new(store, clock(), custom_driver::capabilities());
    assert!(node.queue_find(&key()?).await?.is_none());
    let says = |error: &Error| (error.effect(), error.retry());
    let failed = node.queue_allocate_incarnation().await.expect_err("the disk fails");
    assert_eq!(says(&failed), (Effect::Unknown, Retry::AfterReopen));
    let later = node.queue_allocate_incarnation().await.expect_err("the log is not whole");
    assert_eq!(says(&later), (Effect::None, Retry::AfterReopen));
    let read = node.queue_find(&key()?).await.expect_err("what is in memory may be lost");
    assert_eq!(says(&read), (Effect::None, Retry::AfterReopen));
    Ok(())
}

#[tokio::test]
async fn the_engine_runs_on_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(DisciplinedClock::from_system());
    let control = custom_driver::open(folder.path(), Arc::clone(&clock)).await?;
    let data = custom_driver::open(folder.path(), Arc::clone(&clock)).await?;
    let stores = Stores::new(Arc::new(control), Arc::new(data));
    let engine = Engine::new(stores, clock, EngineConfig::default());
    let body = Body::from_json(r#"{"item": "tea"}"#)?;
    engine.message_post(&key()?, PostRequest::new(vec![PostMessage::new(body.clone())])).await?;
    let taken = engine.message_pop(&key()?, 1).await?;
    assert_eq!(taken.first().map(|message| &message.body), Some(&body));
    engine.shutdown().await;
    Ok(())
}
