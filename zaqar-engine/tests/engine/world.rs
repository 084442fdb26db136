//! An engine over a store in memory, and short names for what tests do all the time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{
    Body, ControlDriver, DataDriver, JsonObject, ManualClock, MessageId, ProjectId, QueueKey,
    QueueName,
};
use zaqar_engine::{Engine, EngineConfig, PostMessage, PostRequest, Stage, Stores};

use crate::probe::{ProbeControl, ProbeData, Script};

/// One store and what works on it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) script: Arc<Script>,
    pub(crate) engine: Engine,
    store: ReferenceStore,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(EngineConfig::default())
    }

    pub(crate) fn with(config: EngineConfig) -> Self {
        Self::staged(config, Vec::new())
    }

    pub(crate) fn staged(config: EngineConfig, stages: Vec<Arc<dyn Stage>>) -> Self {
        let clock = Arc::new(ManualClock::default());
        let (store, script) = (ReferenceStore::new(), Arc::new(Script::default()));
        let stores = scripted(&store, &clock, &script);
        let mut builder = Engine::builder(stores, Arc::clone(&clock) as _).config(config);
        for stage in stages {
            builder = builder.stage(stage);
        }
        Self { engine: builder.build(), clock, script, store }
    }

    /// Another process on the same store, with caches and a script of its own.
    pub(crate) fn neighbour(&self) -> (Engine, Arc<Script>) {
        let script = Arc::new(Script::default());
        let stores = scripted(&self.store, &self.clock, &script);
        let clock = Arc::clone(&self.clock) as _;
        (Engine::new(stores, clock, EngineConfig::default()), script)
    }

    /// The scripted drivers, for an engine put together otherwise.
    pub(crate) fn stores(&self) -> Stores {
        scripted(&self.store, &self.clock, &self.script)
    }

    /// The store itself, without a script.
    pub(crate) fn control(&self) -> impl ControlDriver {
        self.store.control(Arc::clone(&self.clock) as _)
    }

    /// The store itself, without a script.
    pub(crate) fn data(&self) -> impl DataDriver {
        self.store.data(Arc::clone(&self.clock) as _)
    }

    pub(crate) fn pass_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Posts one message that says `body` and returns its id.
    pub(crate) async fn post(&self, key: &QueueKey, body: &str) -> MessageId {
        let posted = self.engine.message_post(key, one(body)).await.unwrap();
        posted.ids[0]
    }
}

fn scripted(store: &ReferenceStore, clock: &Arc<ManualClock>, script: &Arc<Script>) -> Stores {
    let control = ProbeControl {
        inner: Arc::new(store.control(Arc::clone(clock) as _)),
        script: Arc::clone(script),
    };
    let data = ProbeData {
        inner: Arc::new(store.data(Arc::clone(clock) as _)),
        script: Arc::clone(script),
    };
    Stores::new(Arc::new(control), Arc::new(data))
}

pub(crate) fn queue(name: &str) -> QueueKey {
    QueueKey::queue(project(), QueueName::new(name).unwrap())
}

pub(crate) fn topic(name: &str) -> QueueKey {
    QueueKey::topic(project(), QueueName::new(name).unwrap())
}

pub(crate) fn project() -> ProjectId {
    ProjectId::new("p").unwrap()
}

pub(crate) fn message(body: &str) -> PostMessage {
    PostMessage::new(Body::from_json(body).unwrap())
}

pub(crate) fn one(body: &str) -> PostRequest {
    PostRequest::new(vec![message(body)])
}

pub(crate) fn object(value: Value) -> JsonObject {
    value.as_object().unwrap().clone()
}
