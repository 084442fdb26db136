//! Whether an address may subscribe.

use std::fmt::Debug;

use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};

/// Whoever knows where subscribers may be: asked when an address is given, before it is stored.
pub trait SubscriberCheck: Debug + Send + Sync + 'static {
    /// Looks at an address of a type that is served.
    ///
    /// # Errors
    /// Why it may not subscribe: a sentence for the client.
    fn check(&self, subscriber: &str) -> Result<(), String>;
}

impl Engine {
    /// Whether an address is of a type that is served here, and in a place that is delivered to.
    /// `is_trusted` says that a user who may give a trust subscribes it.
    pub(crate) fn subscriber_check(&self, subscriber: &str, is_trusted: bool) -> EngineResult<()> {
        let types = &self.config().subscribers.types;
        let scheme = subscriber.split_once(':').map(|(scheme, _)| scheme);
        let is_served =
            |scheme: &str| types.iter().any(|served| served.eq_ignore_ascii_case(scheme));
        let Some(scheme) = scheme.filter(|scheme| is_served(scheme)) else {
            let quoted: Vec<String> = types.iter().map(|served| format!("'{served}'")).collect();
            return Err(EngineError::rejected(format!(
                "The subscriber type of subscription must be supported in the list [{}].",
                quoted.join(", ")
            )));
        };
        if !is_trusted {
            trust_check(scheme)?;
        }
        match &self.inner().subscriber_check {
            Some(rules) => rules.check(subscriber).map_err(EngineError::rejected),
            None => Ok(()),
        }
    }
}

/// A trust is given by a user who subscribes; nobody else can.
fn trust_check(scheme: &str) -> EngineResult<()> {
    if scheme.to_ascii_lowercase().starts_with("trust+") {
        let text = format!("A subscriber of type {scheme} needs an authenticated user.");
        return Err(EngineError::rejected(text));
    }
    Ok(())
}
