//! A file beside the file.

use std::io::ErrorKind;
use std::path::PathBuf;

use zaqar_core::OpenError;

use super::config::SqliteConfig;

fn file(uri: &str, name: &str) -> Result<PathBuf, OpenError> {
    let mut path = SqliteConfig::parse(uri)?.path.into_os_string();
    path.push(format!(".{name}"));
    Ok(path.into())
}

pub(crate) fn uri(uri: &str, name: &str) -> Result<String, OpenError> {
    Ok(format!("sqlite:{}", file(uri, name)?.display()))
}

pub(crate) fn remove(uri: &str, name: &str) -> Result<(), OpenError> {
    // The journal is there while a new file is turned into one with a write-ahead log.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = file(uri, name)?.into_os_string();
        path.push(suffix);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(OpenError::Backend { source: Box::new(error) });
            }
            _ => {}
        }
    }
    Ok(())
}
