//! What waiters ask: one question to each store that their queues live in.

use std::collections::HashMap;
use std::sync::Arc;

use zaqar_core::{Error, MessageWatch, Result};

use super::Pools;
use super::routing::Store;

/// What one store is asked, and which of the answers each of its own is.
#[derive(Debug)]
struct Question {
    store: Arc<Store>,
    places: Vec<usize>,
    watches: Vec<MessageWatch>,
}

impl Question {
    fn new(store: Arc<Store>) -> Self {
        Self { store, places: Vec::new(), watches: Vec::new() }
    }
}

impl Pools {
    /// Whether something is behind each place. A store that fails takes nothing from the waiters of
    /// others; for its own there is nothing to be found now.
    pub(super) async fn available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        let mut questions: HashMap<String, Question> = HashMap::new();
        let mut available = vec![false; watches.len()];
        for (place, watch) in watches.iter().enumerate() {
            let home = match self.place_of(&watch.queue).await {
                // Who looks is told that it is gone.
                Err(Error::QueueGone { .. }) => {
                    if let Some(told) = available.get_mut(place) {
                        *told = true;
                    }
                    continue;
                }
                home => home?,
            };
            let watch = MessageWatch { queue: home.queue(&watch.queue), after: watch.after };
            let store = Arc::clone(&home.store);
            let question = questions.entry(store.name()).or_insert_with(|| Question::new(store));
            question.places.push(place);
            question.watches.push(watch);
        }
        let asked = questions.into_values().map(|question| async move {
            let messages = question.store.data().messages();
            let answers = messages.message_available(&question.watches).await;
            let answers = answers.unwrap_or_else(|error| {
                tracing::debug!(%error, pool = question.store.name(), "a store fails its waiters");
                Vec::new()
            });
            question.places.into_iter().zip(answers)
        });
        for (place, answer) in futures_util::future::join_all(asked).await.into_iter().flatten() {
            if let Some(available) = available.get_mut(place) {
                *available = answer;
            }
        }
        Ok(available)
    }
}
