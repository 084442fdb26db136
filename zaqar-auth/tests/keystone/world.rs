//! A validator in front of a stub.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use zaqar_auth::keystone::{Credentials, Keystone, KeystoneConfig, Token};
use zaqar_core::{Clock, ManualClock};

use crate::stub::{PASSWORD, Stub, USER};

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

pub(crate) fn config(url: &str) -> KeystoneConfig {
    let credentials = Credentials {
        username: USER.to_owned(),
        password: PASSWORD.into(),
        user_domain_name: "Default".to_owned(),
        project_name: "service".to_owned(),
        project_domain_name: "Default".to_owned(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut config = KeystoneConfig::new(url.parse().unwrap(), credentials, tls);
    // Nothing here waits for so long unless that is the point.
    config.request_timeout = Duration::from_secs(60);
    config.connect_timeout = Duration::from_secs(60);
    config
}

pub(crate) fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}
