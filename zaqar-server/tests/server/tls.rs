//! TLS on both ports: who is served, who is not, and what a stall or a renewal does to others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use zaqar_server::config::Config;
use zaqar_server::serve::{Ended, StartError};

use crate::support::client::{CLIENT_ID, Client};
use crate::{CONTINUE, POST, Server, exchange, post_head};

/// Nothing here takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate for `localhost` and its key, in files.
struct Files {
    folder: TempDir,
    certificate: String,
}

impl Files {
    fn new() -> Self {
        let mut files = Self { folder: tempfile::tempdir().unwrap(), certificate: String::new() };
        files.renew();
        files
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Puts another certificate in the place of the one before.
    fn renew(&mut self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        self.certificate = params.self_signed(&key).unwrap().pem();
        std::fs::write(self.path("cert.pem"), &self.certificate).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
    }

    fn configure(&self, config: &mut Config) {
        config.tls.cert_file = self.path("cert.pem");
        config.tls.key_file = self.path("key.pem");
    }

    async fn server(&self, change: impl FnOnce(&mut Config)) -> Server {
        let server = Server::start(|config| {
            self.configure(config);
            change(config);
        });
        server.await.unwrap()
    }

    /// Shakes hands as a client that trusts this certificate and no other.
    async fn connect(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        tokio::time::timeout(PATIENCE, handshake).await.unwrap()
    }

    async fn client(&self, address: SocketAddr) -> Client {
        Client::over(self.connect(address, &[]).await.unwrap()).await.unwrap()
    }

    /// Somebody is served.
    async fn serves(&self, server: &Server) -> bool {
        let answer = self.client(server.address()).await.get("/").await.unwrap();
        answer.status == StatusCode::MULTIPLE_CHOICES
    }
}

/// What the operators' listener, which has no TLS, counts.
async fn failures(server: &Server, reason: &str) -> u64 {
    let mut operator = Client::connect(server.running.admin_address().unwrap()).await.unwrap();
    let metrics = operator.get("/metrics").await.unwrap().text();
    let mut lines = metrics.lines().filter(|line| {
        line.starts_with("zaqar_tls_handshakes_failed_total{")
            && line.contains("listener=\"api\"")
            && line.contains(&format!("reason=\"{reason}\""))
    });
    let value = lines.next().and_then(|line| line.rsplit(' ').next());
    value.map_or(0, |value| value.parse().unwrap())
}

/// Waits until there were so many: a failure is counted once its connection has ended.
async fn wait_for_failures(server: &Server, reason: &str, count: u64) {
    let counted = async {
        while failures(server, reason).await < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap();
}

#[tokio::test]
async fn the_api_is_served_over_https() {
    let files = Files::new();
    let server = files.server(|_| {}).await;
    assert_eq!(server.running.url(), format!("https://{}", server.address()));
    let mut client = files.client(server.address()).await;
    let posted = client.call(Method::POST, "/v2/queues/q/messages", POST).await.unwrap();
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.text());
    assert_eq!(posted.headers["strict-transport-security"], "max-age=86400");
    let listed = client.get("/v2/queues/q/messages?echo=true").await.unwrap().json().unwrap();
    assert_eq!(listed["messages"][0]["body"], "hello");
    assert_eq!(server.stop().await, Ended::Finished);
}

#[tokio::test]
async fn client_and_server_agree_on_a_protocol_and_http_2_is_one() {
    let files = Files::new();
    let server = files.server(|config| config.tls.hsts_max_age = 0).await;
    let agreed = async |protocols: &[&str]| {
        let stream = files.connect(server.address(), protocols).await.unwrap();
        stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap())
    };
    assert_eq!(agreed(&["http/1.1", "h2"]).await.as_deref(), Some("h2"));
    assert_eq!(agreed(&["http/1.1"]).await.as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&[]).await, None);

    let stream = TokioIo::new(files.connect(server.address(), &["h2"]).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    let request = Request::get(format!("https://{}/", server.address()));
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::MULTIPLE_CHOICES);
    assert!(!response.headers().contains_key("strict-transport-security"));
    assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
    drop(sender);
    assert_eq!(server.stop().await, Ended::Finished);
}

