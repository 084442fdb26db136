//! What is written down of the shared servers.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::procfs::Identity;
use crate::service::Service;

const FILE: &str = "services.json";

/// One process of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The process.
    #[serde(flatten)]
    pub identity: Identity,
    /// Its port.
    pub port: u16,
    /// Its data and log.
    pub folder: PathBuf,
}

/// A running service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where clients find it.
    pub uri: String,
    /// Its processes.
    pub members: Vec<Member>,
}

impl Entry {
    /// Whether all its processes are there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.members.is_empty() && self.members.iter().all(|member| member.identity.is_alive())
    }
}

/// All shared servers of a folder, by their services' names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where the servers' data is, if it is not beside this file.
    #[serde(default)]
    pub(crate) elsewhere: Option<PathBuf>,
    pub(crate) services: BTreeMap<String, Entry>,
}

impl State {
    /// Reads what is written down in `folder`; nothing, if nothing is.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn load(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE);
        match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged: remove it", file.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Writes it down in `folder`, whole or not at all.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let (file, draft) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
        let bytes = serde_json::to_vec_pretty(self).context("the state as JSON")?;
        fs::write(&draft, bytes).with_context(|| format!("writing {}", draft.display()))?;
        fs::rename(&draft, &file).with_context(|| format!("writing {}", file.display()))
    }

    /// What is known of a service.
    #[must_use]
    pub fn entry(&self, service: Service) -> Option<&Entry> {
        self.services.get(service.name())
    }

    /// Where a service is, if all its processes are there.
    #[must_use]
    pub fn uri(&self, service: Service) -> Option<String> {
        self.entry(service).filter(|entry| entry.is_whole()).map(|entry| entry.uri.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(started: u64) -> State {
        let identity = Identity { pid: std::process::id(), started };
        let member = Member { identity, port: 7, folder: "data".into() };
        let entry = Entry { uri: "redis://x".into(), members: vec![member] };
        State { elsewhere: None, services: BTreeMap::from([("redis".to_owned(), entry)]) }
    }

    #[test]
    fn what_was_written_down_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), State::default());
        state(3).save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), state(3));
    }

    #[test]
    fn a_service_whose_process_is_gone_is_nowhere() {
        let own = Identity::of(std::process::id()).unwrap();
        assert_eq!(state(own.started).uri(Service::Redis).as_deref(), Some("redis://x"));
        assert_eq!(state(own.started + 1).uri(Service::Redis), None);
        assert_eq!(state(own.started).uri(Service::Mongo), None);
    }
}
