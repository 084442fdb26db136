//! A name that leads elsewhere whenever it is asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use super::WebhookConfig;
use super::address::{AddressRules, Ports};
use super::client::{Answer, Client};
use super::resolve::Names;

const OPEN: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CLOSED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Gives its answers one after the other, and counts how often it was asked.
#[derive(Debug)]
struct Fickle {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Names for Fickle {
    async fn addresses(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.answers.lock().unwrap().remove(0))
    }
}

/// Two hosts that listen on the same port.
fn hosts() -> (TcpListener, TcpListener) {
    for _ in 0..100 {
        let open = TcpListener::bind((OPEN, 0)).unwrap();
        if let Ok(closed) = TcpListener::bind((CLOSED, open.local_addr().unwrap().port())) {
            open.set_nonblocking(true).unwrap();
            closed.set_nonblocking(true).unwrap();
            return (open, closed);
        }
    }
    panic!("no port is free on both addresses");
}

/// Takes every request, one for each connection.
async fn serve(listener: tokio::net::TcpListener, taken: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n{}") {
            request.push(stream.read_u8().await.unwrap());
        }
        taken.fetch_add(1, Ordering::Relaxed);
        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_checked_and_each_one_is() {
    let (open, closed) = hosts();
    let port = open.local_addr().unwrap().port();
    let taken = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::from_std(open).unwrap();
    let server = tokio::spawn(serve(listener, Arc::clone(&taken)));
    let names = Arc::new(Fickle {
        answers: Mutex::new(vec![vec![OPEN], vec![CLOSED], vec![CLOSED, OPEN], vec![CLOSED]]),
        asked: AtomicUsize::new(0),
    });
    let rules = AddressRules { networks: vec!["127.0.0.1".parse().unwrap()], ports: Ports::Any };
    let asked: Arc<dyn Names> = Arc::clone(&names) as _;
    let client = Client::new(&WebhookConfig::default(), Arc::new(rules), asked).unwrap();
    let url = Url::parse(&format!("http://rebinding.example:{port}/")).unwrap();
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.post(url.clone(), HeaderMap::new(), "{}".to_owned()).await);
    }
    server.abort();
    let reached: Vec<bool> =
        answers.iter().map(|answer| matches!(answer, Answer::Status(..))).collect();
    assert_eq!(reached, [true, false, true, false], "{answers:?}");
    assert!(matches!(answers[1], Answer::Closed) && matches!(answers[3], Answer::Closed));
    assert_eq!((names.asked.load(Ordering::Relaxed), taken.load(Ordering::Relaxed)), (4, 2));
    let strays = closed.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(strays, Err(io::ErrorKind::WouldBlock), "the closed host was connected to");
}
