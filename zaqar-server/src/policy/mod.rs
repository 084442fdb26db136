//! Who may do what: the rules in force, from the configuration, and what is told of them on the
//! command line. What a rule is, and whether it holds, is `zaqar-auth`'s.

pub(crate) mod command;

use std::path::Path;
use std::sync::Arc;

use zaqar_auth::policy::Policy;

use crate::config::{Config, ConfigError, Problem};

const KEY: &str = "oslo_policy.policy_file";

/// The rules that the configuration wants.
pub(crate) fn load(config: &Config) -> Result<Arc<Policy>, ConfigError> {
    let file = config.oslo_policy.policy_file.as_str();
    if file.is_empty() {
        return Ok(Arc::default());
    }
    let policy = Policy::from_file(Path::new(file)).map_err(|error| {
        let source = "the configuration as a whole".to_owned();
        let problem = Problem { key: KEY.to_owned(), source, reason: error.to_string() };
        ConfigError::Options(vec![problem])
    })?;
    for rule in policy.unused() {
        tracing::warn!(file, rule, "no operation and no other rule asks this rule");
    }
    Ok(Arc::new(policy))
}
