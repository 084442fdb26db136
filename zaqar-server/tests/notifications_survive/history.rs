//! What posters and receivers saw, in the order in which they saw it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A request that a subscriber got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Which subscriber, by its place in [`History::subscribers`].
    pub(crate) subscriber: usize,
    /// The header `webhook-id`.
    pub(crate) webhook_id: String,
    /// The message that it says it is about.
    pub(crate) message: String,
    /// What the message says: posts are known by it.
    pub(crate) key: String,
    /// Whether its signature is right.
    pub(crate) signed: bool,
    /// Whether the subscriber took it.
    pub(crate) taken: bool,
}

/// Something that somebody saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A post is about to be sent.
    PostBegun { post: usize, keys: Vec<String> },
    /// It was answered with these ids.
    Acknowledged { post: usize, ids: Vec<String> },
    /// A subscriber got a request.
    Arrived(Arrival),
    /// A redirect of that subscriber was followed.
    Followed { subscriber: usize },
}

/// A message that the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// A delivery that was given up, as the store recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) message: String,
    pub(crate) address: String,
}

/// Everything that is known about one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// The addresses, each of one subscription that was live throughout.
    pub(crate) subscribers: Vec<String>,
    pub(crate) events: Vec<Event>,
    /// What is in the queue at the end; nobody takes anything out.
    pub(crate) stored: Vec<Stored>,
    pub(crate) given_up: Vec<GivenUp>,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Messages that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Messages that a subscriber took which takes everything, once for each such subscriber.
    pub(crate) delivered: usize,
}

#[derive(Debug, Default)]
struct Book {
    events: Vec<Event>,
    posts: usize,
    progress: Progress,
    /// Message and subscriber of all that was taken.
    taken: HashSet<(String, usize)>,
    /// How often each subscriber got each message.
    attempts: HashMap<(String, usize), u32>,
}

/// Where everybody writes down what they see.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Book>);

impl Recorder {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A post is about to be sent; returns its number.
    pub(crate) fn post_begins(&self, keys: Vec<String>) -> usize {
        let mut book = self.book();
        let post = book.posts;
        book.posts += 1;
        book.events.push(Event::PostBegun { post, keys });
        post
    }

    pub(crate) fn acknowledged(&self, post: usize, ids: Vec<String>) {
        let mut book = self.book();
        book.progress.acknowledged += ids.len();
        book.events.push(Event::Acknowledged { post, ids });
    }

    /// A request came; `judge` says whether it is taken, told how often this subscriber got this
    /// message before. Returns what it said.
    pub(crate) fn arrived(
        &self,
        mut arrival: Arrival,
        patient: bool,
        judge: impl FnOnce(u32) -> bool,
    ) -> bool {
        let mut book = self.book();
        let pair = (arrival.key.clone(), arrival.subscriber);
        let before = book.attempts.entry(pair.clone()).or_default();
        arrival.taken = judge(*before);
        *before += 1;
        let taken = arrival.taken;
        if taken && book.taken.insert(pair) && patient {
            book.progress.delivered += 1;
        }
        book.events.push(Event::Arrived(arrival));
        taken
    }

    pub(crate) fn followed(&self, subscriber: usize) {
        self.book().events.push(Event::Followed { subscriber });
    }

    pub(crate) fn progress(&self) -> Progress {
        self.book().progress
    }

    /// How many messages were taken, once for each subscriber.
    pub(crate) fn taken(&self) -> usize {
        self.book().taken.len()
    }

    /// Whether each message is settled for each subscriber: taken, or among `given_up`. Looks at all
    /// of them, while receivers wait: to be asked only when it may be so.
    pub(crate) fn is_settled(
        &self,
        stored: &[Stored],
        subscribers: &[String],
        given_up: &[GivenUp],
    ) -> bool {
        let given_up: HashSet<(&str, &str)> =
            given_up.iter().map(|g| (g.message.as_str(), g.address.as_str())).collect();
        let book = self.book();
        stored.iter().all(|message| {
            subscribers.iter().enumerate().all(|(number, address)| {
                given_up.contains(&(message.id.as_str(), address.as_str()))
                    || book.taken.contains(&(message.key.clone(), number))
            })
        })
    }

    /// All that was written down so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.book().events.clone()
    }
}
