//! What a driver author provides: how to open the driver, and what may be done to its backend.

use std::fmt;
use std::os::fd::AsRawFd as _;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use zaqar_core::{Clock, ControlDriver, DataDriver};

use crate::fault::backend::BackendControl;

/// Set in a child process that serves workload commands: the namespace that it opens.
pub(crate) const CHILD_VARIABLE: &str = "ZAQAR_CONFORMANCE_CHILD";

/// Set beside it where a test binary has several harnesses: which one.
pub(crate) const CHILD_HARNESS_VARIABLE: &str = "ZAQAR_CONFORMANCE_CHILD_HARNESS";

/// A store of its own for one case: what one namespace holds, no other one shows.
///
/// It names a file, a schema or a key prefix, as suits the backend, and prefixes every project that
/// the suite uses; it is random, so that runs never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(String);

impl Namespace {
    /// A namespace that was never used before.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("zc{:016x}", rand::random::<u64>()))
    }

    /// The namespace of that text, as [`Self::as_str`] gave it to a child process.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text: lower-case letters and digits, safe in a file name and an SQL identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is being examined.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Subject {
    /// The driver's name.
    pub driver: String,
    /// The driver's version.
    pub version: String,
    /// The backend and its version.
    pub backend: String,
    /// How the backend is set up: `"default"`, `"cluster"`.
    pub mode: String,
}

impl Subject {
    /// A name for files: `driver-mode`.
    #[must_use]
    pub fn slug(&self) -> String {
        let text = format!("{}-{}", self.driver, self.mode);
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    }
}

/// One node's handles on the data of a namespace.
#[derive(Debug, Clone)]
pub struct Drivers {
    /// The control plane.
    pub control: Arc<dyn ControlDriver>,
    /// The data plane.
    pub data: Arc<dyn DataDriver>,
}

/// A case that the driver's author asks to leave out; it is shown, and caps the profile at Partial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The case's id.
    pub case: String,
    /// Why.
    pub reason: String,
}

/// How the suite reaches a driver.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// What is being examined.
    fn subject(&self) -> Subject;

    /// Opens handles on the namespace's data, making the store if it is not there. The driver takes
    /// all time from `clock`. Opened twice, the handles are two nodes on the same data.
    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers>;

    /// Removes the namespace's data; its handles are closed. Silent if there is none.
    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()>;

    /// How to put the driver into a process that can be killed; `None`: it cannot be.
    fn process(&self) -> Option<&dyn ProcessControl>;

    /// Cases to leave out.
    fn waivers(&self) -> Vec<Waiver>;

    /// What may be done to the backend, which then must belong to this harness alone; `None`:
    /// nothing.
    fn backend(&self) -> Option<&dyn BackendControl> {
        None
    }
}

/// Starts processes that own a namespace's store and can be killed (the process ring of faults).
#[async_trait]
pub trait ProcessControl: Send + Sync {
    /// Starts a process on the namespace's data, ready to be called.
    async fn spawn(&self, ns: &Namespace) -> anyhow::Result<Box<dyn ChildNode>>;
}

/// A process that owns a store and runs commands on it, a line for a line.
#[async_trait]
pub trait ChildNode: Send {
    /// Sends one line and awaits the line that answers it; an error if the process is gone.
    async fn call(&mut self, request: &str) -> anyhow::Result<String>;

    /// Kills the process without notice and waits until it is gone.
    async fn kill(self: Box<Self>) -> anyhow::Result<()>;
}

/// The process ring for a driver that lives in its caller's process: the binary starts itself, with
/// its own arguments.
///
/// [`main!`](crate::main) makes such a child open the harness's store and serve the suite's
/// workload commands, so an embedded driver's harness only returns this from
/// [`Harness::process`]. It works only where the harness finds the same data again from the
/// namespace alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct SelfSpawn;

#[async_trait]
impl ProcessControl for SelfSpawn {
    async fn spawn(&self, ns: &Namespace) -> anyhow::Result<Box<dyn ChildNode>> {
        let binary = std::env::current_exe().context("the test binary's own path")?;
        let mut command = Command::new(binary);
        command.args(std::env::args_os().skip(1)).env(CHILD_VARIABLE, ns.as_str());
        Ok(Box::new(SpawnedChild::start(command)?))
    }
}

/// The namespace that this process is to serve, if [`SelfSpawn`] started it: see
/// [`serve_child`](crate::serve_child).
#[must_use]
pub fn child_namespace() -> Option<Namespace> {
    std::env::var(CHILD_VARIABLE).ok().map(Namespace::from_text)
}

/// A child process that answers line by line.
pub(crate) struct SpawnedChild {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl SpawnedChild {
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("starting the child process")?;
        let stdin = child.stdin.take().context("the child's standard input")?;
        let stdout = child.stdout.take().context("the child's standard output")?;
        Ok(Self { child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// The pipe that its answers come through, as the system calls it: `pipe:[12345]`.
    pub(crate) fn pipe(&mut self) -> anyhow::Result<String> {
        let end = self.lines.get_ref().get_ref().as_raw_fd();
        let pipe = std::fs::read_link(format!("/proc/self/fd/{end}")).context("naming a pipe")?;
        Ok(pipe.display().to_string())
    }

    /// Says that there is nothing more to do, and waits until it has ended.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        let status = self.child.wait().await.context("waiting for the child process")?;
        anyhow::ensure!(status.success(), "the child process ended with {status}");
        Ok(())
    }
}

#[async_trait]
impl ChildNode for SpawnedChild {
    async fn call(&mut self, request: &str) -> anyhow::Result<String> {
        self.stdin.write_all(format!("{request}\n").as_bytes()).await?;
        self.stdin.flush().await?;
        self.lines.next_line().await?.context("the child process ended")
    }

    async fn kill(mut self: Box<Self>) -> anyhow::Result<()> {
        // SIGKILL and wait: the store's file locks are free afterwards.
        self.child.kill().await.context("killing the child process")
    }
}

/// Whether there is a backend to run against.
pub enum Availability {
    /// There is.
    Ready(Arc<dyn Harness>),
    /// There is none: the tests are skipped visibly, with what to do about it.
    Absent {
        /// The backend's name, as in `ZAQAR_CONFORMANCE_REQUIRE`.
        backend: &'static str,
        /// The environment variable that says where the backend is.
        variable: &'static str,
        /// What to set it to.
        hint: &'static str,
    },
}

impl<H: Harness> From<H> for Availability {
    fn from(harness: H) -> Self {
        Self::Ready(Arc::new(harness))
    }
}
