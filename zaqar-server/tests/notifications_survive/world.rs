//! The processes of a run: web heads, and the servers of their store.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use zaqar_testbed::{Backend, Options, Service};

use crate::receiver::SECRET;
use crate::support::program::{Program, command};

/// The stores that the trial runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// A file within the web head's own process: there is one head, and both die together.
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// Servers of the trial's own.
    Servers(Service),
}

/// Addresses of the heads; `None`: it does not run.
pub(crate) type Addresses = Arc<Mutex<Vec<Option<SocketAddr>>>>;

/// Everything that can be killed.
pub(crate) struct World {
    pub(crate) uri: String,
    backend: Option<Backend>,
    heads: Vec<Option<Program>>,
    pub(crate) addresses: Addresses,
}

impl World {
    /// Starts the store and the heads.
    pub(crate) async fn start(store: Store, folder: &Path) -> anyhow::Result<Self> {
        let (uri, backend, heads) = match store {
            #[cfg(feature = "sqlite")]
            Store::Sqlite => (format!("sqlite:{}", folder.join("zaqar.db").display()), None, 1),
            Store::Servers(service) => {
                let options = Options::new().folder(folder.join("store"));
                let start = move || Backend::start(service, options);
                let backend = tokio::task::spawn_blocking(start).await??;
                (backend.uri(), Some(backend), 2)
            }
        };
        let mut world = Self {
            uri,
            backend,
            heads: std::iter::repeat_with(|| None).take(heads).collect(),
            addresses: Arc::new(Mutex::new(vec![None; heads])),
        };
        for number in 0..heads {
            world.start_head(number).await?;
        }
        Ok(world)
    }

    /// How many heads there are.
    pub(crate) fn heads(&self) -> usize {
        self.heads.len()
    }

    /// Whether the store has processes of its own.
    pub(crate) fn has_backend(&self) -> bool {
        self.backend.is_some()
    }

    fn tell(&self, number: usize, address: Option<SocketAddr>) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = addresses.get_mut(number) {
            *known = address;
        }
    }

    async fn start_head(&mut self, number: usize) -> anyhow::Result<()> {
        let secret = format!("notification.signing_secrets={SECRET}");
        let mut arguments =
            vec!["--storage", &self.uri, "--port", "0", "--admin-bind", "", "--log-level", "error"];
        let settings = [
            "transport.max_messages_per_page=1000",
            "notification.allowed_networks=127.0.0.0/8",
            "notification.allowed_ports=*",
            "notification.lease_ttl=5",
            "notification.poll_interval_ms=50",
            "notification.connect_timeout_ms=250",
            "notification.request_timeout_ms=250",
            "notification.host_timeouts_max=2",
            "notification.host_pause_ms=2000",
            &secret,
        ];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
        let program = Program::start(&mut command(&arguments)).await.context("a web head")?;
        self.tell(number, Some(program.address));
        if let Some(head) = self.heads.get_mut(number) {
            *head = Some(program);
        }
        Ok(())
    }

    /// SIGKILL to these heads, and to the store's servers if so wanted, then starts them again.
    pub(crate) async fn strike(&mut self, heads: &[usize], backend: bool) -> anyhow::Result<()> {
        for number in heads {
            self.tell(*number, None);
            let head = self.heads.get_mut(*number).and_then(Option::take);
            let mut head = head.context("a head that does not run")?;
            let ended = head.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "it ended by itself, {ended:?}: {:?}", head.banner);
            head.child.kill().await?;
        }
        if backend {
            let mut servers = self.backend.take().context("a store without servers")?;
            let again = move || servers.kill().and_then(|()| servers.restart()).map(|()| servers);
            self.backend = Some(tokio::task::spawn_blocking(again).await??);
        }
        for number in heads {
            self.start_head(*number).await?;
        }
        Ok(())
    }

    /// Has every head end in an orderly way, as far as it still runs.
    pub(crate) async fn stop_heads(&mut self) -> anyhow::Result<()> {
        for number in 0..self.heads.len() {
            self.tell(number, None);
            let head = self.heads.get_mut(number).and_then(Option::take);
            let status = head.context("a head that does not run")?.terminate().await?;
            anyhow::ensure!(status.success(), "head {number} ended with {status}");
        }
        Ok(())
    }
}
