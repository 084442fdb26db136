//! Running other programs: said before, judged after, never asked for input.

use std::env;
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

const POLL: Duration = Duration::from_millis(20);

/// The cargo that runs this program, for `root`.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // Cargo tells this program about its own package in the environment. Some build scripts watch
    // those variables, so passing them on would make such crates build anew each time.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if own.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    if env::var_os("CARGO_TERM_COLOR").is_none() && !std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "never");
    }
    if on_ci() {
        // A clone that is built once gains nothing from it, and pays in time and disk.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Whether a CI service runs this.
pub(crate) fn on_ci() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// Whether we may install packages.
pub(crate) fn is_root() -> Result<bool> {
    Ok(capture(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Runs `command`; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("    $ {}", display(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    judge(command, status)
}

/// Runs `command` as [`run`] does, but stops it after `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    println!("    $ {}", display(command));
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    match wait_within(&mut child, limit)? {
        Some(status) => judge(command, status),
        None => {
            child.kill().context("cannot stop a program that takes too long")?;
            child.wait().context("cannot reap a program that took too long")?;
            bail!("`{}` was still running after {} s", display(command), limit.as_secs())
        }
    }
}

/// Waits until `child` ends, `limit` at most.
pub(crate) fn wait_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a program")? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Runs `command` silently and returns what it printed; its errors go to ours.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    judge(command, output.status)?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something that is no text", display(command)))
}

/// Whether `command` can be started and succeeds; prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn judge(command: &Command, status: ExitStatus) -> Result<()> {
    ensure!(status.success(), "`{}` failed: {status}", display(command));
    Ok(())
}

fn display(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line =
        program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().contains("sh -c exit 3"), "{error}");
    }

    #[test]
    fn a_program_that_never_ends_is_stopped() {
        let error = run_within(Command::new("cat").arg("/dev/zero").stdout(Stdio::null()), POLL);
        assert!(error.unwrap_err().to_string().contains("still running"));
    }

    #[test]
    fn cargo_does_not_learn_of_the_package_that_calls_it() {
        let command = cargo(Path::new("."));
        let removed = command
            .get_envs()
            .any(|(name, value)| name.to_string_lossy() == "CARGO_MANIFEST_DIR" && value.is_none());
        assert!(removed);
    }
}
