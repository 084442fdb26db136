//! The trace of flushes is tested too: a store that flushes passes, and stores that do not, or do it
//! too late, are found out, though nothing that they wrote is ever lost while the machine runs.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use zaqar_conformance::fault::flush::Flushing;
use zaqar_conformance::reference::ReferenceHarness;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};
use zaqar_core::{Clock, Timestamp};

/// When a store flushes what it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// Before it answers.
    AtOnce,
    /// Before it writes the next.
    Late,
    Never,
}

fn main() -> ExitCode {
    Flushing::new(zaqar_conformance::binary!())
        .on("at_once", ".log", || Careless::new(Flush::AtOnce))
        .catches("with_the_next", ".log", || Careless::new(Flush::Late))
        .catches("never", ".log", || Careless::new(Flush::Never))
        .run()
}

/// The reference driver beside a log that is written in each of its steps.
struct Careless {
    inner: ReferenceHarness,
    flush: Flush,
}

impl Careless {
    fn new(flush: Flush) -> Self {
        Self { inner: ReferenceHarness::new(), flush }
    }
}

fn log(ns: &Namespace) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{ns}.log"))
}

#[async_trait]
impl Harness for Careless {
    fn subject(&self) -> Subject {
        self.inner.subject()
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let file = Mutex::new(File::create(log(ns))?);
        self.inner.open(ns, Arc::new(LogInSteps { clock, file, flush: self.flush })).await
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        std::fs::remove_file(log(ns)).unwrap_or_default();
        self.inner.wipe(ns).await
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

/// The reference asks its clock within each step, where a store would write its log.
#[derive(Debug)]
struct LogInSteps {
    clock: Arc<dyn Clock>,
    file: Mutex<File>,
    flush: Flush,
}

impl LogInSteps {
    fn write(&self) -> std::io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if self.flush == Flush::Late {
            file.sync_data()?;
        }
        file.write_all(b"a record\n")?;
        if self.flush == Flush::AtOnce {
            file.sync_data()?;
        }
        Ok(())
    }
}

impl Clock for LogInSteps {
    fn now(&self) -> Timestamp {
        // The trace shows whether it was written.
        self.write().unwrap_or_default();
        self.clock.now()
    }
}
