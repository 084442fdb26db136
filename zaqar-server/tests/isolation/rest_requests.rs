//! What is tried on each route. What destroys most comes last.

/// A method and a path of the route table, and what is tried there: targets and bodies.
pub(crate) type Row = (&'static str, &'static [(&'static str, &'static str)]);

const POST: &str = r#"{"messages": [{"body": "from outside", "ttl": 300}]}"#;
const TERMS: &str = r#"{"ttl": 120, "grace": 60}"#;
const METADATA: &str = r#"{"note": "from outside"}"#;
const PATCH: &str = r#"[{"op": "add", "path": "/metadata/note", "value": "from outside"}]"#;
const SUBSCRIBER: &str = r#"{"subscriber": "{hook}", "ttl": 600, "options": {"from": "outside"}}"#;
const UNCONFIRM: &str = r#"{"confirmed": false}"#;
const SHARE: &str = r#"{"paths": ["messages"], "methods": ["GET"]}"#;
const EVERYTHING: &str = r#"{"resource_types": ["messages", "subscriptions"]}"#;

/// Routes that tell everybody the same, for they are about no tenant.
pub(crate) const OF_NOBODY: &[&str] = &[
    "GET /",
    "GET /v2/",
    "GET /v2/health",
    "GET /v2/openapi.json",
    "GET /v2/ping",
    "HEAD /v2/ping",
    "GET /v2/pools",
    "GET /v2/pools/{id}",
    "PUT /v2/pools/{id}",
    "PATCH /v2/pools/{id}",
    "DELETE /v2/pools/{id}",
    "GET /v2/moves",
    "POST /v2/moves",
    // Flavors are a project's (zaqar-server/tests/rest/flavors.rs); these servers have no pools.
    "GET /v2/flavors",
    "GET /v2/flavors/{id}",
    "PUT /v2/flavors/{id}",
    "PATCH /v2/flavors/{id}",
    "DELETE /v2/flavors/{id}",
];

