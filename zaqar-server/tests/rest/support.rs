//! A service to talk to, and answers to look at.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{Clock, ControlDriver, DataDriver, ManualClock};
use zaqar_engine::pools::PoolOpener;
use zaqar_engine::{Engine, EngineConfig, PoolOptions, Stores};
use zaqar_server::limits::{RateLimits, RateSettings};
use zaqar_server::rest::{self, ConfirmationRequest, Confirmations, RestConfig};

use crate::contract;

pub(crate) const CLIENT: &str = "3381af92-2b9e-11e3-b191-71861300734c";
pub(crate) const OTHER_CLIENT: &str = "e58668fc26eb11e38270442b2c8ba1b2";
pub(crate) const PROJECT: &str = "480924";

/// A service with an empty store of its own.
pub(crate) struct Service {
    router: Router,
    engine: Engine,
    clock: Arc<ManualClock>,
    asked: Arc<Asked>,
    pub(crate) control: Arc<dyn ControlDriver>,
    pub(crate) data: Arc<dyn DataDriver>,
}

impl Service {
    /// With the defaults.
    pub(crate) fn new() -> Self {
        Self::with(RestConfig::default(), EngineConfig::default())
    }

    /// With these settings.
    pub(crate) fn with(rest: RestConfig, engine: EngineConfig) -> Self {
        Self::over(rest, engine, |data| data)
    }

    /// With a driver that `wrap` puts around the reference driver.
    pub(crate) fn over(
        rest: RestConfig,
        engine: EngineConfig,
        wrap: impl FnOnce(Arc<dyn DataDriver>) -> Arc<dyn DataDriver>,
    ) -> Self {
        Self::at(Arc::new(ManualClock::default()), rest, engine, wrap)
    }

    /// With limits on how often projects may ask.
    pub(crate) fn limited(rates: RateSettings, engine: EngineConfig) -> Self {
        let (clock, rest) = Self::limits(rates);
        Self::at(clock, rest, engine, |data| data)
    }

    /// The same with what `change` makes of the transport's settings.
    pub(crate) fn limited_and(rates: RateSettings, change: impl FnOnce(&mut RestConfig)) -> Self {
        let (clock, mut rest) = Self::limits(rates);
        change(&mut rest);
        Self::at(clock, rest, EngineConfig::default(), |data| data)
    }

    fn limits(rates: RateSettings) -> (Arc<ManualClock>, RestConfig) {
        let clock = Arc::new(ManualClock::default());
        let mut rest = RestConfig::default();
        rest.rates = RateLimits::new(rates, Arc::<ManualClock>::clone(&clock));
        (clock, rest)
    }

    /// With pools, which `opener` opens.
    pub(crate) fn pooled(rest: RestConfig, opener: Arc<dyn PoolOpener>) -> Self {
        let clock = Arc::new(ManualClock::default());
        let pools = Some(PoolOptions::new(opener));
        Self::built(clock, rest, EngineConfig::default(), pools, |data| data)
    }

    fn at(
        clock: Arc<ManualClock>,
        rest: RestConfig,
        engine: EngineConfig,
        wrap: impl FnOnce(Arc<dyn DataDriver>) -> Arc<dyn DataDriver>,
    ) -> Self {
        Self::built(clock, rest, engine, None, wrap)
    }

    fn built(
        clock: Arc<ManualClock>,
        rest: RestConfig,
        engine: EngineConfig,
        pools: Option<PoolOptions>,
        wrap: impl FnOnce(Arc<dyn DataDriver>) -> Arc<dyn DataDriver>,
    ) -> Self {
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let store = ReferenceStore::new();
        let control: Arc<dyn ControlDriver> = Arc::new(store.control(Arc::clone(&time)));
        let data = wrap(Arc::new(store.data(Arc::clone(&time))));
        let stores = Stores::new(Arc::clone(&control), Arc::clone(&data));
        let asked = Arc::new(Asked::default());
        let confirmations = Arc::<Asked>::clone(&asked) as Arc<dyn Confirmations>;
        let mut builder = Engine::builder(stores, time).config(engine);
        if let Some(pools) = pools {
            builder = builder.pools(pools);
        }
        let engine = builder.build();
        let router = rest::router(engine.clone(), rest, Some(confirmations));
        Self { router, engine, clock, asked, control, data }
    }

