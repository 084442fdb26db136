//! A harness over a backend that belongs to one trial.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use zaqar_core::Clock;

use super::BackendControl;
use crate::harness::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};

type Open = dyn Fn(String, Namespace, Arc<dyn Clock>) -> BoxFuture<'static, anyhow::Result<Drivers>>
    + Send
    + Sync;

/// Opens the driver on a backend of its own, which the trial may kill, freeze and cut off. Nothing
/// is wiped: the backend goes with the trial.
pub struct PrivateHarness<C> {
    subject: Subject,
    control: C,
    open: Box<Open>,
}

impl<C: BackendControl> PrivateHarness<C> {
    /// A harness over `control`; `open` opens a namespace at a URI.
    pub fn new<O, F>(subject: Subject, control: C, open: O) -> Self
    where
        O: Fn(String, Namespace, Arc<dyn Clock>) -> F + Send + Sync + 'static,
        F: Future<Output = anyhow::Result<Drivers>> + Send + 'static,
    {
        let open = Box::new(move |uri, ns, clock| -> BoxFuture<'static, _> {
            Box::pin(open(uri, ns, clock))
        });
        Self { subject, control, open }
    }
}

#[async_trait]
impl<C: BackendControl + 'static> Harness for PrivateHarness<C> {
    fn subject(&self) -> Subject {
        self.subject.clone()
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        (self.open)(self.control.uri(), ns.clone(), clock).await
    }

    async fn wipe(&self, _ns: &Namespace) -> anyhow::Result<()> {
        Ok(())
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }

    fn backend(&self) -> Option<&dyn BackendControl> {
        Some(&self.control)
    }
}
