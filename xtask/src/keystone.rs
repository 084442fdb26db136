//! A real Keystone on a database of its own, for as long as a chore needs it, and what is tested
//! with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::server::Server;
use crate::workspace::Workspace;
use crate::{clients, process, python};

/// Making its tables alone takes many seconds.
const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const LAUNCHER: &str = "tests/keystone/serve.py";
/// Makes projects and users, with roles.
const WORLD: &str = "keystone_world.py";
const WORLD_LIMIT: Duration = Duration::from_secs(180);
const SCRIPTS: [&str; 3] =
    ["test_keystone.py", "test_keystone_services.py", "test_keystone_cli.py"];
/// What an administrator does on a server with pools.
const POOLS_SCRIPT: &str = "test_pools.py";
/// Of everybody. It listens on the loopback interface alone, and nothing in it lasts.
const PASSWORD: &str = "the password of a test";
/// How every token of Keystone's begins.
const TOKEN_START: &str = "gAAAAA";

/// A Keystone that is being started, or serves. It ends when this is dropped, with all it has.
pub(crate) struct Keystone {
    child: Child,
    folder: tempfile::TempDir,
    output: PathBuf,
}

impl Keystone {
    /// Begins to start it, which takes a while; [`Self::url`] waits for it.
    pub(crate) fn begin(workspace: &Workspace) -> Result<Self> {
        let python = python::keystone(workspace)?;
        let parent = workspace.target_dir.join("clients");
        fs::create_dir_all(&parent).context("cannot make the folder for Keystone")?;
        let folder = tempfile::tempdir_in(&parent).context("cannot make a folder for Keystone")?;
        let output = parent.join("keystone.out");
        let file = File::create(&output).context("cannot make the file for Keystone's output")?;
        let child = Command::new(python)
            .current_dir(&workspace.root)
            // Compiled modules would litter the checkout.
            .arg("-B")
            .arg(LAUNCHER)
            .arg(folder.path())
            .env("OS_BOOTSTRAP_PASSWORD", PASSWORD)
            // It ends with its standard input, so with this program too, however that ends.
            .stdin(Stdio::piped())
            .stdout(file.try_clone().context("cannot share the file for Keystone's output")?)
            .stderr(file)
            .spawn()
            .context("cannot start Keystone")?;
        Ok(Self { child, folder, output })
    }

    /// The URL of its API, once it serves.
    fn url(&mut self) -> Result<String> {
        let (start, written) = (Instant::now(), self.folder.path().join("url"));
        while !written.exists() {
            let ended = self.child.try_wait().context("cannot wait for Keystone")?;
            if ended.is_some() || start.elapsed() > START_LIMIT {
                println!("{}", fs::read_to_string(&self.output).unwrap_or_default());
                bail!("Keystone does not serve: {ended:?}");
            }
            thread::sleep(POLL);
        }
        fs::read_to_string(written).context("cannot read Keystone's URL")
    }

    /// Has it end.
    fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let ended = process::wait_within(&mut self.child, STOP_LIMIT)?;
        ensure!(
            ended.is_some(),
            "Keystone still ran {} s after it was to end",
            STOP_LIMIT.as_secs()
        );
        Ok(())
    }
}

impl Drop for Keystone {
    fn drop(&mut self) {
        // Fails only if it has ended already, which is what this is for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Clients log in at Keystone, and the server asks it whom it has before it.
pub(crate) fn check(
    workspace: &Workspace,
    python: &Path,
    program: &Path,
    mut keystone: Keystone,
) -> Result<()> {
    let url = keystone.url()?;
    let access = [("KEYSTONE_URL", url.clone()), ("KEYSTONE_PASSWORD", PASSWORD.to_owned())];
    let mut world = clients::script(workspace, python, WORLD, &access);
    process::run_within(&mut world, WORLD_LIMIT)?;
    let settings = settings(workspace, url);
    // A token that is revoked is to be found out soon.
    let hasty = ("ZAQAR__KEYSTONE_AUTHTOKEN__TOKEN_CACHE_TIME", "1".to_owned());
    let single = settings.iter().cloned().chain([hasty]).collect();
    drive(workspace, python, program, &SCRIPTS, single, &access)?;
    let pooling = ("ZAQAR__POOLING", "true".to_owned());
    let pooled = settings.into_iter().chain([pooling]).collect();
    drive(workspace, python, program, &[POOLS_SCRIPT], pooled, &access)?;
    keystone.stop()
}

/// Has scripts drive a server with these settings.
fn drive(
    workspace: &Workspace,
    python: &Path,
    program: &Path,
    scripts: &[&'static str],
    settings: Vec<(&str, String)>,
    access: &[(&str, String)],
) -> Result<()> {
    let folder = workspace.target_dir.join("clients");
    let server = Server::start_with(program, &folder, None, &settings)?;
    clients::drive(workspace, python, scripts.iter().copied(), &server, access)?;
    let output = server.output()?;
    ensure!(
        ![TOKEN_START, PASSWORD].iter().any(|secret| output.contains(secret)),
        "the server's log contains a token or a password"
    );
    server.stop()
}

/// What each server is told.
fn settings(workspace: &Workspace, url: String) -> Vec<(&'static str, String)> {
    let policy = workspace.root.join("tests/keystone/policy.yaml");
    vec![
        ("ZAQAR__AUTH_STRATEGY", "keystone".to_owned()),
        ("ZAQAR__ADMIN_MODE", "true".to_owned()),
        ("ZAQAR__KEYSTONE_AUTHTOKEN__AUTH_URL", url),
        ("ZAQAR__KEYSTONE_AUTHTOKEN__USERNAME", "zaqar".to_owned()),
        ("ZAQAR__KEYSTONE_AUTHTOKEN__PASSWORD", PASSWORD.to_owned()),
        ("ZAQAR__OSLO_POLICY__POLICY_FILE", policy.display().to_string()),
        ("ZAQAR__NOTIFICATION__ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
        ("ZAQAR__NOTIFICATION__ALLOWED_PORTS", "*".to_owned()),
        ("ZAQAR__NOTIFICATION__TRUSTED_HOSTS", "127.0.0.1".to_owned()),
        ("ZAQAR__NOTIFICATION__TRUSTED_PLAIN_HTTP", "true".to_owned()),
    ]
}
