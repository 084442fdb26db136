//! What is served: one table of paths, methods, policy rules and handlers.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use zaqar_core::{ClientId, ProjectId, QueueKey};
use zaqar_engine::{Engine, Limits};

use super::answers::{Answer, Outcome};
use super::config::RestConfig;
use super::context::RequestContext;
use super::payload::Payload;
use super::query::Query;
use super::{
    App, claims, health, home, message_post, messages, messages_delete, ping, queue_patch, queues,
};

/// A request on its way to a handler: everything but its body.
#[derive(Debug)]
pub(crate) struct Call<'r> {
    pub(crate) app: &'r App,
    pub(crate) context: &'r RequestContext,
    pub(crate) headers: &'r HeaderMap,
    /// The text behind the question mark.
    pub(crate) query: &'r str,
    /// The path's last variable, if it has one besides the queue.
    pub(crate) id: &'r str,
}

impl Call<'_> {
    pub(crate) fn engine(&self) -> &Engine {
        &self.app.engine
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.app.engine.config().limits
    }

    pub(crate) fn config(&self) -> &RestConfig {
        &self.app.config
    }

    pub(crate) fn project(&self) -> &ProjectId {
        &self.context.project
    }

    pub(crate) fn client(&self) -> &ClientId {
        &self.context.client
    }

    pub(crate) fn query(&self) -> Query<'_> {
        Query::parse(self.query)
    }

    pub(crate) fn home_document(&self) -> Bytes {
        self.app.home.clone()
    }
}

/// What answers a method of a route.
pub(crate) enum Handler {
    /// Needs nothing, not even to know who asks.
    Open(fn() -> Answer),
    /// Is about a project.
    Project(for<'a> fn(&'a Call<'a>) -> BoxFuture<'a, Outcome>),
    /// Is about a queue.
    Queue(for<'a> fn(&'a Call<'a>, &'a QueueKey, &'a mut Payload) -> BoxFuture<'a, Outcome>),
}

/// Who may do it unless a policy says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Everyone,
    /// Whoever has that role.
    Role(&'static str),
}

/// A method of a route.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// The name of its policy rule; `None`: no policy speaks about it.
    pub(crate) rule: Option<&'static str>,
    pub(crate) access: Access,
    pub(crate) handler: Handler,
}

/// A piece of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Is(&'static str),
    Queue,
    Id,
}

/// A path and what can be done there.
pub(crate) struct Route {
    /// The path as reports show it.
    pub(crate) path: &'static str,
    segments: &'static [Segment],
    /// Ascending by method, as clients are shown them.
    pub(crate) endpoints: &'static [Endpoint],
    /// Served in admin mode only.
    admin: bool,
}

/// A route that fits a path, and the path's variables.
pub(crate) struct Matched<'p> {
    pub(crate) route: &'static Route,
    pub(crate) queue: Option<&'p [u8]>,
    pub(crate) id: &'p [u8],
}

impl Route {
    /// The methods, separated by commas.
    pub(crate) fn allow(&self) -> String {
        let methods: Vec<&str> = self.endpoints.iter().map(|e| e.method.as_str()).collect();
        methods.join(", ")
    }

    pub(crate) fn endpoint(&self, method: &Method) -> Option<&'static Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.method == method)
    }

    /// Whether callers need not say who they are.
    pub(crate) fn is_open(&self) -> bool {
        self.endpoints.iter().any(|endpoint| matches!(endpoint.handler, Handler::Open(_)))
    }

    fn matches<'p>(&'static self, path: &[&'p [u8]]) -> Option<Matched<'p>> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut matched = Matched { route: self, queue: None, id: b"" };
        for (segment, text) in self.segments.iter().zip(path) {
            match segment {
                Segment::Is(word) if word.as_bytes() == *text => {}
                Segment::Is(_) => return None,
                Segment::Queue => matched.queue = Some(text),
                Segment::Id => matched.id = text,
            }
        }
        Some(matched)
    }
}

/// Longer paths than any route's need not be looked at whole.
const SEGMENTS_MAX: usize = 6;

/// The route that fits a path whose percent-encoding is undone.
pub(crate) fn find(path: &[u8], admin_mode: bool) -> Option<Matched<'_>> {
    let segments: Vec<&[u8]> =
        path.strip_prefix(b"/")?.split(|&b| b == b'/').take(SEGMENTS_MAX).collect();
    served(admin_mode).find_map(|route| route.matches(&segments))
}

/// The paths of all routes.
pub(crate) fn paths(admin_mode: bool) -> impl Iterator<Item = &'static str> {
    served(admin_mode).map(|route| route.path)
}

fn served(admin_mode: bool) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| admin_mode || !route.admin)
}

const fn everyone(method: Method, rule: &'static str, handler: Handler) -> Endpoint {
    Endpoint { method, rule: Some(rule), access: Access::Everyone, handler }
}

