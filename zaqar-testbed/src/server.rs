//! One server of any kind: its folder, its port, its process.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::port;
use crate::process::{self, Launch, Life, POLL, Process};
use crate::procfs::Identity;

/// How long a server may take until it answers: recovery after a crash included.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long an orderly end may take.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long one look at a server may take: one that is half up accepts, and never answers.
pub(crate) const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// Between finding a free port and the server's taking it, another program may do so.
const TRIES: u32 = 4;

/// Where one server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its data, settings and log.
    pub(crate) folder: PathBuf,
    /// On 127.0.0.1.
    pub(crate) port: u16,
}

impl Place {
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

/// What is particular to a kind of server.
pub(crate) trait Kind: fmt::Debug + Send + Sync {
    /// The program, with its settings.
    fn program(&self) -> Result<PathBuf>;

    /// Its arguments; the caller's follow, and win.
    fn arguments(&self, place: &Place) -> Vec<OsString>;

    /// Makes what it needs before its first start, in a folder that is there and empty.
    fn prepare(&self, place: &Place) -> Result<()>;

    /// Whether it answers, within [`PROBE_LIMIT`].
    fn answers(&self, place: &Place) -> bool;

    /// The signal that asks for an orderly end.
    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }

    /// The user that it must run as; `None`: any.
    fn user(&self) -> Option<&'static str> {
        None
    }
}

/// A running server; killed when dropped, unless it was [let go](Server::let_go).
#[derive(Debug)]
pub(crate) struct Server {
    kind: Box<dyn Kind>,
    place: Place,
    life: Life,
    /// The caller's own arguments.
    extra: Vec<OsString>,
    process: Option<Process>,
}

impl Server {
    /// Prepares `folder`, which is made anew, and starts a server there; without `port`, on one
    /// that is free.
    pub(crate) fn start(
        kind: Box<dyn Kind>,
        folder: PathBuf,
        port: Option<u16>,
        life: Life,
        extra: &[String],
    ) -> Result<Self> {
        let extra = extra.iter().map(OsString::from).collect();
        let place = Place { folder, port: 0 };
        let mut server = Self { kind, place, life, extra, process: None };
        for attempt in 1..=TRIES {
            server.place.port = match port {
                Some(port) => port,
                None => port::free()?,
            };
            server.make_folder()?;
            server.kind.prepare(&server.place)?;
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(error) if attempt == TRIES || port.is_some() => return Err(error),
                Err(_) => server.kill()?,
            }
        }
        bail!("no port was free")
    }

    fn make_folder(&self) -> Result<()> {
        let folder = &self.place.folder;
        if folder.exists() {
            fs::remove_dir_all(folder).context("cannot remove what an earlier server left")?;
        }
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))
    }

    /// Starts the process and waits until it answers.
    fn launch(&mut self) -> Result<()> {
        let mut arguments = self.kind.arguments(&self.place);
        arguments.extend(self.extra.iter().cloned());
        let launch = Launch {
            program: self.kind.program()?,
            arguments,
            user: self.kind.user(),
            folder: self.place.folder.clone(),
            log: self.place.log(),
        };
        self.process = Some(Process::start(&launch, self.life)?);
        self.wait_until_it_answers()
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let start = Instant::now();
        while !self.kind.answers(&self.place) {
            ensure!(self.is_alive(), "{}", self.complaint("ended before it answered"));
            let waiting = start.elapsed() < START_LIMIT;
            ensure!(waiting, "{}", self.complaint("does not answer"));
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn complaint(&self, what: &str) -> String {
        let log = self.place.log();
        format!("{:?} {what}; the end of {}:\n{}", self.kind, log.display(), process::tail(&log))
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Gives it other arguments of the caller's from its next start on.
    pub(crate) fn argue(&mut self, extra: &[String]) {
        self.extra = extra.iter().map(OsString::from).collect();
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_alive)
    }

    pub(crate) fn answers(&self) -> bool {
        self.kind.answers(&self.place)
    }

    /// The process, while there is one.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.process.as_ref().map(Process::identity)
    }

    /// SIGKILL, to its children too; returns when they are gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Starts it again on the same folder and port; one that still runs is killed first.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch()
    }

    /// SIGSTOP, to its children too.
    pub(crate) fn pause(&self) -> Result<()> {
        self.running()?.freeze().map(drop)
    }

    /// SIGCONT, to its children too.
    pub(crate) fn resume(&self) -> Result<()> {
        self.running()?.thaw()
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().with_context(|| self.complaint("does not run"))
    }

    /// Asks it to end and waits.
    pub(crate) fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(self.kind.stop_signal(), STOP_LIMIT),
            None => Ok(()),
        }
    }

    /// Leaves a detached server to itself.
    pub(crate) fn let_go(&mut self) {
        if self.life == Life::Detached {
            self.process = None;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What cannot be killed now is killed by the kernel when this process ends.
        self.kill().ok();
    }
}

/// Sends `request` to `address` and reads as many bytes as `answer` holds, within the limit.
pub(crate) fn exchange(address: SocketAddr, request: &[u8], answer: &mut [u8]) -> bool {
    let mut attempt = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, PROBE_LIMIT)?;
        stream.set_read_timeout(Some(PROBE_LIMIT))?;
        stream.set_write_timeout(Some(PROBE_LIMIT))?;
        stream.write_all(request)?;
        stream.read_exact(answer)
    };
    attempt().is_ok()
}

/// Runs a program that prepares a server; its output goes to `log`.
pub(crate) fn run(command: &mut std::process::Command, log: &Path) -> Result<()> {
    let file = fs::File::options().create(true).append(true).open(log).context("opening a log")?;
    let program = Path::new(command.get_program()).display().to_string();
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone().context("sharing a log")?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} failed ({status}):\n{}", process::tail(log));
    Ok(())
}
