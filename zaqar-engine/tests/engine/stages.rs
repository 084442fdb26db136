//! Stages: their order, and the one that measures.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use metrics::with_local_recorder;
use metrics_exporter_prometheus::PrometheusBuilder;
use zaqar_core::{Body, ClaimId, DataDriver, Error, ListMessages, NewMessage, QueueRef};
use zaqar_engine::stages::{FilterStage, MessageFilter, MetricsStage};
use zaqar_engine::{ClaimRequest, EngineConfig, PostRequest, Stage};

use crate::probe::{ProbeData, Script};
use crate::world::{World, message, one, queue};

/// A stage that notes when it is put on, and records the calls that reach it.
#[derive(Debug)]
struct Noting {
    name: &'static str,
    noted: Arc<Mutex<Vec<&'static str>>>,
    script: Arc<Script>,
}

impl Stage for Noting {
    fn name(&self) -> &str {
        self.name
    }

    fn wrap(&self, data: Arc<dyn DataDriver>) -> Arc<dyn DataDriver> {
        self.noted.lock().unwrap().push(self.name);
        Arc::new(ProbeData { inner: data, script: Arc::clone(&self.script) })
    }
}

#[tokio::test]
async fn the_stage_added_first_is_the_first_that_an_operation_meets() {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let [first, second] = ["first", "second"]
        .map(|name| Arc::new(Noting { name, noted: Arc::clone(&noted), script: Arc::default() }));
    let stages = vec![Arc::clone(&first) as Arc<dyn Stage>, Arc::clone(&second) as _];
    let world = World::staged(EngineConfig::default(), stages);
    assert_eq!(*noted.lock().unwrap(), ["second", "first"], "put on from the inside out");

    world.post(&queue("q"), "1").await;
    assert_eq!((first.script.count("message_post"), second.script.count("message_post")), (1, 1));
    // What the first one refuses never reaches the second.
    first.script.fail_before("message_post");
    let refused = world.engine.message_post(&queue("q"), one("2")).await;
    assert!(refused.is_err());
    assert_eq!((first.script.count("message_post"), second.script.count("message_post")), (2, 1));
}

#[tokio::test]
async fn the_metrics_stage_times_every_operation_by_outcome_and_counts_messages() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let stages = || vec![Arc::new(MetricsStage::new()) as Arc<dyn Stage>];
    let world = with_local_recorder(&recorder, || World::staged(EngineConfig::default(), stages()));
    let key = queue("q");
    let two = PostRequest::new(vec![message("1"), message("2")]);
    world.engine.message_post(&key, two).await.unwrap();
    world.engine.claim_create(&key, ClaimRequest::new()).await.unwrap();
    for _ in 0..2 {
        world.script.fail_after("message_post");
        world.engine.message_post(&key, one("3")).await.unwrap_err();
    }
    world.script.fail_before("message_pop");
    world.engine.message_pop(&key, 1).await.unwrap_err();
    world.engine.claim_get(&key, ClaimId::random()).await.unwrap_err();
    let _held = world.script.hold("message_list");
    let read = tokio::spawn({
        let (engine, key) = (world.engine.clone(), key.clone());
        async move { engine.message_list(&key, ListMessages::new()).await }
    });
    world.script.reached("message_list", 1).await;
    read.abort();
    assert!(read.await.unwrap_err().is_cancelled());

    let text = recorder.handle().render();
    let expected = [
        ("zaqar_storage_operation_seconds_count", "message_post", Some("ok"), 1),
        ("zaqar_storage_operation_seconds_count", "message_post", Some("unknown"), 2),
        ("zaqar_storage_operation_seconds_count", "message_pop", Some("unavailable"), 1),
        ("zaqar_storage_operation_seconds_count", "claim_get", Some("refused"), 1),
        ("zaqar_storage_operation_seconds_count", "message_list", Some("abandoned"), 1),
        ("zaqar_storage_messages_total", "message_post", None, 2),
        ("zaqar_storage_messages_total", "claim_create", None, 2),
    ];
    for (name, operation, outcome, value) in expected {
        let outcome = outcome.map_or(String::new(), |outcome| format!(",outcome=\"{outcome}\""));
        let line = format!("{name}{{operation=\"{operation}\"{outcome}}} {value}");
        assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
    }
}

/// Puts every body into a list, and refuses `null`.
#[derive(Debug)]
struct Wrapping;

#[async_trait]
impl MessageFilter for Wrapping {
    fn name(&self) -> &str {
        "wrapping"
    }

    async fn post(&self, queue: &QueueRef, messages: &mut [NewMessage]) -> zaqar_core::Result<()> {
        for message in messages {
            if message.body.as_str() == "null" {
                let reason = format!("queue {} takes no null", queue.key.name);
                return Err(Error::Invalid { field: "body", reason });
            }
            message.body = Body::from_json(format!("[{}]", message.body.as_str()))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_filter_changes_what_is_posted_with_its_checksum_or_refuses_it_whole() {
    let mut config = EngineConfig::default();
    config.enable_checksum = true;
    let world = World::staged(config, vec![Arc::new(FilterStage::new(Wrapping))]);
    let key = queue("q");
    let id = world.post(&key, "1").await;
    let stored = world.engine.message_get(&key, id).await.unwrap();
    assert_eq!(stored.body.as_str(), "[1]");
    // Of the text `[1]`, as the service writes it.
    assert_eq!(stored.checksum.as_deref(), Some("MD5:35dba5d75538a9bbe0b4da4422759a0e"));
    let two = PostRequest::new(vec![message("2"), message("null")]);
    let refused = world.engine.message_post(&key, two).await.unwrap_err();
    assert_eq!(refused.to_string(), "body: queue q takes no null");
    assert_eq!(refused.class(), zaqar_core::ErrorClass::Invalid);
    let page = world.engine.message_list(&key, ListMessages::new()).await.unwrap();
    assert_eq!(page.items.len(), 1, "{page:?}");
}
