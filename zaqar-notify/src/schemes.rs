//! Which channel a subscription is delivered by.

use std::collections::HashMap;
use std::sync::Arc;

use zaqar_core::Subscription;

use crate::channel::Channel;

/// The channels, by what they serve.
#[derive(Debug, Default)]
pub(crate) struct Schemes {
    by_scheme: HashMap<String, Arc<dyn Channel>>,
    local: Option<(String, Arc<dyn Channel>)>,
}

impl Schemes {
    pub(crate) fn add(&mut self, scheme: &str, channel: Arc<dyn Channel>) {
        self.by_scheme.insert(scheme.to_ascii_lowercase(), channel);
    }

    pub(crate) fn own(&mut self, owner: String, channel: Arc<dyn Channel>) {
        self.local = Some((owner, channel));
    }

    /// The name under which this process owns subscriptions.
    pub(crate) fn owner(&self) -> Option<String> {
        self.local.as_ref().map(|(owner, _)| owner.clone())
    }

    /// The channel for a subscription; `None` if nothing here serves it.
    pub(crate) fn channel(&self, subscription: &Subscription) -> Option<Arc<dyn Channel>> {
        if let Some(owner) = &subscription.owner {
            let (own, channel) = self.local.as_ref()?;
            return (own == owner).then(|| Arc::clone(channel));
        }
        let (scheme, _) = subscription.subscriber.split_once(':')?;
        self.by_scheme.get(&scheme.to_ascii_lowercase()).cloned()
    }
}
