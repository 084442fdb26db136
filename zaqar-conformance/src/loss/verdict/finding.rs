//! One thing that is wrong with a history, as data: what it is about, what it breaks, what shows it.

use std::fmt;

use zaqar_core::{ClaimId, MessageId};

use crate::case::Guarantee;
use crate::loss::body::Tag;
use crate::loss::history::{Call, QueueTag};

/// What can be wrong: the sets of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Acknowledged, still owed, and absent at the last look.
    Lost,
    /// Absent from a read of everything before its life was over.
    Early,
    /// Returned after its life was over.
    Late,
    /// Delivered though never posted, certainly not stored, or posted elsewhere.
    Unexpected,
    /// Delivered with a body that nobody posted.
    Corrupt,
    /// Given out while another holder had it, or shown as free.
    DoubleClaimed,
    /// Delivered after its removal was acknowledged.
    Resurrected,
    /// Never met by a reader that followed the markers.
    SteppedOver,
    /// Met twice in one walk.
    Repeated,
    /// Out of its producer's order.
    Misordered,
    /// A batch that was stored or shown in part.
    BatchTorn,
    /// Stored more than once.
    Duplicated,
    /// Attempts under one key that were answered with different ids.
    Contradicted,
    /// Removed or renewed by a claim that could not own it any more.
    Unfenced,
    /// Owed and visible, yet never to be had by a claim.
    Stuck,
    /// A number of messages that were not there.
    Miscounted,
    /// Owed to a subscriber, and never handed out to be delivered.
    Undelivered,
    /// Handed out before it was stored, or though it never was.
    Premature,
    /// Handed out again though it was delivered, or while another held it.
    Redelivered,
}

impl Kind {
    /// The name of its set.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Early => "early",
            Self::Late => "late",
            Self::Unexpected => "unexpected",
            Self::Corrupt => "corrupt",
            Self::DoubleClaimed => "double-claimed",
            Self::Resurrected => "resurrected",
            Self::SteppedOver => "stepped-over",
            Self::Repeated => "repeated",
            Self::Misordered => "misordered",
            Self::BatchTorn => "batch-torn",
            Self::Duplicated => "duplicated",
            Self::Contradicted => "contradicted",
            Self::Unfenced => "unfenced",
            Self::Stuck => "stuck",
            Self::Miscounted => "miscounted",
            Self::Undelivered => "undelivered",
            Self::Premature => "premature",
            Self::Redelivered => "redelivered",
        }
    }

    /// The guarantee that it breaks, unless a finding says otherwise.
    #[must_use]
    pub fn guarantee(self) -> Guarantee {
        match self {
            Self::Lost => Guarantee::G1,
            Self::Early | Self::Late => Guarantee::G8,
            Self::Unexpected | Self::Corrupt | Self::Resurrected | Self::Miscounted => {
                Guarantee::G4
            }
            Self::DoubleClaimed => Guarantee::G5,
            Self::SteppedOver | Self::Repeated | Self::Misordered => Guarantee::G9,
            Self::BatchTorn => Guarantee::G2,
            Self::Duplicated | Self::Contradicted => Guarantee::G3,
            Self::Unfenced => Guarantee::G6,
            Self::Stuck => Guarantee::G7,
            Self::Undelivered | Self::Premature | Self::Redelivered => Guarantee::G13,
        }
    }

    /// What happened, in a sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Lost => "It was acknowledged, nothing can have removed it, and it is gone.",
            Self::Early => "A read of everything that is there did not show it, though it lived.",
            Self::Late => "It was returned after its life was over.",
            Self::Unexpected => "It came out where it was never put in.",
            Self::Corrupt => "It came out with a body that nobody posted.",
            Self::DoubleClaimed => "It was given out while somebody else held it.",
            Self::Resurrected => "It came out after its removal was acknowledged.",
            Self::SteppedOver => "A reader that followed the markers never met it.",
            Self::Repeated => "One reader that followed the markers met it twice.",
            Self::Misordered => "It came out in another order than its producer posted it.",
            Self::BatchTorn => "A part of its batch was stored or shown without the rest.",
            Self::Duplicated => "It was posted once and is stored more than once.",
            Self::Contradicted => "Attempts at one post were answered with different ids.",
            Self::Unfenced => "A claim that was over had its effect all the same.",
            Self::Stuck => "It is there, and no claim can have it.",
            Self::Miscounted => "It was said to hold another number of messages than it held.",
            Self::Undelivered => "A subscriber that it is owed to was never given it.",
            Self::Premature => {
                "It was to be delivered before it was stored, or though it never was."
            }
            Self::Redelivered => {
                "It was to be delivered again though it had been, or while somebody else was at it."
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// A message that a producer made.
    Message(Tag),
    /// What is stored under an id, and whose it is cannot be told.
    Stored(MessageId),
    /// A claim.
    Claim(ClaimId),
    /// A queue.
    Queue(QueueTag),
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(tag) => write!(f, "message {tag}"),
            Self::Stored(id) => write!(f, "message {id}"),
            Self::Claim(claim) => write!(f, "claim {claim}"),
            Self::Queue(queue) => write!(f, "queue {queue}"),
        }
    }
}

/// One thing that no order of effects explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The set that it is in.
    pub kind: Kind,
    /// The guarantee that it breaks.
    pub guarantee: Guarantee,
    /// What it is about.
    pub about: About,
    /// The calls that show it, named by the order at which they began
    /// ([`Moment::order`](crate::loss::history::Moment::order)).
    pub calls: Vec<u64>,
    /// All of it in words.
    pub text: String,
}

impl Finding {
    pub(super) fn new(kind: Kind, about: About, calls: &[&Call], text: String) -> Self {
        let calls = calls.iter().map(|call| call.invoked.order).collect();
        Self { kind, guarantee: kind.guarantee(), about, calls, text }
    }

    /// The same as a break of another guarantee than its kind's.
    pub(super) fn breaking(self, guarantee: Guarantee) -> Self {
        Self { guarantee, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
