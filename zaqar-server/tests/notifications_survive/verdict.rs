//! Whether a run kept the promise: a pure function of its history.
//!
//! Stricter than "every acknowledged message": whatever the store holds at the end was stored by some
//! post, so each subscription must have got it or its end must be on record; and nothing that the
//! store does not hold may have been sent, for then it was sent before, or without, its commit.

use std::collections::{HashMap, HashSet};

use crate::history::{Arrival, Event, History};

/// How many violations of one kind are told; the first ones tell enough.
const TOLD_MAX: usize = 5;

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What contradicts the promise.
    pub(crate) violations: Vec<String>,
    /// Requests that subscribers got.
    pub(crate) arrivals: usize,
    /// Requests beyond the first that a subscriber took of one message.
    pub(crate) repeated: usize,
    /// Posts that were neither acknowledged nor are absent from the store.
    pub(crate) recovered: usize,
    /// Messages that each subscriber took.
    pub(crate) taken: Vec<usize>,
    /// Messages of each subscriber that were given up.
    pub(crate) given_up: Vec<usize>,
}

impl Verdict {
    fn tell(&mut self, texts: Vec<String>) {
        let more = texts.len().saturating_sub(TOLD_MAX);
        self.violations.extend(texts.into_iter().take(TOLD_MAX));
        if more > 0 {
            self.violations.push(format!("… and {more} more like it"));
        }
    }
}

/// Judges a run that is over.
pub(crate) fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let ids: HashMap<&str, &str> =
        history.stored.iter().map(|stored| (stored.key.as_str(), stored.id.as_str())).collect();
    stored_as_acknowledged(history, &ids, &mut verdict);
    nothing_too_early(history, &ids, &mut verdict);
    ids_name_pairs(history, &mut verdict);
    nothing_lost(history, &mut verdict);
    verdict
}

fn arrivals(history: &History) -> impl Iterator<Item = &Arrival> {
    history.events.iter().filter_map(|event| match event {
        Event::Arrived(arrival) => Some(arrival),
        _ => None,
    })
}

/// What was acknowledged is stored under the ids that were answered, and nothing twice.
fn stored_as_acknowledged(history: &History, ids: &HashMap<&str, &str>, verdict: &mut Verdict) {
    let mut posts: HashMap<usize, &[String]> = HashMap::new();
    let mut acknowledged = HashSet::new();
    let mut wrong = Vec::new();
    for event in &history.events {
        match event {
            Event::PostBegun { post, keys } => drop(posts.insert(*post, keys)),
            Event::Acknowledged { post, ids: answered } => {
                acknowledged.insert(*post);
                let keys = posts.get(post).copied().unwrap_or_default();
                if keys.len() != answered.len() {
                    wrong.push(format!("{} ids for {} messages", answered.len(), keys.len()));
                }
                for (key, id) in keys.iter().zip(answered) {
                    match ids.get(key.as_str()) {
                        None => wrong.push(format!("{key}: acknowledged and not stored")),
                        Some(stored) if stored != id => {
                            wrong.push(format!("{key}: stored as {stored}, answered as {id}"));
                        }
                        Some(_) => {}
                    }
                }
            }
            Event::Arrived(_) | Event::Followed { .. } => {}
        }
    }
    if ids.len() != history.stored.len() {
        wrong.push(format!("{} messages are stored twice", history.stored.len() - ids.len()));
    }
    let in_doubt = posts.iter().filter(|(post, _)| !acknowledged.contains(post));
    let recovered = in_doubt.filter(|(_, keys)| keys.iter().any(|k| ids.contains_key(k.as_str())));
    verdict.recovered = recovered.count();
    verdict.tell(wrong);
}

/// Nothing came before its post, nothing that is not stored, nothing that was not signed, and nothing
/// by way of a redirect.
fn nothing_too_early(history: &History, ids: &HashMap<&str, &str>, verdict: &mut Verdict) {
    let mut begun: HashSet<&str> = HashSet::new();
    let mut wrong = Vec::new();
    for event in &history.events {
        match event {
            Event::PostBegun { keys, .. } => begun.extend(keys.iter().map(String::as_str)),
            Event::Acknowledged { .. } => {}
            Event::Followed { subscriber } => {
                wrong.push(format!("a redirect of subscriber {subscriber} was followed"));
            }
            Event::Arrived(Arrival { subscriber, message, key, signed, .. }) => {
                verdict.arrivals += 1;
                if !begun.contains(key.as_str()) {
                    wrong.push(format!("{key}: came to {subscriber} before it was posted"));
                }
                if ids.get(key.as_str()) != Some(&message.as_str()) {
                    wrong.push(format!("{key}: came to {subscriber} as {message}, not as stored"));
                }
                if !signed {
                    wrong.push(format!("{key}: came to {subscriber} with a wrong signature"));
                }
            }
        }
    }
    verdict.tell(wrong);
}

