//! Reserved queue attributes: metadata keys that mean something to the service.
//!
//! They are stored among the tenant's own keys. Here they are checked when they are set, read when
//! an operation needs them, and shown with their defaults. Where a stored value is null, zero or
//! otherwise empty, the default holds, for clients that look as for the service itself.

use std::sync::Arc;

use serde_json::Value;
use zaqar_core::{JsonObject, QueueKind, QueueName};

use crate::bounds::TTL_S_MIN;
use crate::config::EngineConfig;
use crate::error::{EngineError, EngineResult};
use crate::retry_policy;

const MESSAGES_POST_SIZE_MAX: &str = "_max_messages_post_size";
const DEFAULT_MESSAGE_TTL: &str = "_default_message_ttl";
const DEFAULT_MESSAGE_DELAY: &str = "_default_message_delay";
const DEAD_LETTER_QUEUE: &str = "_dead_letter_queue";
const DEAD_LETTER_TTL: &str = "_dead_letter_queue_messages_ttl";
const CLAIM_COUNT_MAX: &str = "_max_claim_count";
const ENCRYPT: &str = "_enable_encrypt_messages";
const FLAVOR: &str = "_flavor";
const RETRY_POLICY: &str = "_retry_policy";

/// Keys that are always shown, for queues; topics show the first three.
const SHOWN: [&str; 7] = [
    MESSAGES_POST_SIZE_MAX,
    DEFAULT_MESSAGE_TTL,
    DEFAULT_MESSAGE_DELAY,
    DEAD_LETTER_QUEUE,
    DEAD_LETTER_TTL,
    CLAIM_COUNT_MAX,
    ENCRYPT,
];
const SHOWN_FOR_TOPICS: usize = 3;

/// When a message is moved away, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetterPolicy {
    /// How often a message may be claimed.
    pub(crate) claims_max: u32,
    /// The queue that takes it afterwards.
    pub(crate) target: QueueName,
    /// Its life there in seconds; `None`: the target's default.
    pub(crate) ttl: Option<u64>,
}

/// The flavor that a queue's pool is to have, if its metadata asks for one.
pub(crate) fn flavor(metadata: &JsonObject) -> Option<&str> {
    metadata.get(FLAVOR).and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// The attributes that operations need, as they are stored; `None` where a default holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct QueueAttributes {
    pub(crate) message_ttl: Option<u64>,
    pub(crate) message_delay: Option<u64>,
    pub(crate) messages_post_size_max: Option<u64>,
    pub(crate) dead_letters: Option<DeadLetterPolicy>,
    pub(crate) retry_policy: Option<Arc<JsonObject>>,
    pub(crate) encrypt: bool,
}

impl QueueAttributes {
    /// Reads stored metadata. What does not fit counts as unset: an older version may have stored
    /// what this one refuses.
    pub(crate) fn of(metadata: &JsonObject) -> Self {
        let seconds = |key: &str| metadata.get(key).and_then(Value::as_u64).filter(|&n| n > 0);
        let target = metadata.get(DEAD_LETTER_QUEUE).and_then(Value::as_str);
        let target = target.and_then(|name| QueueName::new(name).ok());
        let claims_max = seconds(CLAIM_COUNT_MAX).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let dead_letters = claims_max.zip(target).map(|(claims_max, target)| DeadLetterPolicy {
            claims_max,
            target,
            ttl: seconds(DEAD_LETTER_TTL),
        });
        Self {
            message_ttl: seconds(DEFAULT_MESSAGE_TTL),
            message_delay: seconds(DEFAULT_MESSAGE_DELAY),
            messages_post_size_max: seconds(MESSAGES_POST_SIZE_MAX),
            dead_letters,
            retry_policy: metadata
                .get(RETRY_POLICY)
                .and_then(Value::as_object)
                .cloned()
                .map(Arc::new),
            encrypt: metadata.get(ENCRYPT) == Some(&Value::Bool(true)),
        }
    }
}

/// Whether `key` counts as present in every queue (or topic) although it is not stored.
pub(crate) fn is_always_shown(key: &str, kind: QueueKind) -> bool {
    shown(kind).contains(&key)
}

fn shown(kind: QueueKind) -> &'static [&'static str] {
    match kind {
        QueueKind::Queue => &SHOWN,
        QueueKind::Topic => SHOWN.get(..SHOWN_FOR_TOPICS).unwrap_or_default(),
    }
}

/// Stored metadata as clients are shown it: with the defaults of reserved attributes.
pub(crate) fn display(
    mut stored: JsonObject,
    kind: QueueKind,
    config: &EngineConfig,
) -> JsonObject {
    for &key in shown(kind) {
        if stored.get(key).is_none_or(is_empty) {
            stored.insert(key.to_owned(), default_of(key, config));
        }
    }
    stored
}

