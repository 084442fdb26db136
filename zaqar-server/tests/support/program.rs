//! The real program, as a child process.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, anyhow};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A running `zaqar-server` that has said that it listens.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// What it printed.
    pub(crate) banner: Vec<String>,
}

/// The program with these arguments, deaf to the configuration of whoever runs the tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zaqar-server"));
    command.args(arguments).kill_on_drop(true).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZAQAR__") {
            command.env_remove(name);
        }
    }
    command
}

impl Program {
    /// Starts it and waits until it has printed all that it prints.
    pub(crate) async fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let mut banner = Vec::new();
        while let Some(line) = lines.next_line().await? {
            let last = line.starts_with("curl ");
            banner.push(line);
            if last {
                let address = address(&banner)?;
                return Ok(Self { child, address, banner });
            }
        }
        Err(anyhow!("it ended before it served: {:?}, {banner:?}", child.wait().await?))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        let pid = self.child.id().context("it ended by itself")?;
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().await?;
        anyhow::ensure!(sent.success(), "SIGTERM could not be sent");
        Ok(self.child.wait().await?)
    }
}

fn address(banner: &[String]) -> anyhow::Result<SocketAddr> {
    let first = banner.first().context("it printed nothing")?;
    let (_, address) = first.split_once("http://").with_context(|| format!("no URL: {first}"))?;
    Ok(address.trim().parse()?)
}
