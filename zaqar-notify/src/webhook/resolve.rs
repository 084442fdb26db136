//! Looks names up, and keeps only the addresses to which a connection may be made.
//!
//! It is asked for every connection, and the connection goes to the address that was looked at
//! here: a name cannot lead elsewhere in between.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::AddressRules;

/// The name leads nowhere that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host has no address that is delivered to")]
pub(crate) struct Closed;

/// The system's resolver behind the rules.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    rules: Arc<AddressRules>,
}

impl Resolver {
    pub(crate) fn new(rules: Arc<AddressRules>) -> Self {
        Self { rules }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.rules);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let open: Vec<SocketAddr> = found.filter(|found| rules.allows(found.ip())).collect();
            if open.is_empty() {
                return Err(Closed.into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}
