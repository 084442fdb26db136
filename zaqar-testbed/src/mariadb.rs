//! MariaDB.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::install::programs;
use crate::server::{self, Kind, Place};

/// Run at each start: the user may make databases, one for each namespace of a test.
const INIT: &str = "\
CREATE DATABASE IF NOT EXISTS zaqar;
CREATE USER IF NOT EXISTS zaqar@127.0.0.1 IDENTIFIED BY 'zaqar';
CREATE USER IF NOT EXISTS zaqar@localhost IDENTIFIED BY 'zaqar';
GRANT ALL ON *.* TO zaqar@127.0.0.1;
GRANT ALL ON *.* TO zaqar@localhost;
";
/// Its greeting begins with a length, a number, and this version of the protocol.
const PROTOCOL: u8 = 10;

/// A server that waits for the disk at each commit and has no binary log.
#[derive(Debug)]
pub(crate) struct MariaDb;

impl Kind for MariaDb {
    fn program(&self) -> Result<PathBuf> {
        programs::find("mariadbd")
    }

    fn arguments(&self, place: &Place) -> Vec<OsString> {
        let mut arguments = vec![
            // Must be the first.
            OsString::from("--no-defaults"),
            with("--datadir=", place.data()),
            with("--tmpdir=", temporary(place)),
            with("--pid-file=", place.folder.join("pid")),
            with("--init-file=", place.folder.join("init.sql")),
            format!("--user={}", user()).into(),
            format!("--port={}", place.port).into(),
        ];
        let settings = [
            "--bind-address=127.0.0.1",
            // Relative to the data, since a socket's path must be short.
            "--socket=mariadb.sock",
            "--innodb-flush-log-at-trx-commit=1",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=64M",
            "--aria-pagecache-buffer-size=8M",
            "--key-buffer-size=1M",
            "--max-connections=500",
        ];
        arguments.extend(settings.map(OsString::from));
        arguments
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        fs::write(place.folder.join("init.sql"), INIT).context("writing the first statements")?;
        fs::create_dir_all(temporary(place)).context("making the folder of temporary tables")?;
        let mut command = Command::new(programs::find("mariadb-install-db")?);
        command.current_dir(&place.folder).arg("--no-defaults");
        command.arg(with("--datadir=", place.data())).arg(with("--tmpdir=", temporary(place)));
        command.arg(format!("--user={}", user()));
        command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        server::run(&mut command, &place.log())
    }

    fn answers(&self, place: &Place) -> bool {
        let mut greeting = [0; 5];
        server::exchange(place.address(), &[], &mut greeting) && greeting[4] == PROTOCOL
    }
}

/// A server that starts removes every temporary table there, also one that another one is using.
fn temporary(place: &Place) -> PathBuf {
    place.folder.join("tmp")
}

fn with(name: &str, path: PathBuf) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(path);
    argument
}

/// Our own name, as both programs want it.
fn user() -> String {
    let output = Command::new("id").arg("-un").output();
    let name = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    name.ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "root".into())
}

pub(crate) fn uri(place: &Place) -> String {
    format!("mysql://zaqar:zaqar@127.0.0.1:{}/zaqar", place.port)
}
