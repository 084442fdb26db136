//! What is kept of one connection: its name, its mailbox, and what has to end with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use zaqar_core::{QueueKey, SubscriptionId};
use zaqar_engine::{Engine, EngineResult};

use super::mailbox::{Mailbox, Push};
use super::proof::Shown;
use super::renewal::Held;

/// How many queues one connection may subscribe to.
const SUBSCRIPTIONS_MAX: usize = 1_000;
/// How often it is tried to end a subscription whose connection has gone.
const WITHDRAWALS_MAX: u32 = 4;
/// How long is waited before the second of these tries; twice as long before each further one.
const WITHDRAWAL_PAUSE: Duration = Duration::from_millis(200);

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    id: Uuid,
    subscriber: String,
    mailbox: Arc<Mailbox>,
    holdings: Arc<Holdings>,
    shown: Shown,
}

impl Session {
    /// A connection to the listener at `authority`, and its end of the mailbox.
    pub(super) fn new(authority: &str) -> (Self, mpsc::Receiver<Push>) {
        let id = Uuid::new_v4();
        let (mailbox, pushes) = Mailbox::new();
        let session = Self {
            id,
            subscriber: format!("http://{authority}/{id}"),
            mailbox: Arc::new(mailbox),
            holdings: Arc::default(),
            shown: Shown::default(),
        };
        (session, pushes)
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// The address of the connection, as its subscriptions show it.
    pub(super) fn subscriber(&self) -> &str {
        &self.subscriber
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(super) fn holdings(&self) -> &Arc<Holdings> {
        &self.holdings
    }

    /// What the connection has shown of its caller.
    pub(super) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Ends every subscription that was made on the connection.
    pub(super) async fn end(self, engine: &Engine) {
        for key in self.holdings.close() {
            withdraw(engine, &key, &self.subscriber).await;
        }
    }
}

/// The connection that an address names.
pub(super) fn id_of(subscriber: &str) -> Option<Uuid> {
    subscriber.rsplit('/').next().and_then(|id| Uuid::parse_str(id).ok())
}

/// The queues that a connection may be subscribed to.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    held: Mutex<Queues>,
    closed: CancellationToken,
    lapsed: CancellationToken,
}

#[derive(Debug, Default)]
struct Queues {
    /// With the subscription, once it is known to be made.
    all: HashMap<QueueKey, Option<Held>>,
    is_renewed: bool,
}

impl Holdings {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing panics half-way through a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a queue before it is subscribed to, so that a subscription of which nobody hears ends
    /// with the connection too. `false` if there are too many.
    pub(super) fn add(&self, key: &QueueKey) -> bool {
        let all = &mut self.queues().all;
        if all.len() >= SUBSCRIPTIONS_MAX && !all.contains_key(key) {
            return false;
        }
        all.entry(key.clone()).or_default();
        true
    }

    /// Notes the subscription to a queue that was added, unless it is known.
    pub(super) fn learn(&self, key: &QueueKey, held: Held) {
        if let Some(known) = self.queues().all.get_mut(key)
            && known.is_none_or(|known| known.id != held.id)
        {
            *known = Some(held);
        }
    }

    /// Notes what became of a subscription that was kept alive.
    pub(super) fn renewed(&self, key: &QueueKey, held: Held) {
        if let Some(Some(known)) = self.queues().all.get_mut(key)
            && known.id == held.id
        {
            *known = held;
        }
    }

    /// Whether nobody keeps the subscriptions alive yet; whoever asks first has to.
    pub(super) fn needs_renewal(&self) -> bool {
        !std::mem::replace(&mut self.queues().is_renewed, true)
    }

    /// What has to be kept alive.
    pub(super) fn held_ones(&self) -> Vec<(QueueKey, Held)> {
        let queues = self.queues();
        queues.all.iter().filter_map(|(key, held)| Some((key.clone(), (*held)?))).collect()
    }

    /// A subscription is not there any more.
    pub(super) fn forget(&self, key: &QueueKey, id: SubscriptionId) {
        if let Some(known) = self.queues().all.get_mut(key)
            && known.is_some_and(|held| held.id == id)
        {
            *known = None;
        }
    }

    /// A subscription has ended too early: the connection must not go on as if nothing were.
    pub(super) fn lapse(&self) {
        self.lapsed.cancel();
    }

    /// Waits until a subscription has ended too early.
    pub(super) async fn lapsed(&self) {
        self.lapsed.cancelled().await;
    }

    /// Whether the connection has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Waits until the connection has gone.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    fn close(&self) -> Vec<QueueKey> {
        let mut queues = self.queues();
        // Under the lock: whoever adds one later sees it.
        self.closed.cancel();
        std::mem::take(&mut queues.all).into_keys().collect()
    }
}

/// Ends the subscription of a connection that has gone. If the store stays away it ends with its
/// life; nobody delivers to it meanwhile.
pub(super) async fn withdraw(engine: &Engine, key: &QueueKey, subscriber: &str) {
    let mut pause = WITHDRAWAL_PAUSE;
    for attempt in 1..=WITHDRAWALS_MAX {
        match try_to_withdraw(engine, key, subscriber).await {
            Ok(()) => return,
            Err(error) if attempt == WITHDRAWALS_MAX => {
                tracing::warn!(%error, "the subscription of a closed connection stays until it ends");
            }
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
}

async fn try_to_withdraw(engine: &Engine, key: &QueueKey, subscriber: &str) -> EngineResult<()> {
    match engine.subscription_find(key, subscriber).await? {
        Some(subscription) => engine.subscription_delete(key, subscription.id).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_connection() {
        for authority in ["127.0.0.1:9000", "[::1]:9000"] {
            let (session, _pushes) = Session::new(authority);
            assert!(session.subscriber().starts_with(&format!("http://{authority}/")));
            assert_eq!(id_of(session.subscriber()), Some(session.id()));
        }
        assert_eq!(id_of("http://example.org/hook"), None);
    }

    #[test]
    fn a_connection_holds_a_bounded_number_of_subscriptions() {
        let project = zaqar_core::ProjectId::new("p").unwrap();
        let key = |n: usize| {
            let name = zaqar_core::QueueName::new(format!("q{n}")).unwrap();
            QueueKey::queue(project.clone(), name)
        };
        let holdings = Holdings::default();
        assert!((0..SUBSCRIPTIONS_MAX).all(|n| holdings.add(&key(n))));
        assert!(!holdings.add(&key(SUBSCRIPTIONS_MAX)));
        assert!(holdings.add(&key(0)));
        assert_eq!(holdings.close().len(), SUBSCRIPTIONS_MAX);
        assert!(holdings.is_closed());
    }
}
