//! A deployed backend as the suite sees it: every namespace is a store of its own beside the
//! configured one, and is remembered until it is removed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use zaqar_conformance::{
    ChildNode, Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver,
};
use zaqar_core::{Clock, DisciplinedClock};
use zaqar_engine::{StoreOptions, registry};

use super::{CheckError, Target};

/// How the report names what was examined.
const MODE: &str = "deployed";

pub(super) struct Deployed {
    target: Target,
    /// Known once it was asked.
    subject: OnceLock<Subject>,
    /// Namespaces that were opened and not removed yet.
    made: Mutex<BTreeSet<Namespace>>,
}

impl Deployed {
    pub(super) fn new(target: Target) -> Self {
        Self { target, subject: OnceLock::new(), made: Mutex::default() }
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, BTreeSet<Namespace>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a store as the server would, and asks it what it is and whether it is safe.
    pub(super) async fn look(&self) -> Result<(), CheckError> {
        let ns = Namespace::random();
        self.remembered().insert(ns.clone());
        let uri = registry::scratch_uri(&self.target.uri, ns.as_str()).map_err(CheckError::Open)?;
        let options = StoreOptions::new(Arc::new(DisciplinedClock::from_system()));
        let options = options.unreliable(self.target.unreliable);
        let stores = registry::open(&uri, &options).await.map_err(CheckError::Open)?;
        let (info, health) = (stores.data.info(), stores.data.health().await);
        stores.data.close().await;
        stores.control.close().await;
        let health = health.map_err(|error| CheckError::Unsafe(error.to_string()))?;
        if !health.safe && !self.target.unreliable {
            return Err(CheckError::Unsafe(health.warnings.join("; ")));
        }
        self.subject.get_or_init(|| Subject {
            driver: info.name.to_owned(),
            version: info.version.to_owned(),
            backend: info.backend,
            mode: MODE.to_owned(),
        });
        Ok(())
    }

    /// Removes every store that is left, and goes on when one cannot be removed.
    pub(super) async fn remove_all(&self) -> Result<(), CheckError> {
        let left: Vec<Namespace> = self.remembered().iter().cloned().collect();
        let mut failed = Vec::new();
        for ns in left {
            match registry::scratch_remove(&self.target.uri, ns.as_str()).await {
                Ok(()) => {
                    self.remembered().remove(&ns);
                }
                Err(error) => failed.push(format!("{ns}: {error}")),
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(CheckError::Left(failed.join("; "))) }
    }
}

#[async_trait]
impl Harness for Deployed {
    fn subject(&self) -> Subject {
        let unknown = || "not asked yet".to_owned();
        self.subject.get().cloned().unwrap_or_else(|| Subject {
            driver: unknown(),
            version: unknown(),
            backend: unknown(),
            mode: MODE.to_owned(),
        })
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        self.remembered().insert(ns.clone());
        let uri = registry::scratch_uri(&self.target.uri, ns.as_str())?;
        let options = StoreOptions::new(clock).unreliable(self.target.unreliable);
        let stores = registry::open(&uri, &options).await?;
        Ok(Drivers { control: stores.control, data: stores.data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        registry::scratch_remove(&self.target.uri, ns.as_str()).await?;
        self.remembered().remove(ns);
        Ok(())
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        Some(self)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

/// The program starts itself with the same arguments, to be killed.
#[async_trait]
impl ProcessControl for Deployed {
    async fn spawn(&self, ns: &Namespace) -> anyhow::Result<Box<dyn ChildNode>> {
        // What only a child opens is to be removed too.
        self.remembered().insert(ns.clone());
        SelfSpawn.spawn(ns).await
    }
}
