//! A service with Keystone on, and a client of either transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tower::ServiceExt;
use zaqar_auth::keystone::{Keystone, KeystoneConfig};
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{Clock, ManualClock};
use zaqar_engine::{Engine, EngineConfig, Stores};
use zaqar_server::auth::Authentication;
use zaqar_server::rest::{self, RestConfig};
use zaqar_server::signed_url::UrlSigner;
use zaqar_server::websocket::{WebSocketConfig, WebSockets};

use crate::stub::{Stub, config};

pub(crate) const CLIENT: &str = "3381af92-2b9e-11e3-b191-71861300734c";

/// Nothing here takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    pub(crate) stub: Stub,
    clock: Arc<ManualClock>,
    router: Router,
    address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With what `change` makes of the settings for Keystone.
    pub(crate) async fn with(change: impl FnOnce(&mut KeystoneConfig)) -> Self {
        let clock = Arc::new(ManualClock::default());
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let stub = Stub::new(Arc::clone(&time));
        let mut keystone = config(&stub.url());
        keystone.www_authenticate_uri = "https://keystone.example/v3".to_owned();
        change(&mut keystone);
        let keystone = Keystone::new(keystone, Arc::clone(&time)).unwrap();
        let authentication = Authentication::Keystone(keystone);
        let store = ReferenceStore::new();
        let control = Arc::new(store.control(Arc::clone(&time)));
        let stores = Stores::new(control, Arc::new(store.data(Arc::clone(&time))));
        let engine = Engine::new(stores, time, EngineConfig::default());
        let mut settings = RestConfig::default();
        settings.admin_mode = true;
        settings.url_signer = UrlSigner::new(&["key".to_owned()]);
        settings.authentication = authentication.clone();
        let mut sockets = WebSocketConfig::default();
        sockets.url_signer = settings.url_signer.clone();
        sockets.authentication = authentication;
        // So that a connection often looks at the clock, which a test moves.
        sockets.ping_period = Duration::from_millis(20);
        let sockets = WebSockets::new(engine.clone(), sockets);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = rest::router(engine, settings, None);
        let all = router.clone().merge(sockets.path(address));
        let server = tokio::spawn(async move { axum::serve(listener, all).await });
        Self { stub, clock, router, address, server }
    }

    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Sends `line`, a method and a path, with these headers besides a client's id.
    pub(crate) async fn call(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let (method, target) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(target).header("client-id", CLIENT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-length", body.len());
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Reply { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// The same with this token alone.
    pub(crate) async fn ask(&self, line: &str, token: &str, body: &str) -> Reply {
        self.call(line, &[("x-auth-token", token)], body).await
    }

    pub(crate) async fn socket(&self) -> Socket {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let url = format!("ws://{}/v2/ws", self.address);
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        Socket(socket)
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {:?}", self.text))
    }
}

pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Sends a request for a project and reads its answer: status and body.
    pub(crate) async fn call(
        &mut self,
        action: &str,
        project: &str,
        more: &[(&str, Value)],
        body: Value,
    ) -> (u64, Value) {
        let mut headers = json!({"Client-ID": CLIENT, "X-Project-ID": project});
        for (name, value) in more {
            headers[*name] = value.clone();
        }
        let request = json!({"action": action, "headers": headers, "body": body});
        self.0.send(Message::text(request.to_string())).await.unwrap();
        let Some(Message::Text(text)) = self.next().await else { panic!("no answer") };
        let answer: Value = serde_json::from_str(text.as_str()).unwrap();
        let status = answer["headers"]["status"].as_u64().unwrap();
        (status, answer["body"].clone())
    }

    pub(crate) async fn authenticate(&mut self, project: &str, token: &str) -> (u64, Value) {
        self.call("authenticate", project, &[("X-Auth-Token", token.into())], json!({})).await
    }

    /// Reads to the end: with which code and words it was closed.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(_) => {}
                None => panic!("it was not closed properly"),
            }
        }
    }

    /// What comes next that is no sign of life.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing came");
            match next {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(next) => return next.ok(),
                None => return None,
            }
        }
    }
}
