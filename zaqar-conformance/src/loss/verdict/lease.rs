//! Who held a message when.

use zaqar_core::ClaimId;

use super::finding::{About, Finding, Kind};
use super::index::{ClaimCalls, Index};
use crate::loss::history::{Action, Call};

/// Two holders at once, or a held message shown as free.
pub(super) fn double_claimed(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (tag, sightings) in &index.sightings {
        let finding = |calls: &[&Call], what| {
            Finding::new(Kind::DoubleClaimed, About::Message(*tag), calls, what)
        };
        let takers: Vec<&Call> =
            sightings.iter().map(|sighting| sighting.call).filter(|call| call.takes()).collect();
        if let Some((one, other)) = two_holders(index, &takers) {
            findings.push(finding(&[one, other], format!("{tag} taken by {one} and by {other}")));
        }
        let shown = sightings
            .iter()
            .map(|sighting| sighting.call)
            .filter(|call| matches!(call.action, Action::List(read) if !read.everything));
        for list in shown {
            let holder = takers.iter().find(|taker| {
                taker.precedes(list) && !follows(index, taker, list) && is_claim(taker)
            });
            if let Some(holder) = holder {
                let what = format!("{tag} held by {holder}, shown free by {list}");
                findings.push(finding(&[holder, list], what));
            }
        }
    }
    findings
}

/// The first two takers of which neither can have followed the other.
fn two_holders<'h>(index: &Index<'h>, takers: &[&'h Call]) -> Option<(&'h Call, &'h Call)> {
    for (nth, one) in takers.iter().enumerate() {
        let both = |other: &&&Call| {
            !same_claim(one, other) && !follows(index, one, other) && !follows(index, other, one)
        };
        if let Some(other) = takers.iter().skip(nth + 1).find(both) {
            return Some((one, other));
        }
    }
    None
}

fn is_claim(call: &Call) -> bool {
    matches!(call.action, Action::Claim { .. })
}

fn claim_of(call: &Call) -> Option<ClaimId> {
    match call.action {
        Action::Claim { claim, .. } => Some(claim),
        _ => None,
    }
}

/// A repeat with the same claim returns the same messages.
fn same_claim(one: &Call, other: &Call) -> bool {
    claim_of(one).is_some() && claim_of(one) == claim_of(other)
}

/// Whether `later` can have had the message from where `earlier` left it: the lease of `earlier`
/// was over or given back by the time `later` took effect.
fn follows(index: &Index<'_>, earlier: &Call, later: &Call) -> bool {
    if later.precedes(earlier) {
        return false;
    }
    let Some(claim) = claim_of(earlier) else { return false };
    let Some(calls) = index.claim(earlier, claim) else { return false };
    let released = calls
        .releases
        .iter()
        .any(|release| release.may_have_happened() && release.invoked.order < later.ended.order);
    let lapses_ms = lapses_from_ms(calls, later).saturating_sub(index.history.resolution_ms);
    released || later.ended.at.as_millis() >= lapses_ms
}

/// The earliest moment, in milliseconds, at which the claim may be over by the time `later` ended.
fn lapses_from_ms(calls: &ClaimCalls<'_>, later: &Call) -> i64 {
    let begun = |call: &&&Call| call.may_have_happened() && call.invoked.order < later.ended.order;
    let end = |call: &&Call| match &call.action {
        Action::Claim { ttl, .. } | Action::Renew { ttl, .. } => {
            call.invoked.at.after(*ttl).as_millis()
        }
        _ => i64::MAX,
    };
    // What a renewal that certainly took effect before `later` replaced counts no more.
    let settled = calls.renewals.iter().rfind(|call| call.is_ok() && call.precedes(later));
    let since = settled.map_or(0, |call| call.invoked.order);
    calls
        .creates
        .iter()
        .chain(&calls.renewals)
        .filter(begun)
        .filter(|call| call.invoked.order >= since)
        .map(end)
        .min()
        .unwrap_or(i64::MAX)
}

/// Acknowledged deletes and renewals of a claim that could not own anything any more.
pub(super) fn unfenced(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for call in index.history.calls.iter().filter(|call| call.is_ok()) {
        match &call.action {
            Action::Renew { claim, .. } if is_over(index, *claim, call) => {
                let what =
                    format!("{claim} was over, or none of this queue, and renewed by {call}");
                let calls: Vec<&Call> = life_of(index, *claim, call).chain([call]).collect();
                findings.push(Finding::new(Kind::Unfenced, About::Claim(*claim), &calls, what));
            }
            Action::Delete { ids, claims: Some(claims) } => {
                if !claims.iter().all(|claim| is_over(index, *claim, call)) {
                    continue;
                }
                let posts = ids.iter().filter_map(|id| index.by_id.get(id));
                // To another queue the ids mean nothing, and what it answers changes nothing.
                for post in posts.filter(|post| post.call.queue == call.queue) {
                    let gone = index.may_be_removed_by_name(*post, call.ended.order, Some(call))
                        || index.sweeping(post.call.queue).next().is_some()
                        || index.may_be_expired(*post, call.ended.at.as_millis());
                    if !gone {
                        let what = format!("{} removed under an ended claim by {call}", post.tag);
                        let about = About::Message(post.tag);
                        let lives = claims.iter().flat_map(|claim| life_of(index, *claim, call));
                        let calls: Vec<&Call> = lives.chain([call]).collect();
                        findings.push(Finding::new(Kind::Unfenced, about, &calls, what));
                    }
                }
            }
            _ => {}
        }
    }
    findings
}

/// The calls that made `claim` and ended it before `call`.
fn life_of<'h>(
    index: &Index<'h>,
    claim: ClaimId,
    call: &Call,
) -> impl Iterator<Item = &'h Call> + use<'h> {
    let calls = index.claim(call, claim);
    let made = calls.and_then(|calls| calls.creates.first()).copied();
    let released = calls.and_then(|calls| calls.releases.iter().find(|r| r.precedes(call)));
    made.into_iter().chain(released.copied())
}

/// Whether `claim` certainly was over when `call` began, or never was one of the queue asked.
fn is_over(index: &Index<'_>, claim: ClaimId, call: &Call) -> bool {
    let Some(calls) = index.claim(call, claim) else { return true };
    if calls.releases.iter().any(|release| release.is_ok() && release.precedes(call)) {
        return true;
    }
    let prolonging = calls.creates.iter().chain(&calls.renewals).filter(|other| {
        other.may_have_happened() && **other != call && other.invoked.order < call.ended.order
    });
    let ends = prolonging.map(|other| match &other.action {
        // Without an answer, the effect may come at any time, and the lease begins then.
        _ if !other.is_ok() => i64::MAX,
        Action::Claim { ttl, .. } | Action::Renew { ttl, .. } => {
            other.ended.at.after(*ttl).as_millis()
        }
        _ => i64::MIN,
    });
    let latest_ms = ends.max().unwrap_or(i64::MIN);
    call.invoked.at.as_millis() >= latest_ms.saturating_add(index.history.resolution_ms)
}
