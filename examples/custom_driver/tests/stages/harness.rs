//! The stages: the whole driver, less what is not there yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use custom_driver::journal::Memory;
use custom_driver::{Node, Store};
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver};
use zaqar_core::{
    Capabilities, Capability, CatalogueController, Clock, ControlDriver, DriverInfo,
    FlavorController, Health, PoolController, QueueController, Result,
};

use crate::buffered::Buffered;
use crate::first::not_yet::NotYet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Queues, heads and messages, in memory.
    Messages,
    /// Claims, delays and the rest of the control plane, in memory.
    Claims,
    /// Written to a log, but answered before it is.
    Logged,
}

impl Stage {
    pub(crate) const ALL: [Self; 3] = [Self::Messages, Self::Claims, Self::Logged];

    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Messages => "1-messages.txt",
            Self::Claims => "2-claims.txt",
            Self::Logged => "3-logged.txt",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Messages => "queues, heads and messages, in memory",
            Self::Claims => "claims, delays and the rest of the control plane, in memory",
            Self::Logged => "written to a log, and answered before the log is on the disk",
        }
    }

    fn declared(self) -> Capabilities {
        let all = custom_driver::capabilities();
        match self {
            Self::Messages => all
                .without(Capability::Durable)
                .without(Capability::Claims)
                .without(Capability::Delay),
            Self::Claims => all.without(Capability::Durable),
            Self::Logged => all,
        }
    }
}

/// Opens the driver at one stage.
pub(crate) struct StageHarness {
    stage: Stage,
    folder: PathBuf,
    /// The stores of the stages that have nothing but their memory.
    stores: Mutex<BTreeMap<Namespace, Arc<Store>>>,
}

impl StageHarness {
    pub(crate) fn new(stage: Stage) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("custom-driver-stages");
        Self { stage, folder, stores: Mutex::default() }
    }

    fn of_memory(&self, ns: &Namespace) -> anyhow::Result<Arc<Store>> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(ns) {
            return Ok(Arc::clone(store));
        }
        let store = Store::replay(Vec::new(), Box::new(Memory))?;
        stores.insert(ns.clone(), Arc::clone(&store));
        Ok(store)
    }

    async fn node(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Node> {
        if self.stage == Stage::Logged {
            let folder = self.folder.join(ns.as_str());
            return Ok(custom_driver::open_with(&folder, clock, Buffered::open).await?);
        }
        Ok(Node::new(self.of_memory(ns)?, clock, self.stage.declared()))
    }
}

#[async_trait]
impl Harness for StageHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: custom_driver::NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: if self.stage == Stage::Logged { "a log file" } else { "memory" }.into(),
            mode: self.stage.file().trim_end_matches(".txt").into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let control = self.node(ns, Arc::clone(&clock)).await?;
        let control: Arc<dyn ControlDriver> = match self.stage {
            Stage::Messages => Arc::new(QueuesAlone(control)),
            _ => Arc::new(control),
        };
        Ok(Drivers { control, data: Arc::new(self.node(ns, clock).await?) })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).remove(ns);
        match std::fs::remove_dir_all(self.folder.join(ns.as_str())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        (self.stage == Stage::Logged).then_some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

/// A control plane of which only the queues are written.
#[derive(Debug)]
struct QueuesAlone(Node);

#[async_trait]
impl ControlDriver for QueuesAlone {
    fn queues(&self) -> &dyn QueueController {
        &self.0
    }
    fn pools(&self) -> &dyn PoolController {
        &NotYet
    }
    fn flavors(&self) -> &dyn FlavorController {
        &NotYet
    }
    fn catalogue(&self) -> &dyn CatalogueController {
        &NotYet
    }
    fn info(&self) -> DriverInfo {
        ControlDriver::info(&self.0)
    }
    fn capabilities(&self) -> Capabilities {
        ControlDriver::capabilities(&self.0)
    }
    async fn health(&self) -> Result<Health> {
        ControlDriver::health(&self.0).await
    }
    async fn close(&self) {
        ControlDriver::close(&self.0).await;
    }
}
