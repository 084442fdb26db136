//! Counts of what must never happen, with a few examples.

use std::fmt;

use serde::Serialize;

use crate::message::Stamp;

/// Most examples kept for a report.
const EXAMPLES_MAX: usize = 10;

/// What must never happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Acknowledged, not deleted, and gone.
    Lost,
    /// Delivered twice while it was claimed, or listed twice in one walk.
    Doubled,
    /// Seen after its deletion was acknowledged.
    Resurrected,
    /// Came after a later message of the same producer.
    Misordered,
    /// Never posted, refused when posted, or in another queue than it was posted to.
    Unexpected,
    /// The body is not one that this run posted.
    Corrupt,
}

impl Fault {
    /// All kinds, worst first.
    pub const ALL: [Self; 6] = [
        Self::Lost,
        Self::Doubled,
        Self::Resurrected,
        Self::Misordered,
        Self::Unexpected,
        Self::Corrupt,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Resurrected => "resurrected",
            Self::Misordered => "misordered",
            Self::Unexpected => "unexpected",
            Self::Corrupt => "corrupt",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each fault was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// See [`Fault::Lost`].
    pub lost: u64,
    /// See [`Fault::Doubled`].
    pub doubled: u64,
    /// See [`Fault::Resurrected`].
    pub resurrected: u64,
    /// See [`Fault::Misordered`].
    pub misordered: u64,
    /// See [`Fault::Unexpected`].
    pub unexpected: u64,
    /// See [`Fault::Corrupt`].
    pub corrupt: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Faults {
    /// Counts one fault; `stamp` is missing when the body could not be read.
    pub fn note(&mut self, fault: Fault, queue: u32, stamp: Option<Stamp>) {
        *self.counter(fault) += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(match stamp {
                Some(Stamp { producer, sequence, .. }) => {
                    format!("{fault}: queue {queue}, producer {producer}, sequence {sequence}")
                }
                None => format!("{fault}: queue {queue}"),
            });
        }
    }

    /// Adds what another checker found.
    pub fn merge(&mut self, other: Self) {
        for fault in Fault::ALL {
            *self.counter(fault) += other.count(fault);
        }
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
    }

    /// How often `fault` was found.
    #[must_use]
    pub fn count(&self, fault: Fault) -> u64 {
        match fault {
            Fault::Lost => self.lost,
            Fault::Doubled => self.doubled,
            Fault::Resurrected => self.resurrected,
            Fault::Misordered => self.misordered,
            Fault::Unexpected => self.unexpected,
            Fault::Corrupt => self.corrupt,
        }
    }

    fn counter(&mut self, fault: Fault) -> &mut u64 {
        match fault {
            Fault::Lost => &mut self.lost,
            Fault::Doubled => &mut self.doubled,
            Fault::Resurrected => &mut self.resurrected,
            Fault::Misordered => &mut self.misordered,
            Fault::Unexpected => &mut self.unexpected,
            Fault::Corrupt => &mut self.corrupt,
        }
    }
}
