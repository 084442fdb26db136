//! Looks names up, and keeps only the addresses to which a connection may be made.
//!
//! It is asked for every connection, and the connection goes to the address that was looked at
//! here: a name cannot lead elsewhere in between.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::AddressRules;

/// The name leads nowhere that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host has no address that is delivered to")]
pub(crate) struct Closed;

/// Whoever knows the addresses of names.
#[async_trait]
pub(crate) trait Names: Debug + Send + Sync + 'static {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system.
#[derive(Debug)]
pub(crate) struct System;

#[async_trait]
impl Names for System {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect())
    }
}

/// A resolver behind the rules.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    names: Arc<dyn Names>,
    rules: Arc<AddressRules>,
}

impl Resolver {
    pub(crate) fn new(names: Arc<dyn Names>, rules: Arc<AddressRules>) -> Self {
        Self { names, rules }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { names, rules } = self.clone();
        Box::pin(async move {
            let found = names.addresses(name.as_str()).await?;
            let open: Vec<SocketAddr> = found
                .into_iter()
                .filter(|found| rules.allows(*found))
                // The client puts the URL's port in its place.
                .map(|found| SocketAddr::new(found, 0))
                .collect();
            if open.is_empty() {
                return Err(Closed.into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}
