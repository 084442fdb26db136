//! What is said to one stage: a section that only the stage itself can read.

use std::collections::BTreeMap;
use std::fmt;

use config::{ConfigError, Map, Value, ValueKind};
use serde::de::DeserializeOwned;

use crate::stages::InvalidStage;

/// The section `[stages.NAME]`, empty if there is none.
#[derive(Clone, PartialEq)]
pub struct StageOptions {
    values: Map<String, Value>,
    source: String,
}

impl Default for StageOptions {
    fn default() -> Self {
        Self { values: Map::new(), source: "the defaults".to_owned() }
    }
}

/// Names alone: nobody here knows which values are secret.
impl fmt::Debug for StageOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StageOptions").field(&self.names()).finish()
    }
}

impl StageOptions {
    /// Reads them as a stage wants them. Numbers and flags may be given as texts, as environment
    /// variables are.
    ///
    /// # Errors
    /// [`InvalidStage`] names the first option that does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, InvalidStage> {
        let whole = Value::new(None, ValueKind::Table(self.values.clone()));
        whole.try_deserialize().map_err(|error| invalid(error, String::new()))
    }

    /// The names of the options that were given.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.values.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The layer that gave them, or one of those that did.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }
}

/// What is wrong, without the value, which may be secret.
fn invalid(error: ConfigError, at: String) -> InvalidStage {
    match error {
        ConfigError::Type { expected, key, .. } => {
            InvalidStage::new(key.unwrap_or(at), format!("must be {expected}"))
        }
        ConfigError::At { error, key, .. } => invalid(*error, key.unwrap_or(at)),
        ConfigError::NotFound(option) => InvalidStage::new(at, format!("missing field `{option}`")),
        ConfigError::Message(reason) => InvalidStage::new(at, reason),
        _ => InvalidStage::new(at, "cannot be read"),
    }
}

/// Takes the stages' own sections out of what all layers say.
pub(super) fn take(merged: &mut Map<String, Value>) -> BTreeMap<String, StageOptions> {
    let Some(ValueKind::Table(section)) = merged.get_mut("stages").map(|value| &mut value.kind)
    else {
        return BTreeMap::new();
    };
    let names: Vec<String> = section
        .iter()
        .filter(|(_, value)| matches!(value.kind, ValueKind::Table(_)))
        .map(|(name, _)| name.clone())
        .collect();
    let mut taken = BTreeMap::new();
    for name in names {
        if let Some(ValueKind::Table(values)) = section.remove(&name).map(|value| value.kind) {
            let source = values.values().find_map(|value| value.origin().map(str::to_owned));
            let source = source.unwrap_or_else(|| "an unnamed layer".to_owned());
            taken.insert(name, StageOptions { values, source });
        }
    }
    taken
}
