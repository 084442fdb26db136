//! What is tried by each WebSocket action. What destroys most comes last.

/// An action and the bodies that it is tried with.
pub(crate) type Row = (&'static str, &'static [&'static str]);

/// Actions that are about no tenant's things.
pub(crate) const OF_NOBODY: &[&str] = &["authenticate"];

/// All other actions.
pub(crate) const ROWS: &[Row] = &[
    ("queue_list", &[r#"{"detailed": true}"#, r#"{"marker": "a", "limit": 20}"#]),
    ("queue_get", &[r#"{"queue_name": "{queue}"}"#]),
    ("queue_get_stats", &[r#"{"queue_name": "{queue}"}"#]),
    (
        "message_list",
        &[
            r#"{"queue_name": "{queue}", "echo": true, "include_claimed": true, "include_delayed": true}"#,
            r#"{"queue_name": "{queue}", "echo": true, "marker": "{marker}"}"#,
        ],
    ),
    (
        "message_get",
        &[
            r#"{"queue_name": "{queue}", "message_id": "{message}"}"#,
            r#"{"queue_name": "{queue}", "message_id": "{claimed}"}"#,
        ],
    ),
    (
        "message_get_many",
        &[r#"{"queue_name": "{queue}", "message_ids": ["{message}", "{claimed}", "{delayed}"]}"#],
    ),
    ("claim_get", &[r#"{"queue_name": "{queue}", "claim_id": "{claim}"}"#]),
    (
        "subscription_list",
        &[
            r#"{"queue_name": "{queue}"}"#,
            r#"{"queue_name": "{queue}", "marker": "000000000100000000000000"}"#,
        ],
    ),
    ("subscription_get", &[r#"{"queue_name": "{queue}", "subscription_id": "{subscription}"}"#]),
    (
        "message_post",
        &[r#"{"queue_name": "{queue}", "messages": [{"body": "from outside", "ttl": 300}]}"#],
    ),
    ("queue_create", &[r#"{"queue_name": "{queue}", "metadata": {"note": "from outside"}}"#]),
    (
        "claim_update",
        &[r#"{"queue_name": "{queue}", "claim_id": "{claim}", "ttl": 120, "grace": 60}"#],
    ),
    (
        "subscription_create",
        &[
            r#"{"queue_name": "{queue}", "subscriber": "{hook}", "ttl": 600}"#,
            r#"{"queue_name": "{queue}", "ttl": 600}"#,
        ],
    ),
    (
        "message_delete",
        &[
            r#"{"queue_name": "{queue}", "message_id": "{message}"}"#,
            r#"{"queue_name": "{queue}", "message_id": "{claimed}"}"#,
            r#"{"queue_name": "{queue}", "message_id": "{claimed}", "claim_id": "{claim}"}"#,
        ],
    ),
    ("claim_delete", &[r#"{"queue_name": "{queue}", "claim_id": "{claim}"}"#]),
    ("claim_create", &[r#"{"queue_name": "{queue}", "ttl": 120, "grace": 60, "limit": 3}"#]),
    (
        "message_delete_many",
        &[
            r#"{"queue_name": "{queue}", "message_ids": ["{message}", "{claimed}"]}"#,
            r#"{"queue_name": "{queue}", "message_ids": ["{claimed}"], "claim_ids": ["{claim}"]}"#,
            r#"{"queue_name": "{queue}", "pop": 3}"#,
        ],
    ),
    ("subscription_delete", &[r#"{"queue_name": "{queue}", "subscription_id": "{subscription}"}"#]),
    (
        "queue_purge",
        &[r#"{"queue_name": "{queue}", "resource_types": ["messages", "subscriptions"]}"#],
    ),
    ("queue_delete", &[r#"{"queue_name": "{queue}"}"#]),
];
