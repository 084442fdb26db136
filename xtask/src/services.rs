//! `cargo xtask services`: the databases that tests share.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use zaqar_testbed::{Service, Shared, State, is_installed, services_folder};

use crate::process;
use crate::workspace::Workspace;

/// The backends whose absence is a failure of the tests that need them.
const REQUIRE: &str = "ZAQAR_CONFORMANCE_REQUIRE";

#[derive(Args)]
pub(crate) struct ServicesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Install and start them; says on standard output how a shell is told where they are
    Up {
        /// Start only these
        services: Vec<Service>,
        /// Start those too that only a few tests need
        #[arg(long, conflicts_with = "services")]
        all: bool,
    },
    /// Stop them and remove their data
    Down {
        /// Stop only these
        services: Vec<Service>,
    },
    /// Show what runs
    Status,
}

pub(crate) fn services(workspace: &Workspace, args: &ServicesArgs) -> Result<()> {
    let mut shared = Shared::open(&folder(workspace))?;
    match &args.action {
        Action::Up { services, all } => {
            shared.up(&chosen(services, *all))?;
            for (variable, uri) in variables(shared.state()) {
                println!("export {variable}='{uri}'");
            }
        }
        Action::Down { services } => {
            let ended = if services.is_empty() { shared.down()? } else { shared.end(services)? };
            println!("{ended} servers ended");
        }
        Action::Status => show(&shared),
    }
    Ok(())
}

fn chosen(named: &[Service], all: bool) -> Vec<Service> {
    match (all, named) {
        (true, _) => Service::ALL.to_vec(),
        (false, []) => Service::USUAL.to_vec(),
        (false, named) => named.to_vec(),
    }
}

fn folder(workspace: &Workspace) -> PathBuf {
    services_folder(&workspace.target_dir)
}

/// What tells a test where the servers are.
fn variables(state: &State) -> Vec<(&'static str, String)> {
    let variable = |service: Service| Some((service.variable(), state.uri(service)?));
    Service::ALL.into_iter().filter_map(variable).collect()
}

/// Databases for the time of a test run.
pub(crate) struct ForTests {
    folder: PathBuf,
    /// Those that did not run before.
    started: Vec<Service>,
    /// Those that the caller's environment names.
    given: Vec<(Service, String)>,
    /// What tells the tests where they are, and that they must not be missing.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl ForTests {
    /// Starts what does not run already; what the environment names, is used as it is.
    pub(crate) fn start(workspace: &Workspace) -> Result<Self> {
        let named = |service: Service| Some((service, env::var(service.variable()).ok()?));
        let given: Vec<(Service, String)> = Service::USUAL.into_iter().filter_map(named).collect();
        let is_given = |service: &Service| given.iter().any(|(given, _)| given == service);
        let wanted: Vec<Service> =
            Service::USUAL.into_iter().filter(|service| !is_given(service)).collect();
        let can_install = process::is_root()?;
        let (possible, missing): (Vec<Service>, Vec<Service>) =
            wanted.into_iter().partition(|service| can_install || is_installed(*service));
        if !missing.is_empty() {
            let names = names(&missing).join(", ");
            ensure!(!process::on_ci(), "only root can install what {names} need");
            println!("    NOT TESTED, as only root can install them: {names}");
        }
        let folder = folder(workspace);
        let mut shared = Shared::open(&folder)?;
        let started = possible.iter().copied().filter(|service| !shared.is_up(*service)).collect();
        let mut running = Self { folder, started, given, environment: Vec::new() };
        if let Err(error) = shared.up(&possible) {
            drop(shared);
            running.stop().context("putting down what had started")?;
            return Err(error);
        }
        println!("    databases: {}", names(&possible).join(", "));
        running.environment = variables(shared.state());
        let required = [env::var(REQUIRE).unwrap_or_default()].into_iter();
        let required =
            required.chain(running.given_names().chain(names(&possible)).map(str::to_owned));
        let required: Vec<String> = required.filter(|name| !name.is_empty()).collect();
        running.environment.push((REQUIRE, required.join(",")));
        Ok(running)
    }

    fn given_names(&self) -> impl Iterator<Item = &'static str> {
        self.given.iter().map(|(service, _)| service.name())
    }

    /// Name and URI of each, also of those that the caller's environment names.
    pub(crate) fn uris(&self) -> Vec<(&'static str, &str)> {
        let started = |service: Service| {
            let (_, uri) = self.environment.iter().find(|(name, _)| *name == service.variable())?;
            Some((service.name(), uri.as_str()))
        };
        let given = self.given.iter().map(|(service, uri)| (service.name(), uri.as_str()));
        Service::ALL.into_iter().filter_map(started).chain(given).collect()
    }

    /// Ends those that were started for the tests.
    pub(crate) fn stop(&self) -> Result<()> {
        Shared::open(&self.folder)?.end(&self.started).map(drop)
    }
}

fn names(services: &[Service]) -> Vec<&'static str> {
    services.iter().map(|service| service.name()).collect()
}

fn show(shared: &Shared) {
    println!("{:<15} {:>7} {:>6} {:>8}  answers", "service", "pid", "port", "up");
    for status in shared.status() {
        let up = status.uptime_s.map_or_else(|| "gone".to_owned(), |up| format!("{up} s"));
        let answers = if status.reachable { "yes" } else { "no" };
        let name = status.service.name();
        println!("{name:<15} {:>7} {:>6} {up:>8}  {answers}", status.pid, status.port);
    }
}
