//! The rules for `_retry_policy`, in queue metadata and in subscription options.

use serde_json::Value;

use crate::error::{EngineError, EngineResult};

const MINIMUM_DELAY: &str = "minimum_delay";
const MAXIMUM_DELAY: &str = "maximum_delay";
const INTEGERS: [&str; 5] = [
    "retries_with_no_delay",
    "minimum_delay_retries",
    MINIMUM_DELAY,
    MAXIMUM_DELAY,
    "maximum_delay_retries",
];
const BACKOFF: &str = "retry_backoff_function";
const BACKOFFS: [&str; 4] = ["linear", "arithmetic", "exponential", "geometric"];
const IGNORE_OVERRIDE: &str = "ignore_subscription_override";

const MINIMUM_DELAY_S_DEFAULT: i64 = 5;
const MAXIMUM_DELAY_S_DEFAULT: i64 = 30;
/// The least difference between the two delays.
const DELAY_RANGE_S_MIN: i64 = 10;

/// Checks a policy; null means "unset", as does a null member.
pub(crate) fn check(policy: &Value) -> EngineResult<()> {
    let policy = match policy {
        Value::Null => return Ok(()),
        Value::Object(policy) => policy,
        _ => return Err(EngineError::attribute("retry_policy must be a dict.")),
    };
    for key in INTEGERS {
        match policy.get(key) {
            None | Some(Value::Null) => {}
            Some(value) if value.as_i64().is_some_and(|n| n >= 0) => {}
            Some(value) if value.as_i64().is_some() => {
                let message = format!("Retry policy: {key} must not be negative.");
                return Err(EngineError::attribute(message));
            }
            Some(_) => {
                let message = format!("Retry policy: {key} must be a integer.");
                return Err(EngineError::attribute(message));
            }
        }
    }
    match policy.get(BACKOFF) {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if BACKOFFS.contains(&name.as_str()) => {}
        Some(Value::String(_)) => {
            return Err(EngineError::attribute("invalid retry_backoff_function."));
        }
        Some(_) => {
            return Err(EngineError::attribute("retry_backoff_function must be a string."));
        }
    }
    match policy.get(IGNORE_OVERRIDE) {
        None | Some(Value::Null | Value::Bool(_)) => {}
        Some(_) => {
            let message = "ignore_subscription_override must be a boolean.";
            return Err(EngineError::attribute(message));
        }
    }
    let delay = |key, default| policy.get(key).and_then(Value::as_i64).unwrap_or(default);
    let minimum = delay(MINIMUM_DELAY, MINIMUM_DELAY_S_DEFAULT);
    let range = delay(MAXIMUM_DELAY, MAXIMUM_DELAY_S_DEFAULT).saturating_sub(minimum);
    if range < 0 {
        return Err(EngineError::attribute("minimum_delay must less than maximum_delay."));
    }
    if range < DELAY_RANGE_S_MIN {
        return Err(EngineError::attribute("invalid minimum_delay and maximum_delay."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_rule_has_its_text() {
        let cases = [
            (json!([]), "retry_policy must be a dict."),
            (json!({"minimum_delay": "5"}), "Retry policy: minimum_delay must be a integer."),
            (json!({"minimum_delay": 5.0}), "Retry policy: minimum_delay must be a integer."),
            (json!({"maximum_delay": true}), "Retry policy: maximum_delay must be a integer."),
            (
                json!({"retries_with_no_delay": -1}),
                "Retry policy: retries_with_no_delay must not be negative.",
            ),
            (json!({"retry_backoff_function": 1}), "retry_backoff_function must be a string."),
            (json!({"retry_backoff_function": "fast"}), "invalid retry_backoff_function."),
            (
                json!({"ignore_subscription_override": 1}),
                "ignore_subscription_override must be a boolean.",
            ),
            (json!({"maximum_delay": 4}), "minimum_delay must less than maximum_delay."),
            (json!({"minimum_delay": 21}), "invalid minimum_delay and maximum_delay."),
        ];
        for (policy, text) in cases {
            let refused = check(&policy).unwrap_err().to_string();
            assert_eq!(refused, text, "{policy}");
        }
    }

    #[test]
    fn a_sound_policy_is_accepted() {
        for policy in [
            json!(null),
            json!({}),
            json!({"minimum_delay": null, "unknown": "x"}),
            json!({"minimum_delay": 0, "maximum_delay": 10}),
            json!({"retry_backoff_function": "geometric", "ignore_subscription_override": true}),
        ] {
            assert!(check(&policy).is_ok(), "{policy}");
        }
    }
}
