//! A stage that is no part of Zaqar: it refuses messages that are too large for their queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use zaqar_core::{Error, NewMessage, QueueRef, Result};
use zaqar_engine::{FilterStage, MessageFilter, Stage};
use zaqar_server::config::StageOptions;
use zaqar_server::stages::{InvalidStage, Stages};

/// The stage's name in the configuration.
pub const NAME: &str = "body_limit";

/// What stands in `[stages.body_limit]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyLimit {
    /// Most bytes of a message's body.
    bytes_max: u64,
    /// The same for single queues, by name.
    #[serde(default)]
    queues: BTreeMap<String, u64>,
}

impl BodyLimit {
    fn bytes_max(&self, queue: &QueueRef) -> u64 {
        self.queues.get(queue.key.name.as_str()).copied().unwrap_or(self.bytes_max)
    }
}

#[async_trait]
impl MessageFilter for BodyLimit {
    fn name(&self) -> &str {
        NAME
    }

    async fn post(&self, queue: &QueueRef, messages: &mut [NewMessage]) -> Result<()> {
        let bytes_max = self.bytes_max(queue);
        let is_too_large = |message: &NewMessage| message.body.len() as u64 > bytes_max;
        if messages.iter().any(is_too_large) {
            metrics::counter!("body_limit_refusals_total").increment(1);
            let reason = format!("must not have more than {bytes_max} bytes in this queue");
            return Err(Error::Invalid { field: "body", reason });
        }
        Ok(())
    }
}

/// Makes the stage of its options.
fn body_limit(options: &StageOptions) -> std::result::Result<Arc<dyn Stage>, InvalidStage> {
    let limit: BodyLimit = options.read()?;
    if limit.bytes_max == 0 {
        return Err(InvalidStage::new("bytes_max", "must be at least 1"));
    }
    Ok(Arc::new(FilterStage::new(limit)))
}

/// The stages that a program with this crate has.
#[must_use]
pub fn stages() -> Stages {
    Stages::new().with(NAME, body_limit)
}
