//! The backend ring: the database itself is killed, frozen, and cut off, in the middle of its work.
//!
//! A trial has a backend of its own, which its harness returns from
//! [`Harness::backend`](crate::Harness::backend). What the driver acknowledged must be there when
//! the backend is back, and the driver must find its way back by itself.

mod full_disk;
mod gauge;
mod private;
mod ring;
mod strikes;

use async_trait::async_trait;
use zaqar_core::Capability;

use crate::case::Guarantee::{G1, G2, G3, G4, G5, G6, G7, G8, G9};
use crate::suite::SuiteTrial;

pub use private::PrivateHarness;
#[doc(hidden)]
pub use zaqar_core::Clock;

/// The trial that kills the backend.
pub const SIGKILL: &str = "fault.backend.sigkill_under_load_loses_nothing";
/// The trial that freezes the backend.
pub const FREEZE: &str = "fault.backend.freeze_past_the_claims_breaks_nothing";
/// The trial that cuts connections.
pub const CUTS: &str = "fault.backend.cut_connections_lose_nothing";

/// The trial that has another server take over from one that is killed.
pub const FAILOVER: &str = "fault.backend.failover_loses_nothing";

/// The trial that has a server hand over to another.
pub const HANDOVER: &str = "fault.backend.handover_loses_nothing";

/// The trial that leaves the backend no room.
pub const FULL_DISK: &str = "fault.backend.full_disk_loses_nothing";

/// A way to lose the connection to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In the middle of a request, after so many bytes of it.
    MidRequest(usize),
    /// Between a request and its answer.
    BeforeReply,
    /// All connections, whatever they do at the moment.
    All,
}

/// What a trial may do to the backend that it has for itself.
#[async_trait]
pub trait BackendControl: Send + Sync {
    /// Where the driver finds it; through whatever cuts connections, if there is that.
    fn uri(&self) -> String;

    /// Kills it without notice; returns when it is gone.
    async fn kill(&self) -> anyhow::Result<()>;

    /// Starts it again on the same data; returns when it takes writes.
    async fn restart(&self) -> anyhow::Result<()>;

    /// Freezes it: connections stay, nothing answers.
    async fn pause(&self) -> anyhow::Result<()>;

    /// Lets it go on.
    async fn resume(&self) -> anyhow::Result<()>;

    /// Kills the server that takes the writes and waits until another one does, which the killed one
    /// then follows.
    async fn fail_over(&self) -> anyhow::Result<()>;

    /// Has the server that takes the writes hand over to another in an orderly way; returns when one
    /// took over.
    async fn hand_over(&self) -> anyhow::Result<()>;

    /// Leaves no room on its disk.
    async fn fill_disk(&self) -> anyhow::Result<()>;

    /// Makes room on its disk again, and starts again what ended for lack of it; returns when it takes
    /// writes.
    async fn free_disk(&self) -> anyhow::Result<()>;

    /// Cuts the next connection that is used, or all; `false` if connections cannot be cut.
    fn cut(&self, cut: Cut) -> bool;

    /// Takes back a cut that has not struck.
    fn heal(&self);

    /// Connections cut in each way so far: in mid-request, before the reply, all at once.
    fn cuts(&self) -> [u64; 3];
}

/// The trials of this ring. They are no part of [`suite::trials`](crate::suite::trials): a backend
/// that others use must be left alone.
#[must_use]
pub fn trials() -> Vec<SuiteTrial> {
    vec![
        sigkill(),
        SuiteTrial::new(FREEZE, &[G1, G2, G3, G4, G5, G6, G7, G8, G9], strikes::freeze)
            .needs(Capability::VirtualTime),
        SuiteTrial::new(CUTS, &[G1, G2, G3, G4, G5, G6, G7, G8, G9], strikes::cuts)
            .needs(Capability::Claims),
    ]
}

/// The trial that kills the backend under load.
#[must_use]
pub fn sigkill() -> SuiteTrial {
    SuiteTrial::new(SIGKILL, &[G1, G2, G3, G4, G5, G6, G7, G8, G9], strikes::sigkill)
        .needs(Capability::Durable)
}

/// The trial for a backend of several servers that promises to lose nothing with one of them.
#[must_use]
pub fn failover() -> SuiteTrial {
    SuiteTrial::new(FAILOVER, &[G1, G2, G3, G4, G5, G6, G7, G8, G9], strikes::failover)
        .needs(Capability::Durable)
}

/// The trial for a backend of several servers that can change places.
#[must_use]
pub fn handover() -> SuiteTrial {
    SuiteTrial::new(HANDOVER, &[G1, G2, G3, G4, G5, G6, G7, G8, G9], strikes::handover)
        .needs(Capability::Durable)
}

/// The trial for a backend on a disk that can be full.
#[must_use]
pub fn full_disk() -> SuiteTrial {
    SuiteTrial::new(FULL_DISK, &[G1, G2, G3, G4, G5, G6, G7, G8, G9], full_disk::full_disk)
        .needs(Capability::Durable)
}

