//! A project that talks to the server, over HTTP and over a WebSocket.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Answer, CLIENT_ID, Client};
use crate::server::soon;

/// Nobody is refused for a lack of roles: what keeps projects apart is not that.
const ROLES: &str = "admin,manager,member,reader";
const PATCH_TYPE: &str = "application/openstack-messaging-v2.0-json-patch";

/// A connection of a project.
pub(crate) struct Tenant(Client);

impl Tenant {
    pub(crate) async fn connect(address: SocketAddr, project: String) -> Self {
        let mut client = soon(Client::connect(address)).await.unwrap();
        client.project = project;
        Self(client)
    }

    pub(crate) fn project(&self) -> &str {
        &self.0.project
    }

    /// Does something of its own that succeeds.
    pub(crate) async fn does(&mut self, line: &str, body: &Value) -> Value {
        let (method, path) = line.split_once(' ').unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let method: Method = method.parse().unwrap();
        let answer = soon(self.0.call(method, path, body)).await.unwrap();
        assert!(answer.status.is_success(), "{line}: {} {}", answer.status, answer.text());
        if answer.text().is_empty() { Value::Null } else { answer.json().unwrap() }
    }

    /// Reads something, as it is shown.
    pub(crate) async fn sees(&mut self, path: &str) -> String {
        let answer = soon(self.0.get(path)).await.unwrap();
        format!("{path}: {} {}", answer.status, answer.text())
    }

    /// Sends any request, as a member of `project` says it.
    pub(crate) async fn tries(
        &mut self,
        project: &str,
        line: &str,
        body: &str,
        headers: &[(&str, String)],
    ) -> Answer {
        let (method, target) = line.split_once(' ').unwrap();
        let mut request = Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(target)
            .header("host", "localhost")
            .header("client-id", CLIENT_ID)
            .header("x-project-id", project)
            .header("x-roles", ROLES);
        if method == "PATCH" && (!target.contains("/claims/") && !target.contains("/subscr")) {
            request = request.header("content-type", PATCH_TYPE);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        soon(self.0.send(request)).await.unwrap()
    }
}

/// A WebSocket of a project.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    project: String,
}

impl Socket {
    pub(crate) async fn connect(address: SocketAddr, path: &str, project: &str) -> Self {
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        let url = format!("ws://{address}{path}");
        let (stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.unwrap();
        Self { stream, project: project.to_owned() }
    }

    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// Sends a request as a member of `project` says it, and reads the answer.
    pub(crate) async fn tries(
        &mut self,
        project: &str,
        action: &str,
        body: Value,
        further: &[(&str, Value)],
    ) -> Value {
        let mut headers = json!({
            "Client-ID": CLIENT_ID, "X-Project-ID": project, "X-Roles": ROLES,
            "X-Auth-Token": "none",
        });
        for (name, value) in further {
            headers[*name] = value.clone();
        }
        let request = json!({"action": action, "headers": headers, "body": body});
        soon(self.stream.send(Message::text(request.to_string()))).await.unwrap();
        self.receives().await
    }

    /// Does something of its own that succeeds.
    pub(crate) async fn does(&mut self, action: &str, body: Value) -> Value {
        let project = self.project.clone();
        let answer = self.tries(&project, action, body, &[]).await;
        let status = answer["headers"]["status"].as_u64().unwrap();
        assert!((200..300).contains(&status), "{action}: {answer}");
        answer["body"].clone()
    }

    /// The next document that comes.
    pub(crate) async fn receives(&mut self) -> Value {
        loop {
            match soon(self.stream.next()).await.expect("closed").unwrap() {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
