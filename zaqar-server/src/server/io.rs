//! A socket that reports what it does, and that closes without throwing its last answer away.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::activity::Activity;

/// How long, and for how many bytes, a closed connection takes what its client still sends.
/// Closing earlier makes the network drop the answer that says why.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct WatchedStream {
    stream: TcpStream,
    activity: Arc<Activity>,
    closing: Closing,
}

#[derive(Debug)]
enum Closing {
    No,
    Shut,
    Lingering { until: Pin<Box<Sleep>>, bytes: usize },
}

impl WatchedStream {
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, closing: Closing::No }
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(_) => self.activity.bytes_written(),
            Poll::Pending => self.activity.write_blocked(),
        }
        result
    }

    /// Reads and forgets; ready once the client is done, or has had time enough.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0_u8; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            let count = buffer.filled().len();
            match (read, &mut self.closing) {
                (Poll::Ready(Ok(())), closing) if count > 0 => {
                    let before = match closing {
                        Closing::Lingering { bytes, .. } => bytes,
                        _ => {
                            let until = Box::pin(tokio::time::sleep(LINGER));
                            *closing = Closing::Lingering { until, bytes: count };
                            continue;
                        }
                    };
                    *before += count;
                    if *before > LINGER_BYTES_MAX {
                        return Poll::Ready(());
                    }
                }
                (Poll::Pending, Closing::Lingering { until, .. }) => {
                    return until.as_mut().poll(cx);
                }
                // The end, an error, or nothing unread.
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.activity.bytes_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::No) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.closing = Closing::Shut;
        }
        self.poll_linger(cx).map(Ok)
    }
}
