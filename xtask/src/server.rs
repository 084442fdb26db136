//! A server on a store of its own, for as long as a chore needs it.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const PROBE_LIMIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// Between finding a free port and the server's listening, another program may take it.
const TRIES: usize = 3;
/// Lines of the log that are shown when something went wrong.
const LOG_LINES: usize = 40;

/// Where a web page is from that the server lets connect.
pub(crate) const PAGE_ORIGIN: &str = "http://page.example";

/// A running server; it is killed when this is dropped, unless it was [stopped](Server::stop).
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    // The store goes with the server.
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts `program` and waits until it answers. Its log is below `folder`, and its store too,
    /// a fresh SQLite file, unless `storage` is the URI of another one.
    pub(crate) fn start(program: &Path, folder: &Path, storage: Option<&str>) -> Result<Self> {
        Self::start_with(program, folder, storage, &[])
    }

    /// The same with further settings, as variables of its environment.
    pub(crate) fn start_with(
        program: &Path,
        folder: &Path,
        storage: Option<&str>,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        let mut tries = 1;
        loop {
            let mut server = Self::spawn(program, folder, storage, settings)?;
            match server.wait_until_ready() {
                Ok(()) => {
                    println!("    server at {} (log: {})", server.url(), server.log.display());
                    return Ok(server);
                }
                Err(error) if tries == TRIES => {
                    server.show_log();
                    return Err(error);
                }
                Err(_) => tries += 1,
            }
        }
    }

    fn spawn(
        program: &Path,
        parent: &Path,
        storage: Option<&str>,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        fs::create_dir_all(parent).context("cannot make the folder for the server")?;
        let log = parent.join("server.log");
        let log_file = File::create(&log).context("cannot make the server's log")?;
        let folder = tempfile::tempdir_in(parent).context("cannot make a folder for the store")?;
        let file = format!("sqlite://{}", folder.path().join("zaqar.db").display());
        let address = free_address()?;
        let mut command = Command::new(program);
        // What the caller's shell configures for other servers is not for this one.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("ZAQAR__") {
                command.env_remove(name);
            }
        }
        let child = command
            .current_dir(folder.path())
            .env("ZAQAR__DRIVERS__TRANSPORT__WSGI__BIND", address.ip().to_string())
            .env("ZAQAR__DRIVERS__TRANSPORT__WSGI__PORT", address.port().to_string())
            .env("ZAQAR__DRIVERS__MESSAGE_STORE__URI", storage.unwrap_or(&file))
            .env("ZAQAR__DRIVERS__TRANSPORT__WEBSOCKET__ALLOWED_ORIGIN", PAGE_ORIGIN)
            .env("ZAQAR__ADMIN__PORT", "0")
            .env("ZAQAR__SIGNED_URL__SECRET_KEY", "a secret for tests")
            .envs(settings.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().context("cannot share the server's log")?)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, address, log, _folder: folder })
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while !answers(self.address) {
            if let Some(status) = self.child.try_wait().context("cannot wait for the server")? {
                bail!("the server ended before it listened: {status}");
            }
            ensure!(start.elapsed() < START_LIMIT, "the server does not answer");
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged and printed so far.
    pub(crate) fn output(&self) -> Result<String> {
        fs::read_to_string(&self.log).context("cannot read the server's log")
    }

    /// Prints the end of its log.
    pub(crate) fn show_log(&self) {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        println!("    the end of {}:", self.log.display());
        for line in lines.iter().skip(from) {
            println!("    | {line}");
        }
    }

    /// Asks it to stop, as an operator does; it must end by itself, and well.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        process::capture(Command::new("kill").args(["-TERM", &pid]))?;
        match process::wait_within(&mut self.child, STOP_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                self.show_log();
                bail!("the server did not stop well: {status}")
            }
            None => {
                self.show_log();
                bail!("the server still ran {} s after SIGTERM", STOP_LIMIT.as_secs())
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only if it has ended already, which is what this is for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port")?;
    listener.local_addr().context("a listener without address")
}

/// Whether a Zaqar answers at `address`: its version document comes with status 300.
fn answers(address: SocketAddr) -> bool {
    let probe = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, PROBE_LIMIT)?;
        stream.set_read_timeout(Some(PROBE_LIMIT))?;
        stream.set_write_timeout(Some(PROBE_LIMIT))?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/1.1 300")
    };
    probe().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_at_once_is_no_server() {
        let folder = tempfile::tempdir().unwrap();
        let error = Server::start(Path::new("false"), folder.path(), None).err().unwrap();
        assert!(error.to_string().contains("ended before it listened"), "{error}");
    }

    #[test]
    fn only_a_version_document_counts_as_an_answer() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let serve = thread::spawn(move || {
            for status in ["200 OK", "300 Multiple Choices"] {
                let (mut stream, _) = listener.accept().unwrap();
                // In one piece: the client hangs up as soon as it has seen the status.
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
                // Until the client has hung up: closing earlier could cut the answer off.
                stream.read_to_end(&mut Vec::new()).ok();
            }
        });
        assert!(!answers(address));
        assert!(answers(address));
        serve.join().unwrap();
        assert!(!answers(address));
    }
}
