//! The clients that users have, against the server as it was built.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Server;
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
    let server = Server::start(program, &workspace.target_dir.join("clients"))?;
    for script in SCRIPTS {
        let script = Path::new("tests/clients").join(script);
        if let Err(error) = drive(workspace, &python, &script, &server) {
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