#[tokio::test]
async fn websocket_is_served_over_tls_on_both_ports() {
    let files = Files::new();
    let server = files.server(|config| {
        config.websocket.enabled = true;
        config.websocket.port = 0;
    });
    let server = server.await;
    let own = server.running.websocket_address().unwrap();
    for (address, path) in [(server.address(), "/v2/ws"), (own, "/")] {
        // A browser offers nothing but HTTP/1.1 for it.
        let stream = files.connect(address, &["http/1.1"]).await.unwrap();
        let url = format!("wss://localhost:{}{path}", address.port());
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let request = format!(
            r#"{{"action": "queue_create", "body": {{"queue_name": "q"}},
                "headers": {{"Client-ID": "{CLIENT_ID}", "X-Project-ID": "tests"}}}}"#
        );
        socket.send(Message::text(request)).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        let answer = answer.unwrap().unwrap().into_text().unwrap();
        assert!(answer.contains(r#""status": 20"#), "{answer}");
        socket.close(None).await.unwrap();
    }
    // Its own port offers nothing that no WebSocket can begin with.
    let stream = files.connect(own, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    drop(stream);
    assert_eq!(server.stop().await, Ended::Finished);
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_and_disconnected() {
    let files = Files::new();
    let server = files.server(|_| {}).await;
    let before = failures(&server, "plain").await;
    let mut stream = server.raw().await.unwrap();
    let answer = exchange(&mut stream, b"GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("This port speaks HTTPS: say https:// here."), "{answer}");
    drop(stream);
    wait_for_failures(&server, "plain", before + 1).await;
    assert!(files.serves(&server).await);
    server.stop().await;
}

/// What a client begins with whose best version is TLS 1.`minor`.
fn hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![3, minor + 1];
    hello.extend([7; 32]);
    // No session, one cipher suite (ECDHE, ECDSA, AES-128, GCM), no compression.
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let groups = [0, 10, 0, 6, 0, 4, 0, 29, 0, 23];
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    let points = [0, 11, 0, 2, 1, 0];
    hello.extend([0, 24]);
    hello.extend([groups.as_slice(), &signatures, &points].concat());
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}

/// The type of the record that answers a client's first, and the two bytes that it begins with.
async fn first_answer(server: &Server, hello: &[u8]) -> (u8, [u8; 2]) {
    let mut stream = server.raw().await.unwrap();
    stream.write_all(hello).await.unwrap();
    let mut answer = [0; 7];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    (answer[0], [answer[5], answer[6]])
}

#[tokio::test]
async fn what_is_older_than_tls_1_2_is_refused() {
    let files = Files::new();
    let server = files.server(|_| {}).await;
    // A fatal alert: protocol_version.
    assert_eq!(first_answer(&server, &hello(1)).await, (21, [2, 70]));
    // The same in 1.2: the server's hello.
    assert_eq!(first_answer(&server, &hello(2)).await.0, 22);
    wait_for_failures(&server, "refused", 1).await;
    assert!(files.serves(&server).await);
    server.stop().await;
}

#[tokio::test]
async fn handshakes_that_stall_keep_nobody_else_waiting_and_are_cut() {
    let files = Files::new();
    // So few turns that the silent would take them all, if they had any to take.
    let server = files.server(|config| {
        config.tls.handshakes_max = 4;
        config.tls.handshake_timeout_ms = 3_600_000;
    });
    let server = server.await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(server.raw().await.unwrap());
    }
    assert!(files.serves(&server).await);
    // Nor do they keep the server from ending.
    assert_eq!(server.stop().await, Ended::Finished);

    let server = files.server(|config| config.tls.handshake_timeout_ms = 50).await;
    let hello = hello(2);
    for beginning in [&hello[..0], &hello[..1], &hello[..20]] {
        let mut stream = server.raw().await.unwrap();
        assert_eq!(exchange_bytes(&mut stream, beginning).await, b"");
    }
    wait_for_failures(&server, "timeout", 3).await;
    server.stop().await;
}

async fn exchange_bytes(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.unwrap().ok();
    answer
}

/// Sends bytes within TLS and reads until the server closes.
async fn talk(files: &Files, server: &Server, bytes: &[u8]) -> String {
    let mut stream = files.connect(server.address(), &[]).await.unwrap();
    // A server that has had enough may close while more is being sent.
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.unwrap().ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_come_over_tls_is_cut() {
    let files = Files::new();
    let server = files.server(|config| config.limits.header_read_timeout_ms = 50).await;
    assert_eq!(talk(&files, &server, b"").await, "");
    assert_eq!(talk(&files, &server, b"GET / HTTP/1.1\r\nhost").await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_header_bytes_and_a_body_that_trickles_are_refused_over_tls() {
    let files = Files::new();
    let server = files.server(|config| config.limits.body_rate_grace_ms = 50).await;
    let mut flood = b"GET / HTTP/1.1\r\nhost: localhost\r\nx-flood: ".to_vec();
    flood.resize(200_000, b'a');
    let answer = talk(&files, &server, &flood).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = talk(&files, &server, post_head(POST.len()).as_bytes()).await;
    assert!(answer.contains("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\"stored\": false"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_over_tls_is_cut() {
    let files = Files::new();
    let server = files.server(|config| {
        config.limits.write_timeout_ms = 50;
        config.limits.header_read_timeout_ms = 2_000;
    });
    let server = server.await;
    let mut stream = files.connect(server.address(), &[]).await.unwrap();
    let requests = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1_000);
    while tokio::time::timeout(PATIENCE, stream.write_all(&requests)).await.unwrap().is_ok() {}
    assert!(files.serves(&server).await);
    server.stop().await;
}

#[tokio::test]
async fn a_request_over_tls_that_was_accepted_is_finished() {
    let files = Files::new();
    let server = files.server(|_| {}).await;
    let address = server.address();
    let mut stream = files.connect(address, &[]).await.unwrap();
    stream.write_all(post_head(POST.len()).as_bytes()).await.unwrap();
    let mut begun = vec![0; CONTINUE.len()];
    stream.read_exact(&mut begun).await.unwrap();

    let stopping = tokio::spawn(server.stop());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(POST.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The end is said, not just cut: else this would be an error.
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    assert_eq!(stopping.await.unwrap(), Ended::Finished);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let mut files = Files::new();
    let server = files.server(|config| config.tls.reload_interval_ms = 10).await;
    let mut before = files.client(server.address()).await;
    files.renew();
    // Who trusts the new one alone is refused until it is in force.
    let renewed = async {
        while files.connect(server.address(), &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    assert!(files.serves(&server).await);
    assert_eq!(before.get("/").await.unwrap().status, StatusCode::MULTIPLE_CHOICES);
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_at_the_start() {
    let (files, others) = (Files::new(), Files::new());
    let refused = async |change: &dyn Fn(&mut Config)| {
        let started = Server::start(|config| {
            files.configure(config);
            change(config);
        });
        let error = started.await.err().unwrap().downcast::<StartError>().unwrap();
        assert!(matches!(error, StartError::Tls { .. }), "{error}");
        error.to_string()
    };
    let wrong_key = refused(&|config| config.tls.key_file = others.path("key.pem")).await;
    assert!(wrong_key.contains("drivers.transport.tls.key_file"), "{wrong_key}");
    assert!(wrong_key.contains(&others.path("key.pem")), "{wrong_key}");
    assert!(wrong_key.contains("is not the key"), "{wrong_key}");
    let absent = refused(&|config| config.tls.cert_file = files.path("absent")).await;
    assert!(absent.contains("drivers.transport.tls.cert_file"), "{absent}");
    assert!(absent.contains(&files.path("absent")), "{absent}");
}
