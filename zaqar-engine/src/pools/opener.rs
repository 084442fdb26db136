//! How the data store of a pool is opened.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use zaqar_core::{Clock, DataDriver, DisciplinedClock, JsonObject, OpenError};

use crate::registry::{self, StoreOptions};

/// Where a pool's data store is, and what its driver is told.
#[derive(Clone, PartialEq)]
pub struct PoolAddress {
    /// Its URI.
    pub uri: String,
    /// Options of its driver.
    pub options: JsonObject,
}

impl std::fmt::Debug for PoolAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold a password.
        f.debug_struct("PoolAddress").finish_non_exhaustive()
    }
}

/// The data store of a pool.
#[derive(Debug, Clone)]
pub struct OpenedPool {
    /// Its driver.
    pub data: Arc<dyn DataDriver>,
    /// The clock that the driver reads, if it is to follow the backend's.
    pub clock: Option<Arc<DisciplinedClock>>,
}

/// Opens data stores of pools.
#[async_trait]
pub trait PoolOpener: std::fmt::Debug + Send + Sync + 'static {
    /// Opens the data store at `address`.
    ///
    /// # Errors
    /// The address is not valid, no driver serves it, the store does not answer or is set up to
    /// lose messages.
    async fn open(&self, address: &PoolAddress) -> Result<OpenedPool, OpenError>;
}

/// Opens pools with the drivers of this build, each with a clock that follows its backend's.
///
/// Options of a pool are added to its URI as parameters, which every driver documents; `unreliable`
/// is for this opener and lets a store be used that is set up to lose messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct RegistryOpener {
    unreliable: bool,
}

impl RegistryOpener {
    /// Pools must be safe, unless their own options say otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether pools may be set up to lose messages.
    #[must_use]
    pub fn unreliable(mut self, unreliable: bool) -> Self {
        self.unreliable = unreliable;
        self
    }
}

#[async_trait]
impl PoolOpener for RegistryOpener {
    async fn open(&self, address: &PoolAddress) -> Result<OpenedPool, OpenError> {
        let clock = Arc::new(DisciplinedClock::from_system());
        let (uri, unreliable) = merge(address)?;
        let options = StoreOptions::new(Arc::<DisciplinedClock>::clone(&clock) as Arc<dyn Clock>)
            .unreliable(unreliable.unwrap_or(self.unreliable));
        let stores = registry::open(&uri, &options).await?;
        Ok(OpenedPool { data: stores.data, clock: Some(clock) })
    }
}

/// The URI with the options as parameters, and what they say of `unreliable`.
fn merge(address: &PoolAddress) -> Result<(String, Option<bool>), OpenError> {
    let mut uri = address.uri.clone();
    let mut unreliable = None;
    for (name, value) in &address.options {
        let text = match value {
            Value::Bool(flag) if name == "unreliable" => {
                unreliable = Some(*flag);
                continue;
            }
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            _ => {
                let reason = format!("option {name} must be a text, a number or true or false");
                return Err(OpenError::InvalidUri { reason });
            }
        };
        let separator = if uri.contains('?') { '&' } else { '?' };
        uri.push(separator);
        uri.push_str(&encoded(name));
        uri.push('=');
        uri.push_str(&encoded(&text));
    }
    Ok((uri, unreliable))
}

/// `text` as a URI's parameter has it.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(uri: &str, options: Value) -> PoolAddress {
        let Value::Object(options) = options else { panic!("not an object") };
        PoolAddress { uri: uri.to_owned(), options }
    }

    #[test]
    fn options_become_parameters_of_the_uri() {
        let plain = address("redis://host/", serde_json::json!({"prefix": "a&b c", "pool": 4}));
        let (uri, unreliable) = merge(&plain).unwrap();
        assert!(uri.starts_with("redis://host/?"), "{uri}");
        assert!(uri.contains("prefix=a%26b%20c") && uri.contains("pool=4"), "{uri}");
        assert_eq!(unreliable, None);
        let more = address("mongodb://h/?w=1", serde_json::json!({"unreliable": true, "x": "y"}));
        assert_eq!(merge(&more).unwrap(), ("mongodb://h/?w=1&x=y".to_owned(), Some(true)));
    }

    #[test]
    fn an_option_that_is_no_scalar_is_refused_by_name() {
        let error = merge(&address("redis://host/", serde_json::json!({"nested": {}})));
        assert!(error.unwrap_err().to_string().contains("option nested"));
    }

    #[test]
    fn an_address_is_never_shown() {
        let address = address("redis://user:secret@host/", serde_json::json!({}));
        assert!(!format!("{address:?}").contains("secret"));
    }
}