/// The same `webhook-id` at each attempt, and for no other message or subscriber.
fn ids_name_pairs(history: &History, verdict: &mut Verdict) {
    let mut of_pair: HashMap<(&str, usize), &str> = HashMap::new();
    let mut of_id: HashMap<&str, (&str, usize)> = HashMap::new();
    let mut wrong = Vec::new();
    for Arrival { subscriber, webhook_id, key, .. } in arrivals(history) {
        let pair = (key.as_str(), *subscriber);
        let known = *of_pair.entry(pair).or_insert(webhook_id);
        if known != webhook_id {
            wrong.push(format!("{pair:?}: came as {known} and as {webhook_id}"));
        }
        let named = *of_id.entry(webhook_id).or_insert(pair);
        if named != pair {
            wrong.push(format!("{webhook_id}: names {named:?} and {pair:?}"));
        }
    }
    verdict.tell(wrong);
}

/// Every message and subscription: taken, or on record as given up.
fn nothing_lost(history: &History, verdict: &mut Verdict) {
    let mut taken: HashMap<(&str, usize), usize> = HashMap::new();
    for arrival in arrivals(history).filter(|arrival| arrival.taken) {
        *taken.entry((arrival.key.as_str(), arrival.subscriber)).or_default() += 1;
    }
    let given_up: HashSet<(&str, &str)> =
        history.given_up.iter().map(|g| (g.message.as_str(), g.address.as_str())).collect();
    verdict.repeated = taken.values().map(|times| times - 1).sum();
    let mut lost = Vec::new();
    for (number, address) in history.subscribers.iter().enumerate() {
        let (mut got, mut ended) = (0, 0);
        for stored in &history.stored {
            let was_taken = taken.contains_key(&(stored.key.as_str(), number));
            let is_on_record = given_up.contains(&(stored.id.as_str(), address.as_str()));
            got += usize::from(was_taken);
            ended += usize::from(is_on_record);
            if !was_taken && !is_on_record {
                lost.push(format!("{}: lost for subscriber {number}", stored.key));
            }
        }
        verdict.taken.push(got);
        verdict.given_up.push(ended);
    }
    verdict.tell(lost);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{GivenUp, Stored};

    fn arrival(subscriber: usize, key: &str, taken: bool) -> Event {
        Event::Arrived(Arrival {
            subscriber,
            webhook_id: format!("w-{key}-{subscriber}"),
            message: format!("id-{key}"),
            key: key.to_owned(),
            signed: true,
            taken,
        })
    }

    fn post(post: usize, key: &str) -> [Event; 2] {
        let begun = Event::PostBegun { post, keys: vec![key.to_owned()] };
        [begun, Event::Acknowledged { post, ids: vec![format!("id-{key}")] }]
    }

    /// Two messages, two subscribers: one takes all but once fails first, the other never takes the
    /// second one, which is given up.
    fn sound() -> History {
        let mut events = Vec::new();
        events.extend(post(0, "a"));
        events.extend([arrival(0, "a", false), arrival(1, "a", true), arrival(0, "a", true)]);
        events.extend(post(1, "b"));
        events.extend([arrival(0, "b", true), arrival(0, "b", true), arrival(1, "b", false)]);
        let stored = ["a", "b"].map(|key| Stored { id: format!("id-{key}"), key: key.to_owned() });
        History {
            subscribers: vec!["http://0".to_owned(), "http://1".to_owned()],
            events,
            stored: stored.to_vec(),
            given_up: vec![GivenUp { message: "id-b".to_owned(), address: "http://1".to_owned() }],
        }
    }

    fn violations(spoil: impl FnOnce(&mut History)) -> Vec<String> {
        let mut history = sound();
        spoil(&mut history);
        judge(&history).violations
    }

    fn arrivals_mut(history: &mut History) -> impl Iterator<Item = &mut Arrival> {
        history.events.iter_mut().filter_map(|event| match event {
            Event::Arrived(arrival) => Some(arrival),
            _ => None,
        })
    }

    #[test]
    fn a_sound_run_is_found_sound_and_counted() {
        let verdict = judge(&sound());
        assert_eq!(verdict.violations, [""; 0]);
        assert_eq!((verdict.arrivals, verdict.repeated, verdict.recovered), (6, 1, 0));
        assert_eq!((verdict.taken, verdict.given_up), (vec![2, 1], vec![0, 1]));
    }

    #[test]
    fn a_delivery_that_never_succeeded_and_is_not_on_record_is_lost() {
        let struck = violations(|history| {
            history.events.retain(|event| *event != arrival(1, "a", true));
        });
        assert_eq!(struck, ["a: lost for subscriber 1"]);
        assert_eq!(violations(|history| history.given_up.clear()), ["b: lost for subscriber 1"]);
    }

    #[test]
    fn a_stored_message_whose_post_was_in_doubt_must_be_delivered_too() {
        let in_doubt = |history: &mut History| {
            history.events.push(Event::PostBegun { post: 2, keys: vec!["c".to_owned()] });
        };
        assert_eq!(violations(in_doubt), [""; 0]);
        let lost = violations(|history| {
            in_doubt(history);
            history.stored.push(Stored { id: "id-c".to_owned(), key: "c".to_owned() });
        });
        assert_eq!(lost, ["c: lost for subscriber 0", "c: lost for subscriber 1"]);
    }

    #[test]
    fn what_came_before_its_post_or_was_never_stored_is_found() {
        let early = violations(|history| history.events.insert(0, arrival(0, "a", true)));
        assert_eq!(early, ["a: came to 0 before it was posted"]);
        let phantom = violations(|history| {
            history.events.push(Event::PostBegun { post: 2, keys: vec!["c".to_owned()] });
            history.events.push(arrival(0, "c", true));
        });
        assert_eq!(phantom, ["c: came to 0 as id-c, not as stored"]);
    }

    #[test]
    fn an_acknowledged_message_that_is_not_stored_as_answered_is_found() {
        let gone = violations(|history| drop(history.stored.remove(0)));
        assert!(gone.contains(&"a: acknowledged and not stored".to_owned()), "{gone:?}");
        let other = violations(|history| {
            history.events[1] = Event::Acknowledged { post: 0, ids: vec!["id-x".to_owned()] };
        });
        assert_eq!(other, ["a: stored as id-a, answered as id-x"]);
        let short = violations(|history| {
            history.events[1] = Event::Acknowledged { post: 0, ids: Vec::new() };
        });
        assert_eq!(short, ["0 ids for 1 messages"]);
        let twice = violations(|history| history.stored.push(history.stored[0].clone()));
        assert_eq!(twice, ["1 messages are stored twice"]);
    }

    #[test]
    fn a_webhook_id_that_changes_or_is_shared_is_found() {
        let changed = violations(|history| {
            arrivals_mut(history).next().unwrap().webhook_id = "other".to_owned();
        });
        assert_eq!(changed, [r#"("a", 0): came as other and as w-a-0"#]);
        let shared = violations(|history| {
            for arrival in arrivals_mut(history).filter(|arrival| arrival.key == "a") {
                arrival.webhook_id = "w-a".to_owned();
            }
        });
        assert!(shared[0].starts_with(r#"w-a: names ("a", 0) and ("a", 1)"#), "{shared:?}");
    }

    #[test]
    fn a_wrong_signature_and_a_followed_redirect_are_found() {
        let unsigned = violations(|h| arrivals_mut(h).next().unwrap().signed = false);
        assert_eq!(unsigned, ["a: came to 0 with a wrong signature"]);
        let followed = violations(|h| h.events.push(Event::Followed { subscriber: 1 }));
        assert_eq!(followed, ["a redirect of subscriber 1 was followed"]);
    }

    #[test]
    fn many_violations_of_a_kind_are_cut_short() {
        let lost = violations(|history| {
            history.subscribers.extend((2..12).map(|number| format!("http://{number}")));
        });
        assert_eq!(lost.len(), TOLD_MAX + 1);
        assert_eq!(lost[TOLD_MAX], "… and 15 more like it");
    }
}
