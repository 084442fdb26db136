//! What a project holds is counted right on every backend, and no other project's is counted with it.

use std::sync::Arc;

use uuid::Uuid;
use zaqar_core::{Body, Clock, DisciplinedClock, ProjectId, QueueKey, QueueName};
use zaqar_engine::{
    ClaimRequest, Engine, EngineConfig, EngineError, PostMessage, PostRequest, Quota, StoreOptions,
    registry,
};
use zaqar_testbed::Service;

use crate::stores::Store;

/// Light messages and as many heavy ones, by turns: any twenty in a row weigh the same.
const EACH: usize = 100;
const LIGHT: &str = "\"01234567\"";
const HEAVY: &str = "\"012345678901234567890123456789012345678901234567\"";
/// What they weigh, and five light ones in a topic.
const BYTES: u64 = 100 * (10 + 50) + 5 * 10;
const MESSAGES: u64 = 2 * 100 + 5;

async fn engine(uri: &str, change: impl FnOnce(&mut Quota)) -> Engine {
    let clock: Arc<dyn Clock> = Arc::new(DisciplinedClock::from_system());
    let stores = registry::open(uri, &StoreOptions::new(Arc::clone(&clock))).await.unwrap();
    let mut config = EngineConfig::default();
    change(&mut config.quotas.all);
    Engine::new(stores, clock, config)
}

fn light(count: usize) -> PostRequest {
    PostRequest::new(vec![PostMessage::new(Body::from_json(LIGHT).unwrap()); count])
}

fn mixed() -> PostRequest {
    let pair = [LIGHT, HEAVY].map(|body| PostMessage::new(Body::from_json(body).unwrap()));
    PostRequest::new(vec![pair; EACH].concat())
}

/// Whether a post is refused by a quota; any other failure is one of the test.
async fn is_refused(engine: &Engine, key: &QueueKey, post: PostRequest) -> bool {
    match engine.message_post(key, post).await {
        Ok(_) => false,
        Err(EngineError::Quota { .. }) => true,
        Err(other) => panic!("{other:?}"),
    }
}

/// The project's queue and topic hold what the constants say, three of the messages claimed; another
/// project holds more.
async fn filled(uri: &str) -> (QueueKey, QueueKey) {
    let name = QueueName::new("q").unwrap();
    let project = || ProjectId::new(Uuid::new_v4().simple().to_string()).unwrap();
    let own = project();
    let (queue, topic) =
        (QueueKey::queue(own.clone(), name.clone()), QueueKey::topic(own, name.clone()));
    let free = engine(uri, |_| {}).await;
    free.message_post(&queue, mixed()).await.unwrap();
    free.message_post(&topic, light(5)).await.unwrap();
    let claimed = free.claim_create(&queue, ClaimRequest::new().limit(3).ttl(600)).await.unwrap();
    assert_eq!(claimed.unwrap().messages.len(), 3);
    free.message_post(&QueueKey::queue(project(), name), mixed()).await.unwrap();
    free.shutdown().await;
    (queue, topic)
}

async fn counted(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let Some(uri) = store.uri(&folder) else { return };
    let (queue, topic) = filled(&uri).await;

    let engine_of = async |quota: Quota| engine(&uri, |all| *all = quota).await;
    let mut quota = Quota::default();
    quota.messages = Some(MESSAGES + 1);
    let by_number = engine_of(quota).await;
    assert!(is_refused(&by_number, &topic, light(2)).await);
    assert!(!is_refused(&by_number, &topic, light(1)).await);
    assert!(is_refused(&by_number, &queue, light(1)).await);
    by_number.shutdown().await;

    // The message that was just posted weighs ten bytes.
    let mut quota = Quota::default();
    quota.bytes = Some(BYTES + 10 + 10);
    let by_weight = engine_of(quota).await;
    assert!(is_refused(&by_weight, &queue, light(2)).await);
    assert!(!is_refused(&by_weight, &queue, light(1)).await);
    assert!(is_refused(&by_weight, &topic, light(1)).await);
    by_weight.shutdown().await;

    let mut quota = Quota::default();
    (quota.queues, quota.topics) = (Some(1), Some(2));
    let by_queues = engine_of(quota).await;
    let other = |key: &QueueKey| QueueKey { name: QueueName::new("r").unwrap(), ..key.clone() };
    assert!(is_refused(&by_queues, &other(&queue), light(1)).await);
    assert!(!is_refused(&by_queues, &other(&topic), light(1)).await);
    by_queues.queue_delete(&queue).await.unwrap();
    assert!(!is_refused(&by_queues, &other(&queue), light(1)).await);
    by_queues.shutdown().await;
}

macro_rules! on_every_backend {
    ($($(#[$condition:meta])* $name:ident: $store:expr;)*) => {$(
        $(#[$condition])*
        #[tokio::test]
        async fn $name() {
            counted($store).await;
        }
    )*};
}

on_every_backend! {
    #[cfg(feature = "sqlite")]
    a_quota_counts_what_sqlite_holds: Store::File;
    #[cfg(feature = "postgres")]
    a_quota_counts_what_postgres_holds: Store::Shared(Service::Postgres);
    #[cfg(feature = "mysql")]
    a_quota_counts_what_mysql_holds: Store::Shared(Service::Mysql);
    #[cfg(feature = "redis")]
    a_quota_counts_what_redis_holds: Store::Shared(Service::Redis);
    #[cfg(feature = "redis")]
    a_quota_counts_what_a_redis_cluster_holds: Store::Shared(Service::RedisCluster);
    #[cfg(feature = "mongo")]
    a_quota_counts_what_mongo_holds: Store::Shared(Service::Mongo);
}
