//! One server process: started, watched, stopped, killed, frozen.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::procfs::Identity;

/// Between two looks at whether something has come about.
pub(crate) const POLL: Duration = Duration::from_millis(20);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(20);
/// How much of a log an error shows.
const LOG_LINES: usize = 15;

/// How long a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Until this process ends, however it ends.
    WithUs,
    /// Until it is stopped.
    Detached,
}

/// How to start a process.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Run as this user and group; `None`: as ourselves.
    pub(crate) user: Option<&'static str>,
    /// Where it works; who looks for stray servers finds them by that.
    pub(crate) folder: PathBuf,
    pub(crate) log: PathBuf,
}

impl Launch {
    /// A wrapper from util-linux ties the process to us or sets it free, then becomes the program:
    /// the process that was started is the server.
    fn command(&self, life: Life) -> Result<Command> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = match life {
            Life::WithUs => Command::new("setpriv"),
            Life::Detached => Command::new("setsid"),
        };
        match life {
            Life::WithUs => drop(command.args(["--pdeathsig", "KILL"])),
            Life::Detached if self.user.is_some() => drop(command.arg("setpriv")),
            Life::Detached => {}
        }
        if let Some(user) = self.user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        if life == Life::WithUs || self.user.is_some() {
            command.arg("--");
        }
        command
            .arg(&self.program)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log);
        Ok(command)
    }
}

/// A process that was started here, or by an earlier run.
#[derive(Debug)]
pub(crate) struct Process {
    identity: Identity,
    /// To be reaped; `None` if an earlier run started it.
    child: Option<Child>,
}

impl Process {
    pub(crate) fn start(launch: &Launch, life: Life) -> Result<Self> {
        let command = launch.command(life)?;
        let child = on_lasting_thread(command)
            .with_context(|| format!("cannot start {}", launch.program.display()))?;
        let identity = Identity::of(child.id()).context("a process that was just started")?;
        Ok(Self { identity, child: Some(child) })
    }

    pub(crate) fn adopted(identity: Identity) -> Self {
        Self { identity, child: None }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.identity.is_alive()
    }

    /// SIGKILL to the process and all its children, none of which can start another meanwhile.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let family = self.freeze()?;
        for member in &family {
            send(member, Signal::KILL)?;
        }
        let gone = || family.iter().all(|member| !member.is_alive());
        ensure!(wait_until(KILL_LIMIT, gone), "a process outlived SIGKILL");
        self.reap()
    }

    /// SIGSTOP to the process and all its children, who are returned, the process last.
    pub(crate) fn freeze(&self) -> Result<Vec<Identity>> {
        send(&self.identity, Signal::STOP)?;
        let mut family = self.identity.children();
        for child in &family {
            send(child, Signal::STOP)?;
        }
        family.push(self.identity);
        Ok(family)
    }

    /// SIGCONT to the children and the process.
    pub(crate) fn thaw(&self) -> Result<()> {
        for child in self.identity.children() {
            send(&child, Signal::CONT)?;
        }
        send(&self.identity, Signal::CONT)
    }

    /// Asks it to end with `signal`; after `limit` it is killed, which is an error.
    pub(crate) fn stop(&mut self, signal: Signal, limit: Duration) -> Result<()> {
        self.thaw()?;
        send(&self.identity, signal)?;
        let identity = self.identity;
        if wait_until(limit, || !identity.is_alive()) {
            return self.reap();
        }
        self.kill()?;
        bail!("process {} did not end within {} s", identity.pid, limit.as_secs())
    }

    fn reap(&mut self) -> Result<()> {
        match &mut self.child {
            Some(child) => child.wait().map(drop).context("reaping a process"),
            None => Ok(()),
        }
    }
}

/// Signals a process, if it is there and still the same.
fn send(to: &Identity, signal: Signal) -> Result<()> {
    if !to.is_alive() {
        return Ok(());
    }
    let pid = i32::try_from(to.pid).ok().and_then(Pid::from_raw).context("a process number")?;
    match rustix::process::kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("signalling process {}", to.pid)),
    }
}

/// Looks again and again until `there` says so, or `limit` is over.
pub(crate) fn wait_until(limit: Duration, mut there: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if there() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// The end of a log, for an error.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts a process from a thread that ends with this process: the kernel tells a child of its
/// parent's death when the *thread* that started it ends, and a test has a thread of its own.
fn on_lasting_thread(command: Command) -> Result<Child> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                // Whoever asked has left if the answer cannot be given; the child goes with it.
                if let Err(mpsc::SendError(Ok(mut child))) = answer.send(command.spawn()) {
                    child.kill().ok();
                    child.wait().ok();
                }
            }
        });
        sender
    });
    let (sender, answer) = mpsc::channel();
    starter.send((command, sender)).ok().context("the thread that starts processes is gone")?;
    Ok(answer.recv().context("the thread that starts processes is gone")??)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Launch {
        // A shell with a child that waits for ever.
        Launch {
            program: "sh".into(),
            arguments: ["-c", "tail -f /dev/null & wait"].map(OsString::from).to_vec(),
            user: None,
            folder: folder.to_owned(),
            log: folder.join("log"),
        }
    }

    fn started(folder: &Path) -> Process {
        let process = Process::start(&sleeper(folder), Life::WithUs).unwrap();
        let identity = process.identity();
        assert!(wait_until(KILL_LIMIT, || identity.children().len() == 1));
        process
    }

    #[test]
    fn killing_a_process_kills_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = started(folder.path());
        let children = process.identity().children();
        process.kill().unwrap();
        assert!(!process.is_alive());
        assert!(children.iter().all(|child| !child.is_alive()));
    }

    #[test]
    fn a_frozen_process_is_alive_and_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = started(folder.path());
        let children = process.identity().children();
        assert_eq!(process.freeze().unwrap().len(), 2);
        assert!(process.is_alive());
        process.stop(Signal::TERM, KILL_LIMIT).unwrap();
        assert!(!process.is_alive());
        for child in children {
            Process::adopted(child).kill().unwrap();
        }
    }

    #[test]
    fn a_process_started_by_a_thread_that_ended_lives_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let mut process = thread::spawn(move || started(&path)).join().unwrap();
        assert!(process.is_alive());
        process.kill().unwrap();
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let text: Vec<String> = (0..40).map(|line| line.to_string()).collect();
        fs::write(&log, text.join("\n")).unwrap();
        assert!(tail(&log).starts_with("25\n") && tail(&log).ends_with("\n39"));
        assert_eq!(tail(&folder.path().join("none")), "");
    }
}