const fn ruleless(method: Method, handler: Handler) -> Endpoint {
    Endpoint { method, rule: None, access: Access::Everyone, handler }
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

use Segment::{Id, Is, Queue};

static ROUTES: &[Route] = &[
    Route {
        path: "/v2/queues/{queue}/messages",
        segments: &[Is("v2"), Is("queues"), Queue, Is("messages")],
        endpoints: &[
            everyone(Method::DELETE, "messages:delete_all", queue!(messages_delete::delete_many)),
            everyone(Method::GET, "messages:get_all", queue!(messages::list)),
            everyone(Method::POST, "messages:create", queue!(message_post::post)),
        ],
        admin: false,
    },
    Route {
        path: "/v2/queues/{queue}/messages/{id}",
        segments: &[Is("v2"), Is("queues"), Queue, Is("messages"), Id],
        endpoints: &[
            everyone(Method::DELETE, "messages:delete", queue!(messages_delete::delete)),
            everyone(Method::GET, "messages:get", queue!(messages::get)),
        ],
        admin: false,
    },
    Route {
        path: "/v2/queues/{queue}/claims",
        segments: &[Is("v2"), Is("queues"), Queue, Is("claims")],
        endpoints: &[everyone(Method::POST, "claims:create", queue!(claims::create))],
        admin: false,
    },
    Route {
        path: "/v2/queues/{queue}/claims/{id}",
        segments: &[Is("v2"), Is("queues"), Queue, Is("claims"), Id],
        endpoints: &[
            everyone(Method::DELETE, "claims:delete", queue!(claims::delete)),
            everyone(Method::GET, "claims:get", queue!(claims::get)),
            everyone(Method::PATCH, "claims:update", queue!(claims::update)),
        ],
        admin: false,
    },
    Route {
        path: "/v2/queues/{queue}",
        segments: &[Is("v2"), Is("queues"), Queue],
        endpoints: &[
            everyone(Method::DELETE, "queues:delete", queue!(queues::delete)),
            everyone(Method::GET, "queues:get", queue!(queues::get)),
            everyone(Method::HEAD, "queues:get", queue!(queues::head)),
            everyone(Method::PATCH, "queues:update", queue!(queue_patch::patch)),
            everyone(Method::PUT, "queues:create", queue!(queues::create)),
        ],
        admin: false,
    },
    Route {
        path: "/v2/queues",
        segments: &[Is("v2"), Is("queues")],
        endpoints: &[everyone(Method::GET, "queues:get_all", project!(queues::list))],
        admin: false,
    },
    Route {
        path: "/v2/queues/{queue}/stats",
        segments: &[Is("v2"), Is("queues"), Queue, Is("stats")],
        endpoints: &[everyone(Method::GET, "queues:stats", queue!(queues::stats))],
        admin: false,
    },
    Route {
        path: "/v2/queues/{queue}/purge",
        segments: &[Is("v2"), Is("queues"), Queue, Is("purge")],
        endpoints: &[everyone(Method::POST, "queues:purge", queue!(queues::purge))],
        admin: false,
    },
    Route {
        path: "/",
        segments: &[Is("")],
        endpoints: &[ruleless(Method::GET, Handler::Open(home::versions))],
        admin: false,
    },
    Route {
        path: "/v2/",
        segments: &[Is("v2"), Is("")],
        endpoints: &[ruleless(Method::GET, project!(home::home))],
        admin: false,
    },
    Route {
        path: "/v2/ping",
        segments: &[Is("v2"), Is("ping")],
        endpoints: &[
            everyone(Method::GET, "ping:get", project!(ping::get)),
            everyone(Method::HEAD, "ping:get", project!(ping::head)),
        ],
        admin: false,
    },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_route_and_only_theirs() {
        let found = |path: &str| {
            let matched = find(path.as_bytes(), false)?;
            let queue = matched.queue.map(|q| String::from_utf8_lossy(q).into_owned());
            Some((matched.route.path, queue, String::from_utf8_lossy(matched.id).into_owned()))
        };
        let queue = |name: &str| Some(name.to_owned());
        let item = "/v2/queues/{queue}";
        let message = "/v2/queues/{queue}/messages/{id}";
        assert_eq!(found("/"), Some(("/", None, String::new())));
        assert_eq!(found("/v2/"), Some(("/v2/", None, String::new())));
        assert_eq!(found("/v2/queues/q"), Some((item, queue("q"), String::new())));
        assert_eq!(found("/v2/queues/"), Some((item, queue(""), String::new())));
        assert_eq!(found("/v2/queues/q/messages/7"), Some((message, queue("q"), "7".into())));
        for missing in [
            "",
            "*",
            "/v2",
            "/v1/queues",
            "/v2/queues/q/",
            "/v2/queues/q/metadata",
            "/v2/queues/q/messages/7/x",
            "/v2/queues/q/messages/7/x/y/z",
            "/v2/health",
            "/v2/topics",
            "/v2/pools",
        ] {
            assert_eq!(found(missing), None, "{missing}");
        }
        assert!(find(b"/v2/health", true).is_some());
    }

    #[test]
    fn methods_are_listed_in_order_and_only_queue_routes_name_a_queue() {
        for route in ROUTES {
            let methods: Vec<&str> = route.endpoints.iter().map(|e| e.method.as_str()).collect();
            assert!(methods.is_sorted(), "{}", route.path);
            let names_queue = route.segments.contains(&Queue);
            for endpoint in route.endpoints {
                let wants_queue = matches!(endpoint.handler, Handler::Queue(_));
                assert_eq!(wants_queue, names_queue, "{}", route.path);
            }
            assert!(route.segments.len() < SEGMENTS_MAX);
        }
    }
}
