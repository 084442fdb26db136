//! The verdict: pure functions from a history to what is wrong with it.
//!
//! What was acknowledged must come out, exactly once at a time, unchanged, and not after it was
//! removed. Wherever a call's effect is in doubt, or two calls overlapped, either order counts as
//! right: a finding is something that no order of effects explains.

mod attempts;
mod content;
mod deliveries;
mod fates;
mod finding;
mod index;
mod lease;
mod order;
mod presence;

use std::collections::BTreeMap;
use std::fmt;

use super::history::History;
use crate::counts::Counts;
use attempts::Attempts;
use deliveries::Deliveries;
pub use fates::{Fates, Losses};
pub use finding::{About, Finding, Kind};
use index::Index;

/// What a history shows. Every list of findings must be empty.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Acknowledged, still owed, and absent at the last look (G1).
    pub lost: Vec<Finding>,
    /// Absent from a read of everything before its life was over (G8).
    pub early: Vec<Finding>,
    /// Returned after its life was over (G8).
    pub late: Vec<Finding>,
    /// Delivered though never posted, certainly not stored, or posted elsewhere (G4, G11, G12).
    pub unexpected: Vec<Finding>,
    /// Delivered with a body that nobody posted (G4).
    pub corrupt: Vec<Finding>,
    /// Given out while another holder had it, or shown as free (G5).
    pub double_claimed: Vec<Finding>,
    /// Delivered after its removal was acknowledged (G4).
    pub resurrected: Vec<Finding>,
    /// Never met by a reader that followed the markers (G9).
    pub stepped_over: Vec<Finding>,
    /// Met twice in one walk (G9).
    pub repeated: Vec<Finding>,
    /// Out of its producer's order, with a driver that promises it (G9).
    pub misordered: Vec<Finding>,
    /// A batch that was stored or shown in part (G2).
    pub batch_torn: Vec<Finding>,
    /// Stored more than once by one post, or by a post and its repeats under one key (G3).
    pub duplicated: Vec<Finding>,
    /// Attempts under one key that were answered with different ids (G3).
    pub contradicted: Vec<Finding>,
    /// Removed or renewed by a claim that could not own it any more (G6).
    pub unfenced: Vec<Finding>,
    /// Owed and visible, yet never to be had by a claim (G7).
    pub stuck: Vec<Finding>,
    /// Counted as what it cannot have been within the last second (G1, G4).
    pub miscounted: Vec<Finding>,
    /// Owed to a subscriber, and neither delivered nor given up in the end (G13).
    pub undelivered: Vec<Finding>,
    /// Handed out to be delivered before it was stored, or though it never was (G13).
    pub premature: Vec<Finding>,
    /// Handed out again though it was delivered, or while another held it (G13).
    pub redelivered: Vec<Finding>,
    /// Where each producer lost messages that it had acknowledged.
    pub losses: BTreeMap<u32, Losses>,
    /// What became of the acknowledged messages.
    pub fates: Fates,
    /// Messages of posts without an answer that came out after all: right, and counted.
    pub recovered: usize,
    /// Messages whose post was acknowledged.
    pub acknowledged: usize,
    /// Messages that came out of a claim, a pop or a listing.
    pub delivered: usize,
    /// Calls that were recorded.
    pub calls: usize,
    /// Calls whose effect is in doubt.
    pub indeterminate: usize,
    /// Attempts at posts under a key, but for the first of each.
    pub repeats: usize,
    /// Messages that were delivered to subscribers, or given up, each with its answer.
    pub completed: usize,
    /// Why nothing can be concluded, if so.
    pub unseen: Option<String>,
}

impl Verdict {
    /// The sets of findings, by name.
    #[must_use]
    pub fn sets(&self) -> [(&'static str, &[Finding]); 19] {
        [
            (Kind::Lost.name(), &self.lost),
            (Kind::Early.name(), &self.early),
            (Kind::Late.name(), &self.late),
            (Kind::Unexpected.name(), &self.unexpected),
            (Kind::Corrupt.name(), &self.corrupt),
            (Kind::DoubleClaimed.name(), &self.double_claimed),
            (Kind::Resurrected.name(), &self.resurrected),
            (Kind::SteppedOver.name(), &self.stepped_over),
            (Kind::Repeated.name(), &self.repeated),
            (Kind::Misordered.name(), &self.misordered),
            (Kind::BatchTorn.name(), &self.batch_torn),
            (Kind::Duplicated.name(), &self.duplicated),
            (Kind::Contradicted.name(), &self.contradicted),
            (Kind::Unfenced.name(), &self.unfenced),
            (Kind::Stuck.name(), &self.stuck),
            (Kind::Miscounted.name(), &self.miscounted),
            (Kind::Undelivered.name(), &self.undelivered),
            (Kind::Premature.name(), &self.premature),
            (Kind::Redelivered.name(), &self.redelivered),
        ]
    }

    /// Every finding, set by set.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.sets().into_iter().flat_map(|(_, findings)| findings)
    }

