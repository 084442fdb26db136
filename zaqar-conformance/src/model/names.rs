//! Names that two drivers give to the same thing, made equal: by the order in which a history made
//! the things.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use zaqar_core::{
    Claim, ClaimId, Error, Message, MessageId, MessageMarker, QueueRef, Subscription,
    SubscriptionId, Timestamp,
};

/// What one driver called the things of a history, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Names {
    messages: Vec<MessageId>,
    ordinals: BTreeMap<MessageId, usize>,
    markers: Vec<MessageMarker>,
    subscriptions: Vec<SubscriptionId>,
    claims: Vec<ClaimId>,
    claims_made: u128,
    /// Where each message was posted and each claim was made.
    homes: (Vec<QueueRef>, Vec<QueueRef>),
    /// What each claim returned when it was made.
    claimed: Vec<Vec<MessageId>>,
}

fn pick<T: Clone>(from: &[T], number: u16) -> Option<T> {
    let back = usize::from(number).checked_rem(from.len())?;
    from.iter().nth_back(back).cloned()
}

impl Names {
    pub(super) fn posted(&mut self, queue: &QueueRef, ids: &[MessageId]) -> String {
        for id in ids {
            if !self.ordinals.contains_key(id) {
                self.ordinals.insert(*id, self.messages.len());
                self.messages.push(*id);
                self.homes.0.push(queue.clone());
            }
        }
        self.ids(ids.iter().copied())
    }

    pub(super) fn ids(&self, ids: impl Iterator<Item = MessageId>) -> String {
        ids.map(|id| self.id(id)).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn id(&self, id: MessageId) -> String {
        self.ordinals.get(&id).map_or_else(|| format!("unknown {id}"), |nth| format!("m{nth}"))
    }

    /// The place of a message in the order of posts; unknown ones come last.
    pub(super) fn ordinal(&self, id: MessageId) -> usize {
        self.ordinals.get(&id).copied().unwrap_or(usize::MAX)
    }

    pub(super) fn message(&self, number: u16) -> Option<MessageId> {
        pick(&self.messages, number)
    }

    pub(super) fn marker(&self, number: u16) -> Option<MessageMarker> {
        pick(&self.markers, number)
    }

    pub(super) fn subscription(&self, number: u16) -> Option<SubscriptionId> {
        pick(&self.subscriptions, number)
    }

    pub(super) fn claim(&self, number: u16) -> Option<ClaimId> {
        pick(&self.claims, number)
    }

    pub(super) fn claimed(&self, number: u16) -> Vec<MessageId> {
        pick(&self.claimed, number).unwrap_or_default()
    }

    pub(super) fn message_home(&self, number: u16) -> Option<QueueRef> {
        pick(&self.homes.0, number)
    }

    pub(super) fn claim_home(&self, number: u16) -> Option<QueueRef> {
        pick(&self.homes.1, number)
    }

    pub(super) fn add_claim(&mut self, queue: &QueueRef, id: ClaimId, messages: &[Message]) {
        self.claims_made += 1;
        // A claim that found nothing is none; an id that is none is soon had by other means.
        if messages.is_empty() {
            return;
        }
        self.claims.push(id);
        self.homes.1.push(queue.clone());
        self.claimed.push(messages.iter().map(|message| message.id).collect());
    }

    /// A claim that both drivers know by the same, never used id.
    pub(super) fn next_claim(&self) -> ClaimId {
        ClaimId::from_u128(0x5eed_0000 + self.claims_made)
    }

    pub(super) fn add_markers(&mut self, markers: impl Iterator<Item = MessageMarker>) {
        self.markers.extend(markers);
    }

    pub(super) fn add_subscription(&mut self, id: SubscriptionId) {
        self.subscriptions.push(id);
    }

    /// Everything about messages that must be the same whoever stores them.
    pub(super) fn messages(&self, messages: &[Message], now: Timestamp) -> String {
        let mut text = String::from("[");
        for message in messages {
            let claim = message.claim.map(|claim| self.claim_name(claim));
            // Writing to a String cannot fail.
            write!(
                text,
                "{} ttl {} age {} posted -{}ms claim {} count {} {}; ",
                self.id(message.id),
                message.ttl.as_secs(),
                message.age_s,
                now.as_millis() - message.posted_at.as_millis(),
                claim.as_deref().unwrap_or("none"),
                message.claim_count,
                message.body.as_str(),
            )
            .unwrap_or_default();
        }
        text.push(']');
        text
    }

    pub(super) fn claim_name(&self, id: ClaimId) -> String {
        let nth = self.claims.iter().position(|claim| *claim == id);
        nth.map_or_else(|| format!("unknown {id}"), |nth| format!("c{nth}"))
    }

    pub(super) fn lease(&self, claim: &Claim, now: Timestamp) -> String {
        let left_ms = claim.ends_at.as_millis() - now.as_millis();
        let name = self.claim_name(claim.id);
        format!("{name} ttl {} age {} ends +{left_ms}ms", claim.ttl.as_secs(), claim.age_s)
    }

    pub(super) fn subscription_text(&self, subscription: &Subscription) -> String {
        let nth = self.subscriptions.iter().position(|id| *id == subscription.id);
        let name = nth.map_or_else(|| "new".to_owned(), |nth| format!("s{nth}"));
        let Subscription { subscriber, ttl, age_s, confirmed, .. } = subscription;
        format!("{name} {subscriber} ttl {} age {age_s} confirmed {confirmed}", ttl.as_secs())
    }
}

/// The error's variant: its fields name things in the driver's own way.
pub(super) fn variant(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
}
