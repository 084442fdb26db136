//! Requests made up from the API's own description, and the answers held against it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Server;
use crate::workspace::Workspace;
use crate::{build, process, python};

/// Where the requests begin that are made up; another number makes other ones.
const SEED: &str = "1";
/// How long requests are made up, in seconds.
const SECONDS: &str = "45";
/// When it is taken to hang.
const LIMIT: Duration = Duration::from_secs(600);
/// How long one request may take, in seconds, on a machine that does other things too.
const REQUEST_LIMIT_S: &str = "60";

/// What holds of every answer. Whether the server takes all that fits the description, and nothing
/// else, is not among it: the description says less than the limits, and clients rely on more.
const CHECKS: [&str; 8] = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
];

/// Who asks; an operator, or `/v2/health` would stay closed.
const HEADERS: [&str; 3] =
    ["Client-ID: 3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID: made-up", "X-Roles: admin"];

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let python = python::schemathesis(workspace)?;
    let executables = build::executables(workspace)?;
    let program =
        executables.get("zaqar-server").context("the workspace builds no zaqar-server")?;
    let folder = workspace.target_dir.join("fuzz-api");
    fs::create_dir_all(&folder).context("cannot make the folder for the run")?;
    let settings = [
        ("ZAQAR__ADMIN_MODE", "true".to_owned()),
        // Most queues are empty here, and the time is for requests.
        ("ZAQAR__TRANSPORT__MAX_WAIT", "0".to_owned()),
        // Nobody's web server is to hear of what is made up here.
        ("ZAQAR__NOTIFICATION__MAX_NOTIFIER_WORKERS", "0".to_owned()),
    ];
    let server = Server::start_with(program, &folder, None, &settings)?;
    let mut command = Command::new(python.with_file_name("st"));
    command
        .current_dir(&folder)
        .args(["run", "--seed", SEED, "--max-time", SECONDS, "--max-examples", "10"])
        .args(["--phases", "coverage,fuzzing,stateful", "--checks", &CHECKS.join(",")])
        .args(["--request-timeout", REQUEST_LIMIT_S, "--continue-on-failure"])
        // How quickly requests are made up, and from how many attempts, says nothing of the server.
        .args(["--suppress-health-check", "all", "--warnings", "off", "--no-color"])
        .args(["--generation-database", "none"])
        .args(HEADERS.iter().flat_map(|header| ["--header", header]))
        .arg(format!("{}/v2/openapi.json", server.url()))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", workspace.root.join("tests/schemathesis"))
        // Compiled modules would litter the checkout.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONIOENCODING", "utf-8");
    if let Err(error) = process::run_within(&mut command, LIMIT) {
        server.show_log();
        return Err(error);
    }
    server.stop()
}
