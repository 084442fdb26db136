//! The clients that users have, against the server as it was built, on every backend; and with a
//! real Keystone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::keystone::{self, Keystone};
use crate::server::{PAGE_ORIGIN, Server};
use crate::services::ForTests;
use crate::workspace::Workspace;
use crate::{build, process, python};

const SCRIPTS: [&str; 5] = [
    "test_zaqarclient.py",
    "test_websocket.py",
    "test_openstacksdk.py",
    "test_cli.py",
    "test_limits.py",
];
/// What the last of them needs.
const LIMITS: [(&str, &str); 3] = [
    ("ZAQAR__LIMITS__PROJECTS__CROWDED__QUEUES", "1"),
    ("ZAQAR__LIMITS__PROJECTS__LIMITED__MESSAGES", "2"),
    ("ZAQAR__LIMITS__PROJECTS__HURRIED__REQUESTS_PER_SECOND", "1"),
];
/// The page in a browser: the same whatever keeps the data.
const BROWSER_SCRIPT: &str = "test_browser.py";
/// How long one script may take; the slowest starts a Python program for each command.
const SCRIPT_LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let browser = browser()?;
    let python = python::clients(workspace)?;
    let executables = build::executables(workspace)?;
    let program =
        executables.get("zaqar-server").context("the workspace builds no zaqar-server")?;
    // It takes a while to start, and may do so meanwhile.
    let keystone = Keystone::begin(workspace)?;
    drive_all(workspace, &python, program, None, browser.as_deref()).context("on SQLite")?;
    println!("    with Keystone");
    keystone::check(workspace, &python, program, keystone).context("with Keystone")?;
    let databases = ForTests::start(workspace)?;
    let driven = databases.uris().iter().try_for_each(|(name, uri)| {
        println!("    on {name}");
        drive_all(workspace, &python, program, Some(uri), None)
            .with_context(|| format!("on {name}"))
    });
    // Whatever came of it, they are put down.
    databases.stop()?;
    driven
}

/// The browser for the page, installed if we may. Whoever may not runs the rest without it; CI does
/// not.
fn browser() -> Result<Option<PathBuf>> {
    if process::is_root()? {
        return zaqar_testbed::install_browser().context("the page needs a browser").map(Some);
    }
    let found = zaqar_testbed::find_browser();
    if found.is_none() {
        ensure!(!process::on_ci(), "only root can install the browser that the page needs");
        println!("    NOT TESTED, as only root can install Chromium: the page in a browser");
    }
    Ok(found)
}

/// Every client against a server on that store, or on a fresh SQLite file; with a browser, the page
/// too.
fn drive_all(
    workspace: &Workspace,
    python: &Path,
    program: &Path,
    storage: Option<&str>,
    browser: Option<&Path>,
) -> Result<()> {
    let folder = workspace.target_dir.join("clients");
    let limits = LIMITS.map(|(name, value)| (name, value.to_owned()));
    let server = Server::start_with(program, &folder, storage, &limits)?;
    let mut settings = vec![("ZAQAR_PAGE_ORIGIN", PAGE_ORIGIN.to_owned())];
    settings.extend(browser.map(|program| ("ZAQAR_BROWSER", program.display().to_string())));
    let scripts = SCRIPTS.into_iter().chain(browser.map(|_| BROWSER_SCRIPT));
    drive(workspace, python, scripts, &server, &settings)?;
    server.stop()
}

/// Has scripts drive a server; shows what it logged if one fails.
pub(crate) fn drive(
    workspace: &Workspace,
    python: &Path,
    scripts: impl IntoIterator<Item = &'static str>,
    server: &Server,
    settings: &[(&str, String)],
) -> Result<()> {
    for name in scripts {
        let mut script = script(workspace, python, name, settings);
        if let Err(error) = process::run_within(script.env("ZAQAR_URL", server.url()), SCRIPT_LIMIT)
        {
            server.show_log();
            return Err(error);
        }
    }
    Ok(())
}

/// One of the scripts, with these variables.
pub(crate) fn script(
    workspace: &Workspace,
    python: &Path,
    name: &str,
    settings: &[(&str, String)],
) -> Command {
    let mut command = Command::new(python);
    command
        .current_dir(&workspace.root)
        // Compiled modules would litter the checkout.
        .arg("-B")
        .arg(Path::new("tests/clients").join(name))
        .envs(settings.iter().map(|(name, value)| (*name, value)))
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONIOENCODING", "utf-8");
    command
}