fn default_of(key: &str, config: &EngineConfig) -> Value {
    match key {
        MESSAGES_POST_SIZE_MAX => config.limits.messages_post_size_max.into(),
        DEFAULT_MESSAGE_TTL => config.defaults.message_ttl.into(),
        DEFAULT_MESSAGE_DELAY => config.defaults.message_delay.into(),
        ENCRYPT => false.into(),
        _ => Value::Null,
    }
}

/// Null, false, zero, and empty text, array or object.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// Checks every reserved attribute in `metadata`, which is to be stored for the queue `name`.
///
/// Null is allowed everywhere and means "unset".
pub(crate) fn check(
    metadata: &JsonObject,
    name: &QueueName,
    config: &EngineConfig,
) -> EngineResult<()> {
    let limits = &config.limits;
    check_integer(metadata, DEFAULT_MESSAGE_TTL, TTL_S_MIN, limits.message_ttl_max, |max| {
        format!(
            "_default_message_ttl can not exceed {max} seconds, and must be at least {TTL_S_MIN} \
             seconds long."
        )
    })?;
    // Two blanks: clients know this text.
    check_integer(metadata, MESSAGES_POST_SIZE_MAX, 1, limits.messages_post_size_max, |max| {
        format!(
            "_max_messages_post_size can not exceed {max},  and must be at least greater than 0."
        )
    })?;
    check_integer(metadata, DEFAULT_MESSAGE_DELAY, 0, limits.message_delay_max, |max| {
        format!("The TTL can not exceed {max} seconds, and must be at least 0 seconds long.")
    })?;
    check_integer(metadata, CLAIM_COUNT_MAX, 0, u64::from(u32::MAX), |max| {
        format!("_max_claim_count can not exceed {max}, and must not be negative.")
    })?;
    check_integer(metadata, DEAD_LETTER_TTL, TTL_S_MIN, limits.message_ttl_max, |max| {
        format!(
            "The TTL for a message may not exceed {max} seconds, and must be at least {TTL_S_MIN} \
             seconds long."
        )
    })?;
    check_dead_letter_queue(metadata, name)?;
    check_encryption(metadata, config.encryption.is_some())?;
    match metadata.get(FLAVOR) {
        None | Some(Value::Null | Value::String(_)) => {}
        Some(_) => return Err(EngineError::attribute("_flavor must be a string.")),
    }
    metadata.get(RETRY_POLICY).map_or(Ok(()), retry_policy::check)
}

fn check_integer(
    metadata: &JsonObject,
    key: &str,
    min: u64,
    max: u64,
    out_of_range: impl FnOnce(u64) -> String,
) -> EngineResult<()> {
    match metadata.get(key) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Number(number)) if number.is_u64() || number.is_i64() => {
            if number.as_u64().is_some_and(|n| (min..=max).contains(&n)) {
                Ok(())
            } else {
                Err(EngineError::attribute(out_of_range(max)))
            }
        }
        Some(_) => Err(EngineError::attribute(format!("{key} must be integer."))),
    }
}

fn check_dead_letter_queue(metadata: &JsonObject, name: &QueueName) -> EngineResult<()> {
    let target = match metadata.get(DEAD_LETTER_QUEUE) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(target)) if target.is_empty() => return Ok(()),
        Some(target) => target.as_str().and_then(|target| QueueName::new(target).ok()),
    };
    match target {
        None => Err(EngineError::attribute("_dead_letter_queue must be a valid queue name.")),
        Some(target) if target == *name => {
            Err(EngineError::attribute("_dead_letter_queue must be another queue."))
        }
        Some(_) => Ok(()),
    }
}

/// Without keys encryption is refused rather than ignored: a tenant who asks for it must not
/// believe that messages are stored encrypted when they are not.
fn check_encryption(metadata: &JsonObject, has_keys: bool) -> EngineResult<()> {
    match metadata.get(ENCRYPT) {
        None | Some(Value::Null | Value::Bool(false)) => Ok(()),
        Some(Value::Bool(true)) if has_keys => Ok(()),
        Some(Value::Bool(true)) => Err(EngineError::attribute(
            "_enable_encrypt_messages can not be true: this server has no keys to encrypt messages with.",
        )),
        Some(_) => Err(EngineError::attribute("_enable_encrypt_messages must be boolean.")),
    }
}

