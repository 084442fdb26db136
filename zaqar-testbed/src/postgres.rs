//! PostgreSQL.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use crate::install::programs;
use crate::server::{self, Kind, Place};

/// The user that Debian's package makes; the server refuses to run as root.
const USER: &str = "postgres";

/// A server that waits for the disk at each commit, as it does unless told otherwise.
#[derive(Debug)]
pub(crate) struct Postgres;

impl Kind for Postgres {
    fn program(&self) -> Result<PathBuf> {
        programs::postgres("postgres")
    }

    fn arguments(&self, place: &Place) -> Vec<OsString> {
        let port = place.port.to_string();
        let mut arguments: Vec<OsString> = vec!["-D".into(), place.data().into()];
        arguments.extend(["-h", "127.0.0.1", "-p", &port].map(OsString::from));
        for setting in [
            // The folder's path may be longer than a socket's path can be.
            "unix_socket_directories=",
            "shared_buffers=64MB",
            "max_connections=400",
        ] {
            arguments.extend(["-c", setting].map(OsString::from));
        }
        arguments
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let initdb = programs::postgres("initdb")?;
        let mut command = match self.user() {
            Some(user) => {
                server::run(Command::new("chown").arg(user).arg(&place.folder), &place.log())?;
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]);
                command.arg(initdb);
                command
            }
            None => Command::new(initdb),
        };
        command.current_dir(&place.folder).arg("-D").arg(place.data());
        command.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        server::run(command.arg("--no-sync"), &place.log())
    }

    fn answers(&self, place: &Place) -> bool {
        let Ok(program) = programs::postgres("pg_isready") else { return false };
        Command::new(program)
            .args(["-q", "-t", "2", "-h", "127.0.0.1", "-p", &place.port.to_string()])
            .status()
            .is_ok_and(|status| status.success())
    }

    fn stop_signal(&self) -> Signal {
        // "Fast": does not wait for clients to leave.
        Signal::INT
    }

    fn user(&self) -> Option<&'static str> {
        rustix::process::geteuid().is_root().then_some(USER)
    }
}

pub(crate) fn uri(place: &Place) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres", place.port)
}