    /// The service itself, for a listener.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// What subscribers were sent about their confirmation since this was asked last.
    pub(crate) fn asked(&self) -> Vec<ConfirmationRequest> {
        std::mem::take(&mut *self.asked.0.lock().unwrap())
    }

    /// Carries on every move of a queue until it has ended, as a server's maintenance does.
    pub(crate) async fn carry_moves_on(&self) {
        while self.engine.moves_carry_on().await.unwrap().going_on > 0 {}
    }

    /// Lets time pass.
    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let reply = Reply { status: parts.status.as_u16(), headers: parts.headers, text };
        contract::check(&method, &path, &reply);
        reply
    }

    /// Sends `line`, a method and a path, as a well-behaved client does.
    pub(crate) async fn call(&self, line: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send(request(line, &[], body)).await
    }

    /// The same with headers that replace or join the usual ones; the value `-` leaves one out.
    pub(crate) async fn call_with(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Reply {
        self.send(request(line, headers, body)).await
    }

    /// Posts messages with these bodies to `queue` and returns their ids.
    pub(crate) async fn post(&self, queue: &str, bodies: &[&str]) -> Vec<String> {
        let messages: Vec<String> =
            bodies.iter().map(|body| format!(r#"{{"body": {body}, "ttl": 300}}"#)).collect();
        let document = format!(r#"{{"messages": [{}]}}"#, messages.join(","));
        let reply = self.call(&format!("POST /v2/queues/{queue}/messages"), document).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        reply.ids()
    }

    /// Checks rows of requests and the errors that they get.
    pub(crate) async fn refuses(&self, rows: &[Refusal<'_>]) {
        for (line, body, status, title, description) in rows {
            let reply = self.call(line, body).await;
            let expected = (*status, (*title).to_owned(), (*description).to_owned());
            assert_eq!(reply.error(), expected, "{line} {}", clip(body));
        }
    }
}

/// Keeps what would be sent to subscribers.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<ConfirmationRequest>>);

impl Confirmations for Asked {
    fn send(&self, request: ConfirmationRequest) {
        self.0.lock().unwrap().push(request);
    }
}

/// A request line, a body, and the status, title and description of the answer.
pub(crate) type Refusal<'a> = (&'a str, &'a str, u16, &'a str, &'a str);

fn clip(text: &str) -> &str {
    text.get(..200).unwrap_or(text)
}

/// A request as a well-behaved client sends it, changed by `headers`.
pub(crate) fn request(
    line: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Request<Body> {
    let (method, target) = line.split_once(' ').unwrap();
    let body = body.as_ref().to_vec();
    let length = body.len().to_string();
    let mut all = vec![("client-id", CLIENT), ("x-project-id", PROJECT)];
    if !body.is_empty() {
        all.push(("content-length", length.as_str()));
        all.push(("content-type", "application/json"));
    }
    all.retain(|(name, _)| !headers.iter().any(|(changed, _)| changed == name));
    all.extend(headers.iter().filter(|(_, value)| *value != "-"));
    let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(target);
    for (name, value) in all {
        request = request.header(name, value.as_bytes());
    }
    request.body(if body.is_empty() { Body::empty() } else { Body::from(body) }).unwrap()
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// A header's value, empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {:?}", self.text))
    }

    /// Status, title and description of an error answer.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let error: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let member = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (self.status, member("title"), member("description"))
    }

    /// Ids of a post's answer, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let resources = self.json()["resources"].as_array().unwrap().clone();
        let id = |path: &Value| path.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        resources.iter().map(id).collect()
    }

    /// Ids of the messages of an answer, in order.
    pub(crate) fn message_ids(&self) -> Vec<String> {
        let messages = self.json()["messages"].as_array().unwrap().clone();
        messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The link to the next page.
    pub(crate) fn next(&self) -> Option<String> {
        let links = self.json()["links"].as_array().unwrap().clone();
        assert!(links.len() <= 1);
        let link = links.first()?;
        assert_eq!(link["rel"], "next");
        Some(link["href"].as_str().unwrap().to_owned())
    }
}
