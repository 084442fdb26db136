//! When a delivery that failed is tried again.
//!
//! Four phases, each with its number of tries: at once, after the least delay, after delays that
//! [grow](Backoff), after the greatest delay. Then the delivery is given up.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use zaqar_core::{JsonObject, QueueKey};

pub use crate::backoff::Backoff;

/// The subscription option, and queue attribute, that holds a policy.
pub(crate) const RETRY_POLICY: &str = "_retry_policy";

/// A queue's policy cannot be told now. Whoever needs it waits: it is not taken for missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue's retry policy cannot be read now")]
pub struct PolicyUnreadable;

/// Whoever knows the policies of queues.
#[async_trait]
pub trait PolicySource: Debug + Send + Sync + 'static {
    /// The queue's own policy, `None` if it has none.
    ///
    /// # Errors
    /// [`PolicyUnreadable`] if that cannot be told now.
    async fn queue_policy(
        &self,
        queue: &QueueKey,
    ) -> Result<Option<Arc<JsonObject>>, PolicyUnreadable>;
}

/// Queues without policies.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPolicies;

#[async_trait]
impl PolicySource for NoPolicies {
    async fn queue_policy(
        &self,
        _queue: &QueueKey,
    ) -> Result<Option<Arc<JsonObject>>, PolicyUnreadable> {
        Ok(None)
    }
}

/// How often and when a delivery is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries at once.
    pub retries_with_no_delay: u64,
    /// Tries after the least delay.
    pub minimum_delay_retries: u64,
    /// The least delay, in seconds.
    pub minimum_delay: u64,
    /// The greatest delay, in seconds.
    pub maximum_delay: u64,
    /// Tries after the greatest delay.
    pub maximum_delay_retries: u64,
    /// How the delay grows in between.
    pub backoff: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries_with_no_delay: 3,
            minimum_delay_retries: 3,
            minimum_delay: 5,
            maximum_delay: 30,
            maximum_delay_retries: 3,
            backoff: Backoff::Linear,
        }
    }
}

impl RetryPolicy {
    /// Reads a stored policy. What is missing or does not fit has its default.
    #[must_use]
    pub fn of(stored: &JsonObject) -> Self {
        let default = Self::default();
        let number =
            |key: &str, default| stored.get(key).and_then(Value::as_u64).unwrap_or(default);
        let backoff = stored.get("retry_backoff_function").and_then(Value::as_str);
        Self {
            retries_with_no_delay: number("retries_with_no_delay", default.retries_with_no_delay),
            minimum_delay_retries: number("minimum_delay_retries", default.minimum_delay_retries),
            minimum_delay: number("minimum_delay", default.minimum_delay),
            maximum_delay: number("maximum_delay", default.maximum_delay),
            maximum_delay_retries: number("maximum_delay_retries", default.maximum_delay_retries),
            backoff: backoff.and_then(Backoff::named).unwrap_or_default(),
        }
    }

    /// The one that holds for a subscription: its own, unless it has none or either says that the
    /// queue's goes first. They are never mixed.
    #[must_use]
    pub fn choose(subscription: Option<&JsonObject>, queue: Option<&JsonObject>) -> Self {
        let queue_first = |policy: &JsonObject| {
            policy.get("ignore_subscription_override").and_then(Value::as_bool) == Some(true)
        };
        let own = subscription.filter(|policy| !policy.is_empty());
        let queue = queue.filter(|policy| !policy.is_empty());
        let overridden = [own, queue].into_iter().flatten().any(queue_first);
        let chosen = if overridden { queue } else { own.or(queue) };
        chosen.map_or_else(Self::default, Self::of)
    }

    /// How long to wait after the failure number `failures`, the first being 1; `None` if that one
    /// was the last.
    #[must_use]
    pub fn delay_after(&self, failures: u32) -> Option<Duration> {
        let (least, greatest) = (self.minimum_delay, self.maximum_delay);
        let mut index = u64::from(failures.max(1)) - 1;
        let phases = [
            self.retries_with_no_delay,
            self.minimum_delay_retries,
            self.backoff.count(least, greatest),
            self.maximum_delay_retries,
        ];
        for (phase, tries) in phases.into_iter().enumerate() {
            if index < tries {
                let seconds = match phase {
                    0 => 0,
                    1 => least,
                    2 => self.backoff.delay(least, greatest, index),
                    _ => greatest,
                };
                return Some(Duration::from_secs(seconds));
            }
            index -= tries;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delays(policy: RetryPolicy) -> Vec<u64> {
        (1..).map_while(|n| policy.delay_after(n)).map(|delay| delay.as_secs()).collect()
    }

    fn object(value: Value) -> JsonObject {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn by_default_a_delivery_is_tried_fifteen_times_in_three_minutes() {
        let delays = delays(RetryPolicy::default());
        assert_eq!(delays, [0, 0, 0, 5, 5, 5, 5, 10, 15, 20, 25, 30, 30, 30]);
        assert_eq!(delays.iter().sum::<u64>(), 180);
    }

    #[test]
    fn a_stored_policy_is_followed_and_what_it_lacks_has_its_default() {
        let policy = RetryPolicy::of(&object(json!({
            "retries_with_no_delay": 0, "minimum_delay": 10, "maximum_delay": 60,
            "minimum_delay_retries": 1, "retry_backoff_function": "exponential",
            "maximum_delay_retries": null,
        })));
        let expected = [10, 10, 12, 14, 18, 22, 27, 33, 40, 49, 60, 60, 60, 60];
        assert_eq!(delays(policy), expected);
        let none = json!({
            "retries_with_no_delay": 0, "minimum_delay_retries": 0, "maximum_delay_retries": 0,
            "minimum_delay": 5, "maximum_delay": 5,
        });
        assert_eq!(RetryPolicy::of(&object(none)).delay_after(1), None);
    }

    #[test]
    fn a_subscriptions_policy_goes_before_the_queues_unless_either_says_otherwise() {
        let (own, queue) = (json!({"minimum_delay": 1}), json!({"minimum_delay": 2}));
        let least = |own: &Value, queue: &Value| {
            RetryPolicy::choose(own.as_object(), queue.as_object()).minimum_delay
        };
        assert_eq!(least(&own, &queue), 1);
        assert_eq!(least(&Value::Null, &queue), 2);
        assert_eq!(least(&json!({}), &queue), 2);
        assert_eq!(least(&Value::Null, &json!({})), 5);
        let first = json!({"minimum_delay": 2, "ignore_subscription_override": true});
        assert_eq!(least(&own, &first), 2);
        let own = json!({"minimum_delay": 1, "ignore_subscription_override": true});
        assert_eq!(least(&own, &queue), 2);
        assert_eq!(least(&own, &Value::Null), 5);
    }

    #[test]
    fn numbers_beyond_reason_are_safe() {
        let policy = RetryPolicy {
            retries_with_no_delay: u64::MAX,
            minimum_delay_retries: u64::MAX,
            minimum_delay: 0,
            maximum_delay: u64::MAX,
            ..RetryPolicy::default()
        };
        assert_eq!(policy.delay_after(u32::MAX), Some(Duration::ZERO));
        assert_eq!(policy.delay_after(0), Some(Duration::ZERO));
    }
}
