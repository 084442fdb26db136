//! The installation that `examples/three-heads/run.sh` starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The installation that the script starts.
pub(crate) struct Heads {
    script: Child,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Heads {
    pub(crate) async fn start(folder: &Path, uris: [(&str, &str); 3]) -> anyhow::Result<Self> {
        let haproxy = zaqar_testbed::install_haproxy()?;
        let beside = haproxy.parent().context("the balancer's folder")?.display();
        let mut ports = Vec::new();
        while ports.len() < 7 {
            let port = zaqar_testbed::free_port()?;
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let port = ports.first().copied().context("no port")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut script = Command::new("sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/three-heads/run.sh"))
            .env("PATH", format!("{path}:{beside}"))
            .env("ZAQAR_SERVER", env!("CARGO_BIN_EXE_zaqar-server"))
            .env("ZAQAR_FOLDER", folder)
            .env("ZAQAR_PORTS", ports.join(" "))
            .env("ZAQAR__TRANSPORT__MAX_MESSAGES_PER_PAGE", "1000")
            .envs(uris)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = script.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let serving = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with("serving on ") {
                    return Ok(());
                }
            }
            anyhow::bail!("the script ended before it served")
        };
        let folder = folder.to_owned();
        match tokio::time::timeout(Duration::from_secs(120), serving).await {
            Ok(Ok(())) => Ok(Self { script, folder, address }),
            failed => {
                let heads = Self { script, folder, address };
                let logs = heads.logs();
                heads.stop().await?;
                anyhow::bail!("not serving: {failed:?}\n{logs}")
            }
        }
    }

    /// Kills a head without notice; the script starts it again.
    pub(crate) fn kill(&self, number: u64) -> anyhow::Result<()> {
        let pid = std::fs::read_to_string(self.folder.join(format!("head{number}.pid")))?;
        let killed = std::process::Command::new("kill").args(["-KILL", pid.trim()]).status()?;
        ensure!(killed.success(), "head {number} was not there to be killed");
        Ok(())
    }

    /// The ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let mut all = String::new();
        for name in ["head1.log", "head2.log", "head3.log", "haproxy.log"] {
            let text = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let from = text.char_indices().rev().nth(1_500).map_or(0, |(at, _)| at);
            all.push_str(&format!("--- {name}\n{}\n", text.get(from..).unwrap_or_default()));
        }
        all
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.script.id().context("the script ended by itself")?;
        let sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        ensure!(sent.success(), "the script could not be told to stop");
        let ended = tokio::time::timeout(Duration::from_secs(60), self.script.wait()).await??;
        ensure!(ended.success(), "the script ended with {ended}");
        Ok(())
    }
}
