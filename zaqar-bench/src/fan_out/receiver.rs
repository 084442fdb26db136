//! The web server that all subscribers are: it takes everything and counts.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The longest line and the longest body that a notifier would send.
const BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Default)]
struct Seen {
    /// What was delivered, by its `webhook-id`.
    ids: HashSet<String>,
    repeated: u64,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Notify,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, id: String) {
        let mut seen = self.seen();
        if !seen.ids.insert(id) {
            seen.repeated += 1;
        }
        drop(seen);
        self.changed.notify_one();
    }
}

/// A web server on a port of its own.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    pub(super) async fn start(listen: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let kept = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&kept);
                // A broken connection is the server's to notice: what it does not see taken comes
                // again.
                tokio::spawn(async move { serve(stream, &shared).await.ok() });
            }
        });
        Ok(Self { address, shared, server })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Deliveries that came, each once.
    pub(super) fn distinct(&self) -> u64 {
        u64::try_from(self.shared.seen().ids.len()).unwrap_or(u64::MAX)
    }

    /// Deliveries that came again.
    pub(super) fn repeated(&self) -> u64 {
        self.shared.seen().repeated
    }

    /// Waits until so many deliveries came. Only one may wait at a time.
    pub(super) async fn reached(&self, deliveries: u64) {
        while self.distinct() < deliveries {
            self.shared.changed.notified().await;
        }
    }
}

/// Takes one request after another; ends when the connection does, or nonsense comes.
async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut id) = (0_u64, String::new());
        loop {
            let mut line = String::new();
            if (&mut stream).take(BYTES_MAX).read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or(u64::MAX),
                "webhook-id" => id = value.to_owned(),
                _ => {}
            }
        }
        if length > BYTES_MAX {
            return Ok(());
        }
        tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
        shared.take(id);
        stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    }
}