/// Makes `$name`, a [`BackendControl`](crate::fault::backend::BackendControl) over the `Backend`
/// and `Proxy` of the testbed crate `$testbed`: the suite itself knows no server.
#[macro_export]
macro_rules! backend_control {
    ($name:ident, $testbed:ident) => {
        /// A backend that belongs to one trial, behind a proxy where clients can be led through one.
        struct $name {
            backend: ::std::sync::Arc<::std::sync::Mutex<$testbed::Backend>>,
            uri: String,
            proxy: Option<$testbed::Proxy>,
        }

        impl $name {
            /// A harness over a backend that is started for it, if the machine has its programs;
            /// `open` opens a namespace at a URI.
            fn harness<O, F>(
                subject: $crate::Subject,
                service: $testbed::Service,
                options: $testbed::Options,
                open: O,
            ) -> ::anyhow::Result<$crate::Availability>
            where
                O: Fn(
                        String,
                        $crate::Namespace,
                        ::std::sync::Arc<dyn $crate::fault::backend::Clock>,
                    ) -> F
                    + Send
                    + Sync
                    + 'static,
                F: Future<Output = ::anyhow::Result<$crate::Drivers>> + Send + 'static,
            {
                if !$testbed::is_installed(service) {
                    return Ok($crate::Availability::Absent {
                        backend: service.name(),
                        variable: "PATH",
                        hint: "find its programs; `cargo xtask services up` installs them",
                    });
                }
                if !options.are_possible() {
                    return Ok($crate::Availability::Absent {
                        backend: "small disk",
                        variable: "the user",
                        hint: "root, who may mount one",
                    });
                }
                let control = Self::start(service, options)?;
                let harness = $crate::fault::backend::PrivateHarness::new(subject, control, open);
                Ok($crate::Availability::from(harness))
            }

            fn start(
                service: $testbed::Service,
                options: $testbed::Options,
            ) -> ::anyhow::Result<Self> {
                let backend = $testbed::Backend::start(service, options)?;
                let proxy = backend.proxy()?;
                let (uri, proxy) = match backend.uri_through(&proxy) {
                    Some(uri) => (uri, Some(proxy)),
                    None => (backend.uri(), None),
                };
                let backend = ::std::sync::Arc::new(::std::sync::Mutex::new(backend));
                Ok(Self { backend, uri, proxy })
            }

            async fn with<F>(&self, act: F) -> ::anyhow::Result<()>
            where
                F: FnOnce(&mut $testbed::Backend) -> ::anyhow::Result<()> + Send + 'static,
            {
                let backend = ::std::sync::Arc::clone(&self.backend);
                $crate::fault::backend::blocking(move || {
                    let mut backend =
                        backend.lock().unwrap_or_else(::std::sync::PoisonError::into_inner);
                    act(&mut backend)
                })
                .await
            }
        }

        #[::async_trait::async_trait]
        impl $crate::fault::backend::BackendControl for $name {
            fn uri(&self) -> String {
                self.uri.clone()
            }

            async fn kill(&self) -> ::anyhow::Result<()> {
                self.with($testbed::Backend::kill).await
            }

            async fn restart(&self) -> ::anyhow::Result<()> {
                self.with($testbed::Backend::restart).await
            }

            async fn pause(&self) -> ::anyhow::Result<()> {
                self.with(|backend| backend.pause()).await
            }

            async fn resume(&self) -> ::anyhow::Result<()> {
                self.with(|backend| backend.resume()).await
            }

            async fn fail_over(&self) -> ::anyhow::Result<()> {
                self.with(|backend| backend.fail_over().map(|_| ())).await
            }

            async fn hand_over(&self) -> ::anyhow::Result<()> {
                self.with(|backend| backend.step_down().map(|_| ())).await
            }

            async fn fill_disk(&self) -> ::anyhow::Result<()> {
                self.with(|backend| backend.fill_disk()).await
            }

            async fn free_disk(&self) -> ::anyhow::Result<()> {
                self.with($testbed::Backend::free_disk).await
            }

            fn cut(&self, cut: $crate::fault::backend::Cut) -> bool {
                use $crate::fault::backend::Cut;
                let Some(proxy) = &self.proxy else { return false };
                match cut {
                    Cut::MidRequest(bytes) => proxy.arm($testbed::Cut::MidRequest { bytes }),
                    Cut::BeforeReply => proxy.arm($testbed::Cut::BeforeReply),
                    Cut::All => drop(proxy.cut_all()),
                }
                true
            }

            fn heal(&self) {
                if let Some(proxy) = &self.proxy {
                    proxy.heal();
                }
            }

            fn cuts(&self) -> [u64; 3] {
                let fired = self.proxy.as_ref().map($testbed::Proxy::fired).unwrap_or_default();
                [fired.mid_request, fired.before_reply, fired.at_once]
            }
        }
    };
}

/// Runs what blocks where it may.
///
/// # Errors
/// Whatever it ends with, or if it panicked.
pub async fn blocking(
    act: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(act).await?
}