/// Checks a `_retry_policy`, as queue metadata and subscription options hold it.
///
/// # Errors
/// [`EngineError::Attribute`] says which rule is broken.
pub fn retry_policy_check(policy: &Value) -> EngineResult<()> {
    retry_policy::check(policy)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> JsonObject {
        value.as_object().unwrap().clone()
    }

    fn refusal(value: Value) -> Option<String> {
        let name = QueueName::new("q").unwrap();
        let config = EngineConfig::default();
        check(&object(value), &name, &config).err().map(|error| error.to_string())
    }

    #[test]
    fn an_attribute_out_of_range_is_refused_with_the_text_that_clients_know() {
        let ttl = "_default_message_ttl can not exceed 1209600 seconds, and must be at least 60 \
                   seconds long.";
        let size = "_max_messages_post_size can not exceed 262144,  and must be at least greater \
                    than 0.";
        let delay = "The TTL can not exceed 900 seconds, and must be at least 0 seconds long.";
        let dead = "The TTL for a message may not exceed 1209600 seconds, and must be at least 60 \
                    seconds long.";
        let cases = [
            (json!({"_default_message_ttl": 59}), ttl),
            (json!({"_default_message_ttl": 0}), ttl),
            (json!({"_default_message_ttl": 1_209_601}), ttl),
            (json!({"_max_messages_post_size": 0}), size),
            (json!({"_max_messages_post_size": 262_145}), size),
            (json!({"_default_message_delay": -1}), delay),
            (json!({"_default_message_delay": 901}), delay),
            (json!({"_dead_letter_queue_messages_ttl": 59}), dead),
            (
                json!({"_max_claim_count": -1}),
                "_max_claim_count can not exceed 4294967295, and must not be negative.",
            ),
        ];
        for (metadata, text) in cases {
            assert_eq!(refusal(metadata.clone()).as_deref(), Some(text), "{metadata}");
        }
    }

    #[test]
    fn an_attribute_of_the_wrong_type_is_refused() {
        for key in [
            DEFAULT_MESSAGE_TTL,
            MESSAGES_POST_SIZE_MAX,
            DEFAULT_MESSAGE_DELAY,
            CLAIM_COUNT_MAX,
            DEAD_LETTER_TTL,
        ] {
            for wrong in [json!("60"), json!(""), json!([]), json!(60.0), json!(true), json!({})] {
                let text = refusal(json!({key: wrong}));
                assert_eq!(text, Some(format!("{key} must be integer.")), "{wrong}");
            }
        }
        let text = "_enable_encrypt_messages must be boolean.";
        assert_eq!(refusal(json!({"_enable_encrypt_messages": "yes"})).as_deref(), Some(text));
        let text = "_dead_letter_queue must be a valid queue name.";
        assert_eq!(refusal(json!({"_dead_letter_queue": 5})).as_deref(), Some(text));
        assert_eq!(refusal(json!({"_dead_letter_queue": "a/b"})).as_deref(), Some(text));
        let text = "_dead_letter_queue must be another queue.";
        assert_eq!(refusal(json!({"_dead_letter_queue": "q"})).as_deref(), Some(text));
    }

    #[test]
    fn good_attributes_null_and_any_other_key_are_accepted() {
        let good = json!({
            "_default_message_ttl": 60, "_max_messages_post_size": 1, "_default_message_delay": 0,
            "_max_claim_count": 0, "_dead_letter_queue": "dead", "_flavor": "gold",
            "_dead_letter_queue_messages_ttl": 1_209_600, "_enable_encrypt_messages": false,
            "_retry_policy": {"minimum_delay": 5, "maximum_delay": 15, "other": 1},
            "_ttl": "x", "": 1, "$a": [], "a.b": {},
        });
        assert_eq!(refusal(good), None);
        for key in SHOWN.into_iter().chain([FLAVOR, RETRY_POLICY]) {
            assert_eq!(refusal(json!({key: null})), None, "{key}");
        }
    }

    #[test]
    fn encryption_without_keys_is_refused_rather_than_ignored() {
        assert!(refusal(json!({"_enable_encrypt_messages": true})).is_some());
    }

    #[test]
    fn a_missing_or_empty_reserved_value_is_shown_as_its_default() {
        let config = EngineConfig::default();
        let shown = display(
            object(json!({"_default_message_ttl": 60, "_max_claim_count": 0, "mine": 0})),
            QueueKind::Queue,
            &config,
        );
        let expected = json!({
            "_default_message_ttl": 60, "_max_claim_count": null, "mine": 0,
            "_max_messages_post_size": 262_144, "_default_message_delay": 0,
            "_dead_letter_queue": null, "_dead_letter_queue_messages_ttl": null,
            "_enable_encrypt_messages": false,
        });
        assert_eq!(shown, object(expected));
        let topic = display(JsonObject::new(), QueueKind::Topic, &config);
        let expected = json!({
            "_max_messages_post_size": 262_144, "_default_message_ttl": 3_600,
            "_default_message_delay": 0,
        });
        assert_eq!(topic, object(expected));
    }

    #[test]
    fn dead_letters_need_both_a_count_and_a_queue() {
        let of = |value| QueueAttributes::of(&object(value)).dead_letters;
        assert_eq!(of(json!({"_max_claim_count": 2})), None);
        assert_eq!(of(json!({"_dead_letter_queue": "d"})), None);
        assert_eq!(of(json!({"_max_claim_count": null, "_dead_letter_queue": "d"})), None);
        assert_eq!(of(json!({"_max_claim_count": 2, "_dead_letter_queue": "no/name"})), None);
        let target = QueueName::new("d").unwrap();
        let policy = DeadLetterPolicy { claims_max: 2, target, ttl: None };
        assert_eq!(of(json!({"_max_claim_count": 2, "_dead_letter_queue": "d"})), Some(policy));
    }
}
