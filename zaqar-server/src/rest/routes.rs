//! How a path finds its route, and what a route's handlers are given. What is served is in the
//! [table](super::route_table).

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use zaqar_auth::policy::{Rule, Target};
use zaqar_core::{ClientId, ProjectId, QueueKey, QueueKind};
use zaqar_engine::{Engine, Limits};

use super::App;
use super::answers::{Answer, Outcome};
use super::config::RestConfig;
use super::context::RequestContext;
use super::payload::Payload;
use super::query::Query;
use super::route_table::ROUTES;

/// A request on its way to a handler: everything but its body.
#[derive(Debug)]
pub(crate) struct Call<'r> {
    pub(crate) app: &'r App,
    pub(crate) context: &'r RequestContext,
    pub(crate) headers: &'r HeaderMap,
    /// The text behind the question mark.
    pub(crate) query: &'r str,
    /// The path's further variable, if it has one besides the queue or topic.
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
        self.context.project()
    }

    pub(crate) fn client(&self) -> &ClientId {
        &self.context.client
    }

    pub(crate) fn query(&self) -> Query<'_> {
        Query::parse(self.query)
    }

    pub(crate) fn description(&self) -> Bytes {
        self.app.description.clone()
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
    /// Is about something that the operator has, named by the path.
    Item(for<'a> fn(&'a Call<'a>, &'a mut Payload) -> BoxFuture<'a, Outcome>),
    /// Is about a queue or a topic.
    Queue(for<'a> fn(&'a Call<'a>, &'a QueueKey, &'a mut Payload) -> BoxFuture<'a, Outcome>),
}

/// What keeps callers out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A policy rule.
    Rule(Rule),
    /// Nothing: the answer is the same for everyone.
    Nothing,
}

/// A method of a route.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) guard: Guard,
    pub(crate) handler: Handler,
}

/// A piece of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment {
    Is(&'static str),
    Queue,
    Topic,
    Id,
}

/// A path and what can be done there.
pub(crate) struct Route {
    /// The path as reports show it.
    pub(crate) path: &'static str,
    pub(crate) segments: &'static [Segment],
    /// Ascending by method, as clients are shown them.
    pub(crate) endpoints: &'static [Endpoint],
    /// Served in admin mode only.
    pub(crate) admin: bool,
}

/// A route that fits a path, and the path's variables.
pub(crate) struct Matched<'p> {
    pub(crate) route: &'static Route,
    /// The queue's name, or the topic's.
    pub(crate) name: Option<(QueueKind, &'p [u8])>,
    pub(crate) id: &'p [u8],
}

impl Matched<'_> {
    /// What the path is about; a queue where it names none.
    pub(crate) fn kind(&self) -> QueueKind {
        self.name.map_or(QueueKind::Queue, |(kind, _)| kind)
    }
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

    /// What a request is about that acts for a project, as policies see it.
    pub(crate) fn target<'t>(
        &self,
        project: &'t ProjectId,
        name: Option<(QueueKind, &'t str)>,
    ) -> Target<'t> {
        // Operators' routes are about the whole service, which is no project's.
        let target = if self.admin { Target::default() } else { Target::of_project(project) };
        match name {
            Some((QueueKind::Queue, name)) => target.queue(name),
            Some((QueueKind::Topic, name)) => target.topic(name),
            None => target,
        }
    }

    /// Whether it says how the service is by nothing but the status.
    pub(crate) fn is_probe(&self) -> bool {
        self.path == "/v2/ping"
    }

    /// Whether callers need not say who they are.
    pub(crate) fn is_open(&self) -> bool {
        self.endpoints.iter().any(|endpoint| matches!(endpoint.handler, Handler::Open(_)))
    }

    fn matches<'p>(&'static self, path: &[&'p [u8]]) -> Option<Matched<'p>> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut matched = Matched { route: self, name: None, id: b"" };
        for (segment, text) in self.segments.iter().zip(path) {
            match segment {
                Segment::Is(word) if word.as_bytes() == *text => {}
                Segment::Is(_) => return None,
                Segment::Queue => matched.name = Some((QueueKind::Queue, text)),
                Segment::Topic => matched.name = Some((QueueKind::Topic, text)),
                Segment::Id => matched.id = text,
            }
        }
        Some(matched)
    }
}

