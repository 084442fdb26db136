//! What is served: one table of paths, methods, policy rules and handlers.

use http::Method;
use zaqar_auth::policy::Rule;

use super::routes::{Endpoint, Guard, Handler, Route, Segment};
use super::{
    claims, flavors, health, home, message_post, messages, messages_delete, moves, openapi, ping,
    pools, queue_patch, queues, redrive, share, subscription_confirm, subscriptions,
};

use Segment::{Id, Is, Queue, Topic};

const fn guarded(method: Method, rule: Rule, handler: Handler) -> Endpoint {
    Endpoint { method, guard: Guard::Rule(rule), handler }
}

const fn unguarded(method: Method, handler: Handler) -> Endpoint {
    Endpoint { method, guard: Guard::Nothing, handler }
}

macro_rules! route {
    ($path:expr, $segments:expr, $endpoints:expr $(,)?) => {
        Route { path: $path, segments: $segments, endpoints: $endpoints, admin: false }
    };
}

macro_rules! admin_route {
    ($path:expr, $segments:expr, $endpoints:expr $(,)?) => {
        Route { path: $path, segments: $segments, endpoints: $endpoints, admin: true }
    };
}

macro_rules! project {
    ($handler:path) => {
        Handler::Project(|call| Box::pin($handler(call)))
    };
}

macro_rules! item {
    ($handler:path) => {
        Handler::Item(|call, payload| Box::pin($handler(call, payload)))
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
        &[guarded(Method::POST, Rule::ClaimsCreate, queue!(claims::create))],
    ),
    route!(
        "/v2/queues/{queue}/claims/{id}",
        &[Is("v2"), Is("queues"), Queue, Is("claims"), Id],
        &[
            guarded(Method::DELETE, Rule::ClaimsDelete, queue!(claims::delete)),
            guarded(Method::GET, Rule::ClaimsGet, queue!(claims::get)),
            guarded(Method::PATCH, Rule::ClaimsUpdate, queue!(claims::update)),
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
            guarded(Method::DELETE, Rule::QueuesDelete, queue!(queues::delete)),
            guarded(Method::GET, Rule::QueuesGet, queue!(queues::get)),
            guarded(Method::HEAD, Rule::QueuesGet, queue!(queues::head)),
            guarded(Method::PATCH, Rule::QueuesUpdate, queue!(queue_patch::patch)),
            guarded(Method::PUT, Rule::QueuesCreate, queue!(queues::create)),
        ],
    ),
    route!(
        "/v2/queues",
        &[Is("v2"), Is("queues")],
        &[guarded(Method::GET, Rule::QueuesGetAll, project!(queues::list))],
    ),
    route!(
        "/v2/queues/{queue}/stats",
        &[Is("v2"), Is("queues"), Queue, Is("stats")],
        &[guarded(Method::GET, Rule::QueuesStats, queue!(queues::stats))],
    ),
    route!(
        "/v2/queues/{queue}/purge",
        &[Is("v2"), Is("queues"), Queue, Is("purge")],
        &[guarded(Method::POST, Rule::QueuesPurge, queue!(queues::purge))],
    ),
    route!(
        "/v2/queues/{queue}/dead_letters",
        &[Is("v2"), Is("queues"), Queue, Is("dead_letters")],
        &[guarded(Method::GET, Rule::MessagesGetAll, queue!(redrive::list))],
    ),
    route!(
        "/v2/queues/{queue}/redrive",
        &[Is("v2"), Is("queues"), Queue, Is("redrive")],
        &[guarded(Method::POST, Rule::MessagesRedrive, queue!(redrive::redrive))],
    ),
    route!(
        "/v2/queues/{queue}/share",
        &[Is("v2"), Is("queues"), Queue, Is("share")],
        &[guarded(Method::POST, Rule::QueuesShare, queue!(share::share))],
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
            guarded(Method::DELETE, Rule::TopicsDelete, queue!(queues::delete)),
            guarded(Method::GET, Rule::TopicsGet, queue!(queues::get)),
            guarded(Method::HEAD, Rule::TopicsGet, queue!(queues::head)),
            guarded(Method::PATCH, Rule::TopicsUpdate, queue!(queue_patch::patch)),
            guarded(Method::PUT, Rule::TopicsCreate, queue!(queues::create)),
        ],
    ),
    route!(
        "/v2/topics",
        &[Is("v2"), Is("topics")],
        &[guarded(Method::GET, Rule::TopicsGetAll, project!(queues::list_topics))],
    ),
    route!(
        "/v2/topics/{topic}/stats",
        &[Is("v2"), Is("topics"), Topic, Is("stats")],
        &[guarded(Method::GET, Rule::TopicsStats, queue!(queues::stats))],
    ),
    route!(
        "/v2/topics/{topic}/purge",
        &[Is("v2"), Is("topics"), Topic, Is("purge")],
        &[guarded(Method::POST, Rule::TopicsPurge, queue!(queues::purge))],
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
    route!("/", &[Is("")], &[unguarded(Method::GET, Handler::Open(home::versions))]),
    route!("/v2/", &[Is("v2"), Is("")], &[unguarded(Method::GET, project!(home::home))]),
    route!(
        "/v2/openapi.json",
        &[Is("v2"), Is("openapi.json")],
        &[guarded(Method::GET, Rule::OpenapiGet, project!(openapi::get))],
    ),
    route!(
        "/v2/ping",
        &[Is("v2"), Is("ping")],
        &[
            guarded(Method::GET, Rule::PingGet, project!(ping::get)),
            guarded(Method::HEAD, Rule::PingGet, project!(ping::head)),
        ],
    ),
    admin_route!(
        "/v2/health",
        &[Is("v2"), Is("health")],
        &[guarded(Method::GET, Rule::HealthGet, project!(health::get))],
    ),
    admin_route!(
        "/v2/pools",
        &[Is("v2"), Is("pools")],
        &[guarded(Method::GET, Rule::PoolsGetAll, project!(pools::list))],
    ),
    admin_route!(
        "/v2/pools/{id}",
        &[Is("v2"), Is("pools"), Id],
        &[
            guarded(Method::DELETE, Rule::PoolsDelete, item!(pools::delete)),
            guarded(Method::GET, Rule::PoolsGet, item!(pools::get)),
            guarded(Method::PATCH, Rule::PoolsUpdate, item!(pools::patch)),
            guarded(Method::PUT, Rule::PoolsCreate, item!(pools::put)),
        ],
    ),
    admin_route!(
        "/v2/moves",
        &[Is("v2"), Is("moves")],
        &[
            guarded(Method::GET, Rule::MovesGetAll, project!(moves::list)),
            guarded(Method::POST, Rule::MovesCreate, item!(moves::begin)),
        ],
    ),
    admin_route!(
        "/v2/flavors",
        &[Is("v2"), Is("flavors")],
        &[guarded(Method::GET, Rule::FlavorsGetAll, project!(flavors::list))],
    ),
    admin_route!(
        "/v2/flavors/{id}",
        &[Is("v2"), Is("flavors"), Id],
        &[
            guarded(Method::DELETE, Rule::FlavorsDelete, item!(flavors::delete)),
            guarded(Method::GET, Rule::FlavorsGet, item!(flavors::get)),
            guarded(Method::PATCH, Rule::FlavorsUpdate, item!(flavors::patch)),
            guarded(Method::PUT, Rule::FlavorsCreate, item!(flavors::put)),
        ],
    ),
];

