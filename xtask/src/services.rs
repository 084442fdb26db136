//! `cargo xtask services`: the databases that tests share.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use zaqar_testbed::{Service, Shared, State, services_folder};

use crate::workspace::Workspace;

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
    Down,
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
        Action::Down => println!("{} servers ended", shared.down()?),
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

fn show(shared: &Shared) {
    println!("{:<15} {:>7} {:>6} {:>8}  answers", "service", "pid", "port", "up");
    for status in shared.status() {
        let up = status.uptime_s.map_or_else(|| "gone".to_owned(), |up| format!("{up} s"));
        let answers = if status.reachable { "yes" } else { "no" };
        let name = status.service.name();
        println!("{name:<15} {:>7} {:>6} {up:>8}  {answers}", status.pid, status.port);
    }
}