    /// What the run did, in numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::none()
            .saw("messages_acknowledged", self.acknowledged)
            .saw("messages_delivered", self.delivered)
            .saw("messages_recovered", self.recovered)
            .saw("messages_left", self.fates.left)
            .saw("messages_deleted", self.fates.deleted)
            .saw("messages_popped", self.fates.popped)
            .saw("messages_expired", self.fates.expired)
            .saw("messages_gone_in_doubt", self.fates.in_doubt)
            .saw("calls_recorded", self.calls)
            .saw("calls_in_doubt", self.indeterminate)
            .saw("posts_repeated_under_keys", self.repeats)
            .saw("deliveries_completed", self.completed)
    }

    /// What to make of it.
    #[must_use]
    pub fn conclusion(&self) -> Conclusion {
        if self.sets().iter().any(|(_, findings)| !findings.is_empty()) {
            return Conclusion::Broken;
        }
        if self.acknowledged == 0 {
            return Conclusion::Inconclusive("no post was acknowledged".into());
        }
        if self.delivered == 0 {
            return Conclusion::Inconclusive("no message came out".into());
        }
        self.unseen.clone().map_or(Conclusion::Clean, Conclusion::Inconclusive)
    }
}

impl fmt::Display for Verdict {
    /// Counts, then the first findings of each set that is not empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 4;
        write!(f, "{} acknowledged, {} delivered", self.acknowledged, self.delivered)?;
        write!(f, ", {} calls in doubt, {} recovered", self.indeterminate, self.recovered)?;
        write!(f, ", {} repeats under keys", self.repeats)?;
        for (name, findings) in self.sets() {
            if !findings.is_empty() {
                write!(f, "; {name} {}", findings.len())?;
                findings.iter().take(SHOWN_MAX).try_for_each(|x| write!(f, "\n  {name}: {x}"))?;
            }
        }
        let mut losses = self.losses.iter();
        losses.try_for_each(|(producer, lost)| write!(f, "\n  producer {producer} lost {lost}"))
    }
}

/// What to make of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// Every promise was kept.
    Clean,
    /// A promise was broken.
    Broken,
    /// Nothing was shown either way, for this reason.
    Inconclusive(String),
}

/// Judges a history.
#[must_use]
pub fn judge(history: &History) -> Verdict {
    // The attempts at one keyed post are one post to everything else that is asked.
    let Attempts { merged, repeats, contradicted } = Attempts::of(history);
    let index = Index::new(&merged);
    let lost = presence::lost(&index);
    let deliveries = Deliveries::of(&index);
    Verdict {
        undelivered: deliveries.undelivered(),
        premature: deliveries.premature(),
        redelivered: deliveries.redelivered(),
        completed: deliveries.completed(),
        contradicted,
        repeats,
        losses: fates::losses(&index, &lost),
        lost,
        miscounted: fates::miscounted(&index),
        fates: fates::fates(&index),
        early: presence::early(&index),
        late: presence::late(&index),
        resurrected: presence::resurrected(&index),
        stuck: presence::stuck(&index),
        unexpected: content::unexpected(&index),
        corrupt: content::corrupt(&index),
        duplicated: content::duplicated(&index),
        batch_torn: content::batch_torn(&index),
        double_claimed: lease::double_claimed(&index),
        unfenced: lease::unfenced(&index),
        stepped_over: order::stepped_over(&index),
        repeated: order::repeated(&index),
        misordered: order::misordered(&index),
        recovered: content::recovered(&index),
        acknowledged: index.acknowledged().count(),
        delivered: index.sightings.len(),
        calls: history.calls.len(),
        indeterminate: history.calls.iter().filter(|c| c.may_have_happened() && !c.is_ok()).count(),
        unseen: presence::unseen(&index),
    }
}
