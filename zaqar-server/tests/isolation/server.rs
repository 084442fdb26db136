//! A whole server, as it is started for users.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use zaqar_server::config::Config;
use zaqar_server::serve::{self, RunningServer};
use zaqar_server::websocket::PATH;

use crate::stores::Store;
use crate::tenant::{Socket, Tenant};

/// Nothing here takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something that comes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not come")
}

/// A server in admin mode that can sign.
pub(crate) struct Server(RunningServer);

impl Server {
    pub(crate) async fn start(storage: &str) -> Self {
        let mut config = Config::default();
        config.listen.port = 0;
        config.admin.bind = String::new();
        config.websocket.enabled = false;
        // A test that is slow to read is not silent for that.
        config.websocket.idle_timeout_ms = 600_000;
        config.general.admin_mode = true;
        config.signed_url.secret_key = ["a secret of the test"].into();
        // Where the tests' webhooks are, nobody listens.
        config.notification.allowed_networks = ["127.0.0.0/8"].into();
        config.notification.allowed_ports = ["*"].into();
        config.message_store.uri = storage.into();
        Self(serve::start(config).await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// A project that has nothing yet.
    pub(crate) async fn tenant(&self, project: String) -> Tenant {
        Tenant::connect(self.address(), project).await
    }

    /// A connection of that project.
    pub(crate) async fn socket(&self, project: &str) -> Socket {
        Socket::connect(self.address(), PATH, project).await
    }

    pub(crate) async fn stop(self) {
        soon(self.0.shutdown()).await;
    }
}

/// Runs a test on a store, if there is one.
pub(crate) async fn on(store: Store, test: impl AsyncFn(&Server)) {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let Some(uri) = store.uri(&folder) else { return };
    let server = Server::start(&uri).await;
    test(&server).await;
    server.stop().await;
}

/// A test for each store.
macro_rules! on_every_store {
    ($fact:ident, $test:expr) => {
        mod $fact {
            use super::*;
            use crate::server::on;
            use crate::stores::Store;
            use zaqar_testbed::Service;

            crate::server::on_every_store! { $test;
                #[cfg(feature = "sqlite")] on_sqlite: Store::File;
                #[cfg(feature = "postgres")] on_postgres: Store::Shared(Service::Postgres);
                #[cfg(feature = "mysql")] on_mariadb: Store::Shared(Service::Mysql);
                #[cfg(feature = "redis")] on_redis: Store::Shared(Service::Redis);
                #[cfg(feature = "redis")] on_a_redis_cluster: Store::Shared(Service::RedisCluster);
                #[cfg(feature = "mongo")] on_mongodb: Store::Shared(Service::Mongo);
            }
        }
    };
    ($test:expr; $($(#[$condition:meta])* $name:ident: $store:expr;)*) => {$(
        $(#[$condition])*
        #[tokio::test]
        async fn $name() {
            on($store, $test).await;
        }
    )*};
}

pub(crate) use on_every_store;
