//! What is served: one table of paths, methods, policy rules and handlers.

use http::Method;

use super::routes::{Access, Endpoint, Handler, Route, Segment};
use super::{
    claims, health, home, message_post, messages, messages_delete, ping, queue_patch, queues,
    share, subscription_confirm, subscriptions,
};

use Segment::{Id, Is, Queue, Topic};

const fn everyone(method: Method, rule: &'static str, handler: Handler) -> Endpoint {
    Endpoint { method, rule: Some(rule), access: Access::Everyone, handler }
}

const fn ruleless(method: Method, handler: Handler) -> Endpoint {
    Endpoint { method, rule: None, access: Access::Everyone, handler }
}

macro_rules! route {
    ($path:expr, $segments:expr, $endpoints:expr $(,)?) => {
        Route { path: $path, segments: $segments, endpoints: $endpoints, admin: false }
    };
}

macro_rules! project {
    ($handler:path) => {
        Handler::Project(|call| Box::pin($handler(call)))
    };
}

macro_rules! queue {
    ($handler:path) => {
        Handler::Queue(|call, key, payload| Box::pin($handler(call, key, payload)))
    };
}

/// Busy paths first: they are looked through in this order.
pub(crate) static ROUTES: &[Route] = &[
    route!(
        "/v2/queues/{queue}/messages",
        &[Is("v2"), Is("queues"), Queue, Is("messages")],
        MESSAGES,
    ),
    route!(
        "/v2/queues/{queue}/messages/{id}",
        &[Is("v2"), Is("queues"), Queue, Is("messages"), Id],
        MESSAGE,
    ),
    route!(
        "/v2/queues/{queue}/claims",
        &[Is("v2"), Is("queues"), Queue, Is("claims")],
        &[everyone(Method::POST, "claims:create", queue!(claims::create))],
    ),
    route!(
        "/v2/queues/{queue}/claims/{id}",
        &[Is("v2"), Is("queues"), Queue, Is("claims"), Id],
        &[
            everyone(Method::DELETE, "claims:delete", queue!(claims::delete)),
            everyone(Method::GET, "claims:get", queue!(claims::get)),
            everyone(Method::PATCH, "claims:update", queue!(claims::update)),
        ],
    ),
    route!(
        "/v2/topics/{topic}/messages",
        &[Is("v2"), Is("topics"), Topic, Is("messages")],
        MESSAGES,
    ),
    route!(
        "/v2/topics/{topic}/messages/{id}",
        &[Is("v2"), Is("topics"), Topic, Is("messages"), Id],
        MESSAGE,
    ),
    route!(
        "/v2/queues/{queue}",
        &[Is("v2"), Is("queues"), Queue],
        &[
            everyone(Method::DELETE, "queues:delete", queue!(queues::delete)),
            everyone(Method::GET, "queues:get", queue!(queues::get)),
            everyone(Method::HEAD, "queues:get", queue!(queues::head)),
            everyone(Method::PATCH, "queues:update", queue!(queue_patch::patch)),
            everyone(Method::PUT, "queues:create", queue!(queues::create)),
        ],
    ),
    route!(
        "/v2/queues",
        &[Is("v2"), Is("queues")],
        &[everyone(Method::GET, "queues:get_all", project!(queues::list))],
    ),
    route!(
        "/v2/queues/{queue}/stats",
        &[Is("v2"), Is("queues"), Queue, Is("stats")],
        &[everyone(Method::GET, "queues:stats", queue!(queues::stats))],
    ),
    route!(
        "/v2/queues/{queue}/purge",
        &[Is("v2"), Is("queues"), Queue, Is("purge")],
        &[everyone(Method::POST, "queues:purge", queue!(queues::purge))],
    ),
    route!(
        "/v2/queues/{queue}/share",
        &[Is("v2"), Is("queues"), Queue, Is("share")],
        &[everyone(Method::POST, "queues:share", queue!(share::share))],
    ),
    route!(
        "/v2/queues/{queue}/subscriptions",
        &[Is("v2"), Is("queues"), Queue, Is("subscriptions")],
        SUBSCRIPTIONS,
    ),
    route!(
        "/v2/queues/{queue}/subscriptions/{id}",
        &[Is("v2"), Is("queues"), Queue, Is("subscriptions"), Id],
        SUBSCRIPTION,
    ),
    route!(
        "/v2/queues/{queue}/subscriptions/{id}/confirm",
        &[Is("v2"), Is("queues"), Queue, Is("subscriptions"), Id, Is("confirm")],
        CONFIRM,
    ),
    route!(
        "/v2/topics/{topic}",
        &[Is("v2"), Is("topics"), Topic],
        &[
            everyone(Method::DELETE, "topics:delete", queue!(queues::delete)),
            everyone(Method::GET, "topics:get", queue!(queues::get)),
            everyone(Method::HEAD, "topics:get", queue!(queues::head)),
            everyone(Method::PATCH, "topics:update", queue!(queue_patch::patch)),
            everyone(Method::PUT, "topics:create", queue!(queues::create)),
        ],
    ),
    route!(
        "/v2/topics",
        &[Is("v2"), Is("topics")],
        &[everyone(Method::GET, "topics:get_all", project!(queues::list_topics))],
    ),
    route!(
        "/v2/topics/{topic}/stats",
        &[Is("v2"), Is("topics"), Topic, Is("stats")],
        &[everyone(Method::GET, "topics:stats", queue!(queues::stats))],
    ),
    route!(
        "/v2/topics/{topic}/purge",
        &[Is("v2"), Is("topics"), Topic, Is("purge")],
        &[everyone(Method::POST, "topics:purge", queue!(queues::purge))],
    ),
    route!(
        "/v2/topics/{topic}/subscriptions",
        &[Is("v2"), Is("topics"), Topic, Is("subscriptions")],
        SUBSCRIPTIONS,
    ),
    route!(
        "/v2/topics/{topic}/subscriptions/{id}",
        &[Is("v2"), Is("topics"), Topic, Is("subscriptions"), Id],
        SUBSCRIPTION,
    ),
    route!(
        "/v2/topics/{topic}/subscriptions/{id}/confirm",
        &[Is("v2"), Is("topics"), Topic, Is("subscriptions"), Id, Is("confirm")],
        CONFIRM,
    ),
    route!("/", &[Is("")], &[ruleless(Method::GET, Handler::Open(home::versions))]),
    route!("/v2/", &[Is("v2"), Is("")], &[ruleless(Method::GET, project!(home::home))]),
    route!(
        "/v2/ping",
        &[Is("v2"), Is("ping")],
        &[
            everyone(Method::GET, "ping:get", project!(ping::get)),
            everyone(Method::HEAD, "ping:get", project!(ping::head)),
        ],
    ),
    Route {
        path: "/v2/health",
        segments: &[Is("v2"), Is("health")],
        endpoints: &[Endpoint {
            method: Method::GET,
            rule: Some("health:get"),
            access: Access::Role("admin"),
            handler: project!(health::get),
        }],
        admin: true,
    },
];

const MESSAGES: &[Endpoint] = &[
    everyone(Method::DELETE, "messages:delete_all", queue!(messages_delete::delete_many)),
    everyone(Method::GET, "messages:get_all", queue!(messages::list)),
    everyone(Method::POST, "messages:create", queue!(message_post::post)),
];

const MESSAGE: &[Endpoint] = &[
    everyone(Method::DELETE, "messages:delete", queue!(messages_delete::delete)),
    everyone(Method::GET, "messages:get", queue!(messages::get)),
];

const SUBSCRIPTIONS: &[Endpoint] = &[
    everyone(Method::GET, "subscription:get_all", queue!(subscriptions::list)),
    everyone(Method::POST, "subscription:create", queue!(subscriptions::create)),
];

const SUBSCRIPTION: &[Endpoint] = &[
    everyone(Method::DELETE, "subscription:delete", queue!(subscriptions::delete)),
    everyone(Method::GET, "subscription:get", queue!(subscriptions::get)),
    everyone(Method::PATCH, "subscription:update", queue!(subscriptions::update)),
];

const CONFIRM: &[Endpoint] =
    &[everyone(Method::PUT, "subscription:confirm", queue!(subscription_confirm::confirm))];
