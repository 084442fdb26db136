//! What a driver declares that it can do.
//!
//! What is declared is shown by the conformance suite; what is not declared must be *refused* with
//! [`Error::Unsupported`], which the suite shows too. Declaring less never makes a failure vanish.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// One thing that a driver can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Capability {
    /// Messages of one producer are read in the order in which it posted them.
    Fifo,
    /// Messages can be claimed.
    Claims,
    /// Acknowledged messages survive the loss of the backend's process.
    Durable,
    /// Every message is delivered at least once.
    AtLeastOnce,
    /// Made for many messages.
    HighThroughput,
    /// Subscriptions and their outbox.
    Subscriptions,
    /// Messages that become available later.
    Delay,
    /// Messages claimed too often move to another queue.
    DeadLetter,
    /// A queue can be moved into and out of the store while it is in use.
    LiveMove,
    /// The driver reads all time from the clock it is given, so tests can turn it.
    VirtualTime,
}

impl Capability {
    /// The name shown to API clients, if clients are shown this capability at all.
    #[must_use]
    pub fn wire_name(self) -> Option<&'static str> {
        match self {
            Self::Fifo => Some("FIFO"),
            Self::Claims => Some("CLAIMS"),
            Self::Durable => Some("DURABILITY"),
            Self::AtLeastOnce => Some("AOD"),
            Self::HighThroughput => Some("HIGH_THROUGHPUT"),
            Self::Subscriptions
            | Self::Delay
            | Self::DeadLetter
            | Self::LiveMove
            | Self::VirtualTime => None,
        }
    }
}

/// The set of capabilities of a driver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities(std::collections::BTreeSet<Capability>);

impl Capabilities {
    /// Whether `capability` is declared.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// The same without `capability`.
    #[must_use]
    pub fn without(mut self, capability: Capability) -> Self {
        self.0.remove(&capability);
        self
    }

    /// The declared capabilities, in the order in which clients are shown them.
    pub fn iter(&self) -> impl Iterator<Item = Capability> + '_ {
        self.0.iter().copied()
    }

    /// `Ok` if `capability` is declared, else the refusal that names operation and driver.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn require(
        &self,
        capability: Capability,
        operation: &'static str,
        driver: &'static str,
    ) -> Result<(), Error> {
        if self.has(capability) {
            Ok(())
        } else {
            Err(Error::Unsupported { operation, driver, capability })
        }
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().collect())
    }
}
