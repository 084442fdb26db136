//! The open connections of this process, and the way to push to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use uuid::Uuid;
use zaqar_notify::{Channel, Notification, Verdict};

use super::mailbox::Mailbox;
use super::session::{Session, id_of};
use crate::rest::json::write::{push, push_string};

/// The mailboxes of open connections, by the connections' names.
#[derive(Debug, Default)]
pub(super) struct Sockets(Mutex<HashMap<Uuid, Arc<Mailbox>>>);

impl Sockets {
    fn open(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Mailbox>>> {
        // Nothing panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection begins.
    pub(super) fn add(&self, session: &Session) {
        self.open().insert(session.id(), Arc::clone(session.mailbox()));
    }

    /// A connection ends.
    pub(super) fn remove(&self, session: &Session) {
        self.open().remove(&session.id());
    }

    fn find(&self, subscriber: &str) -> Option<Arc<Mailbox>> {
        self.open().get(&id_of(subscriber)?).map(Arc::clone)
    }
}

/// A connection that is not there any more has no subscriptions.
#[async_trait]
impl Channel for Sockets {
    async fn deliver(&self, notification: &Notification) -> Verdict {
        match self.find(&notification.subscription.subscriber) {
            Some(mailbox) => mailbox.deliver(notification.id(), document(notification)).await,
            None => Verdict::Gone,
        }
    }
}

/// What a subscriber is sent: no envelope, by which it tells it from an answer.
fn document(notification: &Notification) -> String {
    let message = &notification.message;
    let mut out = String::with_capacity(message.body.len() + 192);
    push(&mut out, format_args!("{{\"ttl\": {}, \"body\": ", message.ttl.as_secs()));
    out.push_str(message.body.as_str());
    out.push_str(", \"Message_Type\": \"Notification\", \"queue_name\": ");
    push_string(&mut out, notification.queue.name.as_str());
    push(&mut out, format_args!(", \"message_id\": \"{}\"", message.id));
    push(&mut out, format_args!(", \"subscription_id\": \"{}\"", notification.subscription.id));
    push(&mut out, format_args!(", \"attempt\": {}}}", notification.attempt()));
    out
}
