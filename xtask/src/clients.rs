//! The clients that users have, against the server as it was built, on every backend.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Server;
use crate::services::ForTests;
use crate::workspace::Workspace;
use crate::{build, process, python};

const SCRIPTS: [&str; 3] = ["test_zaqarclient.py", "test_openstacksdk.py", "test_cli.py"];
/// How long one script may take; the slowest starts a Python program for each command.
const SCRIPT_LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let python = python::environment(workspace)?;
    let executables = build::executables(workspace)?;
    let program =
        executables.get("zaqar-server").context("the workspace builds no zaqar-server")?;
    drive_all(workspace, &python, program, None).context("on SQLite")?;
    let databases = ForTests::start(workspace)?;
    let driven = databases.uris().iter().try_for_each(|(name, uri)| {
        println!("    on {name}");
        drive_all(workspace, &python, program, Some(uri)).with_context(|| format!("on {name}"))
    });
    // Whatever came of it, they are put down.
    databases.stop()?;
    driven
}

/// Every client against a server on that store, or on a fresh SQLite file.
fn drive_all(
    workspace: &Workspace,
    python: &Path,
    program: &Path,
    storage: Option<&str>,
) -> Result<()> {
    let server = Server::start(program, &workspace.target_dir.join("clients"), storage)?;
    for script in SCRIPTS {
        let script = Path::new("tests/clients").join(script);
        if let Err(error) = drive(workspace, python, &script, &server) {
            server.show_log();
            return Err(error);
        }
    }
    server.stop()
}

fn drive(workspace: &Workspace, python: &Path, script: &Path, server: &Server) -> Result<()> {
    process::run_within(
        Command::new(python)
            .current_dir(&workspace.root)
            // Compiled modules would litter the checkout.
            .arg("-B")
            .arg(script)
            .env("ZAQAR_URL", server.url())
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONIOENCODING", "utf-8"),
        SCRIPT_LIMIT,
    )
}
