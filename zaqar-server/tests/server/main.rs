//! The server as a whole, over a SQLite file: it starts for real, on ports of its own.

#[path = "../support/mod.rs"]
mod support;

mod admin;
#[cfg(test)]
mod answers;
#[cfg(all(test, feature = "check"))]
mod check;
#[cfg(test)]
mod dead_owner;
#[cfg(test)]
mod encrypted;
mod limits;
#[cfg(test)]
mod notifications;
#[cfg(test)]
mod policies;
mod program;
mod shutdown;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod tls;

use std::net::SocketAddr;

use support::client::Client;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zaqar_server::config::Config;
use zaqar_server::serve::{self, Ended, RunningServer};

/// A server in this process, and the folder of its file.
struct Server {
    running: RunningServer,
    _folder: TempDir,
}

impl Server {
    /// Starts one on free ports, with what `change` makes of the defaults.
    async fn start(change: impl FnOnce(&mut Config)) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut config = Config::default();
        config.listen.port = 0;
        config.admin.port = 0;
        let uri = format!("sqlite:{}", folder.path().join("zaqar.db").display());
        config.message_store.uri = uri.as_str().into();
        change(&mut config);
        Ok(Self { running: serve::start(config).await?, _folder: folder })
    }

    fn address(&self) -> SocketAddr {
        self.running.address()
    }

    async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.address()).await
    }

    async fn raw(&self) -> anyhow::Result<TcpStream> {
        Ok(TcpStream::connect(self.address()).await?)
    }

    async fn stop(self) -> Ended {
        self.running.shutdown().await
    }
}

/// Sends bytes as they are and reads until the server closes; a reset counts as closing.
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> String {
    // A server that has had enough may close while more is being sent.
    stream.write_all(bytes).await.ok();
    read_to_close(stream).await
}

async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.ok();
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads until `end` was read.
async fn read_until(stream: &mut TcpStream, end: &str) -> anyhow::Result<String> {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(text)?)
}

/// The head of a post of `length` bytes whose body the server must ask for: when it does, the
/// request is being handled.
fn post_head(length: usize) -> String {
    format!(
        "POST /v2/queues/q/messages HTTP/1.1\r\nhost: localhost\r\nclient-id: {}\r\n\
         x-project-id: tests\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n",
        support::client::CLIENT_ID
    )
}

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const POST: &str = r#"{"messages": [{"body": "hello", "ttl": 300}]}"#;
