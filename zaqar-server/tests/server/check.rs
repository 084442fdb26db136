//! `zaqar-server check`: the suite on a deployed backend, and nothing left of it.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::support::program::command;

/// A folder with a store that is in use, and where that is.
async fn deployed() -> anyhow::Result<(TempDir, String)> {
    let folder = tempfile::tempdir()?;
    let uri = format!("sqlite:{}", folder.path().join("zaqar.db").display());
    let made = command(&["migrate", "--storage", &uri, "resume"]).output().await?;
    anyhow::ensure!(made.status.success(), "the store could not be made");
    Ok((folder, uri))
}

fn files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        anyhow::Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = std::fs::read_dir(folder)?.map(name).collect::<Result<_, _>>()?;
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn a_good_backend_is_proved_and_left_as_it_was() {
    let (folder, uri) = deployed().await.unwrap();
    let before = files(folder.path()).unwrap();
    let reports = tempfile::tempdir().unwrap();
    let into = reports.path().display().to_string();
    // A case, and the trial that starts this program again and kills it.
    let asked = ["--filter", "claim.expiry", "--filter", "fault.process", "--report", &into];
    let output =
        command(&[&["check", "--storage", &uri][..], &asked].concat()).output().await.unwrap();
    let (text, told) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (text, told) = (text.unwrap(), told.unwrap());
    assert_eq!(output.status.code(), Some(0), "{text}{told}");
    for words in ["on SQLite", "deployed", "Durable        Conformant", "processes killed 15"] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    assert!(told.contains("claim: 2 passed"), "it did not tell how far it was: {told}");
    assert_eq!(files(folder.path()).unwrap(), before, "what the check leaves behind");
    assert_eq!(files(reports.path()).unwrap().len(), 5, "{:?}", files(reports.path()).unwrap());
}

#[tokio::test]
async fn a_check_that_is_stopped_leaves_nothing_behind() {
    let (folder, uri) = deployed().await.unwrap();
    let before = files(folder.path()).unwrap();
    // Long enough to be stopped in its middle: a process is killed and another started all the time.
    let asked = ["--filter", "fault.process", "--budget", "soak"];
    let mut command = command(&[&["check", "--storage", &uri][..], &asked].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = child.stderr.take().unwrap();
    while files(folder.path()).unwrap() == before {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it made a store");
        tokio::task::yield_now().await;
    }
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let status = child.wait().await.unwrap();
    let mut rest = String::new();
    told.read_to_string(&mut rest).await.unwrap();
    assert_eq!(status.code(), Some(2), "{rest}");
    assert!(rest.contains("stopped by SIGINT"), "{rest}");
    assert_eq!(files(folder.path()).unwrap(), before, "what the check leaves behind");
}

#[tokio::test]
async fn a_backend_that_cannot_be_proved_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("sqlite:{}", folder.path().join("no/such/folder/zaqar.db").display());
    for (uri, words) in [
        ("sqlite::memory:", "may lose messages: storage URI is memory, must be a file"),
        ("carrier-pigeon://loft:secret@x", "no driver for scheme carrier-pigeon"),
        (missing.as_str(), "the store could not be opened"),
    ] {
        let output = command(&["check", "--storage", uri]).output().await.unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{uri}: {told}");
        assert!(told.contains(words), "{uri}: {told}");
        assert!(!told.contains("secret") && output.stdout.is_empty(), "{uri}: {told}");
    }
    assert!(files(folder.path()).unwrap().is_empty());
}

/// Each server backend of this build: a case on it, with whatever its namespaces take.
#[cfg(all(feature = "postgres", feature = "mysql", feature = "redis", feature = "mongo"))]
#[tokio::test]
async fn each_server_backend_is_asked_in_a_namespace_of_its_own() {
    use zaqar_testbed::Service;

    let services = [Service::Postgres, Service::Mysql, Service::Redis, Service::RedisCluster];
    for service in services.into_iter().chain([Service::Mongo]) {
        let Some(uri) = zaqar_testbed::uri_unless_absent(service).unwrap() else { continue };
        let asked = ["check", "--storage", &uri, "--filter", "claim.expiry"];
        let output = command(&asked).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}: {text}{told}", service.name());
        assert!(text.contains("of 2: 2 passed"), "{}: {text}", service.name());
    }
}
