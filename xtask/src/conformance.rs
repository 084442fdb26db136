//! `cargo xtask conformance`: the suite on chosen backends, as long as asked, with its reports.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::services::ForTests;
use crate::workspace::Workspace;
use crate::{process, report_table};

#[derive(Args)]
pub(crate) struct ConformanceArgs {
    /// Only these backends
    #[arg(long, value_enum)]
    backend: Vec<Backend>,
    /// How much is asked: a minute for each backend, minutes, or as long as rare things take
    #[arg(long, value_enum, default_value_t = Budget::Smoke)]
    budget: Budget,
    /// Folder for the reports; those in the usual one are the README's evidence
    #[arg(long, value_name = "FOLDER", default_value = report_table::REPORTS)]
    reports: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    Sqlite,
    Postgres,
    Mysql,
    Redis,
    RedisCluster,
    Mongo,
    /// The example of a driver of one's own
    CustomDriver,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Budget {
    Smoke,
    Standard,
    Soak,
}

impl Budget {
    fn word(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Standard => "standard",
            Self::Soak => "soak",
        }
    }
}

/// A test target that makes reports, and which of its tests.
type Target = (&'static str, &'static str);

impl Backend {
    /// The driver's crate and its targets.
    fn targets(self) -> (&'static str, &'static [Target]) {
        match self {
            Self::Sqlite => ("zaqar-storage-sql", &[("conformance", "")]),
            Self::Postgres => {
                ("zaqar-storage-sql", &[("conformance_postgres", ""), ("faults", "postgres::")])
            }
            Self::Mysql => {
                ("zaqar-storage-sql", &[("conformance_mysql", ""), ("faults", "mysql::")])
            }
            Self::Redis => ("zaqar-storage-redis", &[("conformance", ""), ("faults", "redis::")]),
            Self::RedisCluster => (
                "zaqar-storage-redis",
                &[("conformance_cluster", ""), ("faults", "redis-cluster::")],
            ),
            Self::Mongo => ("zaqar-storage-mongo", &[("conformance", ""), ("faults", "mongo")]),
            Self::CustomDriver => ("custom-driver", &[("conformance", "")]),
        }
    }
}

pub(crate) fn conformance(workspace: &Workspace, args: &ConformanceArgs) -> Result<()> {
    let chosen = match args.backend.as_slice() {
        [] => Backend::value_variants(),
        chosen => chosen,
    };
    let databases = ForTests::start(workspace)?;
    let broken = run_all(workspace, args, chosen, &databases);
    databases.stop()?;
    if args.reports == Path::new(report_table::REPORTS) {
        report_table::update(&workspace.root)?;
    }
    ensure!(broken.is_empty(), "not conformant: {}", broken.join(", "));
    Ok(())
}

/// Runs all of them, whatever comes of one; returns those that broke something.
fn run_all(
    workspace: &Workspace,
    args: &ConformanceArgs,
    chosen: &[Backend],
    databases: &ForTests,
) -> Vec<String> {
    let mut broken = Vec::new();
    for backend in chosen {
        let (package, targets) = backend.targets();
        for (target, filter) in targets {
            let mut command = workspace.cargo();
            command.args(["test", "--package", package, "--all-features"]);
            command.args(["--test", target, "--", filter]);
            command.envs(databases.environment.iter().map(|(name, value)| (name, value)));
            command.env("ZAQAR_CONFORMANCE_BUDGET", args.budget.word());
            command.env("ZAQAR_CONFORMANCE_REPORT", workspace.root.join(&args.reports));
            if let Err(error) = process::run(&mut command) {
                broken.push(format!("{backend:?} ({target}): {error:#}"));
            }
        }
    }
    broken
}
