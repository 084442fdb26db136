//! One connection: HTTP/1 or HTTP/2, driven until it ends, is idle, is cut or the server stops.

use std::pin::pin;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Timeouts, Verdict};
use super::request::RequestService;
use crate::telemetry::metrics;

/// What a connection may do.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    pub(crate) timeouts: Timeouts,
    pub(crate) header_bytes_max: u32,
    pub(crate) header_count_max: u32,
    pub(crate) http2_streams_max: u32,
}

/// How a server tells its connections to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Finish what was accepted, accept nothing more.
    pub(crate) gently: CancellationToken,
    /// End at once.
    pub(crate) at_once: CancellationToken,
}

/// The HTTP settings that all connections share.
pub(crate) fn http(limits: &ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let bytes = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
    let count = usize::try_from(limits.header_count_max).unwrap_or(usize::MAX);
    // Head and idle time are watched from outside (`activity`): hyper's own time-out starts only
    // once the protocol is known, and would end idle connections as well.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder.http1().max_buf_size(bytes.max(8192)).max_headers(count);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.header_bytes_max)
        .max_concurrent_streams(limits.http2_streams_max)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .keep_alive_interval(limits.timeouts.idle)
        .keep_alive_timeout(limits.timeouts.header_read);
    builder
}

/// Drives a connection to its end. The stream keeps `activity` informed.
pub(crate) async fn drive<S>(
    stream: S,
    activity: Arc<Activity>,
    service: RequestService,
    http: Builder<TokioExecutor>,
    timeouts: Timeouts,
    stop: Stop,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let mut connection = Box::pin(http.serve_connection_with_upgrades(io, service));
    let mut look = pin!(tokio::time::sleep(timeouts.header_read.min(timeouts.idle)));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "a connection failed");
                }
                return;
            }
            () = stop.at_once.cancelled() => return,
            () = stop.gently.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut look => match activity.judge(&timeouts) {
                Verdict::Keep(time) => look.as_mut().reset(tokio::time::Instant::now() + time),
                Verdict::CloseIdle if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    look.as_mut().reset(tokio::time::Instant::now() + timeouts.header_read);
                }
                Verdict::CloseIdle => return,
                Verdict::CutHead => return metrics::connection_cut("slow_head"),
                Verdict::CutWrite => return metrics::connection_cut("slow_read"),
            },
        }
    }
}
