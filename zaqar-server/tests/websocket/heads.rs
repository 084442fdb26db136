//! Whole servers on one store, as they are started for users.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::client_async;
use zaqar_server::config::Config;
use zaqar_server::serve::{self, RunningServer};
use zaqar_server::websocket::PATH;

use crate::client::{Client, Format, OTHER_CLIENT, connect, soon};
use crate::rest;

/// Where a server lets WebSocket clients in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    OwnPort,
    ApiPort,
}

/// A server with all its listeners on free ports.
pub(crate) struct Head(RunningServer);

impl Head {
    pub(crate) async fn start(storage: &str) -> Self {
        let mut config = Config::default();
        config.listen.port = 0;
        config.admin.bind = String::new();
        config.websocket.enabled = true;
        config.websocket.port = 0;
        // A test that is slow to read is not silent for that.
        config.websocket.idle_timeout_ms = 600_000;
        config.message_store.uri = storage.into();
        Self(serve::start(config).await.unwrap())
    }

    fn socket_address(&self, way: Way) -> (SocketAddr, &'static str) {
        match way {
            Way::OwnPort => (self.0.websocket_address().unwrap(), "/"),
            Way::ApiPort => (self.0.address(), PATH),
        }
    }

    /// A WebSocket client in the project of the REST clients.
    pub(crate) async fn socket(&self, way: Way, format: Format) -> Client {
        let (address, path) = self.socket_address(way);
        of_tests(Client::over(connect(address, path, &[]).await.unwrap(), format))
    }

    /// The same over a socket that is not connected yet, to the port of WebSocket's own.
    pub(crate) async fn socket_over(&self, socket: TcpSocket, format: Format) -> Client {
        let (address, path) = self.socket_address(Way::OwnPort);
        let stream = soon(socket.connect(address)).await.unwrap();
        let (socket, _) = client_async(format!("ws://{address}{path}"), stream).await.unwrap();
        of_tests(Client::over(socket, format))
    }

    pub(crate) async fn rest(&self) -> Rest {
        Rest(rest::Client::connect(self.0.address()).await.unwrap())
    }

    pub(crate) async fn stop(self) {
        soon(self.0.shutdown()).await;
    }
}

/// A REST client.
pub(crate) struct Rest(rest::Client);

impl Rest {
    /// What is answered, and where it says that the thing is.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (StatusCode, Value, Option<String>) {
        let answer = soon(self.0.call(method, path, body.to_string())).await.unwrap();
        let location = answer.headers.get("location");
        let location = location.map(|value| value.to_str().unwrap().to_owned());
        (answer.status, document(&answer), location)
    }

    pub(crate) async fn get(&mut self, path: &str) -> (StatusCode, Value) {
        let answer = soon(self.0.get(path)).await.unwrap();
        (answer.status, document(&answer))
    }

    /// Posts messages with these bodies, one request each.
    pub(crate) async fn post(&mut self, queue: &str, bodies: impl IntoIterator<Item = Value>) {
        for body in bodies {
            let messages = json!({"messages": [{"body": body, "ttl": 3_600}]});
            let path = format!("/v2/queues/{queue}/messages");
            let (status, answer, _) = self.call(Method::POST, &path, &messages).await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
        }
    }
}

/// In the REST clients' project, and another client than they.
fn of_tests(mut client: Client) -> Client {
    client.project = "tests".to_owned();
    client.id = OTHER_CLIENT.to_owned();
    client
}

fn document(answer: &rest::Answer) -> Value {
    if answer.text().is_empty() { Value::Null } else { answer.json().unwrap() }
}

/// A queue that nobody else uses.
pub(crate) fn fresh_queue() -> String {
    format!("q{}", uuid::Uuid::new_v4().simple())
}
