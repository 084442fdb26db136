//! The command line: flags over environment over file, and the commands for configuration and
//! policies.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zaqar_engine::EngineError;

use crate::banner::banner;
#[cfg(feature = "check")]
use crate::check::{self, CheckArgs, CheckError};
use crate::config::{Config, ConfigError, Layers, document, import};
use crate::migrate::{self, MigrateCommand};
use crate::policy::{self, command::PolicyCommand};
use crate::serve::{self, Ended, StartError};
use crate::stages::Stages;
use crate::telemetry;

/// Exit code when the command line, the configuration or the machine is not as it must be.
const EXIT_REFUSED: u8 = 2;
/// Exit code when a policy lets the caller not do what was asked about.
const EXIT_DENIED: u8 = 1;
/// Exit code when requests were cut off at the end.
const EXIT_CUT_OFF: u8 = 1;

#[derive(Debug, Parser)]
#[command(
    name = "zaqar-server",
    version,
    about = "A message queue that loses nothing it accepted, over HTTP",
    long_about = "A message queue that loses nothing it accepted, over HTTP (OpenStack Zaqar API \
                  v2).\n\nWithout arguments it serves on 127.0.0.1:8888 and keeps its data in a \
                  file that it names.",
    after_long_help = document::help()
)]
struct Cli {
    /// TOML file with options (see `config sample`)
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where messages are kept, such as sqlite:///var/lib/zaqar/zaqar.db
    #[arg(long, value_name = "URI", global = true)]
    storage: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", global = true)]
    bind: Option<String>,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "N", global = true)]
    port: Option<String>,
    /// Address of metrics, liveness and readiness; empty for none
    #[arg(long, value_name = "ADDRESS", global = true)]
    admin_bind: Option<String>,
    /// Port of metrics, liveness and readiness; 0 takes a free one
    #[arg(long, value_name = "N", global = true)]
    admin_port: Option<String>,
    /// Least severity that is logged, such as info or info,zaqar_engine=debug
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
    /// How log lines are written: text or json
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    /// Any option by its key, such as transport.max_message_ttl=3600
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    set: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write, check, show or import a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Move queues from pool to pool while they are in use
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Prove the message store's backend with the conformance suite, beside what is in it
    #[cfg(feature = "check")]
    Check(CheckArgs),
    /// Explain who may do what, or print the rules
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a file with every option, commented out, at its default
    Sample,
    /// Print the options as a page of documentation (Markdown)
    Docs,
    /// Check the configuration and say what is wrong with it
    Check,
    /// Print the configuration in force, without passwords
    Show,
    /// Turn the INI file of an OpenStack Zaqar into ours, on standard output
    Import {
        /// The INI file
        #[arg(value_name = "zaqar.conf")]
        file: PathBuf,
    },
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("flag --set {0}: must be KEY=VALUE")]
    Set(String),
    #[error("{file}: {reason}")]
    Import { file: String, reason: String },
    #[error("{0}")]
    Log(String),
    #[error("{0}")]
    Question(String),
    #[error("{0}")]
    Migrate(EngineError),
    #[cfg(feature = "check")]
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// The program: parses the command line, does what it says, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    main_with(&Stages::new())
}

/// The same for a program that has stages of its own.
#[must_use]
pub fn main_with(stages: &Stages) -> ExitCode {
    match run(Cli::parse(), stages) {
        Ok(code) => code,
        // Whoever closed our output wanted no more of it.
        Err(Refused::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(refused) => {
            complain(&refused.to_string());
            ExitCode::from(EXIT_REFUSED)
        }
    }
}

fn run(cli: Cli, stages: &Stages) -> Result<ExitCode, Refused> {
    match &cli.command {
        None => serve(cli.load(stages)?, stages),
        Some(Command::Config(command)) => {
            match command {
                ConfigCommand::Sample => print(&document::sample())?,
                ConfigCommand::Docs => print(&document::markdown())?,
                ConfigCommand::Check => {
                    cli.load(stages)?;
                    print("the configuration is good\n")?;
                }
                ConfigCommand::Show => print(&document::show(&cli.load(stages)?))?,
                ConfigCommand::Import { file } => import_file(file)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Migrate(command)) => migrate(&cli.load(stages)?, command),
        #[cfg(feature = "check")]
        Some(Command::Check(args)) => check(&cli.load(stages)?, args, cli.log_level.is_some()),
        Some(Command::Policy(PolicyCommand::Sample)) => {
            print(&policy::command::sample())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Policy(PolicyCommand::Check(question))) => {
            let rules = policy::load(&cli.load(stages)?)?;
            let verdict = policy::command::check(&rules, question).map_err(Refused::Question)?;
            for rule in rules.unused() {
                complain(&format!("no operation and no other rule asks the policy file's {rule}"));
            }
            print(&verdict.text)?;
            Ok(if verdict.allowed { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DENIED) })
        }
    }
}

impl Cli {
    /// The configuration that flags, environment and file make over the defaults.
    fn load(&self, stages: &Stages) -> Result<Config, Refused> {
        let config = self.layers(std::env::vars_os())?.load()?;
        stages.assemble(&config)?;
        policy::load(&config)?;
        Ok(config)
    }

    fn layers(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Layers, Refused> {
        let mut layers = Layers::new();
        if let Some(file) = &self.config {
            layers = layers.file(file)?;
        }
        layers = layers.env(variables)?;
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| Refused::Set(pair.clone()))?;
            layers = layers.flag(&format!("flag --set {key}"), key.trim(), value);
        }
        let flags = [
            ("storage", "drivers.message_store.uri", &self.storage),
            ("bind", "drivers.transport.wsgi.bind", &self.bind),
            ("port", "drivers.transport.wsgi.port", &self.port),
            ("admin-bind", "admin.bind", &self.admin_bind),
            ("admin-port", "admin.port", &self.admin_port),
            ("log-level", "log.level", &self.log_level),
            ("log-format", "log.format", &self.log_format),
        ];
        for (flag, key, value) in flags {
            if let Some(value) = value {
                layers = layers.flag(&format!("flag --{flag}"), key, value);
            }
        }
        Ok(layers)
    }
}

