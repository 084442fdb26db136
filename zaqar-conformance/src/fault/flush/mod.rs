//! Whether a store flushes before it acknowledges: a child process posts message by message under
//! strace, and the trace is judged. Where the store is a server, the child has started it, and the
//! trace shows it too.
//!
//! No kill shows this: what a killed process wrote, the system still has. Only a power loss would.

mod binary;
mod check;
mod trace;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::process::Command;
use zaqar_core::{ManualClock, ProjectId, QueueKey, QueueName, Ttl};

pub use binary::Flushing;
pub(crate) use check::Writer;

use super::node::Node;
use crate::case::Failure;
use crate::case::Guarantee::G1;
use crate::counts::Counts;
use crate::harness::{CHILD_HARNESS_VARIABLE, CHILD_VARIABLE, ChildNode, Namespace, SpawnedChild};
use crate::loss::body::Tag;
use crate::loss::ledger::Ledger;
use crate::loss::request::Request;
use crate::loss::worker::{Books, Target as _};
use crate::suite::{Budget, SuiteTrial, TrialEnd, TrialResult, TrialRun};

/// The trial that looks for flushes.
pub const FLUSHED: &str = "fault.flush.flushed_before_acknowledged";

/// The calls that are traced.
const CALLS: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync";

/// What is traced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traced {
    /// The harness of this test binary that a child process serves.
    pub(crate) harness: &'static str,
    /// The log is in files that have this in their paths and, where the store writes them itself,
    /// their namespace.
    pub(crate) log: &'static str,
    /// Who writes them.
    pub(crate) writer: Writer,
}

impl Traced {
    fn is_log(self, namespace: &Namespace, path: &str) -> bool {
        let ours = self.writer == Writer::Server || path.contains(namespace.as_str());
        ours && path.contains(self.log)
    }
}

/// The trial of a store.
pub(crate) fn trial(traced: Traced) -> SuiteTrial {
    SuiteTrial::new(FLUSHED, &[G1], move |run| flushed_before_acknowledged(run, traced))
}

async fn flushed_before_acknowledged(run: TrialRun, traced: Traced) -> TrialResult {
    let posts = match run.budget {
        Budget::Smoke => 30,
        Budget::Standard => 300,
        Budget::Soak => 3_000,
    };
    let namespace = Namespace::random();
    let file = std::env::temp_dir().join(format!("{namespace}.strace"));
    let posted = post_under_strace(&run, &namespace, traced.harness, &file, posts).await;
    let trace = std::fs::read_to_string(&file).unwrap_or_default();
    // It may never have been made.
    std::fs::remove_file(&file).unwrap_or_default();
    run.harness.wipe(&namespace).await?;
    let answers = posted?;
    let is_log = |path: &str| traced.is_log(&namespace, path);
    // The first answer says that the queue is open.
    let found = check::flushes(&trace::events(&trace, &answers), 1, traced.writer, is_log);
    if !found.is_clean() {
        return Err(Failure::broken(found));
    }
    if u32::try_from(found.acknowledged) != Ok(posts) {
        let reason = format!("{posts} posts, and the trace shows {found}");
        return Err(Failure::inconclusive(reason));
    }
    let counts = Counts::none()
        .saw("posts_traced", found.acknowledged)
        .saw("flushes_before_answers", found.syncs);
    Ok(TrialEnd::Passed { counts })
}

/// Has a child process acknowledge post by post, and end by itself; names the pipe of its answers.
async fn post_under_strace(
    run: &TrialRun,
    namespace: &Namespace,
    name: &str,
    file: &Path,
    posts: u32,
) -> Result<String, Failure> {
    let mut child = spawn(namespace, name, file)?;
    let answers = child.pipe()?;
    let clock = Arc::new(ManualClock::default());
    let ledger = Ledger::new(run.seed, Arc::<ManualClock>::clone(&clock));
    let (node, pump) =
        Node::new(Box::new(UnderStrace(child)), clock, Books::new(ledger, true), None);
    let (project, queue) = (ProjectId::new(format!("{namespace}-main"))?, QueueName::new("q")?);
    let opened = node.open(project.clone(), queue.clone()).await;
    if let Ok(incarnation) = &opened {
        let queue = QueueKey::queue(project, queue).incarnate(*incarnation);
        for sequence in 0..posts {
            let tags = vec![Tag { run: run.seed, producer: 0, sequence }];
            let (ttl, delay) = (Ttl::from_secs_clamped(3_000), Ttl::ZERO);
            node.call(&queue, Request::Post { tags, ttl, delay, keyed: false }).await?;
        }
    }
    drop(node);
    let ended = pump.await.map_err(|error| Failure::broken(format!("the pump died: {error}")))?;
    ended.map_err(|failure| match opened {
        Ok(_) => failure,
        Err(_) => {
            Failure::inconclusive(format!("strace traces nothing here: {}", failure.evidence))
        }
    })?;
    opened.map(|_| answers)
}

/// This test binary as the child of strace, which writes to `file`.
fn spawn(namespace: &Namespace, name: &str, file: &Path) -> Result<SpawnedChild, Failure> {
    let binary = std::env::current_exe().context("the test binary's own path")?;
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "-s", "8", "-e", CALLS, "-e", "signal=none", "-o"]);
    command.arg(file).arg("--").arg(binary);
    command.env(CHILD_VARIABLE, namespace.as_str()).env(CHILD_HARNESS_VARIABLE, name);
    command.stderr(Stdio::inherit());
    SpawnedChild::start(command).map_err(|error| {
        let hint = "`apt-get install strace`, or `cargo xtask services up`, installs it";
        Failure::inconclusive(format!("strace does not start: {error:#}; {hint}"))
    })
}

/// A child that ends when it is told nothing more, so that its trace is whole.
struct UnderStrace(SpawnedChild);

#[async_trait]
impl ChildNode for UnderStrace {
    async fn call(&mut self, request: &str) -> anyhow::Result<String> {
        self.0.call(request).await.context("the process under strace")
    }

    async fn kill(self: Box<Self>) -> anyhow::Result<()> {
        self.0.end().await
    }
}