/// All other routes.
pub(crate) const ROWS: &[Row] = &[
    (
        "GET /v2/queues",
        &[
            ("/v2/queues?detailed=true&with_count=true", ""),
            ("/v2/queues?marker=a&limit=20", ""),
            ("/v2/queues?name={queue}&detailed=true", ""),
        ],
    ),
    ("GET /v2/topics", &[("/v2/topics?detailed=true&limit=20", "")]),
    ("HEAD /v2/queues/{queue}", &[("/v2/queues/{queue}", "")]),
    ("HEAD /v2/topics/{topic}", &[("/v2/topics/{topic}", "")]),
    ("GET /v2/queues/{queue}", &[("/v2/queues/{queue}", "")]),
    ("GET /v2/topics/{topic}", &[("/v2/topics/{topic}", "")]),
    ("GET /v2/queues/{queue}/stats", &[("/v2/queues/{queue}/stats", "")]),
    ("GET /v2/topics/{topic}/stats", &[("/v2/topics/{topic}/stats", "")]),
    (
        "GET /v2/queues/{queue}/messages",
        &[
            ("/v2/queues/{queue}/messages?echo=true&include_claimed=true&include_delayed=true", ""),
            ("/v2/queues/{queue}/messages?echo=true&marker={marker}", ""),
            ("/v2/queues/{queue}/messages?ids={message},{claimed},{delayed}", ""),
        ],
    ),
    (
        "GET /v2/queues/{queue}/dead_letters",
        &[("/v2/queues/{queue}/dead_letters?include_claimed=true", "")],
    ),
    (
        "GET /v2/topics/{topic}/messages",
        &[
            ("/v2/topics/{topic}/messages?echo=true&include_delayed=true", ""),
            ("/v2/topics/{topic}/messages?ids={topic_message}", ""),
        ],
    ),
    (
        "GET /v2/queues/{queue}/messages/{id}",
        &[
            ("/v2/queues/{queue}/messages/{message}", ""),
            ("/v2/queues/{queue}/messages/{claimed}?claim_id={claim}", ""),
        ],
    ),
    (
        "GET /v2/topics/{topic}/messages/{id}",
        &[("/v2/topics/{topic}/messages/{topic_message}", "")],
    ),
    ("GET /v2/queues/{queue}/claims/{id}", &[("/v2/queues/{queue}/claims/{claim}", "")]),
    (
        "GET /v2/queues/{queue}/subscriptions",
        &[
            ("/v2/queues/{queue}/subscriptions", ""),
            ("/v2/queues/{queue}/subscriptions?marker=000000000100000000000000", ""),
        ],
    ),
    ("GET /v2/topics/{topic}/subscriptions", &[("/v2/topics/{topic}/subscriptions", "")]),
    (
        "GET /v2/queues/{queue}/subscriptions/{id}",
        &[("/v2/queues/{queue}/subscriptions/{subscription}", "")],
    ),
    (
        "GET /v2/topics/{topic}/subscriptions/{id}",
        &[("/v2/topics/{topic}/subscriptions/{topic_subscription}", "")],
    ),
    ("POST /v2/queues/{queue}/share", &[("/v2/queues/{queue}/share", SHARE)]),
    ("POST /v2/queues/{queue}/messages", &[("/v2/queues/{queue}/messages", POST)]),
    ("POST /v2/topics/{topic}/messages", &[("/v2/topics/{topic}/messages", POST)]),
    ("PUT /v2/queues/{queue}", &[("/v2/queues/{queue}", METADATA)]),
    ("PUT /v2/topics/{topic}", &[("/v2/topics/{topic}", METADATA)]),
    ("PATCH /v2/queues/{queue}", &[("/v2/queues/{queue}", PATCH)]),
    ("PATCH /v2/topics/{topic}", &[("/v2/topics/{topic}", PATCH)]),
    ("PATCH /v2/queues/{queue}/claims/{id}", &[("/v2/queues/{queue}/claims/{claim}", TERMS)]),
    (
        "PATCH /v2/queues/{queue}/subscriptions/{id}",
        &[("/v2/queues/{queue}/subscriptions/{subscription}", r#"{"ttl": 700}"#)],
    ),
    (
        "PATCH /v2/topics/{topic}/subscriptions/{id}",
        &[("/v2/topics/{topic}/subscriptions/{topic_subscription}", r#"{"ttl": 700}"#)],
    ),
    (
        "PUT /v2/queues/{queue}/subscriptions/{id}/confirm",
        &[("/v2/queues/{queue}/subscriptions/{subscription}/confirm", UNCONFIRM)],
    ),
    (
        "PUT /v2/topics/{topic}/subscriptions/{id}/confirm",
        &[("/v2/topics/{topic}/subscriptions/{topic_subscription}/confirm", UNCONFIRM)],
    ),
    ("POST /v2/queues/{queue}/subscriptions", &[("/v2/queues/{queue}/subscriptions", SUBSCRIBER)]),
    ("POST /v2/topics/{topic}/subscriptions", &[("/v2/topics/{topic}/subscriptions", SUBSCRIBER)]),
    (
        "DELETE /v2/queues/{queue}/messages/{id}",
        &[
            ("/v2/queues/{queue}/messages/{message}", ""),
            ("/v2/queues/{queue}/messages/{claimed}", ""),
            ("/v2/queues/{queue}/messages/{claimed}?claim_id={claim}", ""),
        ],
    ),
    (
        "DELETE /v2/topics/{topic}/messages/{id}",
        &[("/v2/topics/{topic}/messages/{topic_message}", "")],
    ),
    ("DELETE /v2/queues/{queue}/claims/{id}", &[("/v2/queues/{queue}/claims/{claim}", "")]),
    ("POST /v2/queues/{queue}/claims", &[("/v2/queues/{queue}/claims?limit=3", TERMS)]),
    (
        "POST /v2/queues/{queue}/redrive",
        &[
            (
                "/v2/queues/{queue}/redrive",
                r#"{"to": "elsewhere", "ids": ["{message}", "{claimed}"]}"#,
            ),
            ("/v2/queues/{queue}/redrive", r#"{"to": "elsewhere"}"#),
            ("/v2/queues/{queue}/redrive", ""),
        ],
    ),
    (
        "DELETE /v2/queues/{queue}/messages",
        &[
            ("/v2/queues/{queue}/messages?ids={message},{claimed}", ""),
            ("/v2/queues/{queue}/messages?ids={message},{claimed}&claim_ids={claim}", ""),
            ("/v2/queues/{queue}/messages?pop=3", ""),
        ],
    ),
    (
        "DELETE /v2/topics/{topic}/messages",
        &[
            ("/v2/topics/{topic}/messages?ids={topic_message}", ""),
            ("/v2/topics/{topic}/messages?pop=3", ""),
        ],
    ),
    (
        "DELETE /v2/queues/{queue}/subscriptions/{id}",
        &[("/v2/queues/{queue}/subscriptions/{subscription}", "")],
    ),
    (
        "DELETE /v2/topics/{topic}/subscriptions/{id}",
        &[("/v2/topics/{topic}/subscriptions/{topic_subscription}", "")],
    ),
    ("POST /v2/queues/{queue}/purge", &[("/v2/queues/{queue}/purge", EVERYTHING)]),
    ("POST /v2/topics/{topic}/purge", &[("/v2/topics/{topic}/purge", EVERYTHING)]),
    ("DELETE /v2/queues/{queue}", &[("/v2/queues/{queue}", "")]),
    ("DELETE /v2/topics/{topic}", &[("/v2/topics/{topic}", "")]),
];
