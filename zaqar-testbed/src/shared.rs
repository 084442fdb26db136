//! Servers that outlive the program that started them, shared by all tests of a build folder.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::backend::{self, Backend, Options};
use crate::install;
use crate::port;
use crate::process::{Process, wait_until};
use crate::procfs;
use crate::scratch;
use crate::service::Service;
use crate::state::{Entry, Member, State};

/// How long a server may take to end when asked.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long a port may be in use after its server was killed.
const PORT_LIMIT: Duration = Duration::from_secs(10);
/// Programs that are ours if they work below our folder.
const PROGRAMS: [&str; 4] = ["postgres", "mariadbd", "redis-server", "mongod"];

/// The shared servers of one folder.
#[derive(Debug)]
pub struct Shared {
    folder: PathBuf,
    state: State,
    /// Held while this lives: two at once would start everything twice.
    _lock: File,
}

/// What is to be said of one server.
#[derive(Debug, Clone)]
pub struct Status {
    /// The service that it belongs to.
    pub service: Service,
    /// Its process's number.
    pub pid: u32,
    /// Its port.
    pub port: u16,
    /// Since when it runs, in seconds; `None`: it does not.
    pub uptime_s: Option<u64>,
    /// Whether it answers.
    pub reachable: bool,
}

impl Shared {
    /// Reads what is written down in `folder`, and keeps others from changing it.
    ///
    /// # Errors
    /// If the folder cannot be made, or what is written down there cannot be understood.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).context("making the folder of the services")?;
        let folder = folder.canonicalize().context("the folder of the services")?;
        let lock = File::create(folder.join("lock")).context("making the lock")?;
        lock.lock().context("waiting for another `services` to finish")?;
        let state = State::load(&folder)?;
        Ok(Self { folder, state, _lock: lock })
    }

    /// What runs.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Installs and starts `services`, those that do not run already; one that runs in part is
    /// replaced, on the ports it had.
    ///
    /// # Errors
    /// If a program cannot be installed, or a server does not come up. What came up stays.
    pub fn up(&mut self, services: &[Service]) -> Result<()> {
        install::install(services)?;
        for service in services {
            if !self.is_up(*service) {
                self.start(*service).with_context(|| format!("starting {}", service.name()))?;
            }
        }
        Ok(())
    }

    /// Whether a service runs, and answers.
    #[must_use]
    pub fn is_up(&self, service: Service) -> bool {
        self.state.entry(service).is_some_and(|entry| answers(service, entry))
    }

    fn start(&mut self, service: Service) -> Result<()> {
        let ports = self.put_down(service, Signal::KILL)?;
        let mut options = Options::new().folder(self.home()?).detached();
        if wait_until(PORT_LIMIT, || ports.iter().all(|port| port::is_free(*port))) {
            options = options.ports(ports);
        }
        let backend = Backend::start(service, options)?;
        let member = |(identity, place): (_, &crate::server::Place)| Member {
            identity,
            port: place.port,
            folder: place.folder.clone(),
        };
        let members = backend.members().into_iter().map(member).collect();
        let entry = Entry { uri: backend.uri(), members };
        self.state.services.insert(service.name().to_owned(), entry);
        self.state.save(&self.folder)?;
        backend.let_go();
        Ok(())
    }

    /// Where the data is: beside what is written down, unless a server that does not run as root
    /// could not get there.
    fn home(&mut self) -> Result<PathBuf> {
        if let Some(elsewhere) = self.state.elsewhere.clone().filter(|held| held.is_dir()) {
            return Ok(elsewhere);
        }
        if is_open_to_all(&self.folder)? {
            return Ok(self.folder.clone());
        }
        let elsewhere = scratch::lasting()?;
        self.state.elsewhere = Some(elsewhere.clone());
        self.state.save(&self.folder)?;
        Ok(elsewhere)
    }

    /// Whether this is where our servers' data is.
    fn holds(&self, folder: &Path) -> bool {
        let elsewhere = self.state.elsewhere.as_ref();
        folder.starts_with(&self.folder) || elsewhere.is_some_and(|held| folder.starts_with(held))
    }

    /// Ends a service, with its data; the ports that it had.
    fn put_down(&mut self, service: Service, signal: Signal) -> Result<Vec<u16>> {
        let Some(entry) = self.state.entry(service).cloned() else { return Ok(Vec::new()) };
        // A Sentinel is the last of its service, and would make an election of the others' end.
        for member in entry.members.iter().rev() {
            end_process(Process::adopted(member.identity), signal)?;
            if self.holds(&member.folder) && member.folder.exists() {
                fs::remove_dir_all(&member.folder).context("removing a server's data")?;
            }
        }
        self.state.services.remove(service.name());
        self.state.save(&self.folder)?;
        Ok(entry.members.iter().map(|member| member.port).collect())
    }

    /// Ends the servers of `services` and removes their data; how many there were.
    ///
    /// # Errors
    /// If a server cannot be ended, or its data not be removed.
    pub fn end(&mut self, services: &[Service]) -> Result<usize> {
        let mut ended = 0;
        for service in services {
            ended += self.put_down(*service, stop_signal(*service))?.len();
        }
        Ok(ended)
    }

    /// Ends all servers, those too that nobody wrote down, and removes their data.
    ///
    /// # Errors
    /// If a server cannot be ended, or its data not be removed.
    pub fn down(&mut self) -> Result<usize> {
        let ended = self.end(&Service::ALL)? + self.end_strays()?;
        for entry in fs::read_dir(&self.folder).context("listing the folder of the services")? {
            let path = entry.context("listing the folder of the services")?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path).context("removing a server's data")?;
            }
        }
        if let Some(elsewhere) = self.state.elsewhere.take() {
            fs::remove_dir_all(&elsewhere).context("removing the servers' data")?;
            self.state.save(&self.folder)?;
        }
        Ok(ended)
    }

    /// Ends servers that nobody wrote down: whoever started them was killed meanwhile.
    fn end_strays(&self) -> Result<usize> {
        let mut ended = 0;
        for (identity, name, folder) in procfs::at_work() {
            if self.holds(&folder) && PROGRAMS.contains(&name.as_str()) {
                end_process(Process::adopted(identity), Signal::KILL)?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// What is to be said of each server.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let of = |service: Service| {
            let members = self.state.entry(service).map(|entry| entry.members.clone());
            members.unwrap_or_default().into_iter().map(move |member| Status {
                service,
                pid: member.identity.pid,
                port: member.port,
                uptime_s: member.identity.is_alive().then(|| member.identity.uptime_s()).flatten(),
                reachable: backend::answers(service, member.port),
            })
        };
        Service::ALL.into_iter().flat_map(of).collect()
    }
}

/// Whether every user can get to `folder`.
fn is_open_to_all(folder: &Path) -> Result<bool> {
    for part in folder.ancestors() {
        let mode = fs::metadata(part).context("looking at a folder")?.permissions().mode();
        if mode & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn stop_signal(service: Service) -> Signal {
    match service {
        Service::Postgres => Signal::INT,
        _ => Signal::TERM,
    }
}

fn end_process(mut process: Process, signal: Signal) -> Result<()> {
    if !process.is_alive() {
        return Ok(());
    }
    if signal == Signal::KILL {
        return process.kill();
    }
    // One that has to be killed is gone all the same.
    let stopped = process.stop(signal, STOP_LIMIT);
    ensure!(!process.is_alive(), "a server does not end: {stopped:?}");
    Ok(())
}

/// Whether all servers are there, and answer as their kind does.
fn answers(service: Service, entry: &Entry) -> bool {
    let answers = |member: &Member| backend::answers(service, member.port);
    entry.is_whole() && entry.members.iter().all(answers)
}
