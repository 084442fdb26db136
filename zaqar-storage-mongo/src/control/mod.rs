//! The control plane in the same database: small collections, each change a transaction.
//!
//! Names are compared bytewise (no collation), and ids are put together so that no two things share
//! one: a queue's name has no `/`, so what follows the second one is the project, whatever it holds.

mod catalogue;
mod flavors;
mod pools;
mod queues;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zaqar_core::{ProjectId, QueueKey};

use crate::error::{NativeResult, damaged};
use crate::rows::kind_code;

/// The id of what is known of a queue.
fn queue_id(key: &QueueKey) -> String {
    format!("{}/{}/{}", kind_code(key.kind), key.name, key.project)
}

/// The id of what is known of a name within a project.
fn scoped_id(name: &str, project: &ProjectId) -> String {
    format!("{name}/{project}")
}

/// The stored text of a small JSON value.
fn to_text(value: &impl Serialize) -> NativeResult<String> {
    serde_json::to_string(value).map_err(|_| damaged("value that is to be"))
}

/// Reads a small JSON value.
fn from_text<T: DeserializeOwned>(text: &str, what: &'static str) -> NativeResult<T> {
    serde_json::from_str(text).map_err(|_| damaged(what))
}
