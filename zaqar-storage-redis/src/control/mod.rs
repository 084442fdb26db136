//! The control plane: small records, each written by one script.

mod catalogue;
mod flavors;
mod pools;
mod queues;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zaqar_core::{ProjectId, Result, Timestamp};

use crate::codec::Reply;
use crate::driver::RedisControl;
use crate::keys::Place;
use crate::registry::Script;
use crate::store::{Answer, Call};

/// The stored text of a small JSON value.
fn to_text(value: &impl Serialize) -> String {
    // Maps with text keys and sets of words always have a text.
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a small JSON value.
fn from_text<T: DeserializeOwned>(reply: &Reply, text: &str, what: &'static str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| reply.damaged(what))
}

impl RedisControl {
    /// Runs a script that changes records of the control plane.
    async fn change<A>(
        &self,
        operation: &'static str,
        script: &'static Script,
        place: Place,
        project: Option<&ProjectId>,
        arguments: A,
    ) -> Result<Answer>
    where
        A: Fn(&mut redis::Cmd) + Send + Sync + 'static,
    {
        let arguments = move |command: &mut redis::Cmd, _: Timestamp| arguments(command);
        self.store.write(project, Call { operation, script, place, writes: true, arguments }).await
    }

    /// Runs a script that reads records of the control plane.
    async fn look<A>(
        &self,
        operation: &'static str,
        script: &'static Script,
        place: Place,
        arguments: A,
    ) -> Result<Answer>
    where
        A: Fn(&mut redis::Cmd) + Send + Sync,
    {
        let arguments = |command: &mut redis::Cmd, _: Timestamp| arguments(command);
        self.store.read(None, Call { operation, script, place, writes: false, arguments }).await
    }
}
