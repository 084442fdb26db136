//! A validator in front of a stub.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use zaqar_auth::keystone::{Keystone, KeystoneConfig, Token};
use zaqar_core::{Clock, ManualClock};

use crate::stub::{Stub, config};

pub(crate) struct World {
    pub(crate) stub: Stub,
    pub(crate) keystone: Keystone,
    clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With what `change` makes of the defaults.
    pub(crate) fn with(change: impl FnOnce(&mut KeystoneConfig)) -> Self {
        let clock = Arc::new(ManualClock::default());
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let stub = Stub::new(Arc::clone(&time));
        let mut config = config(&stub.url());
        change(&mut config);
        Self { stub, keystone: Keystone::new(config, time).unwrap(), clock }
    }

    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub(crate) fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

impl Stub {
    /// Ends the service's own token before its time.
    pub(crate) fn end_own_token(&self) {
        self.told.own.lock().unwrap().clear();
    }

    /// How often somebody tried to log in.
    pub(crate) fn logins(&self) -> usize {
        self.told.logins.load(Ordering::SeqCst)
    }
}
