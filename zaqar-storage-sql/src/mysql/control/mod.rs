//! The control plane in the same schema: small tables, changed in small transactions.

mod catalogue;
mod flavors;
mod pools;
mod queues;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::damaged;

/// The stored text of a small JSON value.
fn to_text(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Reads a small JSON value.
fn from_text<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|_| damaged(what))
}
