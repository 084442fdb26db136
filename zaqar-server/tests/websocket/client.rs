//! A client that speaks either encoding.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

pub(crate) const CLIENT: &str = "3381af92-2b9e-11e3-b191-71861300734c";
pub(crate) const OTHER_CLIENT: &str = "e58668fc26eb11e38270442b2c8ba1b2";
pub(crate) const PROJECT: &str = "480924";

/// Nothing here takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a client encodes what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    MessagePack,
}

/// One connection.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    pub(crate) format: Format,
    pub(crate) project: String,
    pub(crate) id: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u64,
    pub(crate) body: Value,
    pub(crate) request: Value,
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u64) -> Value {
        assert_eq!(self.status, status, "{} of {}", self.body, self.request);
        self.body
    }

    /// Status and detail of an error.
    pub(crate) fn error(&self) -> (u64, &str) {
        let early = self.body["error"].as_str().unwrap_or_default();
        (self.status, self.body["exception"].as_str().unwrap_or(early))
    }
}

/// Waits for something that comes.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not come")
}

/// Connects to a path, with further headers.
pub(crate) async fn connect(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
}

impl Client {
    pub(crate) async fn open(address: SocketAddr, format: Format) -> Self {
        Self::over(connect(address, "/", &[]).await.unwrap(), format)
    }

    pub(crate) fn over(socket: WebSocketStream<TcpStream>, format: Format) -> Self {
        Self { socket, format, project: PROJECT.to_owned(), id: CLIENT.to_owned() }
    }

    fn headers(&self) -> Value {
        json!({"Client-ID": self.id, "X-Project-ID": self.project})
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn call(&mut self, action: &str, body: Value) -> Reply {
        let headers = self.headers();
        self.send(action, body, headers).await;
        self.reply().await
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, action: &str, body: Value, headers: Value) {
        let request = json!({"action": action, "headers": headers, "body": body});
        self.send_value(&request).await;
    }

    /// Sends any document.
    pub(crate) async fn send_value(&mut self, value: &Value) {
        let message = match self.format {
            Format::Json => Message::text(value.to_string()),
            Format::MessagePack => {
                let mut packed = Vec::new();
                rmpv::encode::write_value(&mut packed, &to_packed(value)).unwrap();
                Message::binary(packed)
            }
        };
        self.send_message(message).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        soon(self.socket.send(message)).await.unwrap();
    }

    /// Reads an answer, in this client's own format.
    pub(crate) async fn reply(&mut self) -> Reply {
        let (format, answer) = self.receive().await;
        assert_eq!(format, self.format, "{answer}");
        let members: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(members, ["request", "body", "headers"]);
        assert_eq!(answer["headers"].as_object().unwrap().len(), 1);
        Reply {
            status: answer["headers"]["status"].as_u64().unwrap(),
            body: answer["body"].clone(),
            request: answer["request"].clone(),
        }
    }

    /// Reads a document and how it was encoded.
    pub(crate) async fn receive(&mut self) -> (Format, Value) {
        loop {
            match soon(self.socket.next()).await.expect("closed").unwrap() {
                Message::Text(text) => {
                    return (Format::Json, serde_json::from_str(text.as_str()).unwrap());
                }
                Message::Binary(bytes) => {
                    let value = rmpv::decode::read_value(&mut bytes.as_ref()).unwrap();
                    return (Format::MessagePack, from_packed(&value));
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads to the end; what the server said when it closed.
    pub(crate) async fn read_to_close(&mut self) -> Option<CloseFrame> {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Says good-bye and waits until the server has closed.
    pub(crate) async fn close(mut self) {
        soon(self.socket.close(None)).await.unwrap();
        while let Some(Ok(_)) = soon(self.socket.next()).await {}
    }

    /// Makes a queue.
    pub(crate) async fn queue(&mut self, name: &str) {
        self.call("queue_create", json!({"queue_name": name})).await.expect(201);
    }

    /// Posts messages with these bodies and returns their ids.
    pub(crate) async fn post(&mut self, queue: &str, bodies: &[Value]) -> Vec<String> {
        let messages: Vec<Value> =
            bodies.iter().map(|body| json!({"body": body, "ttl": 300})).collect();
        let body = json!({"queue_name": queue, "messages": messages});
        let made = self.call("message_post", body).await.expect(201);
        strings(&made["message_ids"])
    }
}

/// The texts of a list.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// A member of each item of a list.
pub(crate) fn members(list: &Value, name: &str) -> Vec<Value> {
    list.as_array().unwrap().iter().map(|item| item[name].clone()).collect()
}

fn to_packed(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => rmpv::Value::Array(items.iter().map(to_packed).collect()),
        Value::Object(members) => rmpv::Value::Map(
            members.iter().map(|(key, value)| (key.as_str().into(), to_packed(value))).collect(),
        ),
    }
}

fn from_packed(value: &rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(flag) => Value::from(*flag),
        rmpv::Value::Integer(number) => Value::from(number.as_i64().unwrap()),
        rmpv::Value::F64(number) => Value::from(*number),
        rmpv::Value::String(text) => Value::from(text.as_str().unwrap()),
        rmpv::Value::Array(items) => items.iter().map(from_packed).collect(),
        rmpv::Value::Map(members) => {
            let member = |(key, value): &(rmpv::Value, rmpv::Value)| {
                (key.as_str().unwrap().to_owned(), from_packed(value))
            };
            Value::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        other => panic!("{other:?} has no JSON form"),
    }
}