/// Longer paths than any route's need not be looked at whole.
const SEGMENTS_MAX: usize = 7;

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

/// Method and path of every endpoint.
pub(crate) fn endpoints(admin_mode: bool) -> impl Iterator<Item = (&'static Method, &'static str)> {
    served(admin_mode).flat_map(|route| {
        route.endpoints.iter().map(move |endpoint| (&endpoint.method, route.path))
    })
}

/// Method, path and guard of every endpoint.
pub(crate) fn guards(
    admin_mode: bool,
) -> impl Iterator<Item = (&'static Method, &'static str, Guard)> {
    let one = |route: &'static Route| {
        let endpoints = route.endpoints.iter();
        endpoints.map(|endpoint| (&endpoint.method, route.path, endpoint.guard))
    };
    served(admin_mode).flat_map(one)
}

fn served(admin_mode: bool) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| admin_mode || !route.admin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_route_and_only_theirs() {
        let found = |path: &str| {
            let matched = find(path.as_bytes(), false)?;
            let name =
                matched.name.map(|(kind, n)| (kind, String::from_utf8_lossy(n).into_owned()));
            Some((matched.route.path, name, String::from_utf8_lossy(matched.id).into_owned()))
        };
        let queue = |name: &str| Some((QueueKind::Queue, name.to_owned()));
        let topic = |name: &str| Some((QueueKind::Topic, name.to_owned()));
        let item = "/v2/queues/{queue}";
        let message = "/v2/queues/{queue}/messages/{id}";
        assert_eq!(found("/"), Some(("/", None, String::new())));
        assert_eq!(found("/v2/"), Some(("/v2/", None, String::new())));
        assert_eq!(found("/v2/queues/q"), Some((item, queue("q"), String::new())));
        assert_eq!(found("/v2/queues/"), Some((item, queue(""), String::new())));
        assert_eq!(found("/v2/queues/q/messages/7"), Some((message, queue("q"), "7".into())));
        let confirm = "/v2/topics/{topic}/subscriptions/{id}/confirm";
        let path = "/v2/topics/t/subscriptions/7/confirm";
        assert_eq!(found(path), Some((confirm, topic("t"), "7".into())));
        for missing in [
            "",
            "*",
            "/v2",
            "/v1/queues",
            "/v2/queues/q/",
            "/v2/queues/q/metadata",
            "/v2/queues/q/messages/7/x",
            "/v2/queues/q/messages/7/x/y/z",
            "/v2/queues/q/subscriptions/7/confirm/y/z",
            "/v2/health",
            "/v2/topics/t/claims",
            "/v2/topics/t/share",
            "/v2/queues/q/subscriptions/7/confirm/x",
            "/v2/pools",
        ] {
            assert_eq!(found(missing), None, "{missing}");
        }
        assert!(find(b"/v2/health", true).is_some());
        assert_eq!(find(b"/v2/pools/one", true).map(|matched| matched.id), Some(&b"one"[..]));
    }

    #[test]
    fn methods_are_listed_in_order_and_only_queue_routes_name_a_queue() {
        for route in ROUTES {
            let methods: Vec<&str> = route.endpoints.iter().map(|e| e.method.as_str()).collect();
            assert!(methods.is_sorted(), "{}", route.path);
            let names = |segment| matches!(segment, &Segment::Queue | &Segment::Topic);
            let names_queue = route.segments.iter().any(names);
            for endpoint in route.endpoints {
                let wants_queue = matches!(endpoint.handler, Handler::Queue(_));
                assert_eq!(wants_queue, names_queue, "{}", route.path);
            }
            assert!(route.segments.len() < SEGMENTS_MAX);
        }
    }
}
