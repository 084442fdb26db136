//! A durable queue in one's own process, in ten lines.
//!
//! Run it again and again: each run finds what the runs before it left.
//!
//! ```text
//! cargo run -p zaqar-engine --example embed_sqlite [FILE]
//! ```

use std::sync::Arc;

use zaqar_core::{Body, Clock, DisciplinedClock, ProjectId, QueueKey, QueueName};
use zaqar_engine::{Engine, EngineConfig, PostMessage, PostRequest, StoreOptions, registry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let in_temp = || std::env::temp_dir().join("zaqar-embedded.db").to_string_lossy().into_owned();
    let file = std::env::args().nth(1).unwrap_or_else(in_temp);

    let clock: Arc<dyn Clock> = Arc::new(DisciplinedClock::from_system());
    let options = StoreOptions::new(Arc::clone(&clock));
    let stores = registry::open(&format!("sqlite:{file}"), &options).await?;
    let engine = Engine::new(stores, clock, EngineConfig::default());
    let queue = QueueKey::queue(ProjectId::new("demo")?, QueueName::new("orders")?);

    let body = Body::from_json(r#"{"item": "tea", "count": 2}"#)?;
    let posted =
        engine.message_post(&queue, PostRequest::new(vec![PostMessage::new(body)])).await?;
    for id in posted.ids {
        println!("posted {id} to {} in {file}", queue.name);
    }

    let stats = engine.queue_stats(&queue).await?;
    println!("messages that wait there, each for an hour: {}", stats.total());
    engine.shutdown().await;
    Ok(())
}