fn import_file(file: &Path) -> Result<(), Refused> {
    let failed = |reason: String| Refused::Import { file: file.display().to_string(), reason };
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let imported = import::import(&text).map_err(|error| failed(error.to_string()))?;
    print(&imported.toml)?;
    if !imported.left_out.is_empty() {
        complain("not carried over as it was:");
        for left in &imported.left_out {
            complain(&format!("  {left}"));
        }
    }
    Ok(())
}

/// Threads that handle requests: one core is left to the store, whose writer (or whose process, where
/// it has one on this machine) works while they do. With a thread for each core they would take turns.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

fn serve(config: Config, stages: &Stages) -> Result<ExitCode, Refused> {
    telemetry::log::init(&config.log).map_err(Refused::Log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(Refused::Runtime)?;
    runtime.block_on(async {
        let mut signals = Signals::listen().map_err(Refused::Runtime)?;
        let server = serve::start_with(config, stages).await?;
        print(&banner(&server))?;
        let signal = signals.next().await;
        tracing::info!(signal, "stopping: finishing what was accepted");
        tokio::select! {
            ended = server.shutdown() => Ok(match ended {
                Ended::Finished => ExitCode::SUCCESS,
                Ended::CutOff => ExitCode::from(EXIT_CUT_OFF),
            }),
            again = signals.next() => {
                tracing::warn!(signal = again, "stopped at once");
                Ok(ExitCode::from(EXIT_CUT_OFF))
            }
        }
    })
}

fn migrate(config: &Config, command: &MigrateCommand) -> Result<ExitCode, Refused> {
    telemetry::log::init(&config.log).map_err(Refused::Log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(Refused::Runtime)?;
    runtime.block_on(async {
        let engine = serve::open_engine(config).await?;
        let told = migrate::run(&engine, command, |line| print(line).is_ok()).await;
        engine.shutdown().await;
        told.map_err(Refused::Migrate)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Asks the message store; any other one can be named by `--storage`.
#[cfg(feature = "check")]
fn check(config: &Config, args: &CheckArgs, logs: bool) -> Result<ExitCode, Refused> {
    let uri = config.message_store.uri.expose().to_owned();
    let target = check::Target { uri, unreliable: config.general.unreliable };
    if let Some(served) = check::serve_as_child(&target) {
        served?;
        return Ok(ExitCode::SUCCESS);
    }
    // Each of hundreds of stores would say the same once more; what is wrong is in the report.
    if logs {
        telemetry::log::init(&config.log).map_err(Refused::Log)?;
    }
    let stop = async {
        match Signals::listen() {
            Ok(mut signals) => signals.next().await,
            Err(_) => std::future::pending().await,
        }
    };
    let tell = |text: &str| drop(io::stderr().write_all(text.as_bytes()));
    let report = check::run(&target, args, stop, tell)?;
    print(&report.text())?;
    Ok(ExitCode::from(report.exit_code()))
}

/// The signals that end the program.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn print(text: &str) -> Result<(), Refused> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Refused::Output)
}

fn complain(text: &str) {
    // Standard error is the last place to tell; if it is gone, there is nobody to tell.
    writeln!(io::stderr(), "zaqar-server: {text}").ok();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_names_every_option() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for section in Config::sections() {
            for option in section.options {
                assert!(help.contains(&format!("  {} = ", option.name)), "{}", option.key());
            }
        }
    }

    #[test]
    fn every_flag_sets_an_option_and_wins_over_the_environment() {
        let cli = Cli::parse_from([
            "zaqar-server",
            "--storage",
            "sqlite:/x.db",
            "--bind",
            "::1",
            "--port",
            "1",
            "--admin-bind",
            "",
            "--admin-port",
            "2",
            "--log-level",
            "debug",
            "--log-format",
            "json",
            "--set",
            "transport.max_message_ttl=4000",
        ]);
        let env = [("ZAQAR__DRIVERS__TRANSPORT__WSGI__PORT".into(), "3".into())];
        let config = cli.layers(env).unwrap().load().unwrap();
        assert_eq!((config.listen.port, config.admin.port), (1, 2));
        assert_eq!(config.message_store.uri.expose(), "sqlite:/x.db");
        assert_eq!(config.transport.max_message_ttl, 4000);
        assert_eq!(config.admin.bind, "");
    }

    #[test]
    fn a_bad_flag_is_named() {
        let cli = Cli::parse_from(["zaqar-server", "--port", "many"]);
        let error = cli.layers([]).unwrap().load().unwrap_err().to_string();
        assert!(error.contains("flag --port") && error.contains("wsgi.port"), "{error}");
    }
}