/// No route may be without a rule but the two that say the same to everyone: it would not compile.
const _: () = assert!(all_guarded(ROUTES), "a route is without a policy rule");

const fn all_guarded(mut routes: &[Route]) -> bool {
    while let [route, others @ ..] = routes {
        let is_document = matches!(route.path.as_bytes(), b"/" | b"/v2/");
        let mut endpoints = route.endpoints;
        while let [endpoint, further @ ..] = endpoints {
            if matches!(endpoint.guard, Guard::Nothing) && !is_document {
                return false;
            }
            endpoints = further;
        }
        routes = others;
    }
    true
}

const MESSAGES: &[Endpoint] = &[
    guarded(Method::DELETE, Rule::MessagesDeleteAll, queue!(messages_delete::delete_many)),
    guarded(Method::GET, Rule::MessagesGetAll, queue!(messages::list)),
    guarded(Method::POST, Rule::MessagesCreate, queue!(message_post::post)),
];

const MESSAGE: &[Endpoint] = &[
    guarded(Method::DELETE, Rule::MessagesDelete, queue!(messages_delete::delete)),
    guarded(Method::GET, Rule::MessagesGet, queue!(messages::get)),
];

const SUBSCRIPTIONS: &[Endpoint] = &[
    guarded(Method::GET, Rule::SubscriptionGetAll, queue!(subscriptions::list)),
    guarded(Method::POST, Rule::SubscriptionCreate, queue!(subscriptions::create)),
];

const SUBSCRIPTION: &[Endpoint] = &[
    guarded(Method::DELETE, Rule::SubscriptionDelete, queue!(subscriptions::delete)),
    guarded(Method::GET, Rule::SubscriptionGet, queue!(subscriptions::get)),
    guarded(Method::PATCH, Rule::SubscriptionUpdate, queue!(subscriptions::update)),
];

const CONFIRM: &[Endpoint] =
    &[guarded(Method::PUT, Rule::SubscriptionConfirm, queue!(subscription_confirm::confirm))];
