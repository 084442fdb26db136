//! Measures what the data driver does.
//!
//! * `zaqar_storage_operation_seconds{operation, outcome}`: a histogram of every operation. The
//!   outcome is `ok`, `refused` (the store looked and said no), `unavailable` (nothing was done),
//!   `unknown` (it may have been done) or `abandoned` (the caller went away).
//! * `zaqar_storage_messages_total{operation}`: messages posted, claimed, popped, and moved in.

mod controllers;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use metrics::{Counter, Histogram};
use zaqar_core::{
    Capabilities, ClaimController, DataDriver, DriverInfo, Effect, Error, ErrorClass, GcOptions,
    GcReport, Health, MessageController, MoveController, OutboxController, QueueHeadController,
    Result, StoreVolume, SubscriptionController,
};

use super::Stage;

/// Measures every operation of the data driver.
///
/// Install the metrics recorder before the engine is built: instruments are looked up once, then,
/// so that an operation costs two readings of the monotonic clock and no allocation for them.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct MetricsStage;

impl MetricsStage {
    /// The stage.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Stage for MetricsStage {
    fn name(&self) -> &str {
        "metrics"
    }

    fn wrap(&self, data: Arc<dyn DataDriver>) -> Arc<dyn DataDriver> {
        Arc::new(Measured { data, meters: Meters::new() })
    }
}

/// A data driver whose operations are measured.
#[derive(Debug)]
struct Measured {
    data: Arc<dyn DataDriver>,
    meters: Meters,
}

/// The instruments of one operation.
struct Meter {
    ok: Histogram,
    refused: Histogram,
    unavailable: Histogram,
    unknown: Histogram,
    abandoned: Histogram,
    messages: Counter,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

impl Meter {
    fn new(operation: &'static str, counts_messages: bool) -> Self {
        let seconds = |outcome: &'static str| {
            metrics::histogram!(
                "zaqar_storage_operation_seconds", "operation" => operation, "outcome" => outcome
            )
        };
        let messages = if counts_messages {
            metrics::counter!("zaqar_storage_messages_total", "operation" => operation)
        } else {
            Counter::noop()
        };
        Self {
            ok: seconds("ok"),
            refused: seconds("refused"),
            unavailable: seconds("unavailable"),
            unknown: seconds("unknown"),
            abandoned: seconds("abandoned"),
            messages,
        }
    }

    fn of<T>(&self, answer: &Result<T>) -> &Histogram {
        match answer {
            Ok(_) => &self.ok,
            Err(error) if error.effect() == Effect::Unknown => &self.unknown,
            Err(error) if is_refusal(error) => &self.refused,
            Err(_) => &self.unavailable,
        }
    }

    /// Runs `work` and records how long it took.
    async fn time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let timer = Timer { meter: self, start: Instant::now(), done: false };
        let answer = work.await;
        timer.record(self.of(&answer));
        answer
    }

    /// Runs `work` and records, besides, how many messages it handed over.
    async fn time_counted<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        count: impl FnOnce(&T) -> usize,
    ) -> Result<T> {
        let answer = self.time(work).await;
        if let Ok(value) = &answer {
            self.messages.increment(u64::try_from(count(value)).unwrap_or(u64::MAX));
        }
        answer
    }
}

fn is_refusal(error: &Error) -> bool {
    !matches!(error.class(), ErrorClass::Unavailable | ErrorClass::Internal)
}

/// Records as abandoned what is dropped before it is done.
struct Timer<'m> {
    meter: &'m Meter,
    start: Instant,
    done: bool,
}

impl Timer<'_> {
    fn record(mut self, seconds: &Histogram) {
        self.done = true;
        seconds.record(self.start.elapsed());
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.meter.abandoned.record(self.start.elapsed());
        }
    }
}

macro_rules! meters {
    (counted: $($counted:ident)*; plain: $($plain:ident)*;) => {
        /// The instruments of every operation.
        #[derive(Debug)]
        struct Meters {
            $($counted: Meter,)*
            $($plain: Meter,)*
        }

        impl Meters {
            fn new() -> Self {
                Self {
                    $($counted: Meter::new(stringify!($counted), true),)*
                    $($plain: Meter::new(stringify!($plain), false),)*
                }
            }
        }
    };
}

meters! {
    counted: message_post message_pop message_insert_moved claim_create;
    plain:
        head_open head_close head_get head_move
        message_list message_first message_get message_bulk_get message_delete
        message_bulk_delete message_purge message_stats message_available message_origins
        claim_get claim_update claim_delete
        subscription_create subscription_list subscription_get subscription_find
        subscription_update subscription_confirm subscription_delete subscription_purge
        delivery_lease delivery_complete delivery_renew delivery_list_exhausted
        transfer_lease transfer_complete outbox_backlog
        health volume sweep gc;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl DataDriver for Measured {
    fn heads(&self) -> &dyn QueueHeadController {
        self
    }

    fn messages(&self) -> &dyn MessageController {
        self
    }

    fn claims(&self) -> &dyn ClaimController {
        self
    }

    fn subscriptions(&self) -> &dyn SubscriptionController {
        self
    }

    fn outbox(&self) -> &dyn OutboxController {
        self
    }

    fn moves(&self) -> &dyn MoveController {
        self.data.moves()
    }

    fn info(&self) -> DriverInfo {
        self.data.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.data.capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.meters.health.time(self.data.health()).await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        self.meters.volume.time(self.data.volume()).await
    }

    async fn sweep(&self) -> Result<GcReport> {
        self.meters.sweep.time(self.data.sweep()).await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.meters.gc.time(self.data.gc(options)).await
    }

    async fn close(&self) {
        self.data.close().await;
    }
}
